from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from midfill_engine.types import FinishReason
from midfill_server.postprocess import Length, Site, finish, first_line, truncate
from midfill_server.syntax import SyntaxTree, language_of

LANGUAGES = st.sampled_from(["", "python", "javascript", "java", "ruby", "rust", "shellscript"])
# Code has few kinds of characters; among them those that belong together when something is cut.
CODE = st.text(alphabet="ab =+,;:#/'\"`\\()[]{}\t\r\n\U0001f600é\u0301", max_size=30)
LINES = st.lists(
    st.sampled_from(
        [
            "a = 1",
            "    b()",
            "        c(",
            "if a:",
            "    }",
            "{",
            "",
            "  ",
            "return a",
            "    return a",
            "else:",
            "def f():",
            "# a",
            "#",
            "```",
            "end",
            "\tx",
            '"""',
        ]
    ),
    max_size=9,
).flatmap(lambda lines: st.sampled_from(["\n", "\r\n"]).map(lambda end: end.join(lines)))
TEXT = CODE | LINES | st.text(max_size=30)
REASONS = st.sampled_from(FinishReason)
LENGTHS = st.sampled_from(Length)


def around(before: str, after: str, language: str, length: Length = Length.AUTO) -> Site:
    text, known = before + after, language_of(language)
    tree = SyntaxTree.parse(text, known)
    return Site.around(text, len(before), tree=tree, language=known, length=length)


def bare(text: str) -> str:
    """Return what of a text no style changes."""
    return re.sub(r"\s+", "", text)


@given(before=TEXT, after=TEXT, raw=TEXT, language=LANGUAGES, length=LENGTHS, reason=REASONS)
@settings(deadline=None, max_examples=300)
def test_what_is_shown_is_a_beginning_of_what_was_generated(
    before: str, after: str, raw: str, language: str, length: Length, reason: FinishReason
) -> None:
    site = around(before, after, language, length)
    outcome = finish(raw, site, reason)
    shown = outcome.text
    assert bare(raw).startswith(bare(shown))
    assert shown == "" or shown.strip()
    assert not shown.endswith(("\r", "\n"))
    assert "\r" not in shown.replace("\r\n", "")
    assert "\n" not in shown or ("\r\n" in shown) == (site.line_end == "\r\n")
    shown.encode("utf-8")
    for step in outcome.steps:
        assert step.before.startswith(step.after)
        assert len(step.after) < len(step.before)


@given(before=TEXT, after=TEXT, raw=TEXT, more=TEXT, language=LANGUAGES)
@settings(deadline=None, max_examples=300)
def test_what_is_cut_once_stays_cut(
    before: str, after: str, raw: str, more: str, language: str
) -> None:
    site = around(before, after, language)
    settled, judged = None, 0
    for end in range(len(raw + more) + 1):
        # A piece never ends within a line end: the engine holds such a half back.
        if (raw + more)[end - 1 : end + 1] == "\r\n":
            continue
        cut = truncate((raw + more)[:end], site)
        if settled is None:
            # Looking at what is new comes to the same as looking at all of it.
            assert truncate((raw + more)[:end], site, judged=judged) == cut
            judged = end
        if settled is not None:
            assert cut == settled
        elif cut.settled:
            settled = cut
    assert truncate(raw + more, site).settled == (settled is not None)


@given(before=TEXT, after=TEXT, raw=TEXT, language=LANGUAGES, reason=REASONS)
@settings(deadline=None, max_examples=300)
def test_the_final_text_begins_with_the_first_line_that_was_shown(
    before: str, after: str, raw: str, language: str, reason: FinishReason
) -> None:
    site = around(before, after, language)
    for end in range(len(raw) + 1):
        shown = first_line(raw[:end], site)
        if shown:
            assert finish(raw, site, reason, shown=True).text.startswith(shown)


@given(before=LINES, lines=LINES, tail=TEXT, language=LANGUAGES)
@settings(deadline=None, max_examples=200)
def test_what_only_repeats_what_follows_is_not_shown(
    before: str, lines: str, tail: str, language: str
) -> None:
    before, lines = before + "\n", lines.strip("\r\n")
    # The file may lack a bracket: then one more is no repetition.
    if not re.search(r"\w", lines.partition("\n")[0]) or set("()[]{}") & set(before + lines):
        return
    site = around(before, "\n" + lines + "\n" + tail, language)
    assert finish(lines, site, FinishReason.STOP).text == ""
    assert finish(lines + "\n" + tail, site, FinishReason.LENGTH).text == ""
