"""Which passages of other files are like what is around the cursor, and like enough to be shown."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from midfill_server.context.passages import Passage

__all__ = ["Pool", "Scored", "distinct"]

# Two passages that share more of their names than this say the same.
_DUPLICATE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A passage and how like the surroundings it is, from 0 to 1."""

    passage: Passage
    score: float


class Pool:
    """The passages of a few files, and how rare each name is among them.

    A file's passages are put in whole and replaced whole. Belongs to one thread.
    """

    def __init__(self) -> None:
        self._passages: dict[int, Passage] = {}
        # By their numbers: the passages of each file, and those that use each name.
        self._files: dict[str, tuple[int, ...]] = {}
        self._users: dict[str, set[int]] = {}
        self._next = 0

    def put(self, path: str, passages: Sequence[Passage]) -> None:
        """Make these the passages of a file."""
        self.remove(path)
        numbers = range(self._next, self._next + len(passages))
        self._next += len(passages)
        self._files[path] = tuple(numbers)
        for number, passage in zip(numbers, passages, strict=True):
            self._passages[number] = passage
            for word in passage.words:
                self._users.setdefault(word, set()).add(number)

    def remove(self, path: str) -> None:
        """Forget a file."""
        for number in self._files.pop(path, ()):
            for word in self._passages.pop(number).words:
                users = self._users[word]
                users.discard(number)
                if not users:
                    del self._users[word]

    @property
    def paths(self) -> frozenset[str]:
        """The files in it."""
        return frozenset(self._files)

    def rank(self, words: Mapping[str, float], *, without: str = "") -> list[Scored]:
        """Return the passages that share a name with ``words``, the most alike first.

        Those of the file ``without`` are left out. For alike see ``score``.
        """
        rarity = self._rarity(words, frozenset())
        own = frozenset(self._files.get(without, ()))
        shared: defaultdict[int, float] = defaultdict(float)
        counts: defaultdict[int, int] = defaultdict(int)
        for word, weight in rarity.items():
            for number in self._users[word]:
                shared[number] += weight
                counts[number] += 1
        wanted, usual = sum(rarity.values()), self._usual
        found: list[Scored] = []
        for number, weight in shared.items():
            if number not in own:
                passage = self._passages[number]
                # To look up how rare each of the other names is would take most of the time.
                other = usual * (len(passage.words) - counts[number])
                found.append(Scored(passage=passage, score=weight / (wanted + other)))
        found.sort(key=lambda one: (-one.score, one.passage.path, one.passage.line))
        return found

    def score(self, words: Mapping[str, float], passages: Sequence[Passage]) -> list[Scored]:
        """Compare passages that need not be in the pool with the names around a cursor.

        ``words`` says how much each name counts. Alike is the weighted share of names that both
        have among those that either has (Jaccard); the rarer a name is in the pool, the more it
        counts, and one that is in no passage at all does not.
        """
        more = frozenset[str]().union(*(passage.words for passage in passages))
        rarity = self._rarity(words, more)
        wanted, usual = sum(rarity.values()), self._usual
        found: list[Scored] = []
        for passage in passages:
            shared = passage.words & rarity.keys()
            weight = sum(rarity[word] for word in shared)
            other = usual * (len(passage.words) - len(shared))
            score = weight / (wanted + other) if shared else 0.0
            found.append(Scored(passage=passage, score=score))
        return found

    def _rarity(self, words: Mapping[str, float], more: frozenset[str]) -> dict[str, float]:
        """Return what each name counts that is in the pool, or one of ``more``."""
        found: dict[str, float] = {}
        for word, weight in words.items():
            users = self._users.get(word)
            if users is not None:
                found[word] = weight * math.log(1 + len(self._passages) / len(users))
            elif word in more:
                found[word] = weight * self._usual
        return found

    @property
    def _usual(self) -> float:
        return math.log(1 + max(len(self._passages), 1) / 2)


def distinct(passages: Iterable[Scored], limit: int) -> list[Scored]:
    """Return the first passages of which none says what another does."""
    taken: list[Scored] = []
    for one in passages:
        if len(taken) == limit:
            break
        if not any(_alike(one.passage.words, other.passage.words) for other in taken):
            taken.append(one)
    return taken


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    both = len(one & other)
    return both > _DUPLICATE * (len(one) + len(other) - both)
