#include "engine/train/batch_filler.h"

#include <span>

#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/data/augment.h"
#include "engine/train/frozen_trunk.h"

namespace hone::engine::train {
namespace {

// Bytes of a batch from which on waking a team costs less than it saves.
constexpr int64_t kWorthATeam = 64 << 10;

}  // namespace

void BatchFiller::Augment(const tasks::TrainingConfig& config,
                          const data::Preprocessing& preprocessing) {
  Augment(config.augmentation, config.seed);
  if (config.table_augmentation.any() &&
      preprocessing.input == data::Preprocessing::Input::kTable) {
    table_changes_.emplace(config.table_augmentation, preprocessing.columns);
  }
  const data::TextAugmentation& of_texts = data::AugmentationOf(config.data);
  if (of_texts.any() && preprocessing.text.has_value()) {
    text_changes_.emplace(of_texts, preprocessing.text->tokenizer);
  }
}

int BatchFiller::TeamFor(int64_t bytes) const { return bytes < kWorthATeam ? 1 : threads_; }

absl::Status BatchFiller::FillTrunk(const tasks::Inputs& inputs,
                                    std::span<const int32_t> rows) const {
  HONE_ASSIGN_OR_RETURN(const std::span<float> features, inputs.Find<float>(kTrunkInput));
  if (features.empty()) {
    return absl::OkStatus();
  }
  if (trunk_features_ == nullptr || !trunk_features_->Holds(rows)) {
    return absl::InternalError("a program wants what a frozen trunk gives, which was not kept");
  }
  const auto count = static_cast<int64_t>(rows.size());
  ForShares(count, TeamFor(static_cast<int64_t>(features.size_bytes())),
            [&](int64_t begin, int64_t end) {
              trunk_features_->Gather(
                  rows.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)),
                  features.data() + begin * trunk_features_->numbers());
            });
  return absl::OkStatus();
}

absl::Status BatchFiller::Fill(const tasks::Inputs& inputs, const tasks::Examples& examples) const {
  tasks::Examples changed = examples;
  changed.text_changes = text_changes_.has_value() ? &*text_changes_ : nullptr;
  changed.seed = seed_;
  HONE_RETURN_IF_ERROR(task_.FillInputs(dataset_, changed, state_, inputs));
  HONE_RETURN_IF_ERROR(FillTrunk(inputs, examples.rows));
  if (dataset_.size() == 0 || dataset_.own() != nullptr) {
    return absl::OkStatus();
  }
  const TensorType& type = dataset_.features();
  HONE_ASSIGN_OR_RETURN(const std::span<std::byte> features,
                        inputs.FindBytes(tasks::kFeaturesInput, type.dtype));
  if (features.empty()) {
    return absl::OkStatus();
  }
  const auto count = static_cast<int64_t>(examples.rows.size());
  ForShares(count, TeamFor(count * type.bytes()), [&](int64_t begin, int64_t end) {
    uint8_t* out = reinterpret_cast<uint8_t*>(features.data()) + begin * type.bytes();
    const std::span<const int32_t> part =
        examples.rows.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
    if (!augmentation_.any() && !table_changes_.has_value()) {
      dataset_.Gather(part, out, nullptr);
      return;
    }
    for (const int32_t row : part) {
      const data::AugmentKey key = {.seed = seed_, .epoch = examples.epoch, .row = row};
      if (table_changes_.has_value()) {
        const auto numbers = static_cast<size_t>(type.shape.elements());
        table_changes_->Augment(
            key, std::span(reinterpret_cast<const float*>(dataset_.example(row)), numbers),
            std::span(reinterpret_cast<float*>(out), numbers));
      } else {
        data::Augment(augmentation_, key, dataset_.example(row), type.shape, out);
      }
      out += type.bytes();
    }
  });
  return absl::OkStatus();
}

}  // namespace hone::engine::train
