#pragma once

#include <google/protobuf/message.h>

#include <string>

#include "client/jobfile/local_paths.h"
#include "client/jobfile/problems.h"

namespace hone::client::jobfile {

// Applies one `--set PATH=VALUE` to a job: `training.epochs=1`, `model.layers[1].dense.units=32`,
// `training.optimizer={sgd: {learning_rate: 0.1}}`. PATH leads to a field along the descriptor, or
// to one of `paths`; messages on the way are made; VALUE is YAML and takes the field's place.
// Another member of a oneof gives way. Problems stand at `--set PATH`.
void ApplyOverride(const std::string& setting, google::protobuf::Message& message,
                   LocalPaths& paths, Problems& problems);

}  // namespace hone::client::jobfile
