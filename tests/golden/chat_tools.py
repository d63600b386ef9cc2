#!/usr/bin/env python3
"""Makes chat_tools.json, the golden texts of tests/engine/chat_tools_test.cc: what Jinja makes of conversations with tools by the chat templates that
Qwen2.5 and Llama 3.1 and 3.2 are published with, and by our own, and what of the texts the assistant says. Jinja is set as transformers sets it, but
that no clock is given to the templates.

    python3 tests/golden/chat_tools.py > tests/golden/chat_tools.json
"""
import json

from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

QWEN25 = r"""{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.' }}
    {%- endif %}
    {{- "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>" }}
    {%- for tool in tools %}
        {{- "\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\n</tools>\n\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\n<tool_call>\n{"name": "' }}
            {{- tool_call.name }}
            {{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\n<tool_response>\n' }}
        {{- message.content }}
        {{- '\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""

LLAMA31_DATE = r"""{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
"""
LLAMA32_DATE = r"""{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
"""
LLAMA31_SYSTEM = r"""{#- System message + builtin tools #}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{%- if builtin_tools is defined or tools is not none %}
    {{- "Environment: ipython\n" }}
{%- endif %}
{%- if builtin_tools is defined %}
    {{- "Tools: " + builtin_tools | reject('equalto', 'code_interpreter') | join(", ") + "\n\n"}}
{%- endif %}
"""
LLAMA32_SYSTEM = r"""{#- System message #}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\n" }}
{%- endif %}
"""
LLAMA31_CALL = r"""        {%- if builtin_tools is defined and tool_call.name in builtin_tools %}
            {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}
            {{- "<|python_tag|>" + tool_call.name + ".call(" }}
            {%- for arg_name, arg_val in tool_call.arguments | items %}
                {{- arg_name + '="' + arg_val + '"' }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- endif %}
                {%- endfor %}
            {{- ")" }}
        {%- else  %}
            {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}
            {{- '{"name": "' + tool_call.name + '", ' }}
            {{- '"parameters": ' }}
            {{- tool_call.arguments | tojson }}
            {{- "}" }}
        {%- endif %}
        {%- if builtin_tools is defined %}
            {#- This means we're in ipython mode #}
            {{- "<|eom_id|>" }}
        {%- else %}
            {{- "<|eot_id|>" }}
        {%- endif %}
"""
LLAMA32_CALL = r"""        {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
"""


def llama(date, system, call):
    return r"""{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
""" + date + r"""{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- This block extracts the system message, so we can slot it into the right place. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

""" + system + r"""{{- "Cutting Knowledge Date: December 2023\n" }}
{{- "Today Date: " + date_string + "\n\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {{- "You have access to the following functions. To call a function, please respond with JSON for a function call." }}
    {{- 'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.' }}
    {{- "Do not use variables.\n\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\n\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}

{#- Custom tools are passed in a user message with some extra guidance #}
{%- if tools_in_user_message and not tools is none %}
    {#- Extract the first user message so we can plug it in here #}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("Cannot put tools in the first user message when there's no first user message!") }}
{%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\n\n' -}}
    {{- "Given the following functions, please respond with a JSON for a function call " }}
    {{- "with its proper arguments that best answers the given prompt.\n\n" }}
    {{- 'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.' }}
    {{- "Do not use variables.\n\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\n\n" }}
    {%- endfor %}
    {{- first_user_message + "<|eot_id|>"}}
{%- endif %}

{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
""" + call + r"""    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\n\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
"""


# What ToJinja gives, in parts as they are read.
TOOLS_BEGIN = (r"# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures within "
               r"<tools></tools> XML tags:\n<tools>")
TOOLS_END = (r"\n</tools>\n\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n"
             r'<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>')
GUIDANCE = (r"Given the following functions, please respond with a JSON for a function call with its proper arguments that best answers the given "
            r'prompt.\n\nRespond in the format {"name": function name, "parameters": dictionary of argument name and its value}.Do not use variables.\n\n')


def our_chatml_tools(system=""):
    own = "{% else %}{{ '" + system + r"\n\n' }}" if system else ""
    turn = ("{% if loop.first and message['role'] != 'system' and not tools %}{{ '<|im_start|>system\\n" + system + "<|im_end|>\\n' }}{% endif %}"
            if system else "")
    return (r"{% if tools %}{{ '<|im_start|>system\n' }}{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] + '\n\n' }}" + own +
            "{% endif %}{{ '" + TOOLS_BEGIN + r"' }}{% for tool in tools %}{{ '\n' + (tool | tojson) }}{% endfor %}{{ '" + TOOLS_END +
            r"<|im_end|>\n' }}{% endif %}{% for message in messages %}" + turn +
            r"{% if message['role'] == 'tool' %}{% if loop.first or messages[loop.index0 - 1]['role'] != 'tool' %}{{ '<|im_start|>user' }}{% endif %}"
            r"{{ '\n<tool_response>\n' + message['content'] + '\n</tool_response>' }}"
            r"{% if loop.last or messages[loop.index0 + 1]['role'] != 'tool' %}{{ '<|im_end|>\n' }}{% endif %}"
            r"{% elif message['tool_calls'] %}{{ '<|im_start|>assistant' }}{% if message['content'] %}{{ '\n' + message['content'] }}{% endif %}"
            r"""{% for call in message['tool_calls'] %}{{ '\n<tool_call>\n{"name": "' + call['function']['name'] + '", "arguments": ' + """
            r"(call['function']['arguments'] | tojson) + '}\n</tool_call>' }}{% endfor %}{{ '<|im_end|>\n' }}"
            r"{% elif message['role'] != 'system' or not tools %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
            r"{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def our_llama31(system=""):
    return (r"{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] | trim %}{% set turns = messages[1:] %}"
            r"{% else %}{% set system = '" + system + r"' %}{% set turns = messages %}{% endif %}"
            r"{{ '<|start_header_id|>system<|end_header_id|>\n\n' }}{% if tools %}{{ 'Environment: ipython\n' }}{% endif %}"
            r"{{ 'Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n' + system + '<|eot_id|>' }}"
            r"{% for message in turns %}{% if message['role'] == 'tool' %}"
            r"{{ '<|start_header_id|>ipython<|end_header_id|>\n\n' + (message['content'] | tojson) + '<|eot_id|>' }}"
            r"{% elif message['tool_calls'] %}{% set call = message['tool_calls'][0] %}"
            r"""{{ '<|start_header_id|>assistant<|end_header_id|>\n\n{"name": "' + call['function']['name'] + '", "parameters": ' + """
            r"(call['function']['arguments'] | tojson) + '}<|eot_id|>' }}"
            r"{% else %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}{% if loop.first and tools %}{{ '" + GUIDANCE +
            r"' }}{% for tool in tools %}{{ (tool | tojson(indent=4)) + '\n\n' }}{% endfor %}{% endif %}"
            r"{{ (message['content'] | trim) + '<|eot_id|>' }}{% endif %}{% endfor %}"
            r"{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")


WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "What the weather is in a \"place\", \u00e0 Paris or <elsewhere> & so on.\n",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "default": 1},
                                                    "unit": {"type": "string", "enum": ["C", "F"]}}, "required": ["place"], "additionalProperties": False}}}
CLOCK = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}, "required": []}, "returns": None}}


def call(name, arguments):
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


SUM = call("sum", {"b": 2, "a": -1.0, "c": [1e-05, 0.0001, 1e15, 1e16, 1.5e300, 0.1, -0.0, 9007199254740993, []], "d": {}, "e": None, "f": "\u00e9\t\x01\"\\/\u2028"})
ASKED = {"role": "user", "content": " Will it rain?\n"}
ONE = [ASKED, {"role": "assistant", "content": "", "tool_calls": [call("get_weather", {"place": "Zürich", "days": 2})]},
       {"role": "tool", "content": "Rain, \"12\" °C\n"}, {"role": "assistant", "content": "It will."}]
SEVERAL = [ASKED, {"role": "assistant", "content": "I look.", "tool_calls": [call("get_weather", {"place": "Bern"}), call("now", {})]},
           {"role": "tool", "content": "sun"}, {"role": "tool", "content": "12:00"}, {"role": "assistant", "content": "No."}]
SYSTEM = {"role": "system", "content": " Be brief. "}
# messages, tools
CHATS = [(ONE, [WEATHER]), ([SYSTEM, *ONE], [WEATHER, CLOCK]), (ONE, None), ([SYSTEM, *ONE], None), (SEVERAL, [WEATHER, CLOCK]),
         ([ASKED, {"role": "assistant", "content": "", "tool_calls": [SUM]}, {"role": "tool", "content": ""}, ASKED, {"role": "assistant", "content": "2"}], [CLOCK]),
         (ONE[:2], [WEATHER]), ([ASKED, ONE[3]], [CLOCK]), ([ASKED, ONE[3]], None)]

# name, template, kind, system text, whether it is what ToJinja gives
QWENS = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
TEMPLATES = [("Qwen25", QWEN25, "chatml-tools", QWENS, False),
             ("Llama31", llama(LLAMA31_DATE, LLAMA31_SYSTEM, LLAMA31_CALL), "llama31", "", False),
             ("Llama32", llama(LLAMA32_DATE, LLAMA32_SYSTEM, LLAMA32_CALL), "llama31", "", False),
             ("OurChatMlTools", our_chatml_tools(), "chatml-tools", "", True),
             ("OurChatMlToolsWithSystem", our_chatml_tools("It\\'s me."), "chatml-tools", "It's me.", True),
             ("OurLlama31", our_llama31(), "llama31", "", True), ("OurLlama31WithSystem", our_llama31("It\\'s me."), "llama31", "It's me.", True)]


def as_line(messages, tools):
    """As OpenAI writes it: arguments are texts."""
    messages = json.loads(json.dumps(messages))
    for message in messages:
        for made in message.get("tool_calls", []):
            made["function"]["arguments"] = json.dumps(made["function"]["arguments"])
    return json.dumps({"messages": messages, **({"tools": tools} if tools else {})}, ensure_ascii=False)


def main():
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda x, indent=None: json.dumps(x, ensure_ascii=False, indent=indent)

    def refuse(what):
        raise TemplateError(what)

    environment.globals["raise_exception"] = refuse
    golden = []
    for name, jinja, kind, system, ours in TEMPLATES:
        template = environment.from_string(jinja)
        chats = []
        for messages, tools in CHATS:
            if kind == "llama31" and any(len(message.get("tool_calls", [])) > 1 for message in messages):
                continue  # Llama 3.1's template raises an exception
            render = lambda count, asks: template.render(messages=messages[:count], tools=tools, add_generation_prompt=asks, bos_token="<|begin|>",
                                                         eos_token="<|end|>")
            learned = []
            for i, message in enumerate(messages):
                if message["role"] == "assistant":
                    asked, answered = render(i, True), render(i + 1, False)
                    assert answered.startswith(asked), (name, asked, answered)
                    learned.append(answered[len(asked):])
            chats.append({"line": as_line(messages, tools), "text": render(len(messages), False), "learned": learned})
        golden.append({"name": name, "jinja": jinja, "kind": kind, "system": system, "ours": ours, "chats": chats})
    print(json.dumps(golden, indent=1, ensure_ascii=False))


main()
