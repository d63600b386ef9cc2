#!/usr/bin/env python3
"""Makes huggingface.json: what transformers computes with small checkpoints in float64, the truth of tests/engine/huggingface_test.cc.

    ~/.cache/hone/transformers/bin/python tests/golden/huggingface.py > tests/golden/huggingface.json

The environment is made by `python3 tests/support/environments.py transformers`. The weights are not stored: number i of a tensor is that of its
stream, as first_step.py explains. Names, shapes and config.json are as transformers writes them. Token i of all texts, one behind the other, is
number i of stream 1. `written` begins with two tokens and goes on with the likeliest ones. `logits` are all numbers of the answers, text behind text
(of a model that foretells tokens, token behind token), as their norm and their sums under patterns of signs.
"""
import json
import os
import pathlib

import numpy as np
import torch
import transformers

import first_step

CHECKPOINTS = pathlib.Path(os.environ.get("HONE_CHECKPOINT_DIR") or
                           pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "hone" / "checkpoints")
PROMPT = [4, 31]
LENGTHS = [5, 1, 9, 3]
CLASSES = 3
ENCODER = {"vocab_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 24, "intermediate_size": 56,
           "max_position_embeddings": 20, "num_labels": CLASSES}
DISTILBERT = {"vocab_size": 40, "n_layers": 2, "n_heads": 4, "dim": 24, "hidden_dim": 56, "max_position_embeddings": 20, "num_labels": CLASSES}
GPT2 = {"vocab_size": 40, "n_layer": 2, "n_head": 4, "n_embd": 24, "n_positions": 20}
LLAMA = {"vocab_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 24, "intermediate_size": 56,
         "max_position_embeddings": 20, "rms_norm_eps": 1e-5, "rope_parameters": {"rope_theta": 5000.0, "rope_type": "default"}}
QWEN = LLAMA | {"use_sliding_window": False}
SCALED = {"rope_theta": 100.0, "rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32}
# Of each: the configuration, the model, and what else a text is given with.
CASES = {
    "bert": (transformers.BertConfig(**ENCODER), transformers.BertForSequenceClassification, {}),
    "bert_pairs": (transformers.BertConfig(**ENCODER), transformers.BertForSequenceClassification, {"pairs": True}),
    "bert_masked": (transformers.BertConfig(**ENCODER, hidden_act="gelu_new"), transformers.BertForMaskedLM, {}),
    "distilbert": (transformers.DistilBertConfig(**DISTILBERT), transformers.DistilBertForSequenceClassification, {}),
    "distilbert_masked": (transformers.DistilBertConfig(**DISTILBERT), transformers.DistilBertForMaskedLM, {}),
    "roberta": (transformers.RobertaConfig(**ENCODER | {"type_vocab_size": 1, "layer_norm_eps": 1e-5}),
                transformers.RobertaForSequenceClassification, {}),
    "roberta_masked": (transformers.RobertaConfig(**ENCODER | {"type_vocab_size": 1, "layer_norm_eps": 1e-5}), transformers.RobertaForMaskedLM, {}),
    "gpt2": (transformers.GPT2Config(**GPT2), transformers.GPT2LMHeadModel, {}),
    "gpt2_untied": (transformers.GPT2Config(**GPT2, n_inner=56, tie_word_embeddings=False), transformers.GPT2LMHeadModel, {}),
    "llama": (transformers.LlamaConfig(**LLAMA), transformers.LlamaForCausalLM, {}),
    "llama_tied": (transformers.LlamaConfig(**LLAMA, tie_word_embeddings=True), transformers.LlamaForCausalLM, {}),
    "llama_biased": (transformers.LlamaConfig(**LLAMA, attention_bias=True, mlp_bias=True, head_dim=8), transformers.LlamaForCausalLM, {}),
    "llama_linear": (transformers.LlamaConfig(**LLAMA | {"rope_parameters": {"rope_theta": 100.0, "rope_type": "linear", "factor": 2.5}}),
                     transformers.LlamaForCausalLM, {}),
    "llama_scaled": (transformers.LlamaConfig(**LLAMA | {"rope_parameters": SCALED}), transformers.LlamaForCausalLM, {}),
    "qwen2": (transformers.Qwen2Config(**QWEN), transformers.Qwen2ForCausalLM, {}),
    "qwen2_tied": (transformers.Qwen2Config(**QWEN, tie_word_embeddings=True), transformers.Qwen2ForCausalLM, {}),
    "qwen3": (transformers.Qwen3Config(**QWEN, head_dim=8), transformers.Qwen3ForCausalLM, {}),
    "qwen3_tied": (transformers.Qwen3Config(**QWEN, head_dim=6, tie_word_embeddings=True), transformers.Qwen3ForCausalLM, {}),
}


def fill(model):
    """Gives every tensor its numbers; the rows that tell of them. Tensors that share memory are one, as in a file."""
    rows, seen = [], set()
    # Of a tied weight the file has the table of the embeddings.
    for name, tensor in sorted(model.state_dict().items(), key=lambda item: (item[0].startswith("lm_head"), item[0])):
        if tensor.data_ptr() in seen or not tensor.is_floating_point():
            continue
        seen.add(tensor.data_ptr())
        norm = tensor.dim() == 1 and name.endswith("weight")
        offset, scale = (1, 0.25) if norm else (0, 0.125) if tensor.dim() == 1 else (0, (3 / tensor.shape[1]) ** 0.5)
        row = {"name": name, "shape": list(tensor.shape), "stream": 3 + len(rows), "offset": offset, "scale": scale}
        u = (first_step.stream(row["stream"], tensor.numel()) >> np.uint64(40)).astype(np.float64) / 2**23 - 1
        values = (offset + scale * u).astype(np.float32).astype(np.float64).reshape(row["shape"])
        tensor.copy_(torch.tensor(values))
        rows.append(row)
    return rows


def texts(vocabulary):
    # The padding token stands in no text: RoBERTa counts places by the others.
    numbers = first_step.stream(first_step.PIXELS, sum(LENGTHS)) % np.uint64(vocabulary - 2) + np.uint64(2)
    return torch.tensor(numbers.astype(np.int64)).split(LENGTHS)


def measured(logits):
    return first_step.measure(torch.cat(logits)) | {"count": sum(len(part) for part in logits)}


def answers(config, architecture, pairs=False):
    model = architecture(config).double().eval()
    with torch.no_grad():
        rows = fill(model)
        logits = []
        for text in texts(config.vocab_size):
            more = {}
            if pairs:  # the second half is the second text
                more["token_type_ids"] = (torch.arange(len(text)) >= (len(text) + 1) // 2).long()[None]
            logits.append(model(input_ids=text[None], **more).logits.flatten())
        of_tokens = len(logits[0]) == LENGTHS[0] * config.vocab_size
        written = list(PROMPT)
        while architecture.__name__.endswith(("LMHeadModel", "CausalLM")) and len(written) < len(PROMPT) + 8:
            written.append(int(model(input_ids=torch.tensor([written])).logits[0, -1].argmax()))
    config.architectures = [architecture.__name__]
    as_file = json.loads(config.to_json_string(use_diff=False)) | {"transformers_version": "5"}
    return {"config": as_file, "parameters": rows, "lengths": LENGTHS, "pairs": pairs,
            "of_tokens": of_tokens, "written": written, "logits": measured(logits)}


def minilm():
    """A real checkpoint (tests/engine/huggingface_testing.h says where it is): what its pooler makes of each text."""
    model = transformers.BertModel.from_pretrained(CHECKPOINTS / "minilm-l6").double().eval()
    with torch.no_grad():
        pooled = [model(input_ids=text[None]).pooler_output.flatten() for text in texts(model.config.vocab_size)]
    return {"lengths": LENGTHS, "pairs": False, "logits": measured(pooled)}


def smollm2():
    """Another one: what it makes of a question, token by token, by the largest logit in f32; `logits` are those behind all of these tokens."""
    folder = CHECKPOINTS / "smollm2-135m"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    text = tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.no_grad():
        written = model.generate(text, attention_mask=torch.ones_like(text), max_new_tokens=30, do_sample=False)
        logits = model.double()(input_ids=written).logits
    top = logits[0].topk(2).values
    return {"lengths": [written.shape[1]], "pairs": False, "tokens": written[0].tolist(), "prompt": text.shape[1],
            "margin": float((top[:, 0] - top[:, 1])[text.shape[1] - 1:].min()), "logits": measured([logits.flatten()])}


def main():
    cases = {name: answers(config, architecture, **more) for name, (config, architecture, more) in CASES.items()}
    known = pathlib.Path(__file__).with_suffix(".json")
    for name, folder, make in (("minilm", "minilm-l6", minilm), ("smollm2", "smollm2-135m", smollm2)):
        # What is committed stays where the checkpoint is not there.
        there = (CHECKPOINTS / folder / "model.safetensors").exists()
        cases[name] = make() if there else json.loads(known.read_text(encoding="utf-8"))[name]
    print(json.dumps(cases))


main()
