#include "server/translate/repeat.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"

namespace hone::server::translate {
namespace {

using Layers = google::protobuf::RepeatedPtrField<v1::Layer>;

constexpr char kInput[] = "input";

// What short names stand for in one list of layers; "": a layer whose full name is not known.
struct Names {
  std::map<std::string, std::string> full;
  const Names* outer = nullptr;

  std::string Find(const std::string& name) const {
    for (const Names* names = this; names != nullptr; names = names->outer) {
      if (const auto found = names->full.find(name); found != names->full.end()) {
        return found->second;
      }
    }
    return name;
  }
};

// "dense": the kind as a job file spells it.
std::string KindOf(const v1::Layer& layer) {
  const auto* field = v1::Layer::descriptor()->FindFieldByNumber(layer.kind_case());
  return field == nullptr ? "" : std::string(field->name());
}

class Expansion {
 public:
  explicit Expansion(bool behind_others) : behind_others_(behind_others) {}

  absl::StatusOr<std::vector<ExpandedLayer>> Expand(const Layers& layers) {
    Names names;
    HONE_RETURN_IF_ERROR(List(layers, "", "", behind_others_ ? "" : kInput, false, names).status());
    return std::move(out_);
  }

 private:
  // Adds a list of layers, which stands at `where`, behind `before`; returns the full name of the
  // last one.
  absl::StatusOr<std::string> List(const Layers& layers, const std::string& where,
                                   const std::string& prefix, std::string before, bool frozen,
                                   Names& names) {
    std::map<std::string, int> counts;
    for (int i = 0; i < layers.size(); ++i) {
      const v1::Layer& layer = layers[i];
      const std::string place = absl::StrCat(where, ".layers[", i, "]");
      if (layer.has_repeat()) {
        HONE_ASSIGN_OR_RETURN(before, Copies(layer, place, prefix, before, frozen, names));
        continue;
      }
      const int number = ++counts[KindOf(layer)];
      v1::Layer& added = out_.emplace_back(ExpandedLayer{layer, place}).layer;
      if (layer.name().empty() && (!behind_others_ || !prefix.empty())) {
        added.set_name(absl::StrCat(KindOf(layer), "_", number));
      }
      const std::string name = added.name();
      if (!name.empty()) {
        added.set_name(prefix + name);
      }
      added.set_frozen(layer.frozen() || frozen);
      for (std::string& input : *added.mutable_inputs()) {
        HONE_ASSIGN_OR_RETURN(input, Read(input, names));
      }
      before = added.name();
      names.full[name] = before;
    }
    return before;
  }

  absl::StatusOr<std::string> Copies(const v1::Layer& layer, const std::string& place,
                                     const std::string& prefix, const std::string& before,
                                     bool frozen, Names& names) {
    const v1::Repeat& repeat = layer.repeat();
    const std::string name = repeat.name().empty() ? "block" : repeat.name();
    std::string reads = before;
    if (layer.inputs_size() > 0) {
      HONE_ASSIGN_OR_RETURN(reads, Read(layer.inputs(0), names));
    }
    for (int64_t copy = 1; copy <= repeat.times(); ++copy) {
      Names within{.full = {{kInput, reads}}, .outer = &names};
      const size_t first = out_.size();
      HONE_ASSIGN_OR_RETURN(reads, List(repeat.layers(), place + ".repeat",
                                        absl::StrCat(prefix, name, "_", copy, "."), reads,
                                        frozen || layer.frozen(), within));
      if (copy == 1 && layer.inputs_size() > 0 && first < out_.size() &&
          out_[first].layer.inputs_size() == 0) {
        out_[first].layer.add_inputs(within.full[kInput]);
      }
    }
    names.full[name] = reads;
    return reads;
  }

  static absl::StatusOr<std::string> Read(const std::string& name, const Names& names) {
    std::string full = names.Find(name);
    if (full.empty()) {
      return absl::InvalidArgumentError(
          "layers: with model.pretrained, a repeated layer that reads `input` needs a name "
          "for the layer before its `repeat`: give that layer a name, or the repeat `inputs`");
    }
    return full;
  }

  const bool behind_others_;
  std::vector<ExpandedLayer> out_;
};

}  // namespace

absl::StatusOr<std::vector<ExpandedLayer>> ExpandRepeats(const Layers& layers, bool behind_others) {
  if (std::ranges::none_of(layers, [](const v1::Layer& layer) { return layer.has_repeat(); })) {
    std::vector<ExpandedLayer> all;
    for (int i = 0; i < layers.size(); ++i) {
      all.push_back({layers[i], absl::StrCat(".layers[", i, "]")});
    }
    return all;
  }
  return Expansion(behind_others).Expand(layers);
}

}  // namespace hone::server::translate
