#pragma once

#include <memory>

#include "engine/data/preprocessing.h"
#include "engine/tasks/image_generation.h"
#include "engine/tasks/prediction.h"

namespace hone::engine::tasks {

// Draws what a DrawingQuestion asks for: by seed and number, on the way to another seed, and of a
// model that draws by class, of the class that is named, else of each in turn. The preprocessing
// outlives it.
std::unique_ptr<Answerer> NewDrawingAnswerer(const ImageGenerationOptions& options,
                                             const data::Preprocessing& preprocessing);

}  // namespace hone::engine::tasks
