#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "absl/status/statusor.h"

namespace hone::engine::tasks {

class Task;

// What comes next in a running text (data/running_text.h). The model reads tokens and offsets
// (tensor/token_rows.h) and gives logits [rows, vocabulary], of each token those of the one behind
// it; what is learned is their cross-entropy, in nats a token. It must look at no token that is
// behind its own: causal attention, recurrence to the right, causal convolution.
//
// A batch is `batch_size` windows that begin anywhere in the training part, drawn for (seed, epoch,
// row); an epoch has as many windows as stand there one behind another, rounded up to whole
// batches. An evaluation has all of its part, in windows one behind another. Beside the loss it
// gives "perplexity", e^loss, and "bits_per_byte", which does not depend on the tokenizer.
//
// With `carry_state`, of a model of recurrent layers alone (Werbos, "Backpropagation through time",
// 1990, cut at the windows): the training part is cut into `batch_size` streams, and row i of a
// batch is the next window of stream i. It begins with the state that the window before has left,
// through which no gradient goes, and with zeros at an epoch's begin. The state is in checkpoints.
// Evaluations read their part in the same way, in kEvaluationStreams streams at most.
//
// With kPacked the data is many documents (data/packed_documents.h) instead of one text: a batch is
// `batch_size` rows of pieces of at most `window` tokens, which see nothing of each other. An epoch
// has each row once, and so has an evaluation. A text that is written begins as a document does.
//
// With kChats the documents are conversations (data/chats.h), a row each, with kPackedChats several
// to a row. Of their tokens only the answers' are foretold: losses are means over these, also where
// batches are added up, and the model's last product is of their rows alone.
enum class Documents { kJoined, kPacked, kChats, kPackedChats };

struct LanguageModelingOptions {
  int64_t window = 128;      // tokens that the model sees at once
  float z_loss = 0;          // of the training alone: CrossEntropyOptions::z_loss
  bool carry_state = false;  // with kJoined alone
  Documents documents = Documents::kJoined;
};

std::unique_ptr<Task> MakeLanguageModeling(const LanguageModelingOptions& options);
// Of what Task::ToJson gave: see table.h.
absl::StatusOr<LanguageModelingOptions> LanguageModelingFromJson(const nlohmann::json& json);

}  // namespace hone::engine::tasks
