#pragma once

#include "hone/v1/job.pb.h"
#include "server/jobs/field_errors.h"

namespace hone::server::jobs {

// The part of CheckSpec for the tasks that read nothing but texts: language_modeling,
// preference_optimization, masked_language_modeling, translation, text_embedding, token_tagging,
// multi_label_classification.
void CheckTaskOfTexts(const v1::JobSpec& spec, FieldErrors& errors);

// That for data.text, data.pairs and data.chat, whatever the task.
void CheckDataOfTexts(const v1::JobSpec& spec, FieldErrors& errors);

}  // namespace hone::server::jobs
