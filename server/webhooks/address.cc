#include "server/webhooks/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace hone::server::webhooks {
namespace {

constexpr int kV4Bits = 96;  // before an address of IPv4 that is written as one of IPv6
constexpr char kMapped[] = "\0\0\0\0\0\0\0\0\0\0\xff\xff";

struct Reserved {
  const char* network;
  int prefix;
};

// What is not of the open network: RFC 6890 and its registries at IANA.
constexpr Reserved kReserved[] = {
    {"0.0.0.0", 8},      {"10.0.0.0", 8},     {"100.64.0.0", 10}, {"127.0.0.0", 8},
    {"169.254.0.0", 16}, {"172.16.0.0", 12},  {"192.0.0.0", 24},  {"192.0.2.0", 24},
    {"192.88.99.0", 24}, {"192.168.0.0", 16}, {"198.18.0.0", 15}, {"198.51.100.0", 24},
    {"203.0.113.0", 24}, {"224.0.0.0", 4},    {"240.0.0.0", 4},   {"::", 96},
    {"64:ff9b:1::", 48}, {"100::", 64},       {"2001::", 23},     {"2001:db8::", 32},
    {"fc00::", 7},       {"fe80::", 10},      {"fec0::", 10},     {"ff00::", 8},
};

// The bytes of an address as text, as one of IPv6.
std::optional<std::string> BytesOf(const std::string& text) {
  std::string bytes(16, '\0');
  if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) {
    return bytes;
  }
  bytes.assign(kMapped, 12);
  bytes.resize(16);
  if (::inet_pton(AF_INET, text.c_str(), bytes.data() + 12) == 1) {
    return bytes;
  }
  return std::nullopt;
}

bool IsIn(const std::string& address, const std::string& network, int prefix) {
  for (int bit = 0; bit < prefix; bit += 8) {
    const auto i = static_cast<size_t>(bit / 8);
    const int keep = std::min(8, prefix - bit);
    const auto mask = static_cast<unsigned char>(0xff << (8 - keep));
    if (((static_cast<unsigned char>(address[i]) ^ static_cast<unsigned char>(network[i])) &
         mask) != 0) {
      return false;
    }
  }
  return true;
}

bool IsV4(const std::string& address) { return address.compare(0, 12, kMapped, 12) == 0; }

// The address of IPv4 that a gateway makes of one of IPv6: 64:ff9b::/96 (RFC 6052), 2002::/16
// (RFC 3056).
std::optional<std::string> Within(const std::string& address) {
  const std::string v4(kMapped, 12);
  if (IsIn(address, *BytesOf("64:ff9b::"), 96)) {
    return v4 + address.substr(12);
  }
  if (IsIn(address, *BytesOf("2002::"), 16)) {
    return v4 + address.substr(2, 4);
  }
  return std::nullopt;
}

bool IsReserved(const std::string& address) {
  if (const std::optional<std::string> v4 = Within(address); v4.has_value() && IsReserved(*v4)) {
    return true;
  }
  return std::any_of(std::begin(kReserved), std::end(kReserved), [&](const Reserved& one) {
    const std::string network = *BytesOf(one.network);
    const int prefix = one.prefix + (IsV4(network) ? kV4Bits : 0);
    return IsIn(address, network, prefix);
  });
}

bool IsHostName(const std::string& text) {
  return !text.empty() && text.size() <= 253 && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_';
  });
}

}  // namespace

absl::StatusOr<AddressRule> AddressRule::Make(const std::vector<std::string>& allowed) {
  AddressRule rule;
  for (const std::string& one : allowed) {
    const std::vector<std::string> parts = absl::StrSplit(one, absl::MaxSplits('/', 1));
    const std::optional<std::string> bytes = BytesOf(parts[0]);
    if (bytes.has_value()) {
      const int offset = IsV4(*bytes) ? kV4Bits : 0;
      int prefix = 128 - offset;
      if (parts.size() == 1 ||
          (absl::SimpleAtoi(parts[1], &prefix) && prefix >= 0 && prefix <= 128 - offset)) {
        rule.networks_.push_back({.bytes = *bytes, .prefix = prefix + offset});
        continue;
      }
    } else if (parts.size() == 1 && IsHostName(one)) {
      rule.hosts_.push_back(absl::AsciiStrToLower(one));
      continue;
    }
    return absl::InvalidArgumentError(
        absl::StrCat("--webhook-allow: must be a host name, an address or a network such as "
                     "10.1.0.0/16, got \"",
                     one, "\""));
  }
  return rule;
}

bool AddressRule::AllowsHost(absl::string_view host) const {
  return std::ranges::find(hosts_, absl::AsciiStrToLower(host)) != hosts_.end();
}

bool AddressRule::Allows(const sockaddr& address) const {
  std::string bytes;
  if (address.sa_family == AF_INET) {
    bytes.assign(kMapped, 12);
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    bytes.append(reinterpret_cast<const char*>(&v4.sin_addr), 4);
  } else if (address.sa_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    bytes.assign(reinterpret_cast<const char*>(&v6.sin6_addr), 16);
  } else {
    return false;
  }
  return !IsReserved(bytes) || std::ranges::any_of(networks_, [&](const Network& network) {
    return IsIn(bytes, network.bytes, network.prefix);
  });
}

}  // namespace hone::server::webhooks
