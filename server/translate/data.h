#pragma once

#include "engine/data/augment.h"
#include "engine/data/load.h"
#include "engine/data/table_augment.h"
#include "hone/v1/job.pb.h"
#include "hone/v1/worker.pb.h"

namespace hone::server::translate {

// The job learns from texts, whether it says how they are read or not.
bool ReadsTexts(const v1::JobSpec& spec);

// What a job reads and how, with every default of the job file filled in; also that of an
// evaluation.
engine::data::LoadOptions ToLoadOptions(const v1::WorkerRequest& request);

engine::data::Augmentation ToAugmentation(const v1::Augmentation& in);
engine::data::TableAugmentation ToAugmentation(const v1::TableAugmentation& in);

}  // namespace hone::server::translate
