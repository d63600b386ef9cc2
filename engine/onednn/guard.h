#pragma once

#include <dnnl.hpp>
#include <new>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/memory_error.h"

namespace hone::engine::onednn {

// Exceptions of oneDNN stop here.
template <typename Body>
absl::Status Guard(absl::string_view what, Body&& body) {
  try {
    std::forward<Body>(body)();
    return absl::OkStatus();
  } catch (const dnnl::error& error) {
    const std::string message = absl::StrCat(what, ": ", error.what());
    switch (error.status) {
      case dnnl_out_of_memory:
        return OutOfMemoryError(message);
      case dnnl_unimplemented:
        return absl::UnimplementedError(message);
      case dnnl_invalid_arguments:
        return absl::InvalidArgumentError(message);
      default:
        return absl::InternalError(message);
    }
  } catch (const std::bad_alloc&) {
    return OutOfMemoryError(absl::StrCat(what, ": out of memory"));
  }
}

}  // namespace hone::engine::onednn
