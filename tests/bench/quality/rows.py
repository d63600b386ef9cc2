"""The rows of `make quality`: which job is run, what of it counts, what it must reach, and who trains the same in PyTorch."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Goal:
    """Of the runs of our side: `of` (a metric) by `over` (mean, min or max of the seeds) must be at least, or at most, `value`."""
    of: str
    value: float
    at_least: bool = True
    over: str = "mean"


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    job: str  # in client/examples
    metric: str
    scale: float = 1  # of the printed numbers: 100 for shares
    unit: str = ""
    lower_is_better: bool = False
    margin: float = 1  # of the printed numbers, by which ours may be worse than PyTorch's
    margin_share: float = 0  # instead: of PyTorch's
    goals: tuple = ()
    torch: str = ""  # the script, or none
    features: str = ""  # the data set whose classifier judges the drawings
    first: str = ""  # the job whose model this one goes on with
    seeds: tuple = (1, 2, 3)
    settings: tuple = ("training.seed={seed}",)  # --set of both sides; {seed} is the run's
    peer: str = ""  # what is printed where no script trains the same
    half_of: str = ""  # a row of whose mean ours must be less than half
    above: str = ""  # a row whose mean ours must be above
    better: tuple = ()  # (metric, another one that its mean must exceed)
    checkpoint: str = ""  # a real one (checkpoints.py), which both sides' model.pretrained.path is
    made_by: str = ""  # the script in client/examples that makes both sides' data.path, …
    made_of: str = ""  # … of this data set
    first_settings: tuple = ()  # --set of `first`
    compared: tuple = ()  # further metrics by which ours must be as good as PyTorch's, by the same margin
    near: str = ""  # a row than whose mean ours may be worse by at most …
    near_by: float = 0  # … this, of the printed numbers


PICTURES = {"torch": "torch_pictures.py", "metric": "frechet_distance", "lower_is_better": True, "margin": 0, "margin_share": 0.1}
SUPERVISED = {"torch": "torch_supervised.py", "metric": "test_accuracy", "scale": 100, "unit": "%"}
TEXTS = {**SUPERVISED, "torch": "torch_texts.py"}
FORECAST = {"torch": "torch_forecast.py", "lower_is_better": True, "margin": 0, "margin_share": 0.02}
TRANSLATION = {"torch": "torch_translation.py", "metric": "test_bleu", "better": (("test_beam_bleu", "test_bleu"),)}
FOUND = {"metric": "test_accuracy", "scale": 100, "unit": "%", "peer": "none"}
# bert-finetune.yaml without an earlier model.
WITHOUT_MODEL = "model={{preset: {{transformer_encoder: {{layers: 3, heads: 4, width: 128}}}}}}"
WITHOUT_TEXT = ("data.text={{cleaning: {{html: true, lower_case: true}}, tokenizer: {{words: {{vocabulary: 8000}}}}, "
                "max_tokens: 64}}")
# Checkpoints that are gone on with.
MINILM = {"checkpoint": "minilm-l6", "torch": "torch_checkpoint_texts.py", "scale": 100, "unit": "%", "margin": 0}
CHAT = {"checkpoint": "smollm2-135m", "torch": "torch_checkpoint_chat.py", "metric": "test_loss", "lower_is_better": True, "margin": 0.02,
        "seeds": (1,), "made_by": "translate-smollm2-data.py", "made_of": "tatoeba-eng-fra"}
BF16 = ("training.seed={seed}", "training.precision=BF16")
# cifar-resnet.yaml on photographs of hands, as small as its own, which are not changed at random.
HANDS = ("training.seed={seed}", "data={{dataset: sign-digits, image: {{height: 32, width: 32, mean: [0.491, 0.482, 0.447], "
         "std: [0.247, 0.243, 0.262]}}}}", "training.schedule.warmup_steps=0", "training.epochs=1", "training.batch_size=32")
TRUNK = ("model={{pretrained: {{path: first, drop_layers: 2, freeze: [\"*\"]}}, layers: [{{flatten: {{}}}}, {{dense: {{units: 10}}}}]}}",
         "training.optimizer.sgd.learning_rate=0.01")
AGENT = {"metric": "success_rate", "scale": 100, "unit": "%", "peer": "none"}

ROWS = [
    Row("dcgan-mnist", "mnist-dcgan.yaml", features="mnist", goals=(Goal("class_share_min", 0.05),), half_of="gan-mnist", **PICTURES),
    Row("dcgan-fashion", "fashion-dcgan.yaml", features="fashion-mnist", goals=(Goal("class_share_min", 0.001),), **PICTURES),
    Row("gan-mnist", "mnist-gan.yaml", features="mnist", goals=(Goal("class_share_min_confident", 0.01, over="min"),), **PICTURES),
    Row("maze", "maze-dqn.yaml", goals=(Goal("success_rate", 0.95, over="min"), Goal("path_ratio", 1.1, at_least=False, over="max")), **AGENT),
    # CleanRL's table has what its runs return while they still explore; ours is the best evaluated checkpoint without exploration.
    Row("cart-pole", "cart-pole-dqn.yaml", "mean_return", seeds=(1, 2, 3, 4, 5),
        goals=(Goal("mean_return", 475), Goal("mean_return", 400, over="min")),
        peer="488.7 ± 16.1 (CleanRL's dqn.py, docs.cleanrl.dev/rl-algorithms/dqn)"),
    Row("cart-pole-ppo", "cart-pole-ppo.yaml", "mean_return", seeds=(1, 2, 3, 4, 5),
        goals=(Goal("mean_return", 475), Goal("mean_return", 400, over="min")), peer="none"),
    Row("unseen-mazes", "unseen-mazes-dqn.yaml", goals=(Goal("success_rate", 0.8),), **AGENT),
    Row("ratings", "ratings.yaml", "rmse_over_floor", lower_is_better=True, goals=(Goal("rmse_over_floor", 1.03, at_least=False),),
        peer="1 (the floor)"),
    # Five folds in place of five seeds.
    Row("movielens-100k", "ratings.yaml", "test_rmse", lower_is_better=True, seeds=(1, 2, 3, 4, 5),
        settings=("data={{dataset: movielens-100k, fold: {{count: 5, index: {seed}}}}}", "model.layers[0].embedding.width=16",
                  "model.layers[1].embedding.width=16", "training.optimizer.adamw.weight_decay=0.3"),
        goals=(Goal("test_rmse", 0.935, at_least=False),), peer="0.934 (Surprise's SVD, github.com/NicolasHug/Surprise)"),
    Row("mnist-cnn", "mnist-cnn.yaml", goals=(Goal("test_accuracy", 0.99),), **SUPERVISED),
    Row("fashion-cnn", "fashion-cnn.yaml", goals=(Goal("test_accuracy", 0.905),), **SUPERVISED),
    Row("mnist-mlp", "mnist-mlp.yaml", goals=(Goal("test_accuracy", 0.98),), **SUPERVISED),
    Row("digits-transfer", "digits-5-9-transfer.yaml", first="digits-0-4.yaml", goals=(Goal("test_accuracy", 0.99),), **SUPERVISED),
    Row("wine", "wine-classification.yaml", **SUPERVISED),
    Row("sst2-lstm", "sst2-lstm.yaml", **TEXTS),
    Row("sst2-gru", "sst2-gru.yaml", **TEXTS),
    Row("sst2-average", "sst2-average.yaml", **TEXTS),
    Row("agnews-lstm", "agnews-lstm.yaml", **TEXTS),
    Row("names", "names-characters.yaml", **TEXTS),
    # The seasonal naive forecast is off by 1.59, the naive one of the temperatures by 2.62 °C.
    Row("airline", "airline-lstm.yaml", "test_mase", goals=(Goal("test_mase", 1.59, at_least=False, over="max"),), **FORECAST),
    Row("temperatures", "temperatures-gru.yaml", "test_mae", goals=(Goal("test_mae", 2.15, at_least=False, over="max"),), **FORECAST),
    # The same net on the same 400 pieces of news, with what it has learned of texts without subjects and from zero.
    Row("bert-from-zero", "bert-finetune.yaml", first="bert-pretrain.yaml", above="bert-without", **FOUND),
    Row("bert-without", "bert-finetune.yaml", settings=("training.seed={seed}", "model.pretrained.path=", WITHOUT_MODEL, WITHOUT_TEXT), **FOUND),
    Row("housing", "housing-regression.yaml", **{**SUPERVISED, "metric": "test_r2", "scale": 1, "unit": "", "margin": 0.01}),
    Row("shakespeare", "shakespeare-gpt.yaml", "validation_loss", lower_is_better=True, margin=0.01, torch="torch_language.py",
        goals=(Goal("validation_loss", 1.91, at_least=False),)),
    Row("translation-gru", "translation-gru.yaml", goals=(Goal("test_bleu", 32),), **TRANSLATION),
    Row("translation-transformer", "translation-transformer.yaml", above="translation-gru", **TRANSLATION),
    # MiniLM on 8,000 phrases: dev validates, test tests.
    Row("sst2-minilm", "sst2-minilm.yaml", "test_accuracy", compared=("validation_accuracy",), **MINILM),
    Row("sst2-minilm-bf16", "sst2-minilm.yaml", "test_accuracy", compared=("validation_accuracy",), settings=BF16, near="sst2-minilm", near_by=0.5,
        **MINILM),
    # All phrases; a seed takes PyTorch 25 minutes of a processor, and three epochs an hour.
    Row("sst2-minilm-full", "sst2-minilm-full.yaml", "validation_accuracy", compared=("test_accuracy",), settings=BF16,
        goals=(Goal("validation_accuracy", 0.89),), **{**MINILM, "margin": 0.5}),
    Row("sst2-minilm-full-3", "sst2-minilm-full.yaml", "validation_accuracy", compared=("test_accuracy",), seeds=(1,),
        settings=(*BF16, "training.epochs=3", "training.schedule.warmup_steps=631"), goals=(Goal("validation_accuracy", 0.9),),
        **{**MINILM, "margin": 0.5}),
    Row("similar-minilm", "similar-minilm.yaml", "recall_at_1", **{**MINILM, "torch": "torch_checkpoint_vectors.py", "margin": 0.5},
        better=(("recall_at_1", "start_recall_at_1"),), made_by="similar_pairs.py", made_of="tatoeba-eng-fra"),
    # What SmolLM2 begins with, 2.752 nats in transformers: a step at a rate of almost nothing, so that both sides say what the checkpoint says.
    Row("translate-smollm2-start", "translate-smollm2-lora.yaml", **{**CHAT, "margin": 0.002},
        settings=("training.seed={seed}", "data.limit=8", "training.optimizer.adamw.learning_rate=1.0e-12"),
        goals=(Goal("test_loss", 2.747), Goal("test_loss", 2.757, at_least=False))),
    # A seed alone: they differ by some thousandths, and PyTorch's takes a quarter of an hour of a processor.
    Row("translate-smollm2", "translate-smollm2-lora.yaml", goals=(Goal("test_loss", 2.75, at_least=False),), **CHAT),
    Row("translate-smollm2-bf16", "translate-smollm2-lora.yaml", settings=BF16, near="translate-smollm2", near_by=0.02, **CHAT),
    # A linear layer on what a residual net has learned of small photographs, and the same net from zero, in as many steps: 33.
    # With three times as many the net from zero has overtaken the layer.
    Row("sign-digits", "cifar-resnet.yaml", first="cifar-resnet.yaml", first_settings=("data.dataset=cifar10-jpeg",), settings=(*HANDS, *TRUNK),
        above="sign-digits-from-zero", **FOUND),
    Row("sign-digits-from-zero", "cifar-resnet.yaml", settings=HANDS, **FOUND),
    # The size that nanoGPT has for a GPU, for as many steps as a processor makes in half an hour.
    Row("shakespeare-longer", "shakespeare-gpt.yaml", "validation_loss", lower_is_better=True, margin=0.02, torch="torch_language.py", seeds=(1,),
        settings=("training.seed={seed}", "model.preset.gpt.layers=6", "model.preset.gpt.heads=6", "model.preset.gpt.width=384",
                  "model.preset.gpt.dropout=0.2", "language_modeling.window=256", "training.batch_size=16", "training.steps=600")),
]
