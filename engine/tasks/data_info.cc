#include "engine/tasks/data_info.h"

#include <algorithm>

namespace hone::engine::tasks {
namespace {

int64_t LongestOf(const data::LoadedData& loaded) {
  int64_t longest = 0;
  for (const data::SplitReport* part :
       {&loaded.report.train, &loaded.report.validation, &loaded.report.test}) {
    longest = std::max(longest, part->tokens.has_value() ? part->tokens->longest : 0);
  }
  const int64_t most =
      loaded.preprocessing.text.has_value() ? loaded.preprocessing.text->max_tokens : 0;
  return most > 0 ? std::min(longest, most) : longest;
}

}  // namespace

DataInfo InfoOf(const data::LoadedData& loaded) {
  return {.preprocessing = loaded.preprocessing,
          .features = loaded.dataset.own() != nullptr ? loaded.preprocessing.features()
                                                      : loaded.dataset.features(),
          .train = static_cast<int64_t>(loaded.splits.train.size()),
          .validation = static_cast<int64_t>(loaded.splits.validation.size()),
          .test = static_cast<int64_t>(loaded.splits.test.size()),
          .bytes = loaded.dataset.bytes(),
          .loading_bytes = loaded.dataset.bytes(),
          .longest = LongestOf(loaded),
          .triples = loaded.triples};
}

DataInfo InfoOf(const data::DataSummary& summary, const data::LoadOptions& options) {
  DataInfo info{.preprocessing = {},
                .features = summary.features,
                .train = summary.train,
                .validation = summary.validation,
                .test = summary.test,
                .bytes = summary.bytes,
                .loading_bytes = summary.loading_bytes};
  const bool pictures = summary.features.dtype == DType::kU8;
  info.preprocessing.input =
      pictures ? data::Preprocessing::Input::kImage : data::Preprocessing::Input::kTable;
  if (pictures) {
    info.preprocessing.image = summary.features.shape;
    const int64_t channels = summary.features.shape[0];
    info.preprocessing.pixel_mean = data::ForChannels(options.pixel_mean, channels);
    info.preprocessing.pixel_std = data::ForChannels(options.pixel_std, channels);
  }
  info.preprocessing.class_names = summary.class_names;
  info.preprocessing.target_names = summary.target_names;
  info.preprocessing.target_mean.assign(summary.target_names.size(), 0);
  info.preprocessing.target_std.assign(summary.target_names.size(), 1);
  return info;
}

}  // namespace hone::engine::tasks
