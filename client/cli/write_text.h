#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/command.h"
#include "client/cli/local_job.h"
#include "hone/v1/model_service.pb.h"

namespace hone::client::cli {

// A model that writes texts: one of a folder, which is loaded once, or one of the server.
class TextWriter {
 public:
  // `folder` is what FindModelFolder found of the model's name. The globals outlive it. Errors of
  // LocalModel::Load.
  static absl::StatusOr<std::unique_ptr<TextWriter>> Open(const std::string& folder,
                                                          const std::string& model,
                                                          const Globals& globals);

  // All of a text, piece by piece, as they come. An error of `show` ends it. Errors of
  // LocalModel::Ask or of Client::Generate.
  using Show = std::function<absl::Status(const v1::GenerateResponse& piece)>;
  absl::Status Write(const v1::Writing& wish, const Show& show);
  // Of a model of a folder: nothing more will be written. Of one of the server an interrupt ends
  // the process.
  bool interrupted() const { return local_ != nullptr && local_->interrupted(); }

 private:
  TextWriter(std::string model, const Globals& globals)
      : model_(std::move(model)), globals_(globals) {}
  absl::Status WriteLocal(v1::Writing wish, const Show& show);

  const std::string model_;
  const Globals& globals_;
  std::unique_ptr<LocalModel> local_;  // null: the server's
};

// A text on its way to the terminal, or its pieces as JSON.
class TextView {
 public:
  TextView(std::string prompt, const Globals& globals)
      : prompt_(std::move(prompt)), globals_(globals) {}

  // At once, behind the prompt. CANCELLED where nobody reads on.
  absl::Status Show(const v1::GenerateResponse& piece);
  void End() const;
  const std::string& text() const { return text_; }  // without the prompt

 private:
  const std::string prompt_;
  const Globals& globals_;
  std::string text_;
  bool begun_ = false;  // a refused wish shows nothing
};

}  // namespace hone::client::cli
