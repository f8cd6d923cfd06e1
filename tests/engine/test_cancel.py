"""The cancel token."""

from __future__ import annotations

import threading

import pytest

from midfill_engine.cancel import CancelToken


def test_a_new_token_is_not_cancelled() -> None:
    assert not CancelToken().cancelled


def test_cancelling_lasts_and_may_be_repeated() -> None:
    token = CancelToken()
    token.cancel()
    token.cancel()
    assert token.cancelled


def test_a_deadline_cancels_by_itself() -> None:
    now_s = 10.0
    token = CancelToken(deadline_s=12.0, clock=lambda: now_s)
    assert not token.cancelled
    now_s = 11.999
    assert not token.cancelled
    now_s = 12.0
    assert token.cancelled


def test_cancelling_comes_before_the_deadline() -> None:
    token = CancelToken(deadline_s=12.0, clock=lambda: 0.0)
    token.cancel()
    assert token.cancelled


def test_another_thread_may_cancel() -> None:
    token = CancelToken()
    thread = threading.Thread(target=token.cancel)
    thread.start()
    thread.join()
    assert token.cancelled


def test_a_wait_ends_with_its_time() -> None:
    assert CancelToken().wait(0) is False
    assert CancelToken().wait(-1) is False


def test_a_wait_ends_when_the_token_is_cancelled() -> None:
    token = CancelToken()
    answers: list[bool] = []
    waiting = threading.Thread(target=lambda: answers.append(token.wait(3600)))
    waiting.start()
    token.cancel()
    waiting.join(10)
    assert answers == [True]
    assert token.wait(3600)


@pytest.mark.parametrize("now_s", [12.0, 13.0])
def test_a_wait_ends_at_the_deadline(now_s: float) -> None:
    assert CancelToken(deadline_s=12.0, clock=lambda: now_s).wait(3600)
