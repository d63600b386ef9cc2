// Files that take long to remove, and the calls beside them.
#include <dlfcn.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/server/rpc_testing.h"

namespace {

// Who removes a file below a folder waits there until it is let go.
class HeldRemovals {
 public:
  void Hold(std::string folder) {
    const std::lock_guard lock(mutex_);
    folder_ = std::move(folder);
    held_ = 0;
  }
  void LetGo() {
    {
      const std::lock_guard lock(mutex_);
      folder_.clear();
    }
    changed_.notify_all();
  }
  // Until somebody waits; false: nobody came.
  bool AwaitHeld() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [this] { return held_ > 0; });
  }
  void Pass(const std::string& path) {
    std::unique_lock lock(mutex_);
    if (folder_.empty() || !path.starts_with(folder_)) {
      return;
    }
    ++held_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return folder_.empty(); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string folder_;  // "": nobody waits; guarded by mutex_
  int held_ = 0;        // guarded by mutex_
};

HeldRemovals& Held() {
  static auto& held = *new HeldRemovals;
  return held;
}

}  // namespace

// Stand before the C library's: std::filesystem removes trees with the first.
extern "C" int unlinkat(int folder, const char* name, int flags) noexcept {
  static const auto real =
      reinterpret_cast<int (*)(int, const char*, int)>(::dlsym(RTLD_NEXT, "unlinkat"));
  std::error_code error;
  const auto above =
      std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(folder), error);
  Held().Pass(error ? std::string(name) : above.string() + "/" + name);
  return real(folder, name, flags);
}

extern "C" int unlink(const char* path) noexcept {
  static const auto real = reinterpret_cast<int (*)(const char*)>(::dlsym(RTLD_NEXT, "unlink"));
  Held().Pass(path);
  return real(path);
}

namespace hone::server::rpc {
namespace {

class SlowRemovalTest : public RpcTest {
 protected:
  ~SlowRemovalTest() override { Held().LetGo(); }

  // A call that is not answered in that time is held up.
  static void Limit(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  }
  // A job that has succeeded.
  v1::Job Ended() {
    const v1::Job job = Create(Request("succeed"));
    Watch(job.name());
    return Get(job.name());
  }
  // One call that reads, and one that the store's writer takes part in.
  void ExpectThatOtherCallsAreAnswered(const std::string& job) {
    grpc::ClientContext get_context, update_context;
    Limit(get_context);
    v1::GetJobRequest get;
    get.set_name(job);
    v1::Job answer;
    const grpc::Status read = training_->GetJob(&get_context, get, &answer);
    EXPECT_TRUE(read.ok()) << read.error_message();
    Limit(update_context);
    v1::UpdateJobRequest update;
    update.mutable_job()->set_name(job);
    update.mutable_job()->set_display_name("written meanwhile");
    update.mutable_update_mask()->add_paths("display_name");
    const grpc::Status written = training_->UpdateJob(&update_context, update, &answer);
    EXPECT_TRUE(written.ok()) << written.error_message();
  }
  // Folders are moved there before they are removed.
  std::string PutAway() const { return std::filesystem::canonical(root_ + "/tmp").string() + "/"; }
};

TEST_F(SlowRemovalTest, NobodyWaitsForTheFilesOfAModelThatIsDeleted) {
  const v1::Job job = Ended();
  Held().Hold(PutAway());
  grpc::ClientContext context;
  Limit(context);
  v1::DeleteModelRequest request;
  request.set_name(job.model());
  v1::DeleteModelResponse none;
  const grpc::Status status = models_->DeleteModel(&context, request, &none);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_TRUE(Held().AwaitHeld()) << "nobody removes the files";
  ExpectThatOtherCallsAreAnswered(job.name());
}

TEST_F(SlowRemovalTest, NobodyWaitsForTheFilesOfAJobThatIsDeleted) {
  const v1::Job job = Ended(), other = Ended();
  Held().Hold(PutAway());
  grpc::ClientContext context;
  Limit(context);
  v1::DeleteJobRequest request;
  request.set_name(job.name());
  v1::DeleteJobResponse none;
  const grpc::Status status = training_->DeleteJob(&context, request, &none);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_TRUE(Held().AwaitHeld()) << "nobody removes the files";
  ExpectThatOtherCallsAreAnswered(other.name());
}

// More of them than gRPC has threads for handlers. Who deletes one is told when its file is gone.
TEST_F(SlowRemovalTest, WhoDeletesADataSetWaitsAloneForItsFile) {
  const v1::Job job = Ended();
  constexpr int kDatasets = 16;
  for (int i = 0; i < kDatasets; ++i) {
    Upload(absl::StrCat("set", i), absl::StrCat("a,b\n", i, ",2\n"));
  }
  Held().Hold(std::filesystem::canonical(root_ + "/datasets").string() + "/");
  std::vector<std::thread> calls;
  for (int i = 0; i < kDatasets; ++i) {
    calls.emplace_back([this, i] { DeleteDataset(absl::StrCat("set", i)); });
  }
  EXPECT_TRUE(Held().AwaitHeld()) << "nobody removes the file";
  ExpectThatOtherCallsAreAnswered(job.name());
  Held().LetGo();
  for (std::thread& call : calls) {
    call.join();
  }
  EXPECT_TRUE(std::filesystem::is_empty(root_ + "/datasets"));
}

}  // namespace
}  // namespace hone::server::rpc
