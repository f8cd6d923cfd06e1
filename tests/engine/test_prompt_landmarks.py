"""What is kept of the far part of a long file, and where its windows begin and end."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_vocabulary import tiny_metadata

from midfill_engine.prompt import FimOrder, render, resolve
from midfill_engine.tokenizer import build_tokenizer
from midfill_engine.types import CompletionRequest, ContextChunk, Landmark

TOKENIZER = build_tokenizer(tiny_metadata("qwen2"))
QWEN = resolve("qwen2.5-coder", TOKENIZER)
FIMS = {
    "prefix first": QWEN,
    "prefix last": replace(QWEN, format=replace(QWEN.format, order=FimOrder.PREFIX_LAST)),
    "no middle": replace(
        QWEN,
        middle=None,
        format=replace(QWEN.format, order=FimOrder.SUFFIX_FIRST, middle=None),
    ),
    "none": None,
}
IMPORTS, CLASS, METHOD = "import os\nimport sys\n", "class Table:\n", "    def draw(self, to):\n"


def body(lines: int, name: str = "row") -> str:
    return "".join(f"        {name}_{at} = make({at})\n" for at in range(lines))


def source(lines: int = 60) -> str:
    return IMPORTS + CLASS + body(lines, "field") + METHOD + body(lines)


def marks(text: str, *parts: str) -> tuple[Landmark, ...]:
    """The places of ``parts`` in ``text``, most important first."""
    places = [(text.index(part), len(part)) for part in parts]
    return tuple(Landmark(start=start, end=start + size) for start, size in places)


def seen(request: CompletionRequest, budget: int, name: str = "prefix first") -> str:
    """The prompt as text: markers have none."""
    prompt = render(request, tokenizer=TOKENIZER, fim=FIMS[name], budget_tokens=budget)
    assert len(prompt.tokens) <= budget
    return TOKENIZER.decode(prompt.tokens)


def check(text: str, landmarks: tuple[Landmark, ...], kept: str, *, budget: int = 200) -> None:
    """Of ``text``, too long for ``budget``, the prompt of every family shows ``kept`` and then its
    last lines, and says how much it left out."""
    request = CompletionRequest(prefix=text, landmarks=landmarks)
    for name, fim in FIMS.items():
        shown = seen(request, budget, name)
        assert shown.startswith(kept)
        window = shown.removeprefix(kept)
        assert len(window) > 100
        assert text.endswith("\n" + window)
        prompt = render(request, tokenizer=TOKENIZER, fim=fim, budget_tokens=budget)
        assert prompt.dropped.prefix_chars == len(text) - len(shown)
        assert prompt.prefix_tokens >= budget * 0.6


def test_headers_and_imports_are_kept_in_the_order_of_the_file() -> None:
    text = source()
    for parts in [(METHOD, CLASS, IMPORTS), (IMPORTS, METHOD, CLASS)]:
        check(text, marks(text, *parts), IMPORTS + CLASS + METHOD)
    check(text, marks(text, CLASS), CLASS)
    check(text, (), "")


def test_lines_are_kept_whole_and_once() -> None:
    text = source()
    inside = marks(text, "Table", "lass T", "able:\n", CLASS)
    check(text, inside, CLASS)
    check(text, (*inside, *marks(text, "import os", "sys")), IMPORTS + CLASS)


def test_of_the_most_important_the_first_lines_are_kept() -> None:
    header = "    def draw(\n" + "".join(f"        x_{at}: int,\n" for at in range(40)) + "    ):\n"
    text = IMPORTS + CLASS + header + body(60)
    shown = seen(CompletionRequest(prefix=text, landmarks=marks(text, header)), 200)
    assert shown.startswith("    def draw(\n        x_0: int,\n        x_1: int,\n")
    kept = shown[: shown.index("        row_")]
    assert header.startswith(kept)
    assert len(TOKENIZER.encode(kept)) <= 200 // 4
    # A less important one is kept whole or not at all.
    check(text, marks(text, CLASS, header, IMPORTS), IMPORTS + CLASS)
    everything = Landmark(start=0, end=len(text))
    shown = seen(CompletionRequest(prefix=text, landmarks=(everything,)), 200)
    assert shown.startswith(text[:60])


def test_what_the_window_shows_is_not_shown_twice() -> None:
    text = IMPORTS + CLASS + body(60, "field") + METHOD + body(3)
    shown = seen(CompletionRequest(prefix=text, landmarks=marks(text, METHOD, CLASS)), 200)
    assert shown.startswith(CLASS)
    assert shown.count(METHOD) == 1
    short = source(3)
    assert seen(CompletionRequest(prefix=short, landmarks=marks(short, METHOD)), 400) == short


def test_a_file_that_just_fits_is_shown_whole() -> None:
    text = source(12)
    size = len(TOKENIZER.encode(text)) + 3
    landmarks = marks(text, METHOD, CLASS, IMPORTS)
    assert seen(CompletionRequest(prefix=text, landmarks=landmarks), size) == text
    assert seen(CompletionRequest(prefix=text, landmarks=landmarks), size - 1) != text


def test_the_window_begins_at_a_unit_if_one_begins_there() -> None:
    lines = [f"value_{at} = make({at})\n" for at in range(200)]
    text = "".join(lines)
    usual = len(seen(CompletionRequest(prefix=text), 400))
    starts = [len("".join(lines[:at])) for at in range(200)]
    near = [start for start in starts if usual * 0.85 < len(text) - start < usual]
    assert near
    for start in near:
        mark = Landmark(start=start, end=start + 3)
        request = CompletionRequest(prefix=text, landmarks=(mark,))
        for name in FIMS:
            assert seen(request, 400, name) == text[start:]


def test_the_suffix_ends_at_a_unit_if_one_ends_there() -> None:
    lines = [f"value_{at} = make({at})\n" for at in range(200)]
    text = "".join(lines)
    usual = len(seen(CompletionRequest(prefix="", suffix=text), 400))
    ends = [len("".join(lines[:at])) for at in range(200)]
    near = [end for end in ends if usual * 0.85 < end < usual]
    assert near
    for end in near:
        # A unit may end before the end of its line, and that of the last line is shown with it.
        for offset in (end, end - 1, end - 5):
            request = CompletionRequest(prefix="", suffix=text, breaks=(0, offset, 7000))
            assert seen(request, 400) == text[:end]


def test_while_lines_are_typed_the_beginning_holds_still() -> None:
    text = source(300)

    def moves(*landmarks: Landmark) -> int:
        rendered = [
            seen(CompletionRequest(prefix=text[:cursor], landmarks=landmarks), 800)
            for cursor in range(len(text) * 3 // 4, len(text), 26)
        ]
        return sum(not after.startswith(before[:-30]) for before, after in pairwise(rendered))

    assert 0 < moves(*marks(text, METHOD, CLASS, IMPORTS)) <= moves() + 3 < 30


TEXT = st.text(st.sampled_from(list("ab =()é漢🙂\n\n\n\r\t\0\ud800")), max_size=300)
LONG = st.builds(lambda text, times: text * times, TEXT, st.integers(1, 9))
OFFSETS = st.integers(-10, 2800)
MARKS = st.lists(st.builds(lambda a, b: Landmark(start=a, end=b), OFFSETS, OFFSETS), max_size=6)


@given(
    prefix=LONG,
    suffix=LONG,
    landmarks=MARKS,
    ends=st.lists(OFFSETS, max_size=6),
    budget=st.integers(11, 300),
    name=st.sampled_from(sorted(FIMS)),
)
@settings(deadline=None, max_examples=300)
def test_any_places_give_lines_of_the_text_within_the_budget(
    prefix: str,
    suffix: str,
    landmarks: list[Landmark],
    ends: list[int],
    budget: int,
    name: str,
) -> None:
    request = CompletionRequest(
        prefix=prefix, suffix=suffix, landmarks=tuple(landmarks), breaks=tuple(ends)
    )
    prompt = render(request, tokenizer=TOKENIZER, fim=FIMS[name], budget_tokens=budget)
    assert 0 < len(prompt.tokens) <= budget
    assert 0 <= prompt.dropped.prefix_chars <= len(prefix)
    none = replace(request, suffix="", landmarks=(), breaks=())
    # In the order of the text, and none of it twice.
    rest = iter(prefix.replace("\ud800", "\ufffd"))
    alone = render(
        replace(request, suffix=""), tokenizer=TOKENIZER, fim=FIMS[name], budget_tokens=budget
    )
    assert all(letter in rest for letter in TOKENIZER.decode(alone.tokens))
    whole = render(none, tokenizer=TOKENIZER, fim=FIMS[name], budget_tokens=budget)
    if not whole.dropped.prefix_chars:
        assert alone.tokens == whole.tokens


@given(prefix=LONG, suffix=LONG, typed=LONG, landmarks=MARKS, budget=st.integers(11, 300))
@settings(deadline=None, max_examples=100)
def test_what_is_typed_changes_nothing_before_it(
    prefix: str, suffix: str, typed: str, landmarks: list[Landmark], budget: int
) -> None:
    request = CompletionRequest(
        prefix=prefix,
        suffix=suffix,
        landmarks=tuple(landmarks),
        context=(ContextChunk(path="a", text=suffix), ContextChunk(path="b", text=prefix)),
    )
    alone = render(request, tokenizer=TOKENIZER, fim=QWEN, budget_tokens=budget).tokens
    for size in range(0, len(typed), 1 + len(typed) // 9):
        typing = replace(request, typed=typed[:size])
        prompt = render(typing, tokenizer=TOKENIZER, fim=QWEN, budget_tokens=budget)
        assert prompt.tokens[: len(prompt.tokens) - prompt.healable_tokens] == alone
