#include "engine/tasks/image_generation.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "engine/graph/sum.h"
#include "engine/tasks/adversarial_networks.h"
#include "engine/tasks/class_shares.h"
#include "engine/tasks/drawing.h"
#include "engine/tasks/drawing_answers.h"
#include "engine/tasks/frechet_distance.h"
#include "engine/tasks/picture_classifier.h"
#include "engine/tasks/task.h"

namespace hone::engine::tasks {
namespace {

constexpr size_t kDiscriminatorUpdate = 0, kGeneratorUpdate = 1;
constexpr char kDraw[] = "draw";  // a forward program
constexpr int64_t kGridColumns = 8, kGridPictures = 64;
constexpr int64_t kVarietyPictures = 256;
constexpr absl::string_view kLosses[] = {"non_saturating", "least_squares", "hinge",
                                         "wasserstein"};  // by AdversarialKind

class NoScore final : public Scorer {
 public:
  void Add(const float*, std::span<const int32_t>) override {}
  Evaluation Finish() const override { return {}; }
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
    AdversarialNetworks networks(options_, config.model, info, shape.batch, true, result);
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
      values["accuracy_drawn"] = sums.own[0] / examples;
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
    return NewDrawingAnswerer(options_, preprocessing);
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
    AdversarialNetworks networks(options_, config.model, info, batch, training, result);
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
    AdversarialNetworks networks(options_, drawing, info, batch, /*training=*/false, result);
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
