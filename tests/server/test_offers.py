"""One suggestion is one offer, and what became of it is told once."""

from __future__ import annotations

from collections.abc import Sequence

from midfill_server.offers import Offers, Place
from midfill_server.statistics import Feedback

WALL_S = 1_773_144_000


class Screen:
    """An editor that shows what it is answered; ``<|>`` stands where the cursor is."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.offers = Offers(clock=lambda: self.now_s, wall_clock=lambda: WALL_S)

    def answer(
        self,
        marked: str,
        *texts: str,
        sureness: float | None = None,
        invoked: bool = False,
        uri: str = "a",
    ) -> list[str]:
        """Be answered ``texts`` a second after the last thing; returns the ids."""
        self.now_s += 1
        start = marked.index("<|>")
        place = Place(
            uri=uri,
            text=marked.replace("<|>", "", 1),
            start=start,
            language_id="python",
            invoked=invoked,
            at_s=self.now_s,
        )
        return self.offers.make(place, texts, model_id="small", sureness=sureness)

    def one(self, marked: str, text: str, sureness: float | None = None) -> str:
        (offer_id,) = self.answer(marked, text, sureness=sureness)
        return offer_id

    def end(self) -> list[Feedback]:
        return self.offers.settle(all_of_them=True)


def only(found: Sequence[Feedback]) -> Feedback:
    (one,) = found
    return one


# The same offer, or another


def test_what_is_typed_along_stays_one_offer() -> None:
    screen = Screen()
    first = screen.one("x = <|>\n", "foo(bar)")
    for typed in ("f", "foo(", "fo", "foo(bar"):
        assert screen.one(f"x = {typed}<|>\n", "foo(bar)"[len(typed) :]) == first
    assert only(screen.end()).characters == len("foo(bar)")


def test_an_answer_that_grows_stays_one_offer() -> None:
    screen = Screen()
    first = screen.one("<|>", "a = 1")
    assert screen.one("a<|>", " = 1\nb = 2") == first
    # An editor's own closer behind the cursor makes the rest shorter.
    assert screen.one("a<|>", " = ") == first
    found = only(screen.end())
    assert (found.characters, found.lines) == (len("a = 1\nb = 2"), 2)


def test_line_ends_make_no_difference() -> None:
    screen = Screen()
    first = screen.one("x\r\n<|>", "if a:\r\n    b\r\n    c")
    assert screen.one("x\r\nif a:\r\n    b<|>", "\r\n    c") == first
    assert only(screen.end()).characters == len("if a:\n    b\n    c")


def test_a_selected_entry_is_part_of_the_offer() -> None:
    screen = Screen()
    # What is selected replaces what is typed, so the place is where the entry begins.
    first = screen.one("os.<|>pa", "path.join(a)")
    assert screen.one("os.<|>pat", "path.join(a)") == first
    assert screen.one("os.path<|>", ".join(a)") == first


def test_another_text_place_or_document_is_another_offer() -> None:
    screen = Screen()
    ids = [
        screen.one("x = <|>\n", "foo"),
        screen.one("x = <|>\n", "bar"),
        screen.one("x =  <|>\n", "foo"),
        *screen.answer("x = <|>\n", "foo", uri="b"),
    ]
    assert len(set(ids)) == 4


def test_what_follows_a_text_that_is_all_there_is_another_offer() -> None:
    screen = Screen()
    first = screen.one("<|>", "a = 1")
    screen.offers.accept(first)
    second = screen.one("a = 1<|>", "\nb = 2")
    assert second != first
    assert [each.accepted for each in screen.end()] == [True, False]


def test_a_suggestion_that_comes_back_is_the_one_that_went() -> None:
    screen = Screen()
    first = screen.one("x = <|>", "foo(bar)", 0.9)
    screen.one("x = g<|>", "ray")
    assert screen.one("x = <|>", "foo(bar)") == first
    screen.offers.accept(first)
    found = {each.characters: each for each in screen.end()}
    assert found[8].accepted
    assert not found[3].accepted


def test_each_of_several_texts_has_its_own_id() -> None:
    screen = Screen()
    ids = screen.answer("<|>", "alpha(1)", "alpha(2)", "beta", sureness=0.4, invoked=True)
    assert len(set(ids)) == 3
    # Only the second one agrees with what was typed.
    assert screen.one("alpha(2<|>", ")") == ids[1]
    screen.offers.accept(ids[1])
    for each in screen.end():
        assert each.invoked
        assert each.sureness == (None if each.accepted else 0.4)


def test_texts_that_begin_alike_are_two_all_the_same() -> None:
    assert len(set(Screen().answer("<|>", "alpha", "alpha(1)", invoked=True))) == 2


def test_ids_of_another_session_are_not_known() -> None:
    earlier, screen = Screen(), Screen()
    old = earlier.one("<|>", "text")
    new = screen.one("<|>", "text")
    assert old != new
    screen.offers.accept(old)
    screen.offers.accept_part(old, "text", 2)
    assert not only(screen.end()).accepted


# What became of it


def test_accepting_what_is_left_counts_what_was_not_typed() -> None:
    screen = Screen()
    first = screen.one("<|>", "foo(bar)")
    screen.one("foo<|>", "(bar)")
    screen.offers.accept(first)
    found = only(screen.end())
    assert (found.accepted, found.accepted_characters) == (True, len("(bar)"))


def test_parts_add_up() -> None:
    screen = Screen()
    first = screen.one("<|>", "one two three four")
    screen.offers.accept_part(first, "one two three four", 4)
    screen.offers.accept_part(first, "one two three four", 8)
    # Answered again at the place where the accepted part ends, then typed by hand.
    screen.one("one two <|>", "three four")
    screen.one("one two th<|>", "ree four")
    screen.offers.accept_part(first, "ree four", 4)
    found = only(screen.end())
    assert (found.accepted, found.accepted_characters) == (False, 12)


def test_parts_up_to_the_end_are_all_of_it() -> None:
    screen = Screen()
    first = screen.one("<|>", "a\r\nb")
    screen.offers.accept_part(first, "a\r\nb", 4)
    assert (found := only(screen.end())).accepted
    assert found.accepted_characters == 3


def test_a_part_is_one_of_the_latest_answer() -> None:
    screen = Screen()
    first = screen.one("<|>", "))))")
    screen.one("))<|>", "))")
    screen.offers.accept_part(first, "))", 2)
    assert (found := only(screen.end())).accepted
    assert found.accepted_characters == 2


def test_nonsense_about_parts_is_ignored() -> None:
    screen = Screen()
    first = screen.one("<|>", "text")
    screen.offers.accept_part(first, "another", 3)
    screen.offers.accept_part(first, "text", 0)
    assert only(screen.end()).accepted_characters == 0
    screen.offers.accept(first)
    assert screen.end() == []


def test_where_the_editor_says_what_it_shows_only_that_counts() -> None:
    screen = Screen()
    shown, _, accepted = (screen.one(f"{before}<|>", "text") for before in ("", "x", "yy"))
    screen.offers.show(shown)
    screen.offers.accept(accepted)
    found = screen.end()
    assert [(each.confirmed, each.accepted) for each in found] == [(True, False), (False, True)]


def test_where_it_says_nothing_the_first_of_several_counts() -> None:
    screen = Screen()
    screen.answer("<|>", "a", "b", "c", invoked=True)
    assert not only(screen.end()).confirmed


def test_the_time_on_the_screen_ends_with_what_comes_next() -> None:
    screen = Screen()
    offer_id = screen.one("<|>", "abc")
    screen.now_s += 0.5
    screen.offers.show(offer_id)
    screen.now_s += 1
    screen.one("a<|>", "bc")
    screen.offers.show(offer_id)
    # A second later another key has come, and nothing is offered.
    screen.answer("ax<|>")
    assert only(screen.end()).shown_ms == 3000


def test_the_time_until_it_was_accepted() -> None:
    screen = Screen()
    offer_id = screen.one("<|>", "abc")
    screen.now_s += 2
    screen.offers.accept(offer_id)
    screen.answer("abc<|>")
    # It is taken back and accepted again.
    assert screen.one("<|>", "abc") == offer_id
    screen.now_s += 5
    screen.offers.accept(offer_id)
    screen.answer("abc<|>")
    found = only(screen.end())
    assert (found.shown_ms, found.accepted_characters) == (2000, 3)


def test_a_document_that_is_closed_shows_nothing() -> None:
    screen = Screen()
    screen.one("<|>", "abc")
    screen.now_s += 4
    screen.offers.leave("b")
    screen.now_s += 1
    screen.offers.leave("a")
    assert only(screen.end()).shown_ms == 5000


def test_a_time_that_nobody_knows_is_not_made_up() -> None:
    screen = Screen()
    screen.one("<|>", "abc")
    assert only(screen.end()).shown_ms is None


# When it is told, and how much is kept


def test_it_is_told_once_it_is_gone_for_good() -> None:
    screen = Screen()
    screen.one("<|>", "abc", 0.8)
    screen.answer("x<|>")
    assert screen.offers.settle() == []
    screen.now_s += 30
    assert screen.offers.settle() == [
        Feedback(
            when_s=WALL_S,
            language_id="python",
            model_id="small",
            sureness=0.8,
            invoked=False,
            characters=3,
            lines=1,
            confirmed=False,
            shown_ms=1000,
            accepted=False,
            accepted_characters=0,
        )
    ]
    assert not screen.offers
    assert screen.end() == []


def test_what_is_looked_at_for_long_can_still_be_accepted() -> None:
    screen = Screen()
    offer_id = screen.one("<|>", "abc")
    screen.now_s += 500
    assert screen.offers.settle() == []
    screen.offers.accept(offer_id)
    screen.now_s += 30
    assert only(screen.offers.settle()).accepted


def test_what_nothing_more_is_heard_of_is_let_go() -> None:
    screen = Screen()
    screen.one("<|>", "abc")
    screen.now_s += 600
    assert only(screen.offers.settle()).shown_ms is None
    assert not screen.offers


def test_a_long_session_holds_few_and_loses_none() -> None:
    screen = Screen()
    for index in range(200):
        screen.one(f"{'y' * index}<|>", "text")
    told = screen.offers.settle()
    assert len(told) >= 200 - 64
    assert len(told) + len(screen.end()) == 200


def test_a_later_answer_may_know_how_sure_it_is() -> None:
    screen = Screen()
    screen.one("<|>", "a = 1")
    screen.one("a<|>", " = 1\nb", 0.75)
    screen.one("a <|>", "= 1\nb")
    assert only(screen.end()).sureness == 0.75
