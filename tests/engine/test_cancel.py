"""The cancel token."""

from __future__ import annotations

import threading

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
