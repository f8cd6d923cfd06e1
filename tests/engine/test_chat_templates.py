"""Chats are those that transformers makes of the families' templates, token for token."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hub_tokenizers import byte_level, sentencepiece_style, write

from midfill_engine.gguf.reader import open_gguf
from midfill_engine.prompt import CHAT_FORMATS, render_chat, resolve_chat
from midfill_engine.tokenizer import build_from_folder
from midfill_engine.types import ChatRequest, Message, Role

transformers = pytest.importorskip("transformers", reason="the reference is not installed")
pytest.importorskip("jinja2", reason="the templates need it")

# What the published templates say, each in the fewest words. Their checks are left out.
CHATML = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\n"
    "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}"
    "{{ m.content | trim }}{{ '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
DEEPSEEK = (
    "{{ bos_token }}{% if messages[0].role != 'system' %}{{ 'You are an AI programming assistant, "
    "utilizing the Deepseek Coder model, developed by Deepseek Company, and you only answer "
    "questions related to computer science. For politically sensitive questions, security and "
    "privacy issues, and other non-computer science questions, you will refuse to answer\n' }}"
    "{% endif %}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}"
    "{% elif m.role == 'user' %}{{ '### Instruction:\n' + m.content + '\n' }}"
    "{% else %}{{ '### Response:\n' + m.content + '\n<|EOT|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Response:\n' }}{% endif %}"
)
TEMPLATES = {"chatml": CHATML, "gemma": GEMMA, "deepseek-coder": DEEPSEEK}
CODE = "def add(a, b):\n\treturn a  +  b\n\n\n    x = [1, 22]  # é 漢 🙂\n"
CHATS = [
    [("user", "hi")],
    [("user", f"  {CODE}")],
    [("user", "a\n"), ("assistant", f"\n{CODE}"), ("user", "b\n\n")],
    [("system", f"{CODE}\n"), ("user", "a"), ("assistant", ""), ("user", "\td")],
]


def reference(key: str) -> Any:
    """The library's tokenizer of a tiny vocabulary that has what ``key`` needs."""
    row = CHAT_FORMATS[key]
    specials = sorted({*row.specials, *row.stops})
    if key == "gemma":
        fast = sentencepiece_style("gemma", specials)
    else:
        fast = byte_level("deepseek-coder" if key == "deepseek-coder" else "qwen2", specials)
    begins = next(
        (text for text in specials if text in ("<bos>", "<\uff5cbegin▁of▁sentence\uff5c>")), None
    )
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=fast, bos_token=begins)
    made.chat_template = TEMPLATES[key]
    return made


def both(
    key: str, made: Any, folder: Path, chat: Sequence[tuple[str, str]]
) -> tuple[list[int], list[int]]:
    """Our ids, and those of the template."""
    tokenizer = build_from_folder(write(folder, made.backend_tokenizer))
    request = ChatRequest(messages=tuple(Message(role=Role(at), text=text) for at, text in chat))
    ours = render_chat(
        request, chat=resolve_chat(key, tokenizer), tokenizer=tokenizer, budget_tokens=4096
    )
    said = [{"role": role, "content": text} for role, text in chat]
    theirs = made.apply_chat_template(said, add_generation_prompt=True, tokenize=True)
    return list(ours.tokens), list(theirs)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("key", TEMPLATES)
def test_a_chat_is_the_templates(key: str, chat: Sequence[tuple[str, str]], tmp_path: Path) -> None:
    if key == "gemma":
        # Its template refuses a system message; ours is a part of the first question.
        chat = [(role, text) for role, text in chat if role != "system"]
    ours, theirs = both(key, reference(key), tmp_path, chat)
    assert ours == theirs


@pytest.mark.filterwarnings("ignore")
def test_a_chat_is_that_of_the_real_models_own_template(tmp_path: Path) -> None:
    home = os.environ.get("MIDFILL_HOME")
    files = sorted(Path(home).rglob("qwen2.5-coder-*.gguf")) if home else []
    if not files:
        pytest.skip("no Qwen2.5-Coder GGUF under MIDFILL_HOME")
    made = reference("chatml")
    made.chat_template = open_gguf(files[0]).metadata["tokenizer.chat_template"]
    for number, chat in enumerate(CHATS):
        ours, theirs = both("chatml", made, tmp_path / str(number), chat)
        assert ours == theirs
