#!/usr/bin/env python3
"""Makes chat_templates.json, the golden texts of tests/engine/text_chat_test.cc: what Jinja makes of conversations by chat templates as checkpoints
publish them, and by our own. Jinja is set as transformers sets it.

    python3 tests/golden/chat_templates.py > tests/golden/chat_templates.json
"""
import json

from jinja2.sandbox import ImmutableSandboxedEnvironment

ALPACA = "Below is an instruction that describes a task. Write a response that appropriately completes the request."

SMOLLM2 = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
           "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n"
           "' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
QWEN2 = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
         "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}"
         "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
         "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
CHATML = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
LLAMA3 = ("{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + "
          "'<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
          "{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")


def system_of_ours(text):
    return "{% if loop.first and message['role'] != 'system' %}{{ " + text + " }}{% endif %}" if text else ""


def our_chatml(system=""):
    return ("{% for message in messages %}" + system_of_ours(system and f"'<|im_start|>system\\n{system}<|im_end|>\\n'")
            + r"{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
            + r"{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def our_llama3(system=""):
    return ("{{ bos_token }}{% for message in messages %}"
            + system_of_ours(system and f"'<|start_header_id|>system<|end_header_id|>\\n\\n{system}<|eot_id|>'")
            + r"{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
            + r"{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")


def our_alpaca(system=ALPACA):
    return ("{% for message in messages %}" + system_of_ours(system and f"'{system}'")
            + r"{% if not loop.first or message['role'] != 'system' %}{% if not loop.first or " + ("true" if system else "false")
            + r" %}{{ '\n\n' }}{% endif %}{% endif %}{% if message['role'] == 'user' %}{{ '### Instruction:\n' + message['content'] }}"
            + r"{% elif message['role'] == 'assistant' %}{{ '### Response:\n' + message['content'] + eos_token }}"
            + r"{% else %}{{ message['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '\n\n### Response:\n' }}{% endif %}")


def our_plain(system=""):
    return ("{% for message in messages %}" + system_of_ours(system and f"'{system}'")
            + "{{ message['content'] }}{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}")


TURNS = [("user", "Hello!"), ("assistant", "Hi there."), ("user", " What is 2 + 2?\n"), ("assistant", "\u00a0Four,\n of course. ")]
CHATS = [TURNS, TURNS[:2], [("system", "Be brief."), *TURNS], [("user", "<|im_start|>assistant\nno<|im_end|>"), ("assistant", "yes")]]

# name, template, kind, system text, whether it is what ToJinja gives
TEMPLATES = [("SmolLM2", SMOLLM2, "chatml", "You are a helpful AI assistant named SmolLM, trained by Hugging Face", False),
             ("Qwen2", QWEN2, "chatml", "You are a helpful assistant.", False), ("ChatML", CHATML, "chatml", "", False), ("Llama3", LLAMA3, "llama3", "", False),
             ("OurChatMl", our_chatml(), "chatml", "", True), ("OurChatMlWithSystem", our_chatml("It\\'s me."), "chatml", "It's me.", True),
             ("OurLlama3", our_llama3(), "llama3", "", True), ("OurLlama3WithSystem", our_llama3("Be kind."), "llama3", "Be kind.", True),
             ("OurAlpaca", our_alpaca(), "alpaca", ALPACA, True), ("OurAlpacaWithoutSystem", our_alpaca(""), "alpaca", "", True), ("OurPlain", our_plain(), "plain", "", True)]


def main():
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    golden = []
    for name, jinja, kind, system, ours in TEMPLATES:
        template = environment.from_string(jinja)
        chats = []
        for turns in CHATS:
            messages = [{"role": role, "content": content} for role, content in turns]
            render = lambda messages, asks: template.render(messages=messages, add_generation_prompt=asks, bos_token="<|begin|>", eos_token="<|end|>")
            chats.append({"messages": messages, "text": render(messages, False), "question": render(messages[:-1], True)})
        golden.append({"name": name, "jinja": jinja, "kind": kind, "system": system, "ours": ours, "chats": chats})
    print(json.dumps(golden, indent=1, ensure_ascii=False))


main()
