#include "engine/tasks/image_generation.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "engine/graph/sum.h"
#include "engine/ops/broadcast.h"
#include "engine/ops/concat.h"
#include "engine/ops/full.h"
#include "engine/ops/random_normal.h"
#include "engine/ops/reshape.h"
#include "engine/ops/scale.h"
#include "engine/tasks/drawing.h"
#include "engine/tasks/frechet_distance.h"
#include "engine/tasks/picture_classifier.h"
#include "engine/tasks/task.h"

namespace hone::engine::tasks {
namespace {

constexpr size_t kDiscriminatorUpdate = 0, kGeneratorUpdate = 1;
constexpr char kDraw[] = "draw";                     // a forward program
constexpr char kInstanceNoise[] = "instance_noise";  // a runtime scalar
constexpr int64_t kGridColumns = 8, kGridPictures = 64;
constexpr int64_t kVarietyPictures = 256;
constexpr absl::string_view kLosses[] = {"non_saturating", "least_squares", "hinge",
                                         "wasserstein"};  // by AdversarialKind

// [batch, …] of a tensor's shape.
TensorType Batch(int64_t batch, const Shape& example) {
  std::vector<int64_t> dims = {batch};
  dims.insert(dims.end(), example.dims().begin(), example.dims().end());
  return {Shape(std::move(dims)), DType::kF32};
}

// The networks, in one of the task's graphs.
class Networks {
 public:
  Networks(const ImageGenerationOptions& options, const models::ModelDescription& model,
           const DataInfo& info, int64_t batch, bool training, TaskGraph& to)
      : options_(options), model_(model), info_(info), batch_(batch), training_(training), to_(to) {
    if (options_.conditional) {
      classes_ = graph().Input(kClassesInput, {{batch, info.classes()}, DType::kF32});
    }
  }

  Graph& graph() const { return *to_.built.graph; }
  const Shape& picture() const { return info_.features.shape; }

  // New random numbers in every run, instead of an input.
  Value Latent() const {
    const Graph::Scope scope(graph(), "latent");
    return RandomNormal(graph(), {batch_, options_.latent});
  }

  // Pictures [batch, channels, height, width].
  absl::StatusOr<Value> Draw(absl::string_view network, Value latent) {
    const Value input =
        options_.conditional ? Concat(graph(), {latent, classes_}, /*axis=*/1) : latent;
    HONE_ASSIGN_OR_RETURN(const Value drawn, Add(network, input, /*logits=*/false));
    if (graph().shape(drawn) != Batch(batch_, picture()).shape) {
      return absl::InvalidArgumentError(
          absl::StrCat(Place(network), ": must give pictures like those of the data, ",
                       picture().ToString(), ", gives ", ShapeOfOne(drawn).ToString()));
    }
    return drawn;
  }

  // A number for each picture.
  absl::StatusOr<Value> Judge(Value pictures) {
    if (options_.instance_noise > 0 && training_) {
      const Graph::Scope scope(graph(), kInstanceNoise);
      const Value noise = RandomNormal(graph(), graph().shape(pictures));
      const Value deviation = graph().Input(kInstanceNoise, {Shape{}, DType::kF32});
      pictures = Sum(graph(), pictures, ScaleBy(graph(), noise, deviation));
    }
    if (options_.conditional) {
      const Shape& shape = graph().shape(pictures);
      const int64_t count = info_.classes();
      const Value planes =
          AddBroadcast(graph(), Full(graph(), {batch_, count, shape[2], shape[3]}, 0),
                       Reshape(graph(), classes_, {batch_, count, 1, 1}));
      pictures = Concat(graph(), {pictures, planes}, /*axis=*/1);
    }
    HONE_ASSIGN_OR_RETURN(const Value judged, Add(kDiscriminator, pictures, /*logits=*/true));
    if (graph().shape(judged) != Shape{batch_, 1}) {
      return absl::InvalidArgumentError(absl::StrCat(Place(kDiscriminator),
                                                     ": must give one number for a picture, gives ",
                                                     ShapeOfOne(judged).ToString()));
    }
    return judged;
  }

 private:
  absl::StatusOr<Value> Add(absl::string_view network, Value input, bool logits) {
    HONE_ASSIGN_OR_RETURN(
        models::BuiltModel built,
        models::BuildNetwork(graph(), model_, network, {{"input", input}},
                             {.training = training_, .logits = logits, .picture = picture()}));
    HONE_RETURN_IF_ERROR(graph().status());
    for (models::LayerSummary& layer : built.layers) {
      // The discriminator is there twice in its own update.
      const auto same =
          std::ranges::find(to_.model.layers, layer.name, &models::LayerSummary::name);
      if (same == to_.model.layers.end()) {
        to_.model.layers.push_back(std::move(layer));
      }
    }
    return built.output;
  }

  Shape ShapeOfOne(Value value) const {
    const std::vector<int64_t>& dims = graph().shape(value).dims();
    return Shape(std::vector<int64_t>(dims.begin() + 1, dims.end()));
  }
  std::string Place(absl::string_view network) const {
    for (size_t i = 0; i < model_.networks.size(); ++i) {
      if (model_.networks[i].name == network) {
        return absl::StrCat("model.networks[", i, "] (", network, ")");
      }
    }
    return std::string(network);
  }

  const ImageGenerationOptions& options_;
  const models::ModelDescription& model_;
  const DataInfo& info_;
  const int64_t batch_;
  const bool training_;
  TaskGraph& to_;
  Value classes_;
};

// The mean of the generator's weights, and the noise that falls.
class PlayState final : public TaskState {
 public:
  explicit PlayState(const ImageGenerationOptions& options) : options_(options) {}

  float instance_noise() const { return instance_noise_; }

  absl::Status BeginStep(const StepContext& context) override {
    const int64_t before = context.step - 1;
    if (options_.average_decay > 0 && before % options_.discriminator_steps == 0) {
      HONE_RETURN_IF_ERROR(
          Average(context.programs.store(), before / options_.discriminator_steps));
    }
    instance_noise_ = options_.instance_noise;
    if (options_.instance_noise_steps > 0) {
      const double done =
          static_cast<double>(before) / static_cast<double>(options_.instance_noise_steps);
      instance_noise_ *= static_cast<float>(std::max(0.0, 1 - done));
    }
    return absl::OkStatus();
  }
  void AddMetrics(std::map<std::string, double>& values) const override {
    if (options_.instance_noise > 0) {
      values["instance_noise"] = instance_noise_;
    }
  }
  // All follows from the step and the weights.
  void Save(checkpoint::RunState&) const override {}
  absl::Status Restore(const checkpoint::RunState&) override { return absl::OkStatus(); }

 private:
  // After so many updates of the generator, none at first: then the mean is the generator.
  absl::Status Average(ParameterStore& store, int64_t updates) {
    if (pairs_.empty()) {
      HONE_RETURN_IF_ERROR(FindPairs(store));
    }
    const auto n = static_cast<double>(updates);
    const double keep = updates == 0 ? 0 : std::min(options_.average_decay, (1 + n) / (10 + n));
    for (const auto& [from, to] : pairs_) {
      HONE_RETURN_IF_ERROR(store.Blend(from, to, static_cast<float>(1 - keep)));
    }
    return absl::OkStatus();
  }
  absl::Status FindPairs(const ParameterStore& store) {
    const std::string average = absl::StrCat(kGeneratorAverage, ".");
    for (ParameterId to = 0; to < store.size(); ++to) {
      absl::string_view name = store.spec(to).name;
      if (absl::ConsumePrefix(&name, average)) {
        HONE_ASSIGN_OR_RETURN(const ParameterId from,
                              store.Find(absl::StrCat(kGenerator, ".", name)));
        pairs_.emplace_back(from, to);
      }
    }
    return absl::OkStatus();
  }

  const ImageGenerationOptions& options_;
  float instance_noise_ = 0;
  std::vector<std::pair<ParameterId, ParameterId>> pairs_;
};

class NoScore final : public Scorer {
 public:
  void Add(const float*, std::span<const int32_t>) override {}
  Evaluation Finish() const override { return {}; }
};

// Which classes drawings are taken for.
class ClassShares {
 public:
  explicit ClassShares(std::vector<std::string> names)
      : names_(std::move(names)), drawn_(names_.size()), sure_(names_.size()) {}

  // [drawings, classes]
  void Add(std::span<const float> probabilities) {
    for (size_t i = 0; i + names_.size() <= probabilities.size(); i += names_.size()) {
      const std::span<const float> of_one = probabilities.subspan(i, names_.size());
      const auto most = std::ranges::max_element(of_one);
      const auto taken = static_cast<size_t>(most - of_one.begin());
      ++drawn_[taken];
      sure_[taken] += *most >= kSure ? 1 : 0;
      confidence_ += *most;
      ++count_;
    }
  }

  void AddTo(Evaluation& result) const {
    result.own_metrics["class_share_min"] = Share(*std::ranges::min_element(drawn_));
    result.own_metrics["class_share_min_confident"] = Share(*std::ranges::min_element(sure_));
    result.own_metrics["classifier_confidence"] = confidence_ / std::max(count_, 1.0);
    std::vector<std::string> missed;
    for (size_t c = 0; c < names_.size(); ++c) {
      if (Share(drawn_[c]) * static_cast<double>(names_.size()) < kLeastShare) {
        missed.push_back(absl::StrFormat("%s (%.2f %%)", names_[c], 100 * Share(drawn_[c])));
      }
    }
    if (!missed.empty()) {
      result.warnings.push_back(absl::StrCat(
          "the generator leaves out classes, it has collapsed to the others: less than a tenth of "
          "an even share of its drawings are taken for ",
          absl::StrJoin(missed, ", ")));
    }
  }

  std::string ToCsv() const {
    std::string csv = "class,share,share_confident\n";
    for (size_t c = 0; c < names_.size(); ++c) {
      absl::StrAppend(&csv, QuoteCsv(names_[c]), ",", Share(drawn_[c]), ",", Share(sure_[c]), "\n");
    }
    return csv;
  }

 private:
  static constexpr float kSure = 0.9f;
  // Of an even share: below it a class counts as left out.
  static constexpr double kLeastShare = 0.1;

  static std::string QuoteCsv(const std::string& text) {
    if (text.find_first_of(",\"\n") == std::string::npos) {
      return text;
    }
    return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
  }
  double Share(double count) const { return count / std::max(count_, 1.0); }

  std::vector<std::string> names_;
  std::vector<double> drawn_, sure_;  // by class
  double count_ = 0;
  double confidence_ = 0;
};

// Draws what it is asked for.
class DrawingAnswerer final : public Answerer {
 public:
  // The preprocessing outlives it.
  DrawingAnswerer(const ImageGenerationOptions& options, const data::Preprocessing& preprocessing)
      : latent_(options.latent), conditional_(options.conditional), preprocessing_(preprocessing) {}

  absl::Status CheckOutputs(int64_t outputs) const override {
    const int64_t wanted = preprocessing_.image.elements();
    return outputs == wanted
               ? absl::OkStatus()
               : absl::InvalidArgumentError(absl::StrCat("the model draws ", outputs,
                                                         " numbers, its pictures have ", wanted));
  }

  absl::StatusOr<Example> Read(const Question& question, absl::string_view name) const override {
    const auto* wish = std::get_if<DrawingQuestion>(&question);
    if (wish == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": the model draws pictures, this is ",
                                                     NameOf(question), ": use `hone generate`"));
    }
    std::vector<float> noise(static_cast<size_t>(latent_));
    FillNoise(wish->seed, wish->number, noise);
    if (wish->to_seed.has_value()) {
      std::vector<float> other(noise.size()), between(noise.size());
      FillNoise(*wish->to_seed, wish->number, other);
      Interpolate(noise, other, std::clamp(wish->share, 0.0, 1.0), between);
      noise = std::move(between);
    }
    Example example = {{kNoiseInput, std::move(noise)}};
    if (conditional_) {
      HONE_ASSIGN_OR_RETURN(const int64_t which, ClassOf(*wish, name));
      std::vector<float> classes(preprocessing_.class_names.size());
      FillClass(which, classes);
      example[kClassesInput] = std::move(classes);
    } else if (!wish->class_name.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, ": the model does not draw by class, so it draws no ", wish->class_name, " alone"));
    }
    return example;
  }

 private:
  absl::StatusOr<int64_t> ClassOf(const DrawingQuestion& wish, absl::string_view name) const {
    const std::vector<std::string>& known = preprocessing_.class_names;
    if (wish.class_name.empty()) {
      const auto count = static_cast<int64_t>(known.size());
      return (wish.number % count + count) % count;
    }
    const auto found = std::ranges::find(known, wish.class_name);
    if (found == known.end()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": there is no class ", wish.class_name,
                                                     "; there are: ", absl::StrJoin(known, ", ")));
    }
    return found - known.begin();
  }
  Prediction ReadOutput(std::span<const float> output) const override {
    Prediction drawn;
    drawn.picture = PictureOf(output.data(), preprocessing_);
    return drawn;
  }

  const int64_t latent_;
  const bool conditional_;
  const data::Preprocessing& preprocessing_;
};

class ImageGeneration final : public Task {
 public:
  explicit ImageGeneration(ImageGenerationOptions options) : options_(std::move(options)) {}

  absl::string_view name() const override { return "image_generation"; }

  absl::Status CheckData(const DataInfo& info) const override {
    if (info.features.dtype != DType::kU8 || info.features.shape.rank() != 3) {
      return absl::InvalidArgumentError("image_generation: the data must be pictures");
    }
    if (options_.latent < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("image_generation.latent: must be at least 1, got ", options_.latent));
    }
    if (options_.conditional && info.classes() < 2) {
      return absl::InvalidArgumentError(
          absl::StrCat("image_generation.conditional: the data must have at least 2 classes, got ",
                       info.classes()));
    }
    return absl::OkStatus();
  }

  std::vector<UpdateSpec> updates() const override {
    const bool clips = options_.loss == AdversarialKind::kWasserstein;
    return {{.name = kDiscriminator,
             .parameters = absl::StrCat(kDiscriminator, "."),
             .optimizer = options_.discriminator_optimizer,
             .clip_weights = clips ? options_.clip_weights : 0},
            {.name = kGenerator,
             .parameters = absl::StrCat(kGenerator, "."),
             .optimizer = options_.generator_optimizer,
             .every = options_.discriminator_steps}};
  }

  absl::StatusOr<TaskGraph> BuildLoss(const TrainingConfig& config, const DataInfo& info,
                                      size_t update, const BatchShape& shape) const override {
    TaskGraph result = NewTaskGraph(config);
    if (update == kDiscriminatorUpdate) {
      HONE_RETURN_IF_ERROR(AddJudgement(config, info, shape.batch, true, result).status());
      return result;
    }
    Networks networks(options_, config.model, info, shape.batch, true, result);
    HONE_ASSIGN_OR_RETURN(const Value drawn, networks.Draw(kGenerator, networks.Latent()));
    HONE_ASSIGN_OR_RETURN(const Value judged, networks.Judge(drawn));
    const Loss loss = LossOf(networks.graph(), judged, AdversarialSide::kFooling);
    const Value none = networks.graph().Constant(0);
    result.built.request.fetch = {loss.sum, loss.weight, none};
    return result;
  }

  // The discriminator on real and on drawn pictures.
  absl::StatusOr<TaskGraph> BuildEvaluation(const TrainingConfig& config, const DataInfo& info,
                                            const BatchShape& shape) const override {
    TaskGraph result = NewTaskGraph(config);
    HONE_ASSIGN_OR_RETURN(const Value judged,
                          AddJudgement(config, info, shape.batch, false, result));
    result.built.request.fetch.resize(kFetchOutput);
    result.built.request.fetch.push_back(judged);
    return result;
  }

  std::vector<ForwardSpec> forwards(const TrainingConfig&) const override {
    return {{.name = kDraw, .shape = {.batch = kGridPictures}}};
  }
  absl::StatusOr<TaskGraph> BuildForward(const TrainingConfig& config, const DataInfo& info,
                                         const ForwardSpec& spec) const override {
    TaskGraph result = NewTaskGraph(config);
    HONE_RETURN_IF_ERROR(AddDrawing(config.model, info, spec.shape.batch, result));
    // The mean's layers are the generator's once more: the layer table has them once.
    for (models::LayerSummary& layer : result.model.layers) {
      absl::string_view rest = layer.name;
      if (absl::ConsumePrefix(&rest, absl::StrCat(kGeneratorAverage, "."))) {
        layer.name = absl::StrCat(kGenerator, ".", rest);
      }
    }
    return result;
  }
  absl::StatusOr<TaskGraph> BuildPrediction(const models::ModelDescription& model,
                                            const DataInfo& info,
                                            const BatchShape& shape) const override {
    TaskGraph result;
    result.built.graph = std::make_unique<Graph>();
    result.built.request.graph = result.built.graph.get();
    HONE_RETURN_IF_ERROR(AddDrawing(model, info, shape.batch, result));
    return result;
  }

  std::unique_ptr<TaskState> NewState(const TrainingConfig&) const override {
    return std::make_unique<PlayState>(options_);
  }
  absl::Status FillInputs(const data::Dataset& dataset, const Examples& examples,
                          const TaskState* state, const Inputs& inputs) const override {
    HONE_ASSIGN_OR_RETURN(const std::span<float> deviation, inputs.Find<float>(kInstanceNoise));
    if (!deviation.empty()) {
      deviation[0] = static_cast<const PlayState*>(state)->instance_noise();
    }
    HONE_ASSIGN_OR_RETURN(const std::span<float> classes, inputs.Find<float>(kClassesInput));
    const auto count = static_cast<size_t>(dataset.classes());
    for (size_t i = 0; !classes.empty() && i < examples.rows.size(); ++i) {
      const auto row = static_cast<size_t>(examples.rows[i]);
      FillClass(dataset.labels()[row], classes.subspan(i * count, count));
    }
    return absl::OkStatus();
  }

  void AddTrainingMetrics(size_t update, const Sums& sums,
                          std::map<std::string, double>& values) const override {
    if (update == kDiscriminatorUpdate && options_.loss != AdversarialKind::kWasserstein) {
      const auto examples = static_cast<double>(std::max<int64_t>(sums.examples, 1));
      values["accuracy_real"] = sums.correct / examples;
      values["accuracy_drawn"] = sums.own / examples;
    }
  }

  // Draws.
  absl::StatusOr<Evaluation> Evaluate(const EvaluationContext& context) const override {
    const data::Preprocessing& preprocessing = context.info.preprocessing;
    HONE_ASSIGN_OR_RETURN(const Program* draw,
                          context.programs.forward(kDraw, {.batch = kGridPictures}));
    const auto size = static_cast<size_t>(preprocessing.image.elements());
    std::vector<float> drawings;
    for (int64_t first = 0; first < kVarietyPictures; first += kGridPictures) {
      HONE_RETURN_IF_ERROR(Draw(context, *draw, first));
      const auto* pixels = static_cast<const float*>(draw->fetched(0));
      drawings.insert(drawings.end(), pixels, pixels + size * kGridPictures);
    }
    std::vector<image::Image> pictures;
    for (size_t i = 0; i < kGridPictures; ++i) {
      pictures.push_back(PictureOf(drawings.data() + i * size, preprocessing));
    }
    HONE_ASSIGN_OR_RETURN(const std::string png, GridPng(pictures, kGridColumns));
    HONE_RETURN_IF_ERROR(context.artifacts.Write(
        "samples", absl::StrFormat("samples/step-%08d.png", context.step), png));
    Evaluation result;
    const double variety = VarietyOf(drawings, context);
    result.own_metrics["variety"] = variety;
    const double least = context.final ? kLeastVariety : kNoVariety;
    if (variety < least) {
      result.warnings.push_back(absl::StrFormat(
          "step %d: the generator has collapsed: its drawings are only %.2f times as different "
          "from each other as the pictures of the data, %.2f is the least. A smaller learning "
          "rate of the generator, label_smoothing, instance_noise or another loss may help",
          context.step, variety, least));
    }
    const std::string classifier = options_.classifier_directory.empty()
                                       ? context.helper_model
                                       : options_.classifier_directory;
    if (context.final && !classifier.empty() && options_.evaluation_drawings > 0) {
      HONE_RETURN_IF_ERROR(
          Annotate(Classify(context, *draw, classifier, result), "image_generation.evaluation"));
    }
    return result;
  }
  // The digits' CNN of the examples, on the same data.
  absl::StatusOr<std::optional<TrainingConfig>> HelperJob(
      const TrainingConfig& config) const override {
    if (!options_.classifier_directory.empty() || options_.evaluation_drawings == 0) {
      return std::nullopt;
    }
    HONE_ASSIGN_OR_RETURN(const DataInfo info, InspectExamples(config));
    HONE_RETURN_IF_ERROR(CheckData(info));
    if (info.classes() < 2) {
      return std::nullopt;
    }
    TrainingConfig helper;
    helper.display_name = "classifier";
    helper.task = ClassificationOptions();
    helper.data = config.data;
    helper.data.pixel_mean = helper.data.pixel_std = {};
    helper.model.layers = ClassifierLayers(info);
    helper.epochs = 5;
    helper.schedule.kind = optim::LinearDecay{.final_factor = 0};
    helper.seed = config.seed;
    helper.compute = config.compute;
    helper.layer_statistics_every = 0;
    helper.threads = config.threads;
    helper.one_thread_if_small = config.one_thread_if_small;
    helper.memory_bytes = config.memory_bytes;
    return std::optional(std::move(helper));
  }
  bool evaluates_without_rows() const override { return true; }
  std::unique_ptr<Scorer> NewScorer(const data::Dataset&, const DataInfo&) const override {
    return std::make_unique<NoScore>();
  }

  nlohmann::json ToJson() const override {
    return {{"kind", "image_generation"},
            {"latent", options_.latent},
            {"loss", std::string(kLosses[static_cast<size_t>(options_.loss)])},
            {"label_smoothing", options_.label_smoothing},
            {"instance_noise", options_.instance_noise},
            {"instance_noise_steps", options_.instance_noise_steps},
            {"discriminator_steps", options_.discriminator_steps},
            {"clip_weights", options_.clip_weights},
            {"conditional", options_.conditional},
            {"average_decay", options_.average_decay}};
  }

  absl::StatusOr<std::unique_ptr<Answerer>> NewAnswerer(
      const data::Preprocessing& preprocessing) const override {
    return std::make_unique<DrawingAnswerer>(options_, preprocessing);
  }

 private:
  Loss LossOf(Graph& graph, Value judged, AdversarialSide side) const {
    const Graph::Scope scope(graph, "loss");
    return AdversarialLoss(graph, judged, side,
                           {.kind = options_.loss, .label_smoothing = options_.label_smoothing});
  }

  // Fetches the discriminator's loss, how many real pictures it knew, and how many drawn ones.
  // Gives what it thinks of the real ones.
  absl::StatusOr<Value> AddJudgement(const TrainingConfig& config, const DataInfo& info,
                                     int64_t batch, bool training, TaskGraph& result) const {
    Networks networks(options_, config.model, info, batch, training, result);
    Graph& graph = networks.graph();
    const Value real = FeaturesInput(graph, info, batch);
    HONE_ASSIGN_OR_RETURN(const Value drawn, networks.Draw(kGenerator, networks.Latent()));
    HONE_ASSIGN_OR_RETURN(const Value of_real, networks.Judge(real));
    HONE_ASSIGN_OR_RETURN(const Value of_drawn, networks.Judge(drawn));
    const Loss on_real = LossOf(graph, of_real, AdversarialSide::kReal);
    const Loss on_drawn = LossOf(graph, of_drawn, AdversarialSide::kDrawn);
    result.built.request.fetch = {Sum(graph, on_real.sum, on_drawn.sum), on_real.weight,
                                  on_real.correct, on_drawn.correct};
    HONE_RETURN_IF_ERROR(graph.status());
    return of_real;
  }

  // The network that the model draws with, behind the inputs of drawing.h; fetches the pictures.
  absl::Status AddDrawing(const models::ModelDescription& model, const DataInfo& info,
                          int64_t batch, TaskGraph& result) const {
    const bool averages = options_.average_decay > 0;
    models::ModelDescription drawing = model;
    if (averages) {
      const auto generator =
          std::ranges::find(model.networks, kGenerator, &models::NetworkDescription::name);
      if (generator != model.networks.end()) {
        drawing.networks.push_back(*generator);
        drawing.networks.back().name = kGeneratorAverage;
      }
      result.built.graph->DeclareAsBuffers(
          [prefix = absl::StrCat(kGeneratorAverage, ".")](absl::string_view name) {
            return absl::StartsWith(name, prefix);
          });
    }
    Networks networks(options_, drawing, info, batch, /*training=*/false, result);
    const Value noise =
        networks.graph().Input(kNoiseInput, {{batch, options_.latent}, DType::kF32});
    HONE_ASSIGN_OR_RETURN(result.model.output,
                          networks.Draw(averages ? kGeneratorAverage : kGenerator, noise));
    result.built.request.fetch = {result.model.output};
    return absl::OkStatus();
  }

  static std::vector<models::LayerDescription> ClassifierLayers(const DataInfo& info) {
    constexpr int64_t kFilters = 32, kUnits = 64, kSmall = 16;
    // Small pictures keep their size, so that something is left of them.
    const bool small = std::min(info.features.shape[1], info.features.shape[2]) < kSmall;
    const layers::Padding padding = small ? layers::Padding::kSame : layers::Padding::kValid;
    std::vector<models::LayerDescription> list;
    const auto add = [&](models::LayerKind kind) { list.emplace_back().kind = std::move(kind); };
    for (const int64_t filters : {kFilters, 2 * kFilters}) {
      layers::Conv2dOptions conv;
      conv.filters = filters;
      conv.kernel = 3;
      conv.padding = padding;
      conv.activation = ActivationKind::kRelu;
      add(conv);
      models::MaxPool2d pool;
      pool.padding = padding;
      add(pool);
    }
    add(models::Flatten{});
    layers::DenseOptions dense;
    dense.units = kUnits;
    dense.activation = ActivationKind::kRelu;
    add(dense);
    dense.units = info.classes();
    dense.activation = ActivationKind::kNone;
    add(dense);
    return list;
  }

  // What a classifier says of many drawings, and of as many real pictures of the split.
  absl::Status Classify(const EvaluationContext& context, const Program& draw,
                        const std::string& directory, Evaluation& result) const {
    const data::Preprocessing& preprocessing = context.info.preprocessing;
    absl::StatusOr<std::unique_ptr<PictureClassifier>> loaded =
        PictureClassifier::Load(directory, preprocessing.image, context.threads);
    HONE_RETURN_IF_ERROR(Annotate(loaded.status(), "the classifier"));
    PictureClassifier& classifier = **loaded;
    ClassShares shares(classifier.class_names());
    FeatureStatistics of_drawings(classifier.features()), of_real(classifier.features());
    const auto size = static_cast<size_t>(preprocessing.image.elements());
    const int64_t wanted = options_.evaluation_drawings;
    for (int64_t first = 0; first < wanted; first += kGridPictures) {
      HONE_RETURN_IF_ERROR(Draw(context, draw, first));
      const auto* drawings = static_cast<const float*>(draw.fetched(0));
      std::vector<uint8_t> pixels;
      const auto count = static_cast<size_t>(std::min(kGridPictures, wanted - first));
      for (size_t i = 0; i < count; ++i) {
        const image::Image picture = PictureOf(drawings + i * size, preprocessing);
        pixels.insert(pixels.end(), picture.pixels.begin(), picture.pixels.end());
      }
      HONE_ASSIGN_OR_RETURN(const auto judged, classifier.Judge(pixels));
      of_drawings.Add(judged.features);
      shares.Add(judged.probabilities);
      context.progress(static_cast<double>(first) / static_cast<double>(2 * wanted));
    }
    const auto rows = static_cast<int64_t>(context.rows.size());
    const int64_t all = rows > 0 ? rows : context.dataset.size();
    const int64_t real = std::min(wanted, all);
    std::vector<uint8_t> pixels;
    for (int64_t i = 0; i < real; ++i) {
      const int64_t place = i * all / real;
      const int64_t row = rows > 0 ? context.rows[static_cast<size_t>(place)] : place;
      const uint8_t* bytes = context.dataset.example(row);
      pixels.insert(pixels.end(), bytes, bytes + size);
      if (i + 1 == real || static_cast<int64_t>(pixels.size() / size) == kVarietyPictures) {
        HONE_ASSIGN_OR_RETURN(const auto judged, classifier.Judge(pixels));
        of_real.Add(judged.features);
        pixels.clear();
        context.progress(0.5 + static_cast<double>(i) / static_cast<double>(2 * real));
      }
    }
    HONE_ASSIGN_OR_RETURN(result.own_metrics["frechet_distance"],
                          FrechetDistance(of_drawings, of_real));
    shares.AddTo(result);
    return context.artifacts.Write("evaluation", "evaluation/class-shares.csv", shares.ToCsv());
  }

  // The drawings from number `first` on, by the job's own random numbers.
  absl::Status Draw(const EvaluationContext& context, const Program& draw, int64_t first) const {
    const Inputs inputs(draw, {.batch = kGridPictures});
    HONE_ASSIGN_OR_RETURN(const std::span<float> noise, inputs.Find<float>(kNoiseInput));
    HONE_ASSIGN_OR_RETURN(const std::span<float> classes, inputs.Find<float>(kClassesInput));
    const auto latent = static_cast<size_t>(options_.latent);
    const auto count = static_cast<size_t>(context.info.classes());
    for (size_t i = 0; i < kGridPictures; ++i) {
      const int64_t number = first + static_cast<int64_t>(i);
      FillNoise(kDrawingSeed, number, noise.subspan(i * latent, latent));
      if (!classes.empty()) {
        FillClass(number % context.info.classes(), classes.subspan(i * count, count));
      }
    }
    return context.programs.Run(draw, {});
  }

  // Against as many of the data's pictures, from all over it.
  static double VarietyOf(std::span<const float> drawings, const EvaluationContext& context) {
    const data::Preprocessing& p = context.info.preprocessing;
    const auto size = static_cast<size_t>(p.image.elements());
    const int64_t count = std::min(kVarietyPictures, context.dataset.size());
    std::vector<float> real;
    for (int64_t i = 0; i < count; ++i) {
      const uint8_t* bytes = context.dataset.example(i * context.dataset.size() / count);
      for (size_t k = 0; k < size; ++k) {
        const size_t channel = k / (size / static_cast<size_t>(p.image[0]));
        const float mean = p.pixel_mean.empty() ? 0 : p.pixel_mean[channel];
        const float std = p.pixel_std.empty() ? 1 : p.pixel_std[channel];
        real.push_back((static_cast<float>(bytes[k]) * p.pixel_scale - mean) / std);
      }
    }
    const double of_real = VarianceOf(real, count);
    return of_real > 0 ? VarianceOf(drawings, kVarietyPictures) / of_real : 1;
  }

  static constexpr uint64_t kDrawingSeed = 1;

  ImageGenerationOptions options_;
};

}  // namespace

std::unique_ptr<Task> MakeImageGeneration(const ImageGenerationOptions& options) {
  return std::make_unique<ImageGeneration>(options);
}

absl::StatusOr<ImageGenerationOptions> ImageGenerationFromJson(const nlohmann::json& json) {
  ImageGenerationOptions options;
  options.latent = json.at("latent").get<int64_t>();
  options.label_smoothing = json.at("label_smoothing").get<float>();
  options.instance_noise = json.at("instance_noise").get<float>();
  options.instance_noise_steps = json.at("instance_noise_steps").get<int64_t>();
  options.discriminator_steps = json.at("discriminator_steps").get<int64_t>();
  options.clip_weights = json.at("clip_weights").get<double>();
  options.conditional = json.at("conditional").get<bool>();
  options.average_decay = json.at("average_decay").get<double>();
  const auto loss = json.at("loss").get<std::string>();
  const auto found = std::ranges::find(kLosses, loss);
  if (found == std::end(kLosses)) {
    return absl::InvalidArgumentError(absl::StrCat("`task.loss` is not known: \"", loss, "\""));
  }
  options.loss = static_cast<AdversarialKind>(found - std::begin(kLosses));
  return options;
}

}  // namespace hone::engine::tasks
