#include "engine/tasks/inputs.h"

#include "absl/strings/str_cat.h"

namespace hone::engine::tasks {

std::vector<std::string> Inputs::names() const {
  std::vector<std::string> names;
  for (const Program::Input& input : program_.inputs()) {
    names.push_back(input.name);
  }
  return names;
}

absl::StatusOr<std::span<std::byte>> Inputs::FindBytes(absl::string_view name, DType dtype) const {
  const TensorType* type = program_.input_type(name);
  if (type == nullptr) {
    return std::span<std::byte>();
  }
  if (type->dtype != dtype) {
    return absl::InternalError(absl::StrCat("the program's input ", name, " is ", type->ToString(),
                                            ", it is filled as ", NameOf(dtype)));
  }
  return std::span<std::byte>(static_cast<std::byte*>(program_.input(name)),
                              static_cast<size_t>(type->bytes()));
}

}  // namespace hone::engine::tasks
