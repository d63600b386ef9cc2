#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "server/metrics/registry.h"
#include "server/store/webhook_store.h"
#include "server/store/writer.h"
#include "server/webhooks/address.h"

namespace hone::server::webhooks {

// Posts what the store's list of deliveries has, on a thread of its own: at most kAtOnce at a time,
// each for at most kLongest. What has been answered with a status of 200 to 299 is done; what was
// not is tried again, with the same id, for kTryFor, and then given up. A delivery that a server
// was killed in is posted again by the next one. The arguments of the constructor outlive this.
class Sender {
 public:
  static constexpr int kAtOnce = 16;
  static constexpr absl::Duration kLongest = absl::Seconds(10);
  static constexpr absl::Duration kTryFor = absl::Hours(72);

  Sender(AddressRule addresses, const store::JobStore& store, store::Writer& writer,
         metrics::Registry& registry);
  // Gives up what is under way, which the next one posts.
  ~Sender();
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  void Start();
  // Ends the thread; before the writer ends.
  void Stop();
  // There may be something to post. Any thread.
  void Wake();

  const AddressRule& addresses() const { return addresses_; }

 private:
  struct Outcome {
    long status = 0;    // of HTTP; 0: there was no answer
    std::string error;  // "": it was delivered
  };

  void Loop();
  bool Stopping() const;
  // Posts all at the same time; none: it was stopped.
  std::vector<Outcome> Post(const std::vector<store::DueDelivery>& due) const;
  void Record(const std::vector<store::DueDelivery>& due, const std::vector<Outcome>& outcomes);

  const AddressRule addresses_;
  const store::JobStore& store_;
  store::Writer& writer_;
  metrics::Registry& registry_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool woken_ = false;     // guarded by mutex_
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace hone::server::webhooks
