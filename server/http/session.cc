#include "server/http/session.h"

#include <openssl/x509.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/http/metadata.h"
#include "server/http/transcode.h"
#include "server/jobs/retry_delay.h"

namespace hone::server::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace bhttp = boost::beast::http;
using boost::system::error_code;
using Tcp = asio::ip::tcp;

constexpr uint32_t kMostHeadBytes = 16 << 10;
// Of a body; Boost 1.74 takes none for zero.
constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();
// Read while a call is under way, to notice that the client has left: what comes is its next
// request.
constexpr size_t kReadAhead = 4096;
constexpr size_t kUploadPiece = size_t{256} << 10;
// Of what a client still sends when it has been answered before its request was whole.
constexpr size_t kMostDiscarded = size_t{1} << 20;
constexpr absl::Duration kMostLinger = absl::Seconds(2);
// The slowest that a client may take a large answer, in bytes a second.
constexpr int64_t kSlowest = 16 << 10;

// A page may use what this server sends, and nothing else: no scripts in it, nothing from outside,
// and no page of others may show it.
constexpr char kPagePolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'";
constexpr char kDataPolicy[] = "default-src 'none'; frame-ancestors 'none'; sandbox";

std::string HttpDate() {
  return absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::Now(), absl::UTCTimeZone());
}

std::string Text(beast::string_view text) { return std::string(text.data(), text.size()); }

// A socket with TLS or without; as Boost's streams are.
class Stream {
 public:
  using executor_type = Tcp::socket::executor_type;

  Stream(asio::io_context& io, SSL_CTX* context) : socket_(asio::make_strand(io)) {
    if (context != nullptr) {
      SSL_CTX_up_ref(context);
      context_.emplace(context);
      tls_.emplace(socket_, *context_);
    }
  }

  executor_type get_executor() { return socket_.get_executor(); }
  Tcp::socket& socket() { return socket_; }
  asio::ssl::stream<Tcp::socket&>* tls() { return tls_.has_value() ? &*tls_ : nullptr; }

  template <typename Buffers, typename Handler>
  void async_read_some(const Buffers& buffers, Handler&& handler) {
    if (tls_.has_value()) {
      tls_->async_read_some(buffers, std::forward<Handler>(handler));
    } else {
      socket_.async_read_some(buffers, std::forward<Handler>(handler));
    }
  }

  template <typename Buffers, typename Handler>
  void async_write_some(const Buffers& buffers, Handler&& handler) {
    if (tls_.has_value()) {
      tls_->async_write_some(buffers, std::forward<Handler>(handler));
    } else {
      socket_.async_write_some(buffers, std::forward<Handler>(handler));
    }
  }

 private:
  Tcp::socket socket_;
  std::optional<asio::ssl::context> context_;
  std::optional<asio::ssl::stream<Tcp::socket&>> tls_;
};

class Session final : public std::enable_shared_from_this<Session> {
 public:
  Session(Shared& shared, SSL_CTX* context, std::string said, std::string peer)
      : shared_(shared),
        stream_(shared.io, context),
        deadline_(stream_.get_executor()),
        said_(std::move(said)),
        peer_(std::move(peer)) {
    const std::lock_guard lock(shared_.mutex);
    ++shared_.open;
  }
  ~Session() {
    const std::lock_guard lock(shared_.mutex);
    --shared_.open;
    shared_.busy -= busy_ ? 1 : 0;
    shared_.changed.notify_all();
  }

  bool Assign(OwnedFd fd) {
    error_code error;
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
    stream_.socket().assign(address.ss_family == AF_INET6 ? Tcp::v6() : Tcp::v4(), fd.get(), error);
    if (error) {
      return false;
    }
    static_cast<void>(fd.Release());
    return true;
  }

  void Begin() {
    asio::post(stream_.get_executor(), [self = shared_from_this()] { self->Welcome(); });
  }

 private:
  enum class Phase { kHandshake, kIdle, kHead, kBody, kUpload, kAnswer, kLinger, kClosed };

  // --- Time ---

  void Expect(absl::Duration most) {
    deadline_.expires_after(absl::ToChronoMicroseconds(most));
    deadline_.async_wait([self = shared_from_this()](error_code error) {
      if (!error && self->deadline_.expiry() <= asio::steady_timer::clock_type::now()) {
        self->OnDeadline();
      }
    });
  }

  void OnDeadline() {
    if (phase_ == Phase::kHead || phase_ == Phase::kBody || phase_ == Phase::kUpload) {
      late_ = true;
      error_code ignored;
      stream_.socket().cancel(ignored);  // its read ends with an error
    } else {
      Close();
    }
  }

  // --- Begin and end of the connection ---

  void Welcome() {
    Expect(shared_.times.handshake);
    if (stream_.tls() == nullptr) {
      Append(said_);
      return Next();
    }
    stream_.tls()->async_handshake(asio::ssl::stream_base::server, asio::buffer(said_),
                                   [self = shared_from_this()](error_code error, size_t /*used*/) {
                                     if (error) {
                                       return self->Close();
                                     }
                                     self->KeepCertificate();
                                     self->said_.clear();
                                     self->Next();
                                   });
  }

  void Append(absl::string_view bytes) {
    asio::buffer_copy(buffer_.prepare(bytes.size()), asio::buffer(bytes.data(), bytes.size()));
    buffer_.commit(bytes.size());
  }

  // TLS has found the certificate to be of an authority of ours, or has ended the connection.
  void KeepCertificate() {
    SSL* const ssl = stream_.tls()->native_handle();
    const X509* const certificate = SSL_get0_peer_certificate(ssl);
    if (certificate == nullptr || SSL_get_verify_result(ssl) != X509_V_OK) {
      return;
    }
    certificate_.emplace();
    const X509_NAME* const subject = X509_get_subject_name(certificate);
    const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    unsigned char* text = nullptr;
    const int size = at < 0
                         ? -1
                         : ASN1_STRING_to_UTF8(
                               &text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (size >= 0) {
      certificate_->assign(reinterpret_cast<char*>(text), static_cast<size_t>(size));
      OPENSSL_free(text);
    }
  }

  void Close() {
    phase_ = Phase::kClosed;
    LetGoOfCall();
    SetBusy(false);
    deadline_.cancel();
    error_code ignored;
    stream_.socket().shutdown(Tcp::socket::shutdown_both, ignored);
    stream_.socket().close(ignored);
  }

  void LetGoOfCall() {
    ++call_number_;
    if (call_ != nullptr) {
      call_->Cancel();
      call_.reset();
    }
  }

  void SetBusy(bool busy) {
    if (busy_ == busy) {
      return;
    }
    busy_ = busy;
    const std::lock_guard lock(shared_.mutex);
    shared_.busy += busy ? 1 : -1;
    shared_.changed.notify_all();
  }

  // The answer is sent, and the client must not send more: what it has sent is read, so that the
  // system does not drop the answer for it.
  void Linger() {
    phase_ = Phase::kLinger;
    SetBusy(false);
    Expect(kMostLinger);
    if (stream_.tls() != nullptr && watching_) {
      return Close();  // which a shutdown would read beside
    }
    if (stream_.tls() != nullptr) {
      return stream_.tls()->async_shutdown(
          [self = shared_from_this()](error_code /*error*/) { self->Close(); });
    }
    error_code ignored;
    stream_.socket().shutdown(Tcp::socket::shutdown_send, ignored);
    Discard();
  }

  void Discard() {
    if (watching_) {
      return;  // whose end closes
    }
    stream_.socket().async_read_some(asio::buffer(piece_),
                                     [self = shared_from_this()](error_code error, size_t size) {
                                       self->discarded_ += size;
                                       if (error || self->discarded_ > kMostDiscarded) {
                                         return self->Close();
                                       }
                                       self->Discard();
                                     });
  }

  // --- The head of a request ---

  void Next() {
    SetBusy(false);
    if (shared_.stopping) {
      return Linger();
    }
    header_.reset();
    body_.reset();
    upload_.reset();
    share_.reset();
    collected_.clear();
    collected_.shrink_to_fit();
    late_ = close_ = begun_ = chunked_ = is_head_ = upload_last_ = false;
    wants_ = {};
    left_.reset();
    if (buffer_.size() > 0) {
      return ReadHead();
    }
    phase_ = Phase::kIdle;
    Expect(shared_.times.idle);
    Watch();
  }

  // Waits for bytes, or for the end, of which none is expected just now.
  void Watch() {
    if (watching_ || buffer_.size() > 0) {
      return;
    }
    watching_ = true;
    stream_.async_read_some(buffer_.prepare(kReadAhead),
                            [self = shared_from_this()](error_code error, size_t size) {
                              self->watching_ = false;
                              self->buffer_.commit(size);
                              self->Watched(error);
                            });
  }

  void Watched(error_code error) {
    if (phase_ == Phase::kClosed) {
      return;
    }
    if (error || phase_ == Phase::kLinger) {
      return Close();
    }
    if (phase_ == Phase::kIdle) {
      ReadHead();
    }
  }

  void ReadHead() {
    phase_ = Phase::kHead;
    SetBusy(true);
    Expect(shared_.times.head);
    header_.emplace();
    header_->header_limit(kMostHeadBytes);
    header_->body_limit(kNoLimit);  // its length is looked at when it is known what it is for
    bhttp::async_read_header(
        stream_, buffer_, *header_,
        [self = shared_from_this()](error_code error, size_t /*size*/) { self->HaveHead(error); });
  }

  void HaveHead(error_code error) {
    if (phase_ == Phase::kClosed) {
      return;
    }
    if (late_) {
      return Refuse(408, absl::DeadlineExceededError("the request's head did not come in time"));
    }
    if (error == bhttp::error::header_limit) {
      return Refuse(431, absl::InvalidArgumentError(absl::StrCat(
                             "the request's head: must have at most ", kMostHeadBytes, " bytes")));
    }
    if (error == bhttp::error::end_of_stream || error == bhttp::error::partial_message ||
        (error &&
         error.category() != bhttp::make_error_code(bhttp::error::bad_method).category())) {
      return Close();
    }
    if (error) {
      return Refuse(400, absl::InvalidArgumentError(
                             absl::StrCat("this is no HTTP request: ", error.message())));
    }
    const auto& head = header_->get();
    version_ = head.version();
    is_head_ = head.method() == bhttp::verb::head;
    close_ = !header_->keep_alive() || shared_.stopping;
    if (const std::optional<Failure> unwelcome = CheckWelcome(); unwelcome.has_value()) {
      return Refuse(*unwelcome);
    }
    Decision decision =
        shared_.requests.Decide({.method = Text(head.method_string()),
                                 .target = Text(head.target()),
                                 .content_type = Text(head[bhttp::field::content_type]),
                                 .accept = Text(head[bhttp::field::accept]),
                                 .last_event_id = Text(head["Last-Event-ID"]),
                                 .if_none_match = Text(head[bhttp::field::if_none_match])});
    if (auto* const wants = std::get_if<WantsBody>(&decision); wants != nullptr) {
      wants_ = std::move(*wants);
      return ReadBody();
    }
    if (auto* const upload = std::get_if<WantsUpload>(&decision); upload != nullptr) {
      return BeginUpload(*upload);
    }
    // What needs no body and has one all the same is answered, and the connection ends.
    close_ = close_ || HasBody();
    phase_ = Phase::kAnswer;
    if (const auto* const failure = std::get_if<Failure>(&decision); failure != nullptr) {
      return SendFailure(*failure, ErrorJson(*failure));
    }
    Reply& reply = std::get<Reply>(decision);
    if (reply.shared_body.data() != nullptr && !reply.shared_body.empty()) {
      reply.body = std::string(reply.shared_body);
    }
    SendWhole(reply.code, reply.head, std::move(reply.body), reply.is_page);
  }

  bool HasBody() const { return header_->chunked() || header_->content_length().value_or(0) > 0; }

  std::optional<Failure> CheckWelcome() const {
    const auto& head = header_->get();
    const std::string host = Text(head[bhttp::field::host]);
    if (version_ >= 11 && head.count(bhttp::field::host) != 1) {
      return FailureOf(400, absl::InvalidArgumentError("Host: must be there once"));
    }
    if (IsFromElsewhere(Text(head[bhttp::field::origin]), host)) {
      return FailureOf(
          403, absl::PermissionDeniedError(
                   "Origin: pages of other servers may not call this one; a proxy must pass the "
                   "Host header on as its clients sent it"));
    }
    if (shared_.on_loopback && !host.empty() && !IsOwnHost(host) && shared_.is_open()) {
      return FailureOf(
          421, absl::PermissionDeniedError(
                   "Host: must be localhost or an address, since this server takes everybody on "
                   "this machine; with a token for each (`honed token create`) any name will do"));
    }
    return std::nullopt;
  }

  // --- The body of a request: JSON, or none ---

  void ReadBody() {
    if (const uint64_t length = header_->content_length().value_or(0); length > kMostBodyBytes) {
      return RefuseLarge();
    }
    const auto expected = static_cast<int64_t>(
        header_->chunked() ? kMostBodyBytes : header_->content_length().value_or(0));
    std::optional<rpc::ByteBudget::Share> share = shared_.budget.Take(expected);
    if (!share.has_value()) {
      return Refuse(FailureOf(jobs::WithRetryDelay(
          absl::ResourceExhaustedError("too many large requests at a time; try again"),
          absl::Seconds(1))));
    }
    share_.emplace(*std::move(share));
    phase_ = Phase::kBody;
    Expect(shared_.times.body);
    const bool continues = WantsContinue();
    body_.emplace(std::move(*header_));
    body_->body_limit(kMostBodyBytes);
    if (continues) {
      return Continue([self = shared_from_this()] { self->ReadRestOfBody(); });
    }
    ReadRestOfBody();
  }

  bool WantsContinue() const {
    return beast::iequals(header_->get()[bhttp::field::expect], "100-continue") && HasBody();
  }

  template <typename Then>
  void Continue(Then then) {
    static constexpr absl::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    asio::async_write(
        stream_, asio::buffer(kContinue.data(), kContinue.size()),
        [self = shared_from_this(), then = std::move(then)](error_code error, size_t /*size*/) {
          if (error) {
            return self->Close();
          }
          then();
        });
  }

  void ReadRestOfBody() {
    bhttp::async_read(
        stream_, buffer_, *body_,
        [self = shared_from_this()](error_code error, size_t /*size*/) { self->HaveBody(error); });
  }

  void HaveBody(error_code error) {
    if (phase_ == Phase::kClosed) {
      return;
    }
    if (late_) {
      return Refuse(408, absl::DeadlineExceededError("the request's body did not come in time"));
    }
    if (error == bhttp::error::body_limit) {
      return RefuseLarge();
    }
    if (error == bhttp::error::partial_message ||
        (error &&
         error.category() != bhttp::make_error_code(bhttp::error::bad_method).category())) {
      return Close();
    }
    if (error) {
      return Refuse(400, absl::InvalidArgumentError(
                             absl::StrCat("this is no HTTP request: ", error.message())));
    }
    phase_ = Phase::kAnswer;
    std::variant<Ask, Failure> asked = wants_.then(body_->get().body());
    if (const auto* const failure = std::get_if<Failure>(&asked); failure != nullptr) {
      return SendFailure(*failure, ErrorBodyFor(*failure));
    }
    std::string().swap(body_->get().body());
    Begin(std::get<Ask>(std::move(asked)));
  }

  void RefuseLarge() {
    Refuse(413, absl::InvalidArgumentError(absl::StrCat("the request's body: must have at most ",
                                                        kMostBodyBytes, " bytes")));
  }

  // --- A call and its answer ---

  Metadata MetadataOf() const {
    const auto& head = body_.has_value()     ? body_->get().base()
                       : upload_.has_value() ? upload_->get().base()
                                             : header_->get().base();
    Metadata metadata = {{kKeyMetadata, Key()}, {kPeerMetadata, ForMetadata(peer_)}};
    if (certificate_.has_value()) {
      metadata.emplace_back(kCertificateMetadata, *certificate_);
    }
    for (const auto& [field, name] :
         {std::pair("Authorization", "authorization"), std::pair("Hone-Project", "hone-project"),
          std::pair("traceparent", "traceparent")}) {
      if (const auto found = head.find(field); found != head.end()) {
        metadata.emplace_back(name, ForMetadata(Text(found->value())));
      }
    }
    return metadata;
  }

  // The handlers of a call come on gRPC's threads; what they tell is done on the session's own.
  Call::Handlers Handlers() {
    const int64_t number = ++call_number_;
    const auto then = [self = shared_from_this(), number](auto action) {
      asio::post(self->stream_.get_executor(), [self, number, action = std::move(action)] {
        if (self->call_number_ == number && self->phase_ != Phase::kClosed) {
          action(*self);
        }
      });
    };
    return {
        .read =
            [then](grpc::ByteBuffer message) {
              then([message](Session& session) { session.HaveMessage(message); });
            },
        .written = [then] { then([](Session& session) { session.WrittenUpload(); }); },
        .ended =
            [then](const grpc::Status& status) {
              then([status](Session& session) { session.Ended(status); });
            },
    };
  }

  void Begin(Ask ask) {
    ask_ = std::move(ask);
    deadline_.cancel();  // the call has its own
    call_ = shared_.calls.Start(ask_.rpc, MetadataOf(), Handlers());
    call_->Read();  // before there can be an answer (Call)
    call_->Write(ask_.request, /*last=*/true);
    ask_.request.Clear();
    Watch();
  }

  void HaveMessage(const grpc::ByteBuffer& message) {
    if (ask_.next != nullptr) {
      reply_ = message;
      return call_->Read();
    }
    absl::StatusOr<std::string> bytes = ask_.answer->Add(message);
    if (!bytes.ok()) {
      return Break(bytes.status());
    }
    if (!ask_.answer->streamed()) {
      collected_ += *bytes;
      return call_->Read();
    }
    SendPiece(*std::move(bytes), [](Session& session) {
      if (session.call_ != nullptr) {
        session.call_->Read();
      }
    });
  }

  void Ended(const grpc::Status& status) {
    call_.reset();
    if (!status.ok()) {
      return FailCall(FailureOf(status));
    }
    if (ask_.next != nullptr) {
      absl::StatusOr<Ask> next = ask_.next(std::exchange(reply_, {}));
      if (!next.ok()) {
        return FailCall(FailureOf(next.status()));
      }
      return Begin(*std::move(next));
    }
    absl::StatusOr<std::string> last = ask_.answer->End();
    if (!last.ok()) {
      return FailCall(FailureOf(last.status()));
    }
    if (ask_.answer->streamed()) {
      return SendPiece(*std::move(last), [](Session& session) { session.EndPieces(); });
    }
    std::string body = std::exchange(collected_, {});
    absl::StrAppend(&body, *last);
    share_.emplace(shared_.budget.Charge(static_cast<int64_t>(body.size())));
    SendWhole(200, ask_.answer->head(), std::move(body), /*is_page=*/false);
  }

  // The server's own fault, in the middle of a call.
  void Break(const absl::Status& status) {
    LetGoOfCall();
    FailCall(FailureOf(status));
  }

  void FailCall(const Failure& failure) {
    if (!begun_) {
      return SendFailure(failure, ask_.answer != nullptr ? ask_.answer->ErrorBody(failure)
                                                         : ErrorBodyFor(failure));
    }
    std::optional<std::string> said = ask_.answer->Fail(failure);
    if (!said.has_value() || left_.has_value()) {
      return Close();
    }
    SendPiece(*std::move(said), [](Session& session) { session.EndPieces(); });
  }

  // In the form of the path's other answers.
  std::string ErrorBodyFor(const Failure& failure) const {
    return wants_.error_body != nullptr ? wants_.error_body(failure) : ErrorJson(failure);
  }

  // --- An upload ---

  void BeginUpload(const WantsUpload& wanted) {
    const auto length = header_->content_length();
    if (!length.has_value() || *length > (uint64_t{1} << 50)) {
      return Refuse(length.has_value() ? 413 : 411,
                    absl::InvalidArgumentError(
                        "Content-Length: must say the bytes that follow, at most 2^50"));
    }
    const absl::StatusOr<grpc::ByteBuffer> begin =
        UploadBegin(wanted, static_cast<int64_t>(*length));
    if (!begin.ok()) {
      return Refuse(FailureOf(begin.status()));
    }
    const bool continues = WantsContinue();
    phase_ = Phase::kUpload;
    upload_.emplace(std::move(*header_));
    upload_->body_limit(kNoLimit);
    ask_ = {.rpc = kUploadRpc, .request = {}, .answer = UploadAnswer()};
    call_ = shared_.calls.Start(kUploadRpc, MetadataOf(), Handlers());
    call_->Read();  // its end may come at any time
    deadline_.cancel();
    if (continues) {
      return Continue([self = shared_from_this(), begin = *begin] { self->WriteUpload(begin); });
    }
    WriteUpload(*begin);
  }

  void WriteUpload(const grpc::ByteBuffer& message) {
    if (call_ != nullptr) {
      deadline_.cancel();
      call_->Write(message, /*last=*/upload_->is_done() && upload_last_);
    }
  }

  void WrittenUpload() {
    if (phase_ != Phase::kUpload) {
      return;
    }
    if (upload_last_) {
      return;  // its end comes
    }
    if (upload_->is_done()) {
      upload_last_ = true;
      return WriteUpload(UploadChunk(""));
    }
    ReadUpload();
  }

  void ReadUpload() {
    Expect(shared_.times.piece);
    piece_.resize(kUploadPiece);
    upload_->get().body().data = piece_.data();
    upload_->get().body().size = piece_.size();
    reading_upload_ = true;
    bhttp::async_read(stream_, buffer_, *upload_,
                      [self = shared_from_this()](error_code error, size_t /*size*/) {
                        self->reading_upload_ = false;
                        self->HaveUpload(error);
                      });
  }

  void HaveUpload(error_code error) {
    if (phase_ == Phase::kClosed) {
      return;
    }
    if (phase_ != Phase::kUpload) {
      return Answered();  // what was to be sent when this read had ended
    }
    if (late_) {
      LetGoOfCall();
      return Refuse(408, absl::DeadlineExceededError(
                             "the next bytes did not come in time; what arrived is kept"));
    }
    if (error && error != bhttp::error::need_buffer) {
      return Close();
    }
    const size_t size = piece_.size() - upload_->get().body().size;
    if (size == 0) {
      return WrittenUpload();
    }
    WriteUpload(UploadChunk(std::string(piece_.data(), size)));
  }

  // --- Writing ---

  // Of HTTP, where the request is not read to its end: then the connection ends, too.
  void Refuse(int code, const absl::Status& why) { Refuse(FailureOf(code, why)); }
  void Refuse(const Failure& failure) {
    phase_ = Phase::kAnswer;
    close_ = true;
    SendFailure(failure, ErrorJson(failure));
  }

  void SendFailure(const Failure& failure, std::string body) {
    Head head;
    if (const auto seconds = RetryAfterSeconds(failure); seconds.has_value()) {
      head.fields.emplace_back("Retry-After", absl::StrCat(*seconds));
    }
    if (failure.http_code == 401) {
      head.fields.emplace_back("WWW-Authenticate", "Bearer realm=\"hone\"");
    }
    if (!failure.allow.empty()) {
      head.fields.emplace_back("Allow", failure.allow);
    }
    SendWhole(failure.http_code, head, std::move(body), /*is_page=*/false);
  }

  template <typename Body>
  void Fill(bhttp::response<Body>& response, const Head& head, bool is_page) const {
    response.version(11);
    response.set(bhttp::field::date, HttpDate());
    if (!head.content_type.empty()) {
      response.set(bhttp::field::content_type, head.content_type);
    }
    response.set("X-Content-Type-Options", "nosniff");
    response.set("Referrer-Policy", "no-referrer");
    response.set("Cross-Origin-Resource-Policy", "same-origin");
    response.set("Content-Security-Policy", is_page ? kPagePolicy : kDataPolicy);
    if (is_page) {
      response.set("Cross-Origin-Opener-Policy", "same-origin");
      response.set("X-Frame-Options", "DENY");
      response.set("Permissions-Policy", "camera=(), geolocation=(), microphone=()");
    } else {
      response.set(bhttp::field::cache_control, "no-store");
    }
    for (const auto& [name, value] : head.fields) {
      response.set(name, value);
    }
    if (close_) {
      response.set(bhttp::field::connection, "close");
    }
  }

  absl::Duration TimeFor(size_t bytes) const {
    return shared_.times.piece + absl::Seconds(static_cast<int64_t>(bytes) / kSlowest);
  }

  void SendWhole(int code, const Head& head, std::string body, bool is_page) {
    phase_ = Phase::kAnswer;
    close_ = close_ || shared_.stopping || (upload_.has_value() && !upload_->is_done());
    const auto response = std::make_shared<bhttp::response<bhttp::string_body>>();
    response->result(static_cast<unsigned>(code));
    Fill(*response, head, is_page);
    const bool bodiless = code == 204 || code == 304;
    if (bodiless) {
      response->erase(bhttp::field::content_type);
    }
    if (!bodiless) {
      response->content_length(body.size());
    }
    if (!bodiless && !is_head_) {
      response->body() = std::move(body);
    }
    Expect(TimeFor(response->body().size()));
    whole_ = response;
    if (reading_upload_) {  // two reads at a time there may not be; the answer waits for it
      error_code ignored;
      stream_.socket().cancel(ignored);
      return;
    }
    Answered();
  }

  void Answered() {
    if (whole_ == nullptr) {
      return Close();
    }
    const auto serializer =
        std::make_shared<bhttp::response_serializer<bhttp::string_body>>(*whole_);
    bhttp::async_write(stream_, *serializer,
                       [self = shared_from_this(), serializer, response = std::move(whole_)](
                           error_code error, size_t /*size*/) { self->Sent(error); });
  }

  void Sent(error_code error) {
    if (phase_ == Phase::kClosed) {
      return;
    }
    if (error) {
      return Close();
    }
    if (close_) {
      return Linger();
    }
    Next();
  }

  // One piece of an answer whose end is not known; with the head, where it is the first one. `then`
  // is called when the client's socket has taken it.
  template <typename Then>
  void SendPiece(std::string bytes, Then then) {
    if (!begun_) {
      begun_ = true;
      Head head = ask_.answer->head();
      bhttp::response<bhttp::empty_body> response;
      response.result(bhttp::status::ok);
      chunked_ = !head.length.has_value() && version_ >= 11;
      close_ = close_ || (!chunked_ && !head.length.has_value());
      Fill(response, head, /*is_page=*/false);
      if (chunked_) {
        response.chunked(true);
      } else if (head.length.has_value()) {
        response.content_length(*head.length);
      }
      left_ = head.length;
      out_ = absl::StrCat("HTTP/1.1 200 OK\r\n");
      for (const auto& field : response.base()) {
        absl::StrAppend(&out_, Text(field.name_string()), ": ", Text(field.value()), "\r\n");
      }
      absl::StrAppend(&out_, "\r\n");
    }
    if (left_.has_value()) {
      if (bytes.size() > *left_) {
        return Close();
      }
      *left_ -= bytes.size();
    }
    if (!bytes.empty() && chunked_) {
      absl::StrAppend(&out_, absl::Hex(bytes.size()), "\r\n", bytes, "\r\n");
    } else {
      absl::StrAppend(&out_, bytes);
    }
    if (out_.empty()) {
      return then(*this);
    }
    Flush(then);
  }

  template <typename Then>
  void Flush(Then then) {
    Expect(TimeFor(out_.size()));
    asio::async_write(stream_, asio::buffer(out_),
                      [self = shared_from_this(), then](error_code error, size_t /*size*/) {
                        if (self->phase_ == Phase::kClosed) {
                          return;
                        }
                        if (error) {
                          return self->Close();
                        }
                        self->out_.clear();
                        self->deadline_.cancel();
                        then(*self);
                      });
  }

  void EndPieces() {
    if (left_.value_or(0) > 0) {
      return Close();  // so that nobody takes it for whole
    }
    if (!chunked_) {
      return Sent({});
    }
    out_ = "0\r\n\r\n";
    Flush([](Session& session) { session.Sent({}); });
  }

  Shared& shared_;
  Stream stream_;
  asio::steady_timer deadline_;
  std::string said_;
  const std::string peer_;
  std::optional<std::string> certificate_;  // the name in the client's, which may be ""

  Phase phase_ = Phase::kHandshake;
  bool busy_ = false;
  bool watching_ = false;
  size_t discarded_ = 0;
  beast::flat_buffer buffer_{kMostHeadBytes + kReadAhead};

  // Of one request:
  std::optional<bhttp::request_parser<bhttp::empty_body>> header_;
  std::optional<bhttp::request_parser<bhttp::string_body>> body_;
  std::optional<bhttp::request_parser<bhttp::buffer_body>> upload_;
  unsigned version_ = 11;
  bool is_head_ = false;
  bool late_ = false;   // its time was over
  bool close_ = false;  // the connection ends with the answer
  WantsBody wants_;
  std::optional<rpc::ByteBudget::Share> share_;
  bool upload_last_ = false;
  bool reading_upload_ = false;
  std::string piece_ = std::string(4096, '\0');

  // Of its call:
  std::shared_ptr<Call> call_;
  int64_t call_number_ = 0;  // what an earlier call tells counts no more
  Ask ask_;
  grpc::ByteBuffer reply_;

  // Of its answer:
  std::string collected_;
  std::shared_ptr<bhttp::response<bhttp::string_body>> whole_;
  bool begun_ = false;  // the head is sent, or being sent
  bool chunked_ = false;
  std::optional<uint64_t> left_;  // bytes that the head has promised
  std::string out_;
};

}  // namespace

void BeginSession(Shared& shared, OwnedFd fd, SSL_CTX* context, std::string said,
                  std::string peer) {
  const auto session = std::make_shared<Session>(shared, context, std::move(said), std::move(peer));
  if (session->Assign(std::move(fd))) {
    session->Begin();
  }
}

}  // namespace hone::server::http
