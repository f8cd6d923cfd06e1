from __future__ import annotations

import pytest

from midfill_server.postprocess import RULES, Extent, Length, extent_of
from tests.server.ghost import site_at


@pytest.mark.parametrize(
    ("marked", "language", "extent", "reason"),
    [
        ("def f():\n    <|>\n", "python", Extent.BLOCK, "in an empty block"),
        ("void f() {\n  <|>\n}\n", "c", Extent.BLOCK, "in an empty block"),
        ("def f\n  <|>\nend\n", "ruby", Extent.BLOCK, "in an empty block"),
        ("a = 1\n<|>\n", "python", Extent.BLOCK, "on an empty line"),
        ("a = 1\n<|>\n", "", Extent.BLOCK, "on an empty line"),
        ("def f():<|>\n", "python", Extent.BLOCK, "behind the beginning of a block"),
        ("if a; then<|>\n", "shellscript", Extent.BLOCK, "behind the beginning of a block"),
        ("while (a) {<|>}\n", "java", Extent.BLOCK, "behind the beginning of a block"),
        ("x = <|>\n", "python", Extent.LINE, "in the midst of a line"),
        ("f(a, <|>)\n", "go", Extent.LINE, "in the midst of a line"),
        ("x = <|> + 1\n", "python", Extent.LINE, "text follows on the line"),
        ("# a <|>\n", "python", Extent.LINE, "in a comment"),
        ("/* a\n * <|>\n */\n", "javascript", Extent.LINE, "in a comment"),
        ('x = "a <|>"\n', "rust", Extent.LINE, "in a string"),
        ("x = 'a <|>\n", "", Extent.LINE, "in a string"),
    ],
)
def test_the_place_decides_how_much_is_wanted(
    marked: str, language: str, extent: Extent, reason: str
) -> None:
    rule = extent_of(site_at(marked, language))
    assert (rule.extent, rule.reason) == (extent, reason)


@pytest.mark.parametrize("marked", ["def f():\n    <|>\n", "x = <|>\n", "a = 1\n<|>\n"])
def test_a_setting_decides_before_the_place(marked: str) -> None:
    for length, extent in ((Length.LINE, Extent.LINE), (Length.BLOCK, Extent.BLOCK)):
        assert extent_of(site_at(marked, "python", length=length)).extent is extent
    # Behind the cursor there is no room for more than a line.
    assert extent_of(site_at("x = <|> + y\n", length=Length.BLOCK)).extent is Extent.LINE


def test_some_rule_always_holds() -> None:
    assert RULES[-1].holds(site_at("<|>"))
    assert len({rule.reason for rule in RULES}) == len(RULES)
