#pragma once

#include <cstddef>

#include "hone/v1/dataset.pb.h"
#include "hone/v1/evaluation.pb.h"
#include "hone/v1/event.pb.h"
#include "hone/v1/plan.pb.h"

namespace hone::server::jobs {

// What a layer, a class, a metric and the like may be called, in bytes. A spec with a longer name
// is refused; so is no data set and no model, whose names a worker tells: those are cut.
inline constexpr size_t kMaxName = 256;
// A column of a table, likewise, and how many of them a list may name.
inline constexpr size_t kMaxColumn = 1024;
inline constexpr int kMaxColumns = 100'000;

// Cut names to kMaxName bytes, at a character's end. What a map has under a longer name goes: cut,
// two could become one.
void CutNames(v1::Plan& plan);
void CutNames(v1::Evaluation& evaluation);
void CutNames(v1::LayerStatistics& statistics);
void CutNames(v1::DataReport& report);
void CutNames(v1::DatasetReport& report);

}  // namespace hone::server::jobs
