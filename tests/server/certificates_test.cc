#include "server/tls/certificates.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/files.h"
#include "engine/base/owned_fd.h"
#include "server/net/connection.h"
#include "tests/support/status_matchers.h"

namespace hone::server::tls {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

// Certificates that sign themselves, made by the program openssl.
class CertificatesTest : public ::testing::Test {
 protected:
  CertificatesTest()
      : folder_(absl::StrCat(::testing::TempDir(), "/certificates-", ::getpid(), "-", counter_++)) {
    std::filesystem::create_directories(folder_);
    Make("one");
    Make("two");
    Use("one", "one");
  }
  ~CertificatesTest() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return absl::StrCat(folder_, "/", name); }
  void Make(const std::string& name, const std::string& options = "-nodes") const {
    const std::string command = absl::StrCat(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 2 -subj /CN=", name,
        " -keyout ", Path(name + ".key"), " -out ", Path(name + ".pem"), " ", options,
        " 2>/dev/null");
    ASSERT_EQ(std::system(command.c_str()), 0) << command;  // NOLINT(cert-env33-c)
  }
  // As a tool that renews certificates does: whole files, by renaming.
  void Use(const std::string& certificate, const std::string& key) const {
    ASSERT_THAT(WriteFileAtomically(Path("pem"), *ReadFile(Path(certificate + ".pem"))), IsOk());
    ASSERT_THAT(WriteFileAtomically(Path("key"), *ReadFile(Path(key + ".key"))), IsOk());
  }
  Files InUse() const { return {.certificate = Path("pem"), .key = Path("key")}; }
  std::unique_ptr<Certificates> Open() const {
    auto certificates = Certificates::Open(InUse(), absl::InfiniteDuration());
    EXPECT_THAT(certificates, IsOk());
    return *std::move(certificates);
  }

  static inline int counter_ = 0;
  const std::string folder_;
};

TEST_F(CertificatesTest, APairIsReadWithItsNameAndItsEnd) {
  const auto identity = Load(InUse());
  ASSERT_THAT(identity, IsOk());
  EXPECT_EQ(identity->subject, "CN=one");
  EXPECT_GT(identity->valid_until, absl::Now() + absl::Hours(47));
  EXPECT_LT(identity->valid_until, absl::Now() + absl::Hours(49));
}

TEST_F(CertificatesTest, AKeyOfAnotherCertificateIsRefused) {
  Use("one", "two");
  EXPECT_THAT(Load(InUse()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is not the key")));
}

TEST_F(CertificatesTest, AFileThatIsNoCertificateIsRefused) {
  ASSERT_THAT(WriteFileAtomically(Path("pem"), "no certificate"), IsOk());
  EXPECT_THAT(Load(InUse()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("PEM form")));
}

TEST_F(CertificatesTest, AChainThatIsDamagedIsRefused) {
  const std::string pem = *ReadFile(Path("one.pem"));
  ASSERT_THAT(WriteFileAtomically(Path("pem"), absl::StrCat(pem, pem.substr(0, pem.size() / 2))),
              IsOk());
  EXPECT_THAT(Load(InUse()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("chain")));
}

TEST_F(CertificatesTest, AKeyWithAPasswordIsRefusedAndNobodyIsAsked) {
  Make("locked", "-passout pass:secret");
  Use("locked", "locked");
  EXPECT_THAT(Load(InUse()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("without a password")));
}

TEST_F(CertificatesTest, AFileOfClientsAuthoritiesWithoutOneIsRefused) {
  ASSERT_THAT(WriteFileAtomically(Path("ca"), "nobody"), IsOk());
  Files files = InUse();
  files.client_ca = Path("ca");
  EXPECT_THAT(Load(files).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("authorities")));
}

TEST_F(CertificatesTest, FilesThatHaveChangedAreReadAtTheSecondLook) {
  const auto certificates = Open();
  EXPECT_FALSE(certificates->Look());
  Use("two", "two");
  EXPECT_FALSE(certificates->Look());  // the other file may still be on its way
  EXPECT_EQ(certificates->Now()->subject, "CN=one");
  EXPECT_TRUE(certificates->Look());
  EXPECT_EQ(certificates->Now()->subject, "CN=two");
  EXPECT_FALSE(certificates->Look());
}

TEST_F(CertificatesTest, AChangeThatLeavesSizeAndTimeOfAFileIsSeen) {
  const auto certificates = Open();
  Use("two", "one");
  certificates->Look();
  EXPECT_FALSE(certificates->Look());
  // As when somebody is allowed to read it later: the file says the same of what is in it.
  struct stat before {};
  ASSERT_EQ(::stat(Path("key").c_str(), &before), 0);
  std::ofstream(Path("key"), std::ios::trunc) << *ReadFile(Path("two.key"));
  const std::array<timespec, 2> times = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, Path("key").c_str(), times.data(), 0), 0);
  certificates->Look();
  EXPECT_TRUE(certificates->Look());
}

TEST_F(CertificatesTest, ABadPairIsRefusedAndTheOldOneStaysUntilThereIsAGoodOne) {
  const auto certificates = Open();
  const auto before = certificates->Now();
  Use("two", "one");
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(certificates->Look());
  }
  EXPECT_EQ(certificates->Now(), before);
  Use("two", "two");
  certificates->Look();
  EXPECT_TRUE(certificates->Look());
  EXPECT_NE(certificates->Now()->version, before->version);
}

TEST_F(CertificatesTest, FilesThatAreGoneLeaveTheOldOne) {
  const auto certificates = Open();
  std::filesystem::remove(Path("pem"));
  certificates->Look();
  EXPECT_FALSE(certificates->Look());
  EXPECT_EQ(certificates->Now()->subject, "CN=one");
}

// A client that has shaken hands with a server's end of a connection.
class TlsConnectionTest : public CertificatesTest {
 protected:
  TlsConnectionTest() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
    const auto identity = Load(InUse());
    EXPECT_THAT(identity, IsOk());
    server_ = net::Connection(OwnedFd(ends[0]), identity->context.get());
    client_end_ = OwnedFd(ends[1]);
    context_ = SSL_CTX_new(TLS_client_method());
    client_ = SSL_new(context_);
    SSL_set_fd(client_, client_end_.get());
    for (int i = 0; i < 10 && SSL_connect(client_) != 1; ++i) {
      Read();
    }
    EXPECT_EQ(SSL_is_init_finished(client_), 1);
    EXPECT_EQ(Read(), net::Connection::Result::kAgain);
  }
  ~TlsConnectionTest() override {
    SSL_free(client_);
    SSL_CTX_free(context_);
  }
  net::Connection::Result Read() {
    std::array<char, 64> room;
    size_t size = 0;
    return server_.Read(room.data(), room.size(), size);
  }

  net::Connection server_;
  OwnedFd client_end_;
  SSL_CTX* context_ = nullptr;
  SSL* client_ = nullptr;
};

TEST_F(TlsConnectionTest, AReadEndsAfterEachNewKeySoThatNobodyHoldsUpItsThreadWithThem) {
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(SSL_key_update(client_, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    ASSERT_EQ(SSL_do_handshake(client_), 1);
  }
  ASSERT_EQ(SSL_write(client_, "x", 1), 1);
  EXPECT_EQ(Read(), net::Connection::Result::kAgain);
  EXPECT_EQ(Read(), net::Connection::Result::kAgain);
  EXPECT_EQ(Read(), net::Connection::Result::kDone);
}

}  // namespace
}  // namespace hone::server::tls
