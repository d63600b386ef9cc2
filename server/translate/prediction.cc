#include "server/translate/prediction.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace hone::server::translate {
namespace {

v1::Prediction::Path ToProto(const engine::environments::MazePath& path) {
  v1::Prediction::Path out;
  out.set_height(path.maze.height);
  out.set_width(path.maze.width);
  for (const absl::string_view row :
       absl::StrSplit(engine::environments::ToText(path.maze), '\n', absl::SkipEmpty())) {
    out.add_rows(std::string(row));
  }
  out.mutable_values()->Add(path.values.begin(), path.values.end());
  out.mutable_best_moves()->Add(path.moves.begin(), path.moves.end());
  out.mutable_cells()->Add(path.cells.begin(), path.cells.end());
  out.set_solved(path.solved);
  out.set_shortest(path.fewest);
  return out;
}

v1::Prediction::Forecast ToProto(const engine::tasks::Prediction::Forecast& forecast) {
  v1::Prediction::Forecast out;
  out.set_target(forecast.target);
  out.mutable_history()->Add(forecast.history.begin(), forecast.history.end());
  out.mutable_history_times()->Add(forecast.history_times.begin(), forecast.history_times.end());
  out.mutable_times()->Add(forecast.times.begin(), forecast.times.end());
  out.mutable_values()->Add(forecast.values.begin(), forecast.values.end());
  return out;
}

engine::tasks::WritingQuestion ToQuestion(const v1::Writing& wish) {
  engine::tasks::WritingQuestion question{.prompt = wish.prompt(),
                                          .count = wish.count(),
                                          .stops = {wish.stop().begin(), wish.stop().end()}};
  for (const v1::Writing::Message& message : wish.messages()) {
    question.messages.push_back({.role = message.role(), .content = message.content()});
  }
  engine::text::SamplingOptions& sampling = question.sampling;
  sampling.top_k = wish.top_k();
  if (wish.has_repetition_penalty()) {
    sampling.repetition_penalty = wish.repetition_penalty();
  }
  if (wish.has_temperature()) {
    sampling.temperature = wish.temperature();
  }
  if (wish.has_top_p()) {
    sampling.top_p = wish.top_p();
  }
  if (wish.has_seed()) {
    sampling.seed = wish.seed();
  }
  if (wish.has_state()) {
    question.state = {.tokens = {wish.state().tokens().begin(), wish.state().tokens().end()},
                      .written = wish.state().written(),
                      .held = wish.state().held()};
  }
  return question;
}

v1::Writing::End ToProto(engine::tasks::Prediction::Writing::End end) {
  using End = engine::tasks::Prediction::Writing::End;
  switch (end) {
    case End::kCount:
      return v1::Writing::COUNT;
    case End::kStop:
      return v1::Writing::STOP;
    case End::kEndOfText:
      return v1::Writing::END_OF_TEXT;
    case End::kNone:
      break;
  }
  return v1::Writing::END_UNSPECIFIED;
}

}  // namespace

absl::StatusOr<engine::tasks::Question> ToQuestion(const v1::PredictInput& input,
                                                   const std::string& name) {
  switch (input.kind_case()) {
    case v1::PredictInput::kImage:
      return engine::tasks::PictureQuestion{input.image()};
    case v1::PredictInput::kRecord:
      return engine::tasks::RecordQuestion{
          {input.record().cells().begin(), input.record().cells().end()}};
    case v1::PredictInput::kUser:
      return engine::tasks::UserQuestion{.id = input.user().id(), .top = input.user().top()};
    case v1::PredictInput::kDrawing: {
      const v1::Drawing& wish = input.drawing();
      engine::tasks::DrawingQuestion question{
          .number = wish.number(), .class_name = wish.class_(), .share = wish.share()};
      question.seed = wish.has_seed() ? wish.seed() : question.seed;
      if (wish.has_to_seed()) {
        question.to_seed = wish.to_seed();
      }
      return question;
    }
    case v1::PredictInput::kMaze:
      return engine::tasks::MazeQuestion{input.maze()};
    case v1::PredictInput::kText:
      return engine::tasks::TextQuestion{.text = input.text(), .beams = input.beams()};
    case v1::PredictInput::kTextPair:
      return engine::tasks::TextQuestion{.text = input.text_pair().text(),
                                         .second = input.text_pair().second(),
                                         .beams = input.beams()};
    case v1::PredictInput::kSeries:
      return engine::tasks::SeriesQuestion{input.series()};
    case v1::PredictInput::kWriting:
      return ToQuestion(input.writing());
    case v1::PredictInput::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(absl::StrCat(name,
                                                 ": must be an image, a record, a user, a drawing, "
                                                 "a maze, a text, a pair of texts, a series or a "
                                                 "writing"));
}

v1::Prediction ToProto(const engine::tasks::Prediction& prediction) {
  v1::Prediction out;
  if (prediction.threshold.has_value()) {
    out.mutable_labelled()->set_threshold(*prediction.threshold);
  }
  for (const engine::tasks::Prediction::Class& c : prediction.classes) {
    v1::Prediction::Class& row = prediction.threshold.has_value()
                                     ? *out.mutable_labelled()->add_classes()
                                     : *out.mutable_classification()->add_classes();
    row.set_name(c.name);
    row.set_probability(c.probability);
  }
  for (const engine::tasks::Prediction::Item& item : prediction.items) {
    v1::Prediction::Item& row = *out.mutable_recommendation()->add_items();
    row.set_id(item.id);
    row.set_name(item.name);
    row.set_score(item.score);
    row.set_rated(item.rated);
  }
  if (!prediction.items.empty()) {
    out.mutable_recommendation()->set_unknown_user(prediction.unknown_user);
  }
  if (prediction.picture.has_value()) {
    // Of a picture that can be drawn there is always a file.
    *out.mutable_picture()->mutable_png() =
        engine::image::EncodePng(*prediction.picture).value_or("");
  }
  if (prediction.path.has_value()) {
    *out.mutable_path() = ToProto(*prediction.path);
  }
  if (prediction.forecast.has_value()) {
    *out.mutable_forecast() = ToProto(*prediction.forecast);
  }
  if (prediction.embedding.has_value()) {
    v1::Prediction::Embedded& embedded = *out.mutable_embedded();
    embedded.mutable_values()->Add(prediction.embedding->values.begin(),
                                   prediction.embedding->values.end());
    if (prediction.embedding->similarity.has_value()) {
      embedded.set_similarity(*prediction.embedding->similarity);
    }
  }
  for (const engine::tasks::Prediction::Word& word : prediction.words) {
    v1::Prediction::Word& row = *out.mutable_tagged()->add_words();
    row.set_text(word.text);
    row.set_tag(word.tag);
    row.set_probability(word.probability);
  }
  for (const std::vector<engine::tasks::Prediction::Class>& fills : prediction.fills) {
    v1::Prediction::Mask& mask = *out.mutable_filled()->add_masks();
    for (const engine::tasks::Prediction::Class& fill : fills) {
      v1::Prediction::Class& row = *mask.add_tokens();
      row.set_name(fill.name);
      row.set_probability(fill.probability);
    }
  }
  if (prediction.writing.has_value()) {
    const engine::tasks::Prediction::Writing& writing = *prediction.writing;
    v1::Prediction::Written& written = *out.mutable_writing();
    written.set_text(writing.text);
    written.set_end(ToProto(writing.end));
    v1::WritingState& state = *written.mutable_state();
    state.mutable_tokens()->Add(writing.state.tokens.begin(), writing.state.tokens.end());
    state.set_written(writing.state.written);
    state.set_held(writing.state.held);
  }
  for (const engine::tasks::Prediction::Translation& translation : prediction.translations) {
    v1::Prediction::Translation& row = *out.mutable_translated()->add_translations();
    row.set_text(translation.text);
    row.set_score(translation.score);
    row.set_ended(translation.ended);
  }
  if (!prediction.values.empty()) {
    out.mutable_regression()->mutable_values()->Add(prediction.values.begin(),
                                                    prediction.values.end());
  }
  return out;
}

}  // namespace hone::server::translate
