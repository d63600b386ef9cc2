"""A checkpoint of Llama's type and what Hone writes of it as GGUF of f32, by the Python package gguf of llama.cpp: prints the differences as a JSON list.

    gguf_again.py CHECKPOINT MODEL.gguf
"""
import json
import pathlib
import struct
import sys

import numpy as np
from gguf import GGUFReader, GGUFValueType as Type

# The keys that llama.cpp reads, with their types; of arrays that of the elements, too.
KEYS = {"general.architecture": [Type.STRING], "llama.context_length": [Type.UINT32], "llama.embedding_length": [Type.UINT32],
        "llama.block_count": [Type.UINT32], "llama.feed_forward_length": [Type.UINT32], "llama.attention.head_count": [Type.UINT32],
        "llama.attention.head_count_kv": [Type.UINT32], "llama.attention.layer_norm_rms_epsilon": [Type.FLOAT32],
        "llama.rope.dimension_count": [Type.UINT32], "llama.rope.freq_base": [Type.FLOAT32], "tokenizer.ggml.model": [Type.STRING],
        "tokenizer.ggml.pre": [Type.STRING], "tokenizer.ggml.tokens": [Type.ARRAY, Type.STRING], "tokenizer.ggml.token_type": [Type.ARRAY, Type.INT32],
        "tokenizer.ggml.merges": [Type.ARRAY, Type.STRING], "tokenizer.ggml.eos_token_id": [Type.UINT32], "tokenizer.ggml.add_bos_token": [Type.BOOL],
        "tokenizer.chat_template": [Type.STRING]}
ONCE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
OF_BLOCK = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
            "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
            "ffn_down": "mlp.down_proj"}


def weights(path):
    """The tensors of a file of safetensors of BF16, as f32."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    for name, tensor in header.items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in tensor["data_offsets"])
            yield name, (np.frombuffer(data[begin:end], np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(tensor["shape"])


def differences(folder, file):
    config, reader = json.loads((folder / "config.json").read_text(encoding="utf-8")), GGUFReader(file)
    for key, types in KEYS.items():
        if key not in reader.fields:
            yield f"{key} is missing"
        elif reader.fields[key].types != types:
            yield f"{key} is of {reader.fields[key].types}"
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    tokens = {**{id: token for token, id in tokenizer["model"]["vocab"].items()}, **{added["id"]: added["content"] for added in tokenizer["added_tokens"]}}
    found = reader.fields["tokenizer.ggml.tokens"].contents()
    yield from (f"token {id} is {found[id]!r}, not {token!r}" for id, token in tokens.items() if found[id] != token)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    names = {f"{ours}.weight": f"{theirs}.weight" for ours, theirs in ONCE.items()}
    for block in range(config["num_hidden_layers"]):
        names.update({f"blk.{block}.{ours}.weight": f"model.layers.{block}.{theirs}.weight" for ours, theirs in OF_BLOCK.items()})
    yield from (f"{name} is there in one of both alone" for name in tensors.keys() ^ names.keys())
    theirs = dict(weights(folder / "model.safetensors"))
    for name, tensor in tensors.items():
        wanted = theirs[names[name]]
        heads = config["num_attention_heads"] if "attn_q" in name else config["num_key_value_heads"] if "attn_k" in name else 0
        if heads:  # llama.cpp turns neighbours together, transformers the halves of a head
            wanted = wanted.reshape(heads, 2, len(wanted) // heads // 2, -1).swapaxes(1, 2).reshape(wanted.shape)
        if tensor.data_offset % reader.alignment or not np.array_equal(np.asarray(tensor.data), wanted):
            yield f"{name} has other numbers, or does not lie at a multiple of {reader.alignment}"


def main():
    print(json.dumps(list(differences(pathlib.Path(sys.argv[1]), sys.argv[2]))))


main()
