"""The code benchmark: what programs may do, what is asked, and what counts as right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import humaneval
from benchmarks.answers import Answer, AnswerFile, Asker, ask, open_asker
from benchmarks.problems import SETS, DataError, Problem, read_problems, sample
from benchmarks.published import published_for
from benchmarks.sandbox import Sandbox, Verdict
from benchmarks.scores import Marks, first_line, mark, score_lines, scores
from midfill_engine.backends.base import Logits
from midfill_engine.errors import ModelError
from midfill_engine.fake import ScriptedEngine
from midfill_engine.local import LoadedModel
from midfill_engine.prompt import resolve
from midfill_engine.tokenizer import Tokenizer, build_tokenizer
from midfill_engine.types import CompletionRequest, EngineInfo, FinishReason
from tests.benchmark_sets import posix, write

INFO = EngineInfo(model_id="tiny", backend="toy", device="cpu")
GAP = Problem(
    id="one",
    group="single-line",
    prefix="def double(x):\n",
    suffix="    return y\n",
    program_start="def double(x):\n",
    program_end="    return y\n\nassert double(2) == 4\n",
)
FUNCTION = Problem(
    id="two",
    group="humaneval",
    prefix='def double(x):\n    """Twice x."""\n',
    ends=("\ndef", "\nprint"),
    program_start='def double(x):\n    """Twice x."""\n',
    program_end="\n\nassert double(2) == 4\n",
)
LINE = Problem(id="three", group="santacoder js", prefix="if (x) {", suffix="}", expected="f(x);")


# --- The problems --------------------------------------------------------------------------------


def test_a_function_is_asked_by_its_prompt_and_checked_by_its_tests(tmp_path: Path) -> None:
    row = {
        "task_id": "HumanEval/0",
        "prompt": "def one():\n",
        "entry_point": "one",
        "test": "def check(candidate):\n    assert candidate() == 1\n",
    }
    write(tmp_path / "human-eval" / "HumanEval.jsonl.gz", [row])
    (problem,) = read_problems(SETS["humaneval"], tmp_path)
    assert (problem.prefix, problem.suffix) == ("def one():\n", "")
    namespace: dict[str, object] = {}
    exec(problem.program("    return 1"), namespace)
    with pytest.raises(AssertionError):
        exec(problem.program("    return 2"), namespace)


def mbpp(task: int, name: str) -> dict[str, object]:
    return {"task_id": task, "prompt": f"{name}.", "code": f"# {name}\r\n", "test": ["assert 1"]}


def test_tasks_come_after_the_three_of_the_papers(tmp_path: Path) -> None:
    rows = [mbpp(task, f"task {task}") for task in (1, 2, 3, 4, 5, 11, 12, 511)]
    write(tmp_path / "mbpp" / "mbpp.jsonl", rows)
    problems = read_problems(SETS["mbpp"], tmp_path)
    assert [problem.id for problem in problems] == ["MBPP/11", "MBPP/12"]
    prompt = problems[0].prefix
    assert [prompt.count(f"# task {task}\n[DONE]") for task in (1, 2, 3, 4, 11)] == [0, 1, 1, 1, 0]
    assert prompt.endswith("task 11. Your code should pass these tests:\n\nassert 1\n[BEGIN]\n")


def test_where_those_are_missing_the_first_ones_are_shown_and_not_scored(tmp_path: Path) -> None:
    write(tmp_path / "mbpp" / "mbpp_test.jsonl", [mbpp(task, f"t{task}") for task in range(11, 16)])
    problems = read_problems(SETS["mbpp"], tmp_path)
    assert [problem.id for problem in problems] == ["MBPP/14", "MBPP/15"]
    assert problems[0].prefix.count("[DONE]") == 3


def test_a_set_that_is_missing_or_of_another_kind_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"HumanEval\.jsonl\.gz does not exist"):
        read_problems(SETS["humaneval"], tmp_path)
    write(tmp_path / "human-eval" / "HumanEval.jsonl.gz", [{"task_id": 1}])
    with pytest.raises(DataError, match="prompt"):
        read_problems(SETS["humaneval"], tmp_path)


def test_a_smaller_sample_is_part_of_a_larger_one() -> None:
    problems = [Problem(id=str(index), group="g", prefix="") for index in range(50)]
    few, many = sample(problems, 5, seed=3), sample(problems, 20, seed=3)
    assert many[:5] == few
    assert sample(problems, 5, seed=4) != few
    assert len(sample(problems, None, seed=3)) == 50


# --- The answers ---------------------------------------------------------------------------------


def test_an_answer_ends_where_the_set_says_and_the_model_is_stopped() -> None:
    engine = ScriptedEngine("    return 2 * x\nprint(double(3))\n" + "# more\n" * 50, piece=3)
    answer = Asker(engine, ()).answer(FUNCTION, SETS["humaneval"])
    assert (answer.text, answer.finish) == ("    return 2 * x", FinishReason.STOP)
    assert answer.tokens < 20
    request = engine.requests[0]
    assert isinstance(request, CompletionRequest)
    assert (request.suffix, request.heal, request.sampling.temperature) == ("", False, 0.0)


def test_an_answer_of_which_one_line_counts_ends_after_it() -> None:
    engine = ScriptedEngine("\n    f(x);\n    more\n" + "# more\n" * 50)
    answer = Asker(engine, ()).answer(LINE, SETS["santacoder"])
    assert first_line(answer.text) == "f(x);"
    assert answer.tokens < 10


def test_what_is_answered_is_not_asked_again_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "new" / "answers.jsonl"
    engine = ScriptedEngine("    return 2 * x\n")
    which = SETS["single-line"]
    first = list(ask(Asker(engine, ("m",)), [GAP], which, AnswerFile(path)))
    # A kill in the midst of a line.
    with path.open("a") as file:
        file.write('{"key": "abc", "te')
    kept = AnswerFile(path)
    both = list(ask(Asker(engine, ("m",)), [GAP, LINE], which, kept))
    assert both[0] == first[0]
    assert len(engine.requests) == 2
    assert len(AnswerFile(path)) == 2
    # Another model, or another way to ask, is another question.
    list(ask(Asker(engine, ("other",)), [GAP], which, kept))
    list(ask(Asker(engine, ("m",), heal=True), [GAP], which, kept))
    list(ask(Asker(engine, ("m",), order="spm"), [GAP], which, kept))
    assert len(engine.requests) == 5


class Recorder:
    """A backend that hears the prompt, and ends each answer at once."""

    def __init__(self, vocab_size: int, end: int) -> None:
        self.vocab_size = vocab_size
        self.heard: list[int] = []
        self._end = end
        self.length, self.capacity, self.nbytes = 0, 4096, 0

    def new_cache(self, capacity: int) -> Recorder:
        return self

    def truncate(self, length: int) -> None:
        self.length = length

    def copy_beginning(self, other: Recorder, length: int) -> None:
        raise AssertionError

    def forward(self, tokens: Sequence[int], cache: Recorder, logits_for: int) -> Logits:
        self.heard.extend(tokens)
        self.length += len(tokens)
        logits = np.zeros((logits_for, self.vocab_size), np.float32)
        logits[:, self._end] = 1.0
        return logits

    def close(self) -> None:
        pass


MARKERS = ["<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"]


def tokenizer() -> Tokenizer:
    """One token for each byte and one for two of them, and the markers of Qwen2.5-Coder."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    letters = [chr(byte) if byte in visible else chr(next(spare)) for byte in range(256)]
    return build_tokenizer(
        {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "qwen2",
            "tokenizer.ggml.tokens": [*letters, *MARKERS, "de"],
            "tokenizer.ggml.token_type": [1] * 256 + [3] * len(MARKERS) + [1],
            "tokenizer.ggml.merges": ["d e"],
            "tokenizer.ggml.eos_token_id": 256,
            "tokenizer.ggml.add_bos_token": False,
        }
    )


def loaded(backend: Recorder, *, able: bool = True) -> LoadedModel:
    vocabulary = tokenizer()
    return LoadedModel(
        backend=backend,
        tokenizer=vocabulary,
        fim=resolve("qwen2.5-coder", vocabulary) if able else None,
        stop_ids=frozenset({256}),
        context_tokens=2048,
        prompt_tokens=1024,
    )


def heard(*, infills: bool, fim: str | None = None, able: bool = True) -> tuple[list[int], str]:
    """The prompt that a model which can fill in is given, and its order."""
    backend = Recorder(257 + len(MARKERS), end=256)
    model = loaded(backend, able=able)
    asker = open_asker(model, INFO, infills=infills, fim=fim, heal=False)
    which = SETS["single-line" if infills else "humaneval"]
    assert asker.answer(GAP if infills else FUNCTION, which).finish is FinishReason.STOP
    return backend.heard, asker.order


def test_a_model_that_fills_in_continues_a_prefix_without_any_marker() -> None:
    tokens, order = heard(infills=False)
    assert bytes_of(tokens) == FUNCTION.prefix.encode()
    assert order == ""


def test_a_gap_is_shown_with_markers_in_the_order_of_the_format() -> None:
    tokens, order = heard(infills=True)
    assert [token - 256 for token in tokens if 256 < token < 260] == [1, 3, 2]
    assert order == "psm"
    assert heard(infills=True, fim="qwen2.5-coder") == (tokens, order)


def test_a_model_that_cannot_fill_in_is_never_asked_to() -> None:
    with pytest.raises(ModelError, match="not trained"):
        heard(infills=True, able=False)
    with pytest.raises(ModelError, match="vocabulary"):
        heard(infills=True, able=False, fim="codellama")
    assert heard(infills=False, able=False)[0]


def bytes_of(tokens: Sequence[int]) -> bytes:
    vocabulary = tokenizer()
    return b"".join(vocabulary.token_bytes(token) for token in tokens)


# --- The scores ----------------------------------------------------------------------------------


def answer(text: str, finish: FinishReason = FinishReason.STOP) -> Answer:
    return Answer(key="k", problem="p", text=text, finish=finish, tokens=1, seconds=0.0)


@posix
def test_what_runs_to_its_end_is_right() -> None:
    runs_on = answer("    y = 2 * x\n    return y\n\ndef more(:\n")
    right, wrong = answer("    y = 2 * x\n"), answer("    y = x\n")
    found = list(mark([(GAP, each) for each in (runs_on, right, wrong)], Sandbox.open(), threads=2))
    verdicts = [marks.verdict for marks in found]
    assert verdicts == [Verdict.ERROR, Verdict.PASSED, Verdict.FAILED]


def test_the_first_line_with_something_in_it_is_compared() -> None:
    pairs = [
        (LINE, answer("\n    f(x);\n}")),
        (LINE, answer("f(x); g(x);")),
        (LINE, answer("")),
    ]
    found = list(mark(pairs, Sandbox(), threads=1))
    assert [marks.verdict is Verdict.PASSED for marks in found] == [True, False, False]


def marked(group: str, right: int, wrong: int, *, punctuation: bool = False) -> list[Marks]:
    verdicts = [Verdict.PASSED] * right + [Verdict.FAILED] * wrong
    return [Marks(group=group, verdict=verdict, punctuation=punctuation) for verdict in verdicts]


def test_languages_are_scored_together_apart_and_without_mere_brackets() -> None:
    found = [
        *marked("santacoder py", 3, 1),
        *marked("santacoder js", 1, 1),
        *marked("santacoder js", 4, 0, punctuation=True),
    ]
    published = published_for("qwen2.5-coder-1.5b")
    scored = {score.name: score for score in scores(found, published, "psm")}
    scored = {name.removesuffix(" psm"): score for name, score in scored.items()}
    counts = {name: (score.right, score.count) for name, score in scored.items()}
    assert counts == {
        "santacoder": (8, 10),
        "santacoder, words only": (4, 6),
        "santacoder js": (5, 6),
        "santacoder py": (3, 4),
    }
    assert scored["santacoder py"].published == 77.0
    assert scored["santacoder"].published == 83.5
    assert scored["santacoder py"].as_json()["raw_percent"] == {
        "value": 75.0,
        "standard_error": 21.65,
    }


def test_published_numbers_stand_beside_their_own_protocol_and_order_only() -> None:
    llama = published_for("codellama/CodeLlama-7b-hf")
    assert llama is not None
    assert llama.percent("humaneval", "") == 33.5
    assert llama.percent("single-line", "psm") == 74.1
    assert llama.percent("single-line", "spm") == 83.3
    assert llama.percent("santacoder py", "spm") == 72.7
    instruct = published_for("codellama-34b-instruct-q4")
    assert instruct is not None
    assert (instruct.percent("mbpp", ""), instruct.percent("single-line", "psm")) == (57.0, None)
    qwen = published_for("qwen2.5-coder-0.5b")
    assert qwen is not None
    # What is published of it is the exact match of lines: none of it belongs to executed tests.
    assert qwen.percent("single-line", "psm") is None
    assert qwen.percent("humaneval", "") is None
    assert "base model" in qwen.note
    assert published_for("starcoder2-7b") is None
    assert published_for("qwen2.5-coder-32b") is None


def test_the_table_keeps_protocols_apart() -> None:
    infilling = scores(marked("single-line", 1, 1), None, "psm")
    lines = score_lines(
        {SETS[name].measure.protocol: infilling for name in ("single-line", "santacoder")}
    )
    assert [line[:3] for line in lines] == ["(a)", "  s", "(b)", "  s"]
    assert "50.0 ± 35.4" in lines[1]


@posix
def test_a_run_is_told_in_a_table_and_one_line_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {
        "task_id": "HumanEval/0",
        "prompt": "def one():\n",
        "entry_point": "one",
        "test": "def check(candidate):\n    candidate()\n",
    }
    write(tmp_path / "human-eval" / "HumanEval.jsonl.gz", [row])
    line = {"name": "a", "language": "py", "prompt": "x", "suffix": "", "canonical_solution": "y"}
    write(tmp_path / "santacoder-fim" / "half.jsonl.gz", [line])
    backend = Recorder(257 + len(MARKERS), end=256)
    chosen = SimpleNamespace(
        spec=SimpleNamespace(id="codellama-7b"), runtime="toy", layout="tiny", device="cpu"
    )
    monkeypatch.setattr(humaneval, "choose_model", lambda options, store: chosen)
    monkeypatch.setattr(humaneval, "load_model", lambda *_: loaded(backend))
    command = ["--model", "codellama-7b", "--data", str(tmp_path), "--limit", "3"]
    command += ["--answers", str(tmp_path / "answers"), "--json", str(tmp_path / "result.json")]
    assert humaneval.main(command) == 0
    told = capsys.readouterr().out
    assert "random-span: not measured" in told
    assert "never comparable" in told
    result = json.loads((tmp_path / "result.json").read_text())
    assert result == json.loads(told.splitlines()[-1])
    score = result["figures"]["humaneval"]["scores"]["humaneval"]
    # Nothing was written, so the function has no body.
    assert score["verdicts"] == {"error": 1}
    assert (score["raw_percent"]["value"], score["published_percent"]) == (0.0, 33.5)
    assert result["figures"]["santacoder psm"]["protocol"].startswith("(b)")

    spoken = len(backend.heard)
    assert humaneval.main(command) == 0
    assert len(backend.heard) == spoken, "what was answered is not asked again"
