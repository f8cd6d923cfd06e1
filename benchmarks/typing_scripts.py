"""What is typed in the keystroke benchmark: real lines at real places, and recorded edits.

A script is a text and the edits that are made in it, in turns; nothing here knows a server.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import random
import re
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from benchmarks.overhead import lengthen
from benchmarks.sites import SAMPLES

__all__ = [
    "Edit",
    "Script",
    "Source",
    "Typed",
    "code_sources",
    "find_trace",
    "line_scripts",
    "recorded_script",
    "rest_scripts",
    "size_scripts",
    "typing",
]

LINE_CHARACTERS = 14
_LEAST_LINE = 10
_PACKAGES = ("huggingface_hub", "pygls", "requests", "rich")
_FILE_LINES = range(80, 3000)
_FAR_LINES = 120
_LANGUAGES = {".cpp": "cpp", ".go": "go", ".py": "python", ".rs": "rust", ".ts": "typescript"}
_CODE = re.compile(r"\s*(?!#|//|/\*|\*|\"\"\"|''')\S")
_TRACE = "rustcode.json.gz"
# A key, perhaps the return key, after which editors indent by themselves.
_ONE_KEY = re.compile(r"\r?\n[ \t]*|.{1,2}", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """``deleted`` characters at ``offset`` become ``inserted``; then an editor ``asks`` or not.

    ``jumps``: the cursor was elsewhere before. Where ``rest_s`` is not 0, it has come to ``offset``
    and stayed there so long before anything was typed.
    """

    offset: int
    deleted: int = 0
    inserted: str = ""
    asks: bool = True
    jumps: bool = False
    rest_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A file of the editor and what is done in it; ``part`` is the part of the benchmark."""

    part: str
    name: str
    language_id: str
    text: str
    turns: tuple[tuple[Edit, ...], ...]

    @property
    def uri(self) -> str:
        """The URI of the file, this script's alone; nothing needs to lie there."""
        return f"file:///keystrokes/{self.part}/{quote(self.name)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file of real code. ``name`` says where it came from, without this machine's folders."""

    name: str
    language_id: str
    text: str


class Typed:
    """A text that is typed into."""

    def __init__(self, text: str) -> None:
        self.text = text

    def apply(self, edit: Edit) -> int:
        """Make the edit; return the offset of the cursor after it. Raises ``ValueError``."""
        end = edit.offset + edit.deleted
        if end > len(self.text):
            raise ValueError(f"an edit up to {end} in a text of {len(self.text)}")
        self.text = self.text[: edit.offset] + edit.inserted + self.text[end:]
        return edit.offset + len(edit.inserted)

    def position(self, offset: int) -> tuple[int, int]:
        """Return line and column of an offset, both from 0, in characters."""
        line = self.text.count("\n", 0, offset)
        return line, offset - (self.text.rfind("\n", 0, offset) + 1)


def typing(offset: int, text: str, *, rest_s: float = 0.0) -> tuple[Edit, ...]:
    """Return one edit per character; the first is a jump to ``offset``, after a rest there."""
    return tuple(
        Edit(
            offset=offset + index,
            inserted=character,
            jumps=index == 0,
            rest_s=0.0 if index else rest_s,
        )
        for index, character in enumerate(text)
    )


def code_sources(seed: int) -> Iterator[Source]:
    """Yield the samples and seeded Python files of this environment, a sample after each two.

    The Python files are the standard library's and those of packages that midfill needs, so other
    versions of them have other lines at the same seed.
    """
    chance = random.Random(seed)
    samples = [_read(path, f"samples/{path.name}") for path in sorted(SAMPLES.glob("*.*"))]
    python = [*_python_files(Path(sysconfig.get_path("stdlib")), "python", deep=False)]
    for package in _PACKAGES:
        found = importlib.util.find_spec(package)
        for folder in found.submodule_search_locations or () if found else ():
            python += _python_files(Path(folder), package, deep=True)
    chance.shuffle(python)
    yielded = 0
    for path, name in python:
        source = _read(path, name)
        if source.text.count("\n") in _FILE_LINES and source.text.isascii():
            yield source
            yielded += 1
            if yielded % 2 == 0 and samples:
                yield samples.pop(0)


def line_scripts(
    sources: Iterable[Source], count: int, seed: int, *, rest_s: float = 0.0
) -> list[Script]:
    """Take one line out of each of ``count`` files, to be typed again, its indent excepted."""
    chance = random.Random(seed)
    scripts: list[Script] = []
    for source in sources:
        if len(scripts) == count:
            break
        lines = _lines_worth_typing(source.text)
        if not lines:
            continue
        number = chance.choice(lines)
        text, offset, line = _without_line(source.text, number)
        scripts.append(
            Script(
                part="lines",
                name=f"{source.name}:{number + 1}",
                language_id=source.language_id,
                text=text,
                turns=(typing(offset, line[:LINE_CHARACTERS], rest_s=rest_s),),
            )
        )
    return scripts


def rest_scripts(sources: Iterable[Source], count: int, seed: int, rest_s: float) -> list[Script]:
    """Return scripts whose cursor comes to rest in a new file, and then far away in the same one.

    At both places one character is typed; at the first one a few more follow, which bring the
    server's mind there. Files without a second place at a distance are passed over.
    """
    chance = random.Random(seed + 1)
    scripts: list[Script] = []
    for source in sources:
        if len(scripts) == count:
            break
        lines = _lines_worth_typing(source.text)
        near = chance.choice(lines) if lines else 0
        far = [line for line in lines if line - near >= _FAR_LINES]
        if not far:
            continue
        # The later line goes first: offsets before it stay what they are.
        text, late_offset, late = _without_line(source.text, chance.choice(far))
        shorter, offset, line = _without_line(text, near)
        late_offset += len(shorter) - len(text)
        start = typing(offset, line[:4], rest_s=rest_s)
        there = typing(late_offset + len(start), late[:1], rest_s=rest_s)
        name = f"{source.name}:{near + 1}"
        scripts.append(
            Script(
                part="rest",
                name=name,
                language_id=source.language_id,
                text=shorter,
                turns=(start + there,),
            )
        )
    return scripts


def size_scripts(lines: Sequence[int], seed: int) -> list[Script]:
    """Return the same typing in the middle of files of different lengths.

    What lies around the cursor is the same in all; a longer one has more at both ends.
    """
    core = lengthen(_read(SAMPLES / "ledger.py", "").text, min(lines))
    number = min(_lines_worth_typing(core), key=lambda line: abs(line - min(lines) // 2 - seed % 7))
    text, offset, line = _without_line(core, number)
    scripts: list[Script] = []
    for total in lines:
        around = lengthen(core, (total - min(lines)) // 2) if total > min(lines) else ""
        keys = typing(len(around) + offset, line[:LINE_CHARACTERS])
        scripts.append(
            Script(
                part="size",
                name=f"{total}-lines.py",
                language_id="python",
                text=around + text + around,
                turns=(keys,),
            )
        )
    return scripts


def find_trace(data: Path) -> Path | None:
    """Return the recorded edits in a folder of data, or ``None``."""
    for path in (data, data / _TRACE, data / "editing-traces" / _TRACE):
        if path.is_file():
            return path
    return None


def recorded_script(path: Path, *, start: int, asks: int, turn_asks: int = 10) -> Script:
    """Return real edits from the ``start``-th transaction on, until so many keys have asked.

    An editor asks after one or two characters, or the return key, were typed; not after a paste,
    a deletion, an accepted completion, or an edit at several places.
    """
    with gzip.open(path, "rt", encoding="utf-8") as file:
        trace = json.load(file)
    typed = Typed(trace["startContent"])
    for transaction in trace["txns"][:start]:
        for offset, deleted, inserted in transaction["patches"]:
            typed.apply(Edit(offset=offset, deleted=deleted, inserted=inserted))
    turns: list[tuple[Edit, ...]] = []
    turn: list[Edit] = []
    cursor: int | None = None
    left = asks
    for transaction in trace["txns"][start:]:
        if left == 0:
            break
        edits = _recorded_edits(transaction["patches"], cursor)
        cursor = edits[-1].offset + len(edits[-1].inserted)
        turn += edits
        left -= edits[-1].asks
        if sum(edit.asks for edit in turn) == turn_asks:
            turns, turn = [*turns, tuple(turn)], []
    if turn:
        turns.append(tuple(turn))
    return Script(
        part="edits",
        name=f"{start}.rs",
        language_id="rust",
        text=typed.text,
        turns=tuple(turns),
    )


def _recorded_edits(patches: Sequence[Sequence[object]], cursor: int | None) -> list[Edit]:
    edits: list[Edit] = []
    for patch in patches:
        offset, deleted, inserted = int(str(patch[0])), int(str(patch[1])), str(patch[2])
        one_key = deleted == 0 and _ONE_KEY.fullmatch(inserted) is not None
        edits.append(
            Edit(
                offset=offset,
                deleted=deleted,
                inserted=inserted,
                asks=one_key and len(patches) == 1,
                jumps=cursor not in (offset, offset + deleted),
            )
        )
        cursor = offset + len(inserted)
    return edits


def _python_files(folder: Path, name: str, *, deep: bool) -> Iterator[tuple[Path, str]]:
    found = sorted(folder.rglob("*.py") if deep else folder.glob("*.py"))
    for path in found:
        yield path, f"{name}/{path.relative_to(folder).as_posix()}"


def _read(path: Path, name: str) -> Source:
    text = path.read_text(encoding="utf-8", errors="replace")
    return Source(name=name, language_id=_LANGUAGES[path.suffix], text=text)


def _lines_worth_typing(text: str) -> list[int]:
    """Return the numbers of lines of code, not of comments, with something above and below."""
    lines = text.split("\n")
    return [
        number
        for number in range(len(lines) // 10, len(lines) - 5)
        if len(lines[number].strip()) >= _LEAST_LINE and _CODE.match(lines[number])
    ]


def _without_line(text: str, number: int) -> tuple[str, int, str]:
    """Empty a line but for its indent; return the text, the offset after the indent, the rest."""
    lines = text.split("\n")
    line = lines[number]
    indent = line[: len(line) - len(line.lstrip())]
    before = "".join(f"{each}\n" for each in lines[:number]) + indent
    behind = "".join(f"\n{each}" for each in lines[number + 1 :])
    return before + behind, len(before), line.strip()
