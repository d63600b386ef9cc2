#include "client/cli/write_text.h"

#include <cstdio>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/model_name.h"
#include "engine/base/status.h"

namespace hone::client::cli {

absl::StatusOr<std::unique_ptr<TextWriter>> TextWriter::Open(const std::string& folder,
                                                             const std::string& model,
                                                             const Globals& globals) {
  std::unique_ptr<TextWriter> writer(new TextWriter(model, globals));
  if (!folder.empty()) {
    HONE_ASSIGN_OR_RETURN(writer->local_, LocalModel::Load(folder, *globals.interrupts));
  }
  return writer;
}

absl::Status TextWriter::Write(const v1::Writing& wish, const Show& show) {
  if (local_ != nullptr) {
    return WriteLocal(wish, show);
  }
  const std::unique_ptr<Client> client = globals_.Connect();
  v1::GenerateRequest request;
  HONE_ASSIGN_OR_RETURN(*request.mutable_name(), FindServerModel(*client, model_));
  *request.mutable_text() = wish;
  return client->Generate(request, show);
}

absl::Status TextWriter::WriteLocal(v1::Writing first, const Show& show) {
  std::vector<v1::PredictInput> question(1);
  v1::Writing& wish = *question[0].mutable_writing();
  wish = std::move(first);
  v1::GenerateResponse piece;
  while (piece.end() == v1::Writing::END_UNSPECIFIED) {
    HONE_ASSIGN_OR_RETURN(v1::PredictResponse answer, local_->Ask(question));
    if (!answer.predictions(0).has_writing()) {
      return absl::InternalError("the worker answered with no text");
    }
    v1::Prediction::Written& written = *answer.mutable_predictions(0)->mutable_writing();
    wish.clear_prompt();  // it is in the state, and so are they
    wish.clear_messages();
    wish.mutable_state()->Swap(written.mutable_state());
    piece.set_text(written.text());
    piece.set_end(written.end());
    piece.set_tokens(wish.state().written());
    if (!piece.text().empty() || piece.end() != v1::Writing::END_UNSPECIFIED) {
      HONE_RETURN_IF_ERROR(show(piece));
    }
  }
  return absl::OkStatus();
}

absl::Status TextView::Show(const v1::GenerateResponse& piece) {
  if (globals_.json) {
    PrintJsonLine(piece);
  } else {
    const std::string text = begun_ ? piece.text() : absl::StrCat(prompt_, piece.text());
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }
  begun_ = true;
  text_ += piece.text();
  return std::ferror(stdout) == 0 ? absl::OkStatus()
                                  : absl::CancelledError("what is written cannot be shown");
}

void TextView::End() const {
  if (begun_ && !globals_.json) {
    std::printf("\n");
    std::fflush(stdout);
  }
}

}  // namespace hone::client::cli
