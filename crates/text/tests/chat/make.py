"""Makes expected.json: what transformers' Jinja environment renders from the templates here.

    python make.py          needs the PyPI package transformers (5.23 made the file here)
"""

import json
import pathlib

import jinja2
from transformers.utils.chat_template_utils import _compile_jinja_template

HERE = pathlib.Path(__file__).parent


def turns(*pairs):
    return [{"role": role, "content": content} for role, content in pairs]


CONVERSATIONS = [
    turns(("user", "Hi")),
    turns(("system", "Be brief."), ("user", " Hi \n"), ("assistant", "Hello."), ("user", "Why <b>\"x\"</b> & 'y'?\n\n")),
    turns(("user", "q"), ("assistant", "<think>\nhm\n</think>\n\nanswer"), ("user", "r"), ("assistant", "<think>\nso\n</think>\n\nend")),
    turns(("user", "q"), ("assistant", "call"), ("tool", "1"), ("tool", "2"), ("assistant", "done")),
    turns(("assistant", "first"), ("user", "")),
    turns(("user", "<tool_response>x</tool_response>"), ("assistant", "é漢😀"), ("system", "late")),
]


def main():
    cases = []
    for path in sorted(HERE.glob("*.jinja")):
        template = _compile_jinja_template(path.read_text())
        for messages in CONVERSATIONS:
            for flags in ({}, {"enable_thinking": False}) if path.stem == "thinking" else ({},):
                for prompt in (False, True):
                    case = {"template": path.name, "messages": messages, "flags": flags, "add_generation_prompt": prompt}
                    try:
                        case["text"] = template.render(
                            messages=messages, tools=None, add_generation_prompt=prompt,
                            bos_token="<bos>", eos_token="<eos>", **flags)
                    except jinja2.TemplateError as error:
                        case["refused"] = str(error)
                    cases.append(case)
    (HERE / "expected.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
