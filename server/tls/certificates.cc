#include "server/tls/certificates.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "server/log/log.h"

namespace hone::server::tls {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 20;

struct Free {
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using CertificatePtr = std::unique_ptr<X509, Free>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Free>;
using BioPtr = std::unique_ptr<BIO, Free>;

BioPtr Reader(const std::string& pem) {
  return BioPtr(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// OpenSSL's own words for what failed last on this thread.
std::string Why() {
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  const std::string text = reason == nullptr ? "unknown error" : reason;
  ERR_clear_error();
  return text;
}

absl::Status Wrong(const std::string& file, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(file, ": ", what));
}

// "": none is there, or it is none.
CertificatePtr ReadCertificate(BIO* bio) {
  return CertificatePtr(PEM_read_bio_X509(bio, nullptr, nullptr, nullptr));
}

// The end of the file, and no certificate that cannot be read.
bool IsAtEnd() {
  const unsigned long error = ERR_peek_last_error();  // NOLINT(google-runtime-int)
  const bool end =
      ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (end) {
    ERR_clear_error();
  }
  return end;
}

std::string SubjectOf(const X509& certificate) {
  const BioPtr text(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(text.get(), X509_get_subject_name(&certificate), 0, XN_FLAG_RFC2253);
  char* bytes = nullptr;
  const auto size = BIO_get_mem_data(text.get(), &bytes);
  return {bytes, static_cast<size_t>(size)};
}

absl::Time EndOf(const X509& certificate) {
  std::tm parts = {};
  return ASN1_TIME_to_tm(X509_get0_notAfter(&certificate), &parts) == 1
             ? absl::FromTM(parts, absl::UTCTimeZone())
             : absl::InfiniteFuture();
}

absl::Status UseCertificates(const Files& files, Identity& identity) {
  const BioPtr bio = Reader(identity.certificate);
  const CertificatePtr own = ReadCertificate(bio.get());
  if (own == nullptr) {
    return Wrong(files.certificate,
                 absl::StrCat("must be a certificate in PEM form (", Why(), ")"));
  }
  if (SSL_CTX_use_certificate(identity.context.get(), own.get()) != 1) {
    return Wrong(files.certificate, absl::StrCat("the certificate cannot be used: ", Why()));
  }
  while (CertificatePtr above = ReadCertificate(bio.get())) {
    if (SSL_CTX_add0_chain_cert(identity.context.get(), above.get()) != 1) {
      return Wrong(files.certificate, absl::StrCat("its chain cannot be used: ", Why()));
    }
    above.release();  // it is the context's
  }
  if (!IsAtEnd()) {
    return Wrong(files.certificate, absl::StrCat("its chain cannot be read: ", Why()));
  }
  identity.subject = SubjectOf(*own);
  identity.valid_until = EndOf(*own);
  return absl::OkStatus();
}

absl::Status UseKey(const Files& files, Identity& identity) {
  const BioPtr bio = Reader(identity.key);
  // A server has nobody to ask for a password.
  const auto no_password = [](char*, int, int, void*) { return -1; };
  const KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  if (key == nullptr) {
    return Wrong(files.key, absl::StrCat("must be a private key in PEM form, without a password (",
                                         Why(), ")"));
  }
  if (SSL_CTX_use_PrivateKey(identity.context.get(), key.get()) != 1 ||
      SSL_CTX_check_private_key(identity.context.get()) != 1) {
    ERR_clear_error();
    return Wrong(files.key,
                 absl::StrCat("is not the key of the certificate in ", files.certificate));
  }
  return absl::OkStatus();
}

absl::Status UseClientCa(const Files& files, Identity& identity) {
  const BioPtr bio = Reader(identity.client_ca);
  SSL_CTX* const context = identity.context.get();
  int found = 0;
  for (; const CertificatePtr authority = ReadCertificate(bio.get()); ++found) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get()) != 1 ||
        SSL_CTX_add_client_CA(context, authority.get()) != 1) {
      return Wrong(files.client_ca, absl::StrCat("an authority cannot be used: ", Why()));
    }
  }
  if (!IsAtEnd() || found == 0) {
    return Wrong(files.client_ca, "must be certificates of authorities in PEM form");
  }
  // Whether one without a certificate may do what it asks for is decided when it asks.
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  return absl::OkStatus();
}

// Another text when a file is another one, or has changed, and be it who may read it. A link is
// followed.
std::string StateOf(const Files& files) {
  std::string state;
  for (const std::string* path : {&files.certificate, &files.key, &files.client_ca}) {
    struct stat file {};
    if (!path->empty() && ::stat(path->c_str(), &file) == 0) {
      absl::StrAppend(&state, file.st_dev, " ", file.st_ino, " ", file.st_size, " ",
                      file.st_ctim.tv_sec, ".", file.st_ctim.tv_nsec, ";");
    } else {
      absl::StrAppend(&state, "none;");
    }
  }
  return state;
}

std::string DateOf(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

}  // namespace

absl::StatusOr<Identity> Load(const Files& files) {
  ERR_clear_error();
  Identity identity;
  HONE_ASSIGN_OR_RETURN(identity.certificate, ReadFile(files.certificate, kMostBytes));
  HONE_ASSIGN_OR_RETURN(identity.key, ReadFile(files.key, kMostBytes));
  identity.context = std::shared_ptr<SSL_CTX>(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  SSL_CTX* const context = identity.context.get();
  if (context == nullptr || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
    return absl::InternalError(absl::StrCat("OpenSSL does not start: ", Why()));
  }
  // Each connection is for one request: there is nothing to come back to.
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  // A read ends where what arrived was no data: else who sends nothing but new keys would hold up
  // the thread that reads for everybody.
  SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  HONE_RETURN_IF_ERROR(UseCertificates(files, identity));
  HONE_RETURN_IF_ERROR(UseKey(files, identity));
  if (!files.client_ca.empty()) {
    HONE_ASSIGN_OR_RETURN(identity.client_ca, ReadFile(files.client_ca, kMostBytes));
    HONE_RETURN_IF_ERROR(UseClientCa(files, identity));
  }
  return identity;
}

absl::StatusOr<std::unique_ptr<Certificates>> Certificates::Open(Files files,
                                                                 absl::Duration every) {
  std::string state = StateOf(files);
  HONE_ASSIGN_OR_RETURN(Identity identity, Load(files));
  if (identity.valid_until < absl::Now()) {
    log::Warning("the certificate is past its time: clients will refuse it",
                 {{"file", files.certificate}, {"valid_until", DateOf(identity.valid_until)}});
  }
  std::unique_ptr<Certificates> certificates(
      new Certificates(std::move(files), std::move(identity), std::move(state)));
  if (every < absl::InfiniteDuration()) {
    certificates->thread_ = std::thread([self = certificates.get(), every] {
      std::unique_lock lock(self->mutex_);
      while (!self->changed_.wait_for(lock, absl::ToChronoMilliseconds(every),
                                      [self] { return self->stopping_; })) {
        lock.unlock();
        self->Look();
        lock.lock();
      }
    });
  }
  return certificates;
}

Certificates::Certificates(Files files, Identity identity, std::string state)
    : files_(std::move(files)), read_(state), seen_(std::move(state)) {
  identity.version = 1;
  identity_ = std::make_shared<const Identity>(std::move(identity));
}

Certificates::~Certificates() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

std::shared_ptr<const Identity> Certificates::Now() const {
  const std::lock_guard lock(mutex_);
  return identity_;
}

bool Certificates::Look() {
  std::string state = StateOf(files_);
  const bool still = state == seen_;
  seen_ = state;
  if (!still || state == read_) {
    return false;
  }
  read_ = std::move(state);
  absl::StatusOr<Identity> identity = Load(files_);
  if (identity.ok() && identity->valid_until < absl::Now()) {
    identity = Wrong(files_.certificate, absl::StrCat("the certificate was valid until ",
                                                      DateOf(identity->valid_until)));
  }
  if (!identity.ok()) {
    log::Error(
        "the certificate's files have changed and are not used; the one before goes on",
        {{"error", identity.status().message()}, {"valid_until", DateOf(Now()->valid_until)}});
    return false;
  }
  log::Info("new connections get the certificate that was read now",
            {{"subject", identity->subject}, {"valid_until", DateOf(identity->valid_until)}});
  const std::lock_guard lock(mutex_);
  identity->version = identity_->version + 1;
  identity_ = std::make_shared<const Identity>(*std::move(identity));
  return true;
}

}  // namespace hone::server::tls
