#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "hone/v1/model_service.pb.h"
#include "hone/v1/worker.pb.h"
#include "server/artifacts/data_directory.h"
#include "server/metrics/registry.h"

namespace hone::server::predict {

class PredictorProcess;

struct CacheOptions {
  std::string worker;                      // hone-worker
  int64_t max_bytes = int64_t{512} << 20;  // of all processes together
  int64_t process_bytes = 0;               // each may use so much; 0: no limit
  int max_processes = 8;
  size_t max_waiting = 64;                     // calls of one model
  int64_t max_waiting_bytes = 32 << 20;        // inputs of all calls that wait
  absl::Duration idle = absl::Minutes(5);      // after which a process is ended
  absl::Duration longest = absl::Seconds(60);  // to load a model, and to answer a batch
};

// Models that were asked lately, each loaded in a process of its own with a thread here, as long as
// they fit; the one called longest ago makes room. A model larger than `max_bytes` runs alone, and
// ends a second after its last call, so that a text is written by one process. The calls of a model
// are answered in order; what waits while its process is busy goes to it together. A process that
// dies is started again once for the calls that it had, each then alone. Nothing runs before the
// first call. Any thread; the process ignores SIGPIPE; the arguments of the constructor outlive
// this.
class ModelCache {
 public:
  using Done = std::function<void(absl::StatusOr<v1::PredictResponse>)>;

  ModelCache(CacheOptions options, const artifacts::DataDirectory& directory,
             metrics::Registry& registry);
  // As Stop, and waits until all are told and all processes have ended.
  ~ModelCache();
  ModelCache(const ModelCache&) = delete;
  ModelCache& operator=(const ModelCache&) = delete;

  // `done` is called once, on any thread:
  //   INVALID_ARGUMENT, an input; DATA_LOSS, NOT_FOUND and others of the worker, the model's files;
  //   DEADLINE_EXCEEDED: `timeout` was over before its turn came, or the process did not answer;
  //   RESOURCE_EXHAUSTED: too many wait; INTERNAL: the process died twice; UNAVAILABLE: Stop.
  void Predict(const v1::Model& model, const v1::PredictRequest& request, absl::Duration timeout,
               Done done);

  // Ends the model's process; what waits for it is told NOT_FOUND.
  void Drop(const std::string& model_id);

  // Kills all processes; all calls are told UNAVAILABLE.
  void Stop();

  size_t waiting() const;
  int processes() const;

 private:
  struct Call {
    v1::WorkerFrame frame;
    int64_t bytes = 0;
    absl::Duration deadline;  // SteadyNow()
    Done done;
    bool tried = false;  // a process died over it
  };
  // A model that is asked, with a thread of its own. The first call makes it. It waits until there
  // is room among the other processes, starts its own, and serves batch after batch. It ends when
  // nobody has asked for a while, when its model is dropped, when another one needs its room, or by
  // Stop; a process that dies only gives its room back. `process` is the thread's alone, `model`
  // and `directory` stay as they are, and mutex_ guards the rest.
  struct Seat {
    v1::Model model;
    std::string directory;
    std::deque<Call> calls;
    std::unique_ptr<PredictorProcess> process;
    bool has_room = false;  // it is counted in held_, and its bytes in bytes_
    int64_t bytes = 0;      // what its process has, or will need; its model's files count once
    bool busy = false;      // with a batch, or with the end of its process
    bool ending = false;    // it takes no more calls
    bool evicted = false;   // it is ending to make room, and counted in evicting_
    // As SteadyNow() says: when its last call came, and when its last batch was done.
    absl::Duration called, idle_since;
    std::thread thread;
  };
  using Lock = std::unique_lock<std::mutex>;

  // The seat's thread, from its first call to its end: these five, in the order of a seat's life.
  // Those with a lock may let it go for a while.
  void Loop(const std::shared_ptr<Seat>& seat);
  // Returns with a call to serve. False: the seat is to end.
  bool AwaitCalls(Lock& lock, Seat& seat);
  // Waits for its turn and for others to make room. False: the seat is to end.
  bool TakeRoom(Lock& lock, Seat& seat);
  // Has the process answer the calls that wait, as many as one batch takes.
  void Serve(Lock& lock, Seat& seat);
  // Tells the calls that are left, and has the thread joined.
  void Leave(Lock& lock, const std::shared_ptr<Seat>& seat);

  std::deque<Call> TakeBatch(Seat& seat);
  // Answers what can be answered and leaves in `batch` what is to be tried again. False: the
  // process is of no more use. Without the lock.
  bool Work(Seat& seat, std::deque<Call>& batch);
  bool Ask(Seat& seat, std::deque<Call>& batch);
  // Ends the process and gives the seat's room back.
  void EndProcess(Lock& lock, Seat& seat);
  // Has the idle seat called longest ago end, unless one is ending already or, where none waits for
  // room, it was asked within the last second.
  void Evict();
  void JoinRetired(Lock& lock);

  const CacheOptions options_;
  const artifacts::DataDirectory& directory_;
  metrics::Registry& registry_;
  std::atomic<bool> stopping_ = false;

  mutable std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::map<std::string, std::shared_ptr<Seat>> seats_;  // by model id
  std::list<Seat*> for_room_;                           // the first is served first
  std::vector<std::thread> retired_;                    // to be joined
  size_t threads_ = 0;
  size_t waiting_ = 0;
  int64_t waiting_bytes_ = 0;
  int held_ = 0;      // seats with room
  int evicting_ = 0;  // of those, ending to make room
  int64_t bytes_ = 0;
};

}  // namespace hone::server::predict
