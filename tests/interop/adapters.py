"""What peft, transformers and ONNX Runtime make of a model with adapters: prints as JSON where they differ.

    adapters.py CHECKPOINT PEFT_FOLDER MERGED_FOLDER ONNX_FILE

The adapters on their checkpoint, the checkpoint into which they are merged, and that one as ONNX have the same logits, and others than
the checkpoint alone. What is no number differs from everything: comparisons say what must be so, not what must not.
"""
import json
import sys

import onnxruntime
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

TEXT = "Translate to French: The train was late again."
MOST = 1e-4  # of the largest logit


def main():
    checkpoint, adapters, merged, onnx = sys.argv[1:]
    ids = AutoTokenizer.from_pretrained(merged)(TEXT, return_tensors="pt").input_ids

    def logits(model):
        with torch.no_grad():
            return model.eval()(ids).logits

    def load(folder):
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    base, whole = logits(load(checkpoint)), logits(load(merged))
    adapted = logits(PeftModel.from_pretrained(load(checkpoint), adapters))
    session = onnxruntime.InferenceSession(onnx)
    asked = {"input_ids": ids.numpy(), "attention_mask": torch.ones_like(ids).numpy()}
    run = torch.from_numpy(session.run(None, asked)[0])
    largest = whole.abs().max()
    found = [f"{name} is {float((other - whole).abs().max() / largest):.1e} of the largest logit away from the merged checkpoint"
             for name, other in (("peft's", adapted), ("ONNX Runtime's", run)) if not (other - whole).abs().max() <= MOST * largest]
    if not (base - whole).abs().max() >= 10 * MOST * largest:
        found.append("the adapters change nothing, so that nothing is shown")
    print(json.dumps(found))


main()
