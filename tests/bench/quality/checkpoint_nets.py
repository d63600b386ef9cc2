"""The nets of checkpoints in PyTorch, as transformers computes them: BERT's encoder and Llama's decoder. Batches are padded on the right."""
import torch
import torch.nn.functional as F
from torch import nn


def filled(make, tensors):
    """A net whose parameters are these tensors, by their names; nothing is drawn for it first."""
    with torch.device("meta"):
        net = make()
    net.load_state_dict(tensors, assign=True)
    return net


def heads_of(x, count):
    return x.unflatten(2, (count, -1)).transpose(1, 2)


class BertBlock(nn.Module):
    # Of our names those of the file.
    NAMES = {"query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value", "output": "attention.output.dense",
             "norm_1": "attention.output.LayerNorm", "up": "intermediate.dense", "down": "output.dense", "norm_2": "output.LayerNorm"}

    def __init__(self, config):
        super().__init__()
        width, hidden, epsilon = config["hidden_size"], config["intermediate_size"], config["layer_norm_eps"]
        self.heads = config["num_attention_heads"]
        self.dropout, self.attention_dropout = nn.Dropout(config["hidden_dropout_prob"]), config["attention_probs_dropout_prob"]
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm_1, self.norm_2 = (nn.LayerNorm(width, eps=epsilon) for _ in range(2))

    def forward(self, x, mask):
        q, k, v = (heads_of(product(x), self.heads) for product in (self.query, self.key, self.value))
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=self.attention_dropout if self.training else 0.0)
        x = self.norm_1(x + self.dropout(self.output(seen.transpose(1, 2).flatten(2))))
        return self.norm_2(x + self.dropout(self.down(F.gelu(self.up(x)))))


class Bert(nn.Module):
    """[texts, longest] tokens and the texts' lengths → what each token has become, [texts, longest, width]; `pooled` of a text's first token."""

    def __init__(self, config, pooler):
        super().__init__()
        assert config["model_type"] == "bert" and config["hidden_act"] == "gelu", config
        width = config["hidden_size"]
        self.width = width
        self.tokens, self.places, self.types = (nn.Embedding(config[size], width) for size in
                                                ("vocab_size", "max_position_embeddings", "type_vocab_size"))
        self.norm, self.dropout = nn.LayerNorm(width, eps=config["layer_norm_eps"]), nn.Dropout(config["hidden_dropout_prob"])
        self.blocks = nn.ModuleList(BertBlock(config) for _ in range(config["num_hidden_layers"]))
        self.pooler = nn.Linear(width, width) if pooler else None

    @classmethod
    def of(cls, config, tensors, pooler):
        """With the weights of a file."""
        modules = {"tokens": "embeddings.word_embeddings", "places": "embeddings.position_embeddings", "types": "embeddings.token_type_embeddings",
                   "norm": "embeddings.LayerNorm", **({"pooler": "pooler.dense"} if pooler else {})}
        for i in range(config["num_hidden_layers"]):
            modules |= {f"blocks.{i}.{ours}": f"encoder.layer.{i}.{theirs}" for ours, theirs in BertBlock.NAMES.items()}
        parts = [(f"{ours}.{part}", f"{theirs}.{part}") for ours, theirs in modules.items() for part in ("weight", "bias")]
        return filled(lambda: cls(config, pooler), {ours: tensors[theirs] for ours, theirs in parts if theirs in tensors})

    def forward(self, tokens, lengths):
        known = torch.arange(tokens.shape[1])[None] < lengths[:, None]
        x = self.tokens(tokens) + self.places.weight[:tokens.shape[1]] + self.types.weight[0]
        x = self.dropout(self.norm(x))
        for block in self.blocks:
            x = block(x, known[:, None, None])
        return x

    def pooled(self, tokens, lengths):
        return torch.tanh(self.pooler(self(tokens, lengths)[:, 0]))

    def mean(self, tokens, lengths):
        """Of what each text's tokens have become."""
        known = (torch.arange(tokens.shape[1])[None] < lengths[:, None])[..., None]
        return (self(tokens, lengths) * known).sum(1) / lengths[:, None]


class Adapted(nn.Module):
    """A product that keeps its weight, with an adapter beside it: peft's arithmetic, without dropout."""

    def __init__(self, product, a, b, scale):
        super().__init__()
        self.product, self.a, self.b, self.scale = product, nn.Parameter(a), nn.Parameter(b), scale

    def forward(self, x):
        return self.product(x) + F.linear(F.linear(x, self.a), self.b) * self.scale


class LlamaBlock(nn.Module):
    NAMES = {**{name: f"self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "o_proj")},
             **{name: f"mlp.{name}" for name in ("gate_proj", "up_proj", "down_proj")},
             "norm_1": "input_layernorm", "norm_2": "post_attention_layernorm"}

    def __init__(self, config):
        super().__init__()
        width, hidden, epsilon = config["hidden_size"], config["intermediate_size"], config["rms_norm_eps"]
        self.heads, self.key_heads, of_head = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
        linear = lambda fan_in, fan_out: nn.Linear(fan_in, fan_out, bias=False)  # noqa: E731
        self.q_proj, self.o_proj = linear(width, self.heads * of_head), linear(self.heads * of_head, width)
        self.k_proj, self.v_proj = (linear(width, self.key_heads * of_head) for _ in range(2))
        self.gate_proj, self.up_proj, self.down_proj = linear(width, hidden), linear(width, hidden), linear(hidden, width)
        self.norm_1, self.norm_2 = (nn.RMSNorm(width, eps=epsilon) for _ in range(2))

    def forward(self, x, cos, sin):
        y = self.norm_1(x)
        q, k, v = heads_of(self.q_proj(y), self.heads), heads_of(self.k_proj(y), self.key_heads), heads_of(self.v_proj(y), self.key_heads)
        seen = F.scaled_dot_product_attention(turned(q, cos, sin), turned(k, cos, sin), v, is_causal=True, enable_gqa=True)
        x = x + self.o_proj(seen.transpose(1, 2).flatten(2))
        y = self.norm_2(x)
        return x + self.down_proj(F.silu(self.gate_proj(y)) * self.up_proj(y))


def turned(x, cos, sin):
    """Pairs of numbers, half of a head apart, turned by the angles of their place."""
    first, second = x.chunk(2, 3)
    return (x * cos + torch.cat([-second, first], 3) * sin).to(x.dtype)


class Llama(nn.Module):
    """[texts, longest] tokens → what each has become; `logits` of some of those. The last product has the table's weights."""

    def __init__(self, config):
        super().__init__()
        rope = config["rope_parameters"]
        assert config["model_type"] == "llama" and config["tie_word_embeddings"] and config["hidden_act"] == "silu", config
        assert rope["rope_type"] == "default" and not config["attention_bias"] and not config["mlp_bias"], config
        self.base, self.of_head = rope["rope_theta"], config["head_dim"]
        self.tokens = nn.Embedding(config["vocab_size"], config["hidden_size"])
        self.blocks = nn.ModuleList(LlamaBlock(config) for _ in range(config["num_hidden_layers"]))
        self.norm = nn.RMSNorm(config["hidden_size"], eps=config["rms_norm_eps"])

    @classmethod
    def of(cls, config, tensors):
        """With the weights of a file."""
        modules = {"tokens": "model.embed_tokens", "norm": "model.norm"}
        for i in range(config["num_hidden_layers"]):
            modules |= {f"blocks.{i}.{ours}": f"model.layers.{i}.{theirs}" for ours, theirs in LlamaBlock.NAMES.items()}
        return filled(lambda: cls(config), {f"{ours}.weight": tensors[f"{theirs}.weight"] for ours, theirs in modules.items()})

    def forward(self, tokens):
        angles = torch.arange(tokens.shape[1])[:, None] * self.base ** (-torch.arange(0, self.of_head, 2) / self.of_head)
        angles = torch.cat([angles, angles], 1)
        x, cos, sin = self.tokens(tokens), angles.cos(), angles.sin()
        for block in self.blocks:
            x = block(x, cos, sin)
        return self.norm(x)

    def logits(self, x):
        return F.linear(x, self.tokens.weight)
