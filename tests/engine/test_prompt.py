"""Prompts: the ids and their order for each family, and what is shown of long texts."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from codellama_model import codellama, infill_golden
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_vocabulary import LETTERS, MARKERS, tiny_metadata

from midfill_engine.errors import ModelFormatError, RequestError
from midfill_engine.gguf.reader import MetaValue
from midfill_engine.prompt import FIM_FORMATS, FimOrder, Prompt, ResolvedFim, render, resolve
from midfill_engine.prompt.formats import RepoFormat
from midfill_engine.tokenizer import Tokenizer, build_tokenizer
from midfill_engine.types import CompletionRequest, ContextChunk

TOKENIZER = build_tokenizer(tiny_metadata("qwen2"))
QWEN = resolve("qwen2.5-coder", TOKENIZER)
SHORT_NAMES = {
    "<|fim_prefix|>": "[P]",
    "<|fim_suffix|>": "[S]",
    "<|fim_middle|>": "[M]",
    "<|repo_name|>": "[R]",
    "<|file_sep|>": "[F]",
}


def with_markers(*markers: str, bos: bool = False) -> Tokenizer:
    """A vocabulary of bytes and ``markers``; with ``bos``, every prompt starts with ``<s>``."""
    tokens = [*LETTERS, "<s>", *markers]
    metadata: dict[str, MetaValue] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": list(tokens),
        "tokenizer.ggml.token_type": [*([1] * 256), *([3] * (1 + len(markers)))],
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.bos_token_id": 256,
        "tokenizer.ggml.eos_token_id": 256,
        "tokenizer.ggml.add_bos_token": bos,
    }
    metadata["tokenizer.ggml.tokens"] = [*tokens, "ab"]
    metadata["tokenizer.ggml.token_type"] = [*([1] * 256), *([3] * (1 + len(markers))), 1]
    return build_tokenizer(metadata)


def shown(prompt: Prompt, tokenizer: Tokenizer, names: dict[str, str]) -> str:
    """The prompt as text, with its markers under their short names."""
    by_id = {tokenizer.special_id(marker): name for marker, name in names.items()}
    out: list[str] = []
    raw = b""
    for token_id in prompt.tokens:
        if token_id in by_id:
            out += [raw.decode(), by_id[token_id]]
            raw = b""
        else:
            raw += tokenizer.token_bytes(token_id)
    return "".join([*out, raw.decode()])


def request_of(text: str, *context: tuple[str, str]) -> CompletionRequest:
    """``prefix<|>suffix``, or ``prefix<!>typed<|>suffix``."""
    before, suffix = text.split("<|>")
    prefix, _, typed = before.partition("<!>")
    chunks = tuple(ContextChunk(path=path, text=body) for path, body in context)
    return CompletionRequest(prefix=prefix, suffix=suffix, typed=typed, context=chunks)


def pack(
    text: str,
    *context: tuple[str, str],
    budget: int = 400,
    fim: ResolvedFim | None = QWEN,
    tokenizer: Tokenizer = TOKENIZER,
    path: str = "main.py",
    repo: str = "proj",
) -> Prompt:
    request = replace(request_of(text, *context), path=path, repo=repo)
    prompt = render(request, tokenizer=tokenizer, fim=fim, budget_tokens=budget)
    assert len(prompt.tokens) <= budget + budget // 2 + budget // 2
    return prompt


def check(text: str, expected: str, *context: tuple[str, str], budget: int = 400) -> None:
    """Qwen's prompt for ``text`` with ``context`` (path, text) reads ``expected``."""
    assert shown(pack(text, *context, budget=budget), TOKENIZER, SHORT_NAMES) == expected


def test_prefix_suffix_and_what_was_typed() -> None:
    check("a = <|>\nb\n", "[P]a = [S]\nb\n[M]")
    check("def f():\n<!>    ret<|>\n", "[P]def f():\n[S]\n[M]    ret")
    check("<!>x<|>", "[P][S][M]x")


def test_empty_and_odd_texts() -> None:
    check("<|>", "[P][S][M]")
    check("<|>b", "[P][S]b[M]")
    check("a<|>", "[P]a[S][M]")
    check("\0\r\n<|>\r\n\0", "[P]\0\r\n[S]\r\n\0[M]")
    check("a\ud800<|>\udfff", "[P]a\ufffd[S]\ufffd[M]")


def test_markers_in_the_users_text_stay_text() -> None:
    prompt = pack("x = '<|fim_middle|>'<|>'<|fim_suffix|><|endoftext|>'")
    specials = [token_id for token_id in prompt.tokens if token_id >= min(QWEN.stop_ids)]
    assert specials == [QWEN.prefix, QWEN.suffix, QWEN.middle]


def test_context_comes_first_in_the_repositorys_form() -> None:
    check(
        "x<|>y",
        "[R]proj\n[F]a.py\nA\n[F]b.py\nB\n[F]main.py\n[P]x[S]y[M]",
        ("b.py", "B"),
        ("a.py", "A\n"),
    )


def test_what_changes_often_comes_after_what_seldom_does() -> None:
    seldom, often = [
        tuple(ContextChunk(path=path, text=path, volatile=volatile) for path in paths)
        for paths, volatile in [("zb", False), ("ya", True)]
    ]
    request = CompletionRequest(prefix="x", context=(*often, *seldom))
    expected = "[F]b\nb\n[F]z\nz\n[F]a\na\n[F]y\ny\n[F][P]x[S][M]"
    prompt = render(request, tokenizer=TOKENIZER, fim=QWEN, budget_tokens=400)
    assert shown(prompt, TOKENIZER, SHORT_NAMES) == expected
    again = replace(request, context=(*reversed(seldom), *often))
    assert render(again, tokenizer=TOKENIZER, fim=QWEN, budget_tokens=400) == prompt


@pytest.mark.parametrize("key", ["codellama", "codellama-psm", "santacoder", "seed-coder", None])
def test_without_a_form_of_its_own_a_family_sees_other_files_as_comments(key: str | None) -> None:
    row = FIM_FORMATS.get(key or "")
    markers = [] if row is None else [m for m in (row.prefix, row.suffix, row.middle) if m]
    tokenizer = with_markers(*markers)
    fim = None if key is None else resolve(key, tokenizer)
    chunks = (ContextChunk(path="lib/a.ts", text="f() {\n\n  }"), ContextChunk(path="b", text=" "))
    request = CompletionRequest(prefix="x", typed="y", context=chunks, comment="//", path="c.ts")
    prompt = render(request, tokenizer=tokenizer, fim=fim, budget_tokens=400)
    expected = "// lib/a.ts\n// f() {\n//\n//   }\n// c.ts\nx"
    assert expected in shown(prompt, tokenizer, dict.fromkeys(markers, ""))
    assert prompt.dropped.context_chunks == 1


def test_context_has_a_budget_of_its_own() -> None:
    def tokens(context_tokens: int | None, *context: tuple[str, str]) -> tuple[int, ...]:
        request = request_of("ab = 1\n" * 90 + "<|>" + "c = 2\n" * 90, *context)
        return render(
            request,
            tokenizer=TOKENIZER,
            fim=QWEN,
            budget_tokens=200,
            context_tokens=context_tokens,
        ).tokens

    alone = tokens(None)
    other = ("o.py", "value = 1\n" * 99)
    assert tokens(0, other) == alone
    for room in (100, 300, None):
        with_context = tokens(room, other)
        assert with_context[-len(alone) :] == alone
        assert 0 < len(with_context) - len(alone) <= (room or 100)


def test_a_path_is_one_line() -> None:
    check("<|>", "[R]proj\n[F]a b\nA\n[F]main.py\n[P][S][M]", ("a\nb", "A"))


def test_stops_are_all_markers_and_ends() -> None:
    expected = {TOKENIZER.special_id(marker) for marker in MARKERS[:6]}
    assert QWEN.stop_ids == expected


def test_without_fim_there_is_only_what_is_before_the_cursor() -> None:
    prompt = pack("a = <!>b<|>c", ("p", "text"), fim=None)
    assert shown(prompt, TOKENIZER, SHORT_NAMES) == "# p\n# text\n# main.py\na = b"
    assert prompt.suffix_tokens == 0
    assert prompt.dropped.suffix_chars == 1
    assert pack("<|>", fim=None).tokens == (TOKENIZER.eos_id,)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("qwen2.5-coder", "m: PRE p SUF s MID"),
        ("starcoder2", "m: PRE p SUF s MID"),
        ("deepseek-coder", "PRE p SUF s MID"),
        ("codegemma", "m: PRE p SUF s MID"),
        ("codestral", "SUF s PRE p"),
        ("seed-coder", "SUF s PRE p MID"),
        ("codellama", "PRE SUF s MID p"),
        ("codellama-psm", "PRE p SUF s MID"),
    ],
)
@pytest.mark.parametrize("bos", [False, True])
def test_each_familys_order(key: str, expected: str, bos: bool) -> None:
    row = FIM_FORMATS[key]
    markers = [mark for mark in (row.prefix, row.suffix, row.middle) if mark is not None]
    tokenizer = with_markers(*markers, bos=bos)
    names = {row.prefix: " PRE ", row.suffix: " SUF ", row.middle or "": " MID ", "<s>": "BOS"}
    prompt = pack("p<|>s", fim=resolve(key, tokenizer), tokenizer=tokenizer)
    words = shown(prompt, tokenizer, names).split()
    wanted = [word for word in expected.split() if word != "m:"]
    assert words == (["BOS", *wanted] if bos else wanted)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("starcoder2", "{<repo_name>}r\n{<file_sep>}o\nO\n{<file_sep>}{<fim_prefix>}m\np"),
        ("codegemma", "{<|file_separator|>}o\nO\n{<|file_separator|>}m\n{<|fim_prefix|>}p"),
        ("codestral", "{[SUFFIX]}s{[PREFIX]}+++++ o\nO\n+++++ m\np"),
        ("deepseek-coder", "{<\uff5cfim▁begin\uff5c>}#o\nO\n#m\np"),
        ("codellama", "{▁<PRE>}{▁<SUF>}s{▁<MID>}# o\n# O\n# m\np"),
    ],
)
def test_each_familys_way_with_other_files(key: str, expected: str) -> None:
    row = FIM_FORMATS[key]
    style = row.repo or RepoFormat()
    every = (row.prefix, row.suffix, row.middle, style.repo, style.file)
    markers = [marker for marker in every if marker is not None]
    tokenizer = with_markers(*markers)
    prompt = pack(
        "p<|>s", ("o", "O"), fim=resolve(key, tokenizer), tokenizer=tokenizer, path="m", repo="r"
    )
    text = shown(prompt, tokenizer, {marker: f"{{{marker}}}" for marker in markers})
    assert text.startswith(expected)


def test_a_vocabulary_without_the_markers_is_refused() -> None:
    with pytest.raises(ModelFormatError, match="fim_suffix"):
        resolve("starcoder2", with_markers("<fim_prefix>", "<fim_middle>"))
    with pytest.raises(ModelFormatError, match="known: qwen"):
        resolve("nope", TOKENIZER)


def test_context_is_dropped_where_the_vocabulary_cannot_say_it() -> None:
    tokenizer = with_markers("<fim_prefix>", "<fim_middle>", "<fim_suffix>")
    prompt = pack("p<|>s", ("o", "O"), fim=resolve("starcoder2", tokenizer), tokenizer=tokenizer)
    assert (prompt.context_tokens, prompt.dropped.context_chunks) == (0, 1)


@pytest.mark.parametrize(("key", "column"), [("codellama", "spm"), ("codellama-psm", "psm")])
def test_code_llama_has_metas_ids(key: str, column: str) -> None:
    tokenizer = codellama()
    fim = resolve(key, tokenizer)
    assert {2, 32007, 32008, 32009, 32010} == fim.stop_ids
    for case in infill_golden():
        request = CompletionRequest(prefix=str(case["prefix"]), suffix=str(case["suffix"]))
        prompt = render(request, tokenizer=tokenizer, fim=fim, budget_tokens=512)
        assert list(prompt.tokens) == case[column]


def test_where_the_prefix_is_last_it_is_one_text_with_what_was_typed() -> None:
    tokenizer = codellama()
    fim = resolve("codellama", tokenizer)
    for case in infill_golden():
        before = str(case["prefix"])
        for at in range(len(before)):
            request = CompletionRequest(
                prefix=before[:at], typed=before[at:], suffix=str(case["suffix"])
            )
            prompt = render(request, tokenizer=tokenizer, fim=fim, budget_tokens=512)
            assert list(prompt.tokens) == case["spm"]
            assert 0 < prompt.healable_tokens <= len(before) + 1


def test_a_budget_without_room_is_refused() -> None:
    with pytest.raises(RequestError, match="10 tokens"):
        render(request_of("a<|>b"), tokenizer=TOKENIZER, fim=QWEN, budget_tokens=10)
    tight = CompletionRequest(prefix="a", max_prompt_tokens=9)
    with pytest.raises(RequestError, match="9 tokens"):
        render(tight, tokenizer=TOKENIZER, fim=QWEN, budget_tokens=400)


TEXT = st.text(st.sampled_from(list("ab =()é漢🙂\n\n\n\r\t\0\ud800")), max_size=400)
LONG = st.builds(lambda text, times: text * times, TEXT, st.integers(1, 9))


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
CHUNKS = st.lists(st.tuples(st.sampled_from("abc"), LONG), max_size=4)


def long_request(
    prefix: str, suffix: str, typed: str, chunks: list[tuple[str, str]]
) -> CompletionRequest:
    context = tuple(ContextChunk(path=path, text=text) for path, text in chunks)
    return CompletionRequest(prefix=prefix, suffix=suffix, typed=typed, context=context)


@given(
    prefix=LONG,
    suffix=LONG,
    typed=LONG,
    chunks=CHUNKS,
    budget=st.integers(11, 300),
    name=st.sampled_from(sorted(FIMS)),
)
@settings(deadline=None, max_examples=200)
def test_the_budget_is_never_exceeded(
    prefix: str,
    suffix: str,
    typed: str,
    chunks: list[tuple[str, str]],
    budget: int,
    name: str,
) -> None:
    request, fim = long_request(prefix, suffix, typed, chunks), FIMS[name]
    untyped = replace(request, typed="")
    alone = render(untyped, tokenizer=TOKENIZER, fim=fim, budget_tokens=budget)
    assert 0 < len(alone.tokens) <= budget + budget // 2
    own = render(replace(untyped, context=()), tokenizer=TOKENIZER, fim=fim, budget_tokens=budget)
    assert 0 < len(own.tokens) <= budget
    prompt = render(request, tokenizer=TOKENIZER, fim=fim, budget_tokens=budget)
    assert len(prompt.tokens) <= budget + budget // 2 + budget // 2
    assert 0 <= prompt.healable_tokens <= len(prompt.tokens)
    if fim is not None:
        assert prompt.tokens.count(fim.prefix) == 1
        assert prompt.tokens.count(fim.suffix) == 1
    text = TOKENIZER.decode(prompt.tokens)
    if len(TOKENIZER.encode_fragment(typed)) <= (budget - 3) // 2:
        assert text.endswith(typed.replace("\ud800", "\ufffd"))


@given(prefix=LONG, suffix=LONG, typed=LONG, chunks=CHUNKS, budget=st.integers(11, 300))
@settings(deadline=None, max_examples=100)
def test_what_is_typed_changes_nothing_before_it(
    prefix: str, suffix: str, typed: str, chunks: list[tuple[str, str]], budget: int
) -> None:
    request = long_request(prefix, suffix, "", chunks)
    alone = render(request, tokenizer=TOKENIZER, fim=QWEN, budget_tokens=budget).tokens
    for size in range(0, len(typed), 1 + len(typed) // 9):
        typing = replace(request, typed=typed[:size])
        prompt = render(typing, tokenizer=TOKENIZER, fim=QWEN, budget_tokens=budget)
        start = len(prompt.tokens) - prompt.healable_tokens
        assert prompt.tokens[:start] == alone


@pytest.mark.parametrize("name", ["prefix last", "no middle", "none"])
def test_what_is_typed_moves_no_window_where_it_is_one_text_with_the_prefix(name: str) -> None:
    prefix = "".join(f"    line_{at} = foo({at})\n" for at in range(60)) + "    x = "
    typed, suffix = "compute(line_1, line_2) + 1", "\n" + prefix
    rendered = [
        render(
            CompletionRequest(prefix=prefix, suffix=suffix, typed=typed[:size]),
            tokenizer=TOKENIZER,
            fim=FIMS[name],
            budget_tokens=300,
        )
        for size in range(len(typed) + 1)
    ]
    for one, next_one in pairwise(rendered):
        assert one.dropped == next_one.dropped
        # A letter may join the token before it, and that the one before.
        kept = len(one.tokens) - 4
        assert one.tokens[:kept] == next_one.tokens[:kept]


def test_texts_that_make_more_tokens_together_stay_in_the_budget() -> None:
    pieces = ["▁", "x", "a", "b", "c", "xa", "bc", "ab"]
    tokenizer = build_tokenizer(
        {
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": pieces,
            "tokenizer.ggml.scores": [-9.0, -9.0, -9.0, -9.0, -9.0, -2.0, -2.0, -1.0],
        }
    )
    # "xa" and "bc" are two tokens, "x", "ab" and "c" three.
    request = CompletionRequest(prefix="xa" * 19, typed="bc" * 10)
    prompt = render(request, tokenizer=tokenizer, fim=None, budget_tokens=20)
    assert len(prompt.tokens) == 30
    assert tokenizer.decode(prompt.tokens).endswith("xa" * 18 + "bc" * 10)


@pytest.mark.parametrize("name", sorted(FIMS))
def test_what_is_typed_without_end_moves_the_far_end_in_jumps(name: str) -> None:
    typed = "value = compute(1) + " * 60
    starts: list[tuple[int, ...]] = []
    for size in range(400, len(typed), 3):
        request = CompletionRequest(prefix="a = 1\n", suffix="\n", typed=typed[:size])
        prompt = render(request, tokenizer=TOKENIZER, fim=FIMS[name], budget_tokens=100)
        assert len(prompt.tokens) <= 150
        starts.append(prompt.tokens[:12])
    moves = sum(one != other for one, other in pairwise(starts))
    assert 0 < moves <= len(starts) / 5
