"""Cursors in the sample files: places where a piece of real code was taken out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["SAMPLES", "SITES", "OpenSite", "Site"]

SAMPLES = Path(__file__).parent / "samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A cursor in ``file`` where ``hole``, which stands there exactly once after ``after``, was."""

    file: str
    language_id: str
    kind: str
    after: str
    hole: str

    def open(self) -> OpenSite:
        """Read the file and take the hole out."""
        text = (SAMPLES / self.file).read_text(encoding="utf-8")
        marked = self.after + self.hole
        if text.count(marked) != 1:
            raise ValueError(f"{self.file} has {text.count(marked)} places like {marked!r}")
        offset = text.index(marked) + len(self.after)
        return OpenSite(site=self, before=text[:offset], behind=text[offset + len(self.hole) :])


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSite:
    """The text around a site's cursor, without what was taken out."""

    site: Site
    before: str
    behind: str

    @property
    def uri(self) -> str:
        """The URI of the sample."""
        return (SAMPLES / self.site.file).resolve().as_uri()

    @property
    def line(self) -> int:
        """The cursor's line, from 0."""
        return self.before.count("\n")

    @property
    def column(self) -> int:
        """The cursor's column, from 0; the samples are ASCII, so in any encoding."""
        return len(self.before) - (self.before.rfind("\n") + 1)


SITES = (
    Site(
        file="ledger.py",
        language_id="python",
        kind="empty body",
        after='        """Return the transactions that carry a tag."""\n        ',
        hole="return [item for item in self.transactions if tag in item.tags]",
    ),
    Site(
        file="ledger.py",
        language_id="python",
        kind="end of line",
        after='        """Return the transactions that moved the most money, the largest first."""\n'
        "        return sorted(",
        hole="self.transactions, key=volume, reverse=True)[:count]",
    ),
    Site(
        file="router.ts",
        language_id="typescript",
        kind="middle of a line",
        after='      response.headers.set("allow", ',
        hole='[...allowed].join(", ")',
    ),
    Site(
        file="router.ts",
        language_id="typescript",
        kind="empty body",
        after="  delete(pattern: string, handler: Handler): this {\n    ",
        hole='return this.add("DELETE", pattern, handler);',
    ),
    Site(
        file="cache.rs",
        language_id="rust",
        kind="empty body",
        after="    pub fn hit_rate(&self) -> f64 {\n        ",
        hole="let lookups = self.hits + self.misses;\n"
        "        if lookups == 0 {\n"
        "            0.0\n"
        "        } else {\n"
        "            self.hits as f64 / lookups as f64\n"
        "        }",
    ),
    Site(
        file="pool.go",
        language_id="go",
        kind="empty body",
        after="func Failed(results []Result) []Result {\n\t",
        hole="var failed []Result\n"
        "\tfor _, result := range results {\n"
        "\t\tif result.Err != nil {\n"
        "\t\t\tfailed = append(failed, result)\n"
        "\t\t}\n"
        "\t}\n"
        "\treturn failed",
    ),
    Site(
        file="matrix.cpp",
        language_id="cpp",
        kind="middle of a line",
        after="        if (rows_ != other.rows_ || ",
        hole="columns_ != other.columns_",
    ),
    Site(
        file="matrix.cpp",
        language_id="cpp",
        kind="end of line",
        after="            std::swap((*this)(first, j), ",
        hole="(*this)(second, j));",
    ),
)
