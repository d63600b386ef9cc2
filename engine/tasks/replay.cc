#include "engine/tasks/replay.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace hone::engine::tasks {
namespace {

// Added to an error, so that a transition that is known well is still drawn now and then.
constexpr double kLeastError = 1e-6;

int64_t LeavesOf(const ReplayOptions& options) {
  return options.prioritized
             ? static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(options.capacity)))
             : 0;
}

template <class T>
void Append(std::string& out, const T* values, int64_t count) {
  out.append(reinterpret_cast<const char*>(values), static_cast<size_t>(count) * sizeof(T));
}

template <class T>
const char* Take(const char* from, T* values, int64_t count) {
  std::memcpy(values, from, static_cast<size_t>(count) * sizeof(T));
  return from + static_cast<size_t>(count) * sizeof(T);
}

}  // namespace

Replay::Replay(const ReplayOptions& options, int64_t record_bytes)
    : options_(options),
      record_bytes_(record_bytes),
      records_(static_cast<size_t>(options.capacity * 2 * record_bytes)),
      actions_(static_cast<size_t>(options.capacity)),
      rewards_(static_cast<size_t>(options.capacity)),
      discounts_(static_cast<size_t>(options.capacity)),
      leaves_(LeavesOf(options)),
      tree_(static_cast<size_t>(2 * leaves_)) {}

int64_t Replay::BytesFor(const ReplayOptions& options, int64_t record_bytes) {
  return options.capacity * (2 * record_bytes + 12) +
         2 * LeavesOf(options) * static_cast<int64_t>(sizeof(double));
}

void Replay::Add(const Transition& transition) {
  const auto place = static_cast<size_t>(next_);
  const auto bytes = static_cast<size_t>(record_bytes_);
  std::byte* to = records_.data() + place * 2 * bytes;
  std::ranges::copy(transition.before, to);
  std::ranges::copy(transition.after, to + bytes);
  actions_[place] = transition.action;
  rewards_[place] = transition.reward;
  discounts_[place] = transition.discount;
  if (options_.prioritized) {
    SetPriority(next_, most_);
  }
  next_ = (next_ + 1) % options_.capacity;
  size_ = std::min(size_ + 1, options_.capacity);
}

Transition Replay::at(int64_t place) const {
  const auto i = static_cast<size_t>(place);
  const auto bytes = static_cast<size_t>(record_bytes_);
  const std::byte* from = records_.data() + i * 2 * bytes;
  return {.before = {from, bytes},
          .after = {from + bytes, bytes},
          .action = actions_[i],
          .reward = rewards_[i],
          .discount = discounts_[i]};
}

void Replay::SetPriority(int64_t place, double priority) {
  auto node = static_cast<size_t>(leaves_ + place);
  tree_[node] = priority;
  // Sums are made anew of both children, so that they are the same in whatever order it came to
  // them: a restored tree draws as the one that was saved.
  for (node /= 2; node >= 1; node /= 2) {
    tree_[node] = tree_[2 * node] + tree_[2 * node + 1];
  }
}

int64_t Replay::Find(double sum) const {
  size_t node = 1;
  while (node < static_cast<size_t>(leaves_)) {
    node *= 2;
    if (sum >= tree_[node] && tree_[node + 1] > 0) {
      sum -= tree_[node];
      ++node;
    }
  }
  return std::min(static_cast<int64_t>(node) - leaves_, size_ - 1);
}

void Replay::Draw(RandomStream& random, double beta, std::span<int32_t> places,
                  std::span<float> weights) const {
  if (!options_.prioritized) {
    for (int32_t& place : places) {
      place = static_cast<int32_t>(random.NextBelow(static_cast<uint64_t>(size_)));
    }
    std::ranges::fill(weights, 1.0f);
    return;
  }
  // One from each of equal parts of the sum of all.
  const double total = tree_[1], part = total / static_cast<double>(places.size());
  double most = 0;
  std::vector<double> unscaled(places.size());
  for (size_t i = 0; i < places.size(); ++i) {
    places[i] =
        static_cast<int32_t>(Find(part * (static_cast<double>(i) + double{random.NextUnit()})));
    const double share = std::max(priority(places[i]), 1e-300) / total;
    unscaled[i] = std::pow(static_cast<double>(size_) * share, -beta);
    most = std::max(most, unscaled[i]);
  }
  for (size_t i = 0; i < places.size(); ++i) {
    weights[i] = static_cast<float>(unscaled[i] / most);
  }
}

void Replay::SetErrors(std::span<const int32_t> places, std::span<const float> errors) {
  if (!options_.prioritized) {
    return;
  }
  for (size_t i = 0; i < places.size(); ++i) {
    const double priority = std::pow(std::abs(double{errors[i]}) + kLeastError, options_.alpha);
    most_ = std::max(most_, priority);
    SetPriority(places[i], priority);
  }
}

std::string Replay::Save() const {
  std::string out;
  const int64_t head[] = {size_, next_};
  Append(out, head, 2);
  Append(out, &most_, 1);
  Append(out, records_.data(), size_ * 2 * record_bytes_);
  Append(out, actions_.data(), size_);
  Append(out, rewards_.data(), size_);
  Append(out, discounts_.data(), size_);
  if (options_.prioritized) {
    Append(out, tree_.data() + leaves_, size_);
  }
  return out;
}

absl::Status Replay::Restore(const std::string& bytes) {
  constexpr int64_t kHead = 2 * sizeof(int64_t) + sizeof(double);
  int64_t head[2] = {-1, -1};
  const char* from = bytes.data();
  if (static_cast<int64_t>(bytes.size()) >= kHead) {
    from = Take(from, head, 2);
    from = Take(from, &most_, 1);
  }
  const int64_t each = 2 * record_bytes_ + 12 + (options_.prioritized ? 8 : 0);
  if (head[0] < 0 || head[0] > options_.capacity || head[1] < 0 || head[1] >= options_.capacity ||
      static_cast<int64_t>(bytes.size()) != kHead + head[0] * each) {
    return absl::InvalidArgumentError(absl::StrCat("the saved replay is not one of ",
                                                   options_.capacity, " transitions of ",
                                                   record_bytes_, " bytes for each state"));
  }
  size_ = head[0];
  next_ = head[1];
  from = Take(from, records_.data(), size_ * 2 * record_bytes_);
  from = Take(from, actions_.data(), size_);
  from = Take(from, rewards_.data(), size_);
  from = Take(from, discounts_.data(), size_);
  if (options_.prioritized) {
    Take(from, tree_.data() + leaves_, size_);
    for (int64_t node = leaves_ - 1; node >= 1; --node) {
      const auto i = static_cast<size_t>(node);
      tree_[i] = tree_[2 * i] + tree_[2 * i + 1];
    }
  }
  return absl::OkStatus();
}

}  // namespace hone::engine::tasks
