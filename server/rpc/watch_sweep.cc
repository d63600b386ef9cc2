#include "server/rpc/watch_sweep.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message_lite.h>

#include <functional>
#include <string>
#include <utility>

#include "server/sweeps/advance.h"

namespace hone::server::rpc {
namespace {

// The same for equal messages: maps are in order.
uint64_t PrintOf(const google::protobuf::MessageLite& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return std::hash<std::string>()(bytes);
}

// As it is sent, in memory and on its way.
int64_t BytesOf(const v1::WatchSweepResponse& answer) {
  return 3 * static_cast<int64_t>(answer.ByteSizeLong());
}

}  // namespace

SweepLook::SweepLook(v1::Sweep as_it_is) : sweep(std::move(as_it_is)) {
  // Put aside rather than copied: there may be a thousand trials.
  google::protobuf::RepeatedPtrField<v1::Trial> trials;
  v1::SweepSpec spec;
  trials.Swap(sweep.mutable_trials());
  spec.Swap(sweep.mutable_spec());
  sweep.clear_spec();
  rest = sweep;
  rest_print = PrintOf(rest);
  sweep.mutable_spec()->Swap(&spec);
  sweep.mutable_trials()->Swap(&trials);
  prints.reserve(static_cast<size_t>(sweep.trials_size()));
  for (const v1::Trial& trial : sweep.trials()) {
    prints.push_back(PrintOf(trial));
  }
}

SweepWatch::Next SweepWatch::Take(const SweepLook& look, v1::WatchSweepResponse& answer) {
  answer.Clear();
  share_.reset();
  if (!begun_) {
    *answer.mutable_snapshot() = look.sweep;
  } else {
    v1::Sweep change;
    for (size_t i = 0; i < look.prints.size(); ++i) {
      if (i >= prints_.size() || look.prints[i] != prints_[i]) {
        *change.add_trials() = look.sweep.trials(static_cast<int>(i));
      }
    }
    if (change.trials().empty() && look.rest_print == rest_print_) {
      return Next::kNothing;
    }
    change.MergeFrom(look.rest);
    *answer.mutable_change() = std::move(change);
  }
  share_ = budget_->Take(BytesOf(answer));
  if (!share_.has_value()) {
    answer.Clear();
    return Next::kNoRoom;
  }
  begun_ = true;
  ended_ = sweeps::IsEnd(look.sweep.state());
  rest_print_ = look.rest_print;
  prints_ = look.prints;
  return Next::kAnswer;
}

}  // namespace hone::server::rpc
