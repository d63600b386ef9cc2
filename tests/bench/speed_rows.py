"""The rows of `make bench` and what is aimed at, by the processor that is found: the least ratios to PyTorch's best way, and what else has a goal."""
import dataclasses

AMX, NO_AMX = "AMX", "no AMX"


@dataclasses.dataclass
class StepRow:
    """A training step: its net and batch, its precision, and those of PyTorch's that it is held against: in bf16 whichever is its best."""
    net: str
    batch: int
    precision: str
    rivals: list
    ratio: dict        # by the processor's kind; none: no goal
    mfu: dict = dataclasses.field(default_factory=dict)  # least share of the product's rate

    @property
    def name(self):
        return f"{self.net} b{self.batch} {self.precision}"


# AMX multiplies so fast that a step is memory passes: no share of the rate is a goal there.
STEP_ROWS = [
    StepRow("s1", 32, "f32", ["f32"], {AMX: 4.0, NO_AMX: 3.2}, {NO_AMX: 0.80}),
    StepRow("s1", 128, "f32", ["f32"], {AMX: 4.0, NO_AMX: 3.0}, {NO_AMX: 0.80}),
    StepRow("s9", 128, "f32", ["f32"], {AMX: 1.5, NO_AMX: 1.5}, {NO_AMX: 0.65}),
    StepRow("s1", 128, "bf16", ["f32", "bf16"], {AMX: 5.0, NO_AMX: 3.0}, {NO_AMX: 0.65}),
    StepRow("s9", 128, "bf16", ["f32", "bf16"], {AMX: 1.5, NO_AMX: 1.5}),
]
LEAST_BF16_OVER_F32 = {AMX: 2.0, NO_AMX: 1.6}  # of S1 with a batch of 128, both ours
MOST_STEP_OVER_SUM = 1.15
STEP_MODES = ["eager", "channels_last", "compile"]

# Two networks against each other, one update each.
GAN_ROWS = [
    StepRow("dcgan", 64, "f32", ["f32"], {AMX: 1.6, NO_AMX: 1.6}),
    StepRow("gan", 64, "f32", ["f32"], {AMX: 1.6, NO_AMX: 1.6}),
    StepRow("dcgan", 64, "bf16", ["f32", "bf16"], {AMX: 2.5, NO_AMX: 1.6}),
]


@dataclasses.dataclass
class SequenceRow:
    """A step over sequences in both precisions: ours in f32 is held against PyTorch's in f32, ours in bf16 against both of PyTorch's."""
    net: str
    f32: dict
    bf16: dict

    def ratio(self, precision, kind):
        return getattr(self, precision).get(kind)

    def name(self, precision):
        return f"{self.net} {precision}"


SEQUENCE_ROWS = [
    SequenceRow("lstm", {AMX: 1.25, NO_AMX: 1.4}, {AMX: 1.6}),
    SequenceRow("gru", {AMX: 4, NO_AMX: 4}, {AMX: 5}),
    SequenceRow("gpt128", {AMX: 1.8, NO_AMX: 1.8}, {AMX: 4}),
    SequenceRow("gpt256", {AMX: 1.4, NO_AMX: 1.4}, {AMX: 2.5}),
    SequenceRow("minilm", {AMX: 1.6, NO_AMX: 1.6}, {AMX: 4}),
    SequenceRow("minilm_lengths", {AMX: 2, NO_AMX: 2}, {AMX: 5}),
    SequenceRow("seq2seq", {AMX: 2, NO_AMX: 2}, {AMX: 4}),
]
SEQUENCE_MODES = ["eager", "compile"]
SEQUENCE_RIVALS = {"f32": ["f32"], "bf16": ["f32", "bf16"]}
MOST_ROWS_OVER_TOKENS = 1.05
MOST_SEQUENCE_RSS = 0.25  # of PyTorch's

# Attention alone, forward and backward, beside oneDNN's products with softmax between them and PyTorch's.
ATTENTION_SHAPES = ["gpt128", "gpt256", "minilm"]


def attention_row(shape, precision):
    return f"attention {shape} {precision}"


# Tokens written a second: of one text to PyTorch's, and of eight texts at once to one.
LEAST_WRITING_RATIO, LEAST_EIGHT_OVER_ONE = 10, 4
MOST_LARGE_OVER_SMALL_TABLE = 1.2
RATINGS_BATCHES = [256, 1024]
LEAST_RATINGS_RATIO = 10
LEAST_AGENT_RATIO, LEAST_ENVIRONMENT_STEPS = 5, 20_000
MOST_EPOCH_OVER_STEPS = 1.1
MOST_RSS_MB = 150
MOST_SECONDS_OFF, MOST_MEMORY_OFF = 0.30, 0.15
