"""A small engine answers until a better one is ready, and later on where that one is slow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.errors import ModelError, RequestError
from midfill_engine.fake import ScriptedEngine
from midfill_engine.progress import Progress
from midfill_engine.stand_in import StandInEngine
from midfill_engine.types import Chunk, CompletionRequest, Cost, EngineInfo, FinishReason

WAIT_S = 20
REQUEST = CompletionRequest(prefix="a = ")
AHEAD = replace(REQUEST, awaited=False)
PREFETCH = replace(AHEAD, max_tokens=0)


class Named(ScriptedEngine):
    """A scripted engine with a name, which can refuse requests and tells when it is closed."""

    def __init__(
        self, name: str, *, refuses: bool = False, tokens: int = 0, prefill_ms: float = 0.0
    ) -> None:
        cost = Cost(prefill_tokens=tokens, prefill_ms=prefill_ms)
        super().__init__(f"from {name}", piece=4, cost=cost)
        self._name = name
        self._refuses = refuses
        self.gone = threading.Event()

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(model_id=self._name, backend="fake", device="none")

    def stream(self, request: CompletionRequest, cancel: CancelToken) -> Iterator[Chunk]:
        if self._refuses:
            raise RequestError("not this one")
        return super().stream(request, cancel)

    def close(self) -> None:
        super().close()
        self.gone.set()


class Opening:
    """Opens ``outcome`` when it is let go; a cancelled opening ends with an error, as real ones."""

    def __init__(self, outcome: Engine | Exception) -> None:
        self._outcome = outcome
        self._gate = threading.Event()
        self.token: CancelToken | None = None
        self.began = threading.Event()

    def __call__(self, cancel: CancelToken) -> Engine:
        self.token = cancel
        self.began.set()
        assert self._gate.wait(WAIT_S)
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def let_go(self) -> None:
        self._gate.set()


class Told:
    """Keeps what progress said, and can be waited for."""

    def __init__(self) -> None:
        self.tasks: list[str] = []
        self._some = threading.Semaphore(0)

    def __call__(self, progress: Progress) -> None:
        self.tasks.append(progress.task)
        self._some.release()

    def wait(self) -> str:
        assert self._some.acquire(timeout=WAIT_S)
        return self.tasks[-1]


def text(engine: Engine) -> str:
    return "".join(chunk.text for chunk in engine.stream(REQUEST, CancelToken()))


@pytest.fixture
def small() -> Named:
    return Named("small", tokens=1)


@pytest.fixture
def better() -> Named:
    return Named("better", tokens=2)


@pytest.fixture
def told() -> Told:
    return Told()


def test_the_small_one_answers_until_the_better_one_is_open(
    small: Named, better: Named, told: Told
) -> None:
    opening = Opening(better)
    engine = StandInEngine(small, opening, told, first_request_s=0)
    assert text(engine) == "from small"
    assert engine.info.model_id == "small"
    assert engine.estimate(REQUEST).prefill_tokens == 1
    opening.let_go()
    assert told.wait() == "Serving better"
    assert small.closed
    assert text(engine) == "from better"
    assert engine.info.model_id == "better"
    assert engine.estimate(REQUEST).prefill_tokens == 2
    engine.close()
    assert better.closed


def test_the_better_one_computes_the_latest_prompt_before_it_serves(
    small: Named, better: Named, told: Told
) -> None:
    opening = Opening(better)
    engine = StandInEngine(small, opening, told, first_request_s=0)
    text(engine)
    opening.let_go()
    told.wait()
    prepared = [(request.prefix, request.max_tokens) for request in better.requests]
    assert prepared == [(REQUEST.prefix, 0)]
    engine.close()


def test_the_first_request_has_the_processor_to_itself(
    small: Named, better: Named, told: Told
) -> None:
    opening = Opening(better)
    opening.let_go()
    engine = StandInEngine(small, opening, told, first_request_s=WAIT_S)
    stream = engine.stream(REQUEST, CancelToken())
    pieces = [next(stream).text]
    assert not opening.began.is_set()
    pieces += [chunk.text for chunk in stream]
    assert "".join(pieces) == "from small"
    assert told.wait() == "Serving better"
    engine.close()


def test_closing_before_any_request_opens_nothing(small: Named, better: Named, told: Told) -> None:
    opening = Opening(better)
    opening.let_go()
    engine = StandInEngine(small, opening, told, first_request_s=1000)
    engine.close()
    assert small.closed
    assert not opening.began.is_set()
    assert told.tasks == []


def test_a_stream_ends_on_the_engine_it_began_on(small: Named, better: Named, told: Told) -> None:
    opening = Opening(better)
    engine = StandInEngine(small, opening, told, first_request_s=0)
    assert opening.began.wait(WAIT_S)
    stream = engine.stream(REQUEST, CancelToken())
    pieces = [next(stream).text]
    opening.let_go()
    # Its prompt is all that the better one computes; then it has to wait for the stream.
    engine_is_ready(engine)
    assert not small.closed
    pieces += [chunk.text for chunk in stream]
    assert "".join(pieces) == "from small"
    assert told.wait() == "Serving better"
    assert small.closed
    assert text(engine) == "from better"
    engine.close()


def test_an_abandoned_stream_does_not_keep_the_small_one(
    small: Named, better: Named, told: Told
) -> None:
    opening = Opening(better)
    engine = StandInEngine(small, opening, told, first_request_s=0)
    assert opening.began.wait(WAIT_S)
    stream = engine.stream(REQUEST, CancelToken())
    next(stream)
    opening.let_go()
    engine_is_ready(engine)
    del stream
    assert told.wait() == "Serving better"
    engine.close()


def test_the_small_one_stays_when_the_better_one_fails(small: Named, told: Told) -> None:
    opening = Opening(ModelError("the file is damaged"))
    engine = StandInEngine(small, opening, told, first_request_s=0)
    opening.let_go()
    assert "the file is damaged" in told.wait()
    assert "the file is damaged" in engine.info.reason
    assert text(engine) == "from small"
    assert "the file is damaged" in engine.info.reason
    assert not small.closed
    engine.close()
    assert small.closed


def test_a_request_that_cannot_be_computed_fails_at_the_request(small: Named, told: Told) -> None:
    opening = Opening(Named("better", refuses=True))
    engine = StandInEngine(small, opening, told, first_request_s=0)
    text(engine)
    opening.let_go()
    assert told.wait() == "Serving better"
    with pytest.raises(RequestError):
        text(engine)
    engine.close()


def test_closing_ends_an_opening(small: Named, told: Told) -> None:
    opening = Opening(ModelError("cancelled"))
    engine = StandInEngine(small, opening, told, first_request_s=0)
    closing = closing_in_a_thread(engine, opening)
    opening.let_go()
    closing()
    assert small.closed
    assert told.tasks == []


def test_an_engine_that_comes_too_late_is_closed(small: Named, better: Named, told: Told) -> None:
    opening = Opening(better)
    engine = StandInEngine(small, opening, told, first_request_s=0)
    closing = closing_in_a_thread(engine, opening)
    opening.let_go()
    closing()
    assert small.closed
    assert better.closed
    assert told.tasks == []
    engine.close()


def both(small: Engine, better: Engine) -> StandInEngine:
    """Return an engine after the change, in which the small one was kept."""
    opening, told = Opening(better), Told()
    opening.let_go()
    engine = StandInEngine(small, opening, told, stays=lambda better: True, first_request_s=0)
    assert told.wait() == "Serving better"
    return engine


def test_whether_the_small_one_stays_is_asked_about_the_better_one(
    small: Named, better: Named, told: Told
) -> None:
    asked: list[Engine] = []

    def stays(engine: Engine) -> bool:
        asked.append(engine)
        return True

    opening = Opening(better)
    opening.let_go()
    engine = StandInEngine(small, opening, told, stays=stays, first_request_s=0)
    assert told.wait() == "Serving better"
    assert asked == [better]
    assert not small.closed
    engine.close()
    assert small.closed
    assert better.closed


@pytest.mark.parametrize(
    ("request_", "small_ms", "better_ms", "served_by"),
    [
        (REQUEST, 100, 600, "better"),
        (REQUEST, 100, 601, "small"),
        (REQUEST, 450, 900, "better"),
        (REQUEST, 449, 900, "small"),
        (AHEAD, 100, 3000, "better"),
        (PREFETCH, 100, 600, "better"),
        (PREFETCH, 100, 3000, "small, better"),
        (PREFETCH, 2900, 3000, "small, better"),
    ],
)
def test_who_computes_what(
    request_: CompletionRequest, small_ms: float, better_ms: float, served_by: str
) -> None:
    small = Named("small", tokens=1, prefill_ms=small_ms)
    better = Named("better", tokens=2, prefill_ms=better_ms)
    engine = both(small, better)
    chunks = list(engine.stream(request_, CancelToken()))
    names = served_by.split(", ")
    assert [one.info.model_id for one in (small, better) if one.requests == [request_]] == names
    assert engine.info.model_id == names[-1]
    expected = f"from {names[-1]}" if request_.max_tokens else ""
    assert "".join(chunk.text for chunk in chunks) == expected
    # One stream for the caller, whoever computes.
    assert [chunk.finish is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    # Told once, at the end, and only where the better one still needs the prompt.
    assert [chunk.stood_in for chunk in chunks[:-1]] == [False] * (len(chunks) - 1)
    assert chunks[-1].stood_in is (names == ["small"])
    assert engine.estimate(request_).prefill_tokens == (1 if names == ["small"] else 2)
    engine.close()


class CancelsItself(Named):
    """Cancels while it computes: in time to notice it, or as the last thing that it does."""

    def __init__(self, token: CancelToken, *, notices: bool) -> None:
        super().__init__("small")
        self._token = token
        self._notices = notices

    def stream(self, request: CompletionRequest, cancel: CancelToken) -> Iterator[Chunk]:
        if self._notices:
            self._token.cancel()
        yield from super().stream(request, cancel)
        self._token.cancel()


@pytest.mark.parametrize(("notices", "reaches"), [(True, 0), (False, 1)])
def test_a_prefetch_can_be_cancelled_in_its_first_half_and_after_it(
    notices: bool, reaches: int
) -> None:
    token = CancelToken()
    better = Named("better", prefill_ms=3000)
    engine = both(CancelsItself(token, notices=notices), better)
    (last,) = engine.stream(PREFETCH, token)
    assert last.finish is FinishReason.CANCELLED
    assert not last.stood_in
    assert len(better.requests) == reaches
    engine.close()


def test_an_answer_is_named_after_who_gave_it_also_if_the_other_takes_over_at_its_end(
    small: Named, better: Named, told: Told
) -> None:
    opening = Opening(better)
    engine = StandInEngine(small, opening, told, first_request_s=0)
    stream = engine.stream(REQUEST, CancelToken())
    next(stream)
    opening.let_go()
    engine_is_ready(engine)
    chunks = list(stream)
    assert told.wait() == "Serving better"
    assert engine.info.model_id == "small"
    # Nobody has to be asked for the prompt: the better one had it before it came to serve.
    assert not chunks[-1].stood_in
    engine.close()


def engine_is_ready(engine: StandInEngine) -> None:
    """Wait until the opening thread has done all it can do."""
    engine._opening.result(WAIT_S)  # pyright: ignore[reportPrivateUsage]


def closing_in_a_thread(engine: StandInEngine, opening: Opening) -> Callable[[], None]:
    """Begin to close while the better engine is being opened; returns what waits for the end."""
    assert opening.began.wait(WAIT_S)
    assert opening.token is not None
    thread = threading.Thread(target=engine.close)
    thread.start()
    assert opening.token.wait(WAIT_S)

    def join() -> None:
        thread.join(WAIT_S)
        assert not thread.is_alive()

    return join
