"""Architectures that midfill has no graph for: optimum's exporter writes one, in its own process.

What it writes is a folder for ``backends.optimum_backend``: ``model.onnx`` (and its data files),
the checkpoint's tokenizer files, and ``export.json``: a folder without it, or with one that does
not match, is no export. Run as a program, this module is the exporter's process.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, cast

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import (
    BackendUnavailableError,
    DiskFullError,
    ModelError,
    ModelFormatError,
    WorkCancelledError,
)
from midfill_engine.progress import Progress, ProgressSink

__all__ = ["EXPORTER_VERSION", "ExportManifest", "export", "is_exported", "main"]

EXPORTER_VERSION = 1
"""Raised whenever the written files change; older exports are then made anew."""

_GRAPH, _MANIFEST = "model.onnx", "export.json"
_TOKENIZER_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)
_NEEDED = ("optimum", "torch", "transformers", "onnxruntime")
# Weights of 16 bits become 32, and the exporter writes them once loose and once in one file. It
# was seen to take as much memory.
_ROOM = 5
_TASK = "text-generation-with-past"
# What configurations call the number of positions; Bloom's, which has no table, says nothing.
_POSITION_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len")
_LOOK_S = 0.1
_REFUSED = 3
# Nothing is asked of the hub, and nobody is told about it.
_OFFLINE: Mapping[str, str] = MappingProxyType(
    {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "ORT_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUTF8": "1",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportManifest:
    """What an exported folder holds, and the key under which it is valid.

    ``identity`` names the checkpoint it was made from. ``positions`` is how far its positions
    reach, ``None`` where the checkpoint does not say. ``versions`` are those of the exporter.
    """

    identity: str
    exporter_version: int
    architecture: str
    positions: int | None
    versions: Mapping[str, str]

    @staticmethod
    def read(folder: Path) -> ExportManifest | None:
        """Read the manifest of a finished export; ``None`` for anything else."""
        try:
            return ExportManifest(**json.loads((folder / _MANIFEST).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    @staticmethod
    def graph_path(folder: Path) -> Path:
        """Where the graph lies in an exported folder."""
        return folder / _GRAPH


def is_exported(into: Path, identity: str) -> bool:
    """Whether ``into`` holds a finished export of just this checkpoint, by today's code."""
    manifest = ExportManifest.read(into)
    return (
        manifest is not None
        and manifest.identity == identity
        and manifest.exporter_version == EXPORTER_VERSION
    )


def export(
    folder: Path,
    into: Path,
    *,
    identity: str,
    progress: ProgressSink,
    cancel: CancelToken,
) -> ExportManifest:
    """Export the Hugging Face checkpoint in ``folder`` to ``into``, replacing what is there.

    The caller sees to it that nobody else writes there; nothing stands there before it is whole.
    The weights become float32. Nothing is fetched, and of the checkpoint only JSON and safetensors
    are read: no code, no pickle. Raises ``BackendUnavailableError`` without the exporter,
    ``ModelFormatError`` for what it cannot export, ``DiskFullError``, ``ModelError`` where the
    folder cannot be written, and ``WorkCancelledError`` when cancelled.
    """
    for package in _NEEDED:
        if importlib.util.find_spec(package) is None:
            raise BackendUnavailableError(
                f"{package} is not installed. Run: pip install 'midfill[cpu,optimum]'"
            )
    _check_room(folder, into)
    task = f"Exporting {folder.name} (takes minutes)"
    progress(Progress(task=task, done=0, total=1, unit="model"))
    making = into.with_name(f"{into.name}.new")
    # What a killed export left.
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    try:
        _run_exporter(folder, making, identity, cancel)
        for name in _TOKENIZER_FILES:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, making / name)
        manifest = ExportManifest.read(making)
        if manifest is None:
            raise ModelFormatError(f"the exporter left no {_MANIFEST} for {folder}")
        shutil.rmtree(into, ignore_errors=True)
        making.rename(into)
    except OSError as error:
        raise ModelError(
            f"cannot export {folder.name} into {into}: {error}. If another program uses that "
            "folder, end it and try again."
        ) from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    progress(Progress(task=task, done=1, total=1, unit="model"))
    return manifest


def _check_room(folder: Path, into: Path) -> None:
    files = list(folder.glob("*.safetensors"))
    if not files:
        raise ModelFormatError(
            f"{folder} holds no safetensors. Checkpoints of other kinds (.bin, .pt) are programs, "
            "which midfill does not run: convert them to safetensors."
        )
    needed = sum(file.stat().st_size for file in files) * _ROOM
    into.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(into.parent).free
    if free < needed:
        raise DiskFullError(
            f"exporting {folder.name} needs {needed / 1e9:.1f} GB in {into.parent}, "
            f"{free / 1e9:.1f} GB are free. Make room, or set MIDFILL_HOME to another disk."
        )


def _run_exporter(folder: Path, making: Path, identity: str, cancel: CancelToken) -> None:
    """Run this module as a program: its memory, of several times the model, is given back."""
    command = [sys.executable, "-m", "midfill_engine.export", str(folder), str(making), identity]
    root = str(Path(__file__).parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, **_OFFLINE, "PYTHONPATH": os.pathsep.join(paths)}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        # Its output goes to a file: this process may be speaking a protocol over its own.
        exporter = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        try:
            while exporter.poll() is None:
                if cancel.wait(_LOOK_S):
                    raise WorkCancelledError("stopped; the export starts anew next time")
        finally:
            exporter.kill()
            exporter.wait()
        if exporter.returncode:
            said.seek(0)
            raise ModelFormatError(_explained(folder, exporter.returncode, said.read()))


def _explained(folder: Path, code: int, said: str) -> str:
    last = (said.strip().splitlines() or ["it said nothing"])[-1]
    if code == _REFUSED:
        return f"{folder} cannot be exported: {last}"
    if code < 0:
        last = f"it was ended by signal {-code}; too little memory is the usual reason"
    return f"{folder} cannot be exported: optimum's exporter failed ({last})"


class _Config(Protocol):
    """The part of a transformers configuration that is used."""

    model_type: str

    def to_dict(self) -> dict[str, object]: ...


class _FromFolder(Protocol):
    """``AutoConfig`` and ``AutoModelForCausalLM``, as far as they are used."""

    def from_pretrained(self, folder: str, **options: object) -> object: ...


class _Transformers(Protocol):
    """The part of ``transformers`` that is used, under its own names."""

    AutoConfig: _FromFolder
    AutoModelForCausalLM: _FromFolder


class _Tasks(Protocol):
    """``optimum.exporters.tasks.TasksManager``: what can be exported, and to what."""

    def get_supported_tasks_for_model_type(
        self, model_type: str, exporter: str, *, library_name: str
    ) -> Mapping[str, object]: ...


class _Optimum(Protocol):
    """The parts of ``optimum.exporters.onnx`` and ``optimum.exporters.tasks`` that are used."""

    TasksManager: _Tasks

    def onnx_export_from_model(
        self, model: object, output: Path, *, task: str, do_validation: bool, device: str
    ) -> object: ...


def _export_here(folder: Path, into: Path, identity: str) -> str | None:
    """Do the work in this process; return why it is refused, or ``None`` when it is done."""
    # By name: none of these is there when the sources are checked, and none carries types.
    library = cast("_Transformers", importlib.import_module("transformers"))
    exporter = cast("_Optimum", importlib.import_module("optimum.exporters.onnx"))
    # Architectures are entered into the table of tasks by this, and by nothing before it.
    importlib.import_module("optimum.exporters.onnx.model_configs")
    known = cast("_Optimum", importlib.import_module("optimum.exporters.tasks")).TasksManager
    opened: dict[str, object] = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = cast("_Config", library.AutoConfig.from_pretrained(str(folder), **opened))
        tasks = known.get_supported_tasks_for_model_type(
            config.model_type, "onnx", library_name="transformers"
        )
    except (ValueError, KeyError):
        return "optimum's exporter does not know its architecture"
    if _TASK not in tasks:
        return f"{config.model_type} is not a model that generates text"
    opened |= {"use_safetensors": True, "dtype": "float32"}
    model = library.AutoModelForCausalLM.from_pretrained(str(folder), **opened)
    # Its validation would run the model twice more and compare what the tests compare.
    exporter.onnx_export_from_model(model, into, task=_TASK, do_validation=False, device="cpu")
    manifest = ExportManifest(
        identity=identity,
        exporter_version=EXPORTER_VERSION,
        architecture=config.model_type,
        positions=_positions(config.to_dict()),
        versions={name: metadata.version(name) for name in _NEEDED},
    )
    (into / _MANIFEST).write_text(json.dumps(asdict(manifest), indent=1), encoding="utf-8")
    return None


def _positions(config: Mapping[str, object]) -> int | None:
    """Return the length of the position table, or that the model was trained for."""
    for key in _POSITION_KEYS:
        value = config.get(key)
        if isinstance(value, int) and value > 0:
            return value
    return None


def main(arguments: Sequence[str]) -> int:
    """Export in this process; the words are ``export``'s first three. Says why it cannot."""
    folder, into, identity = arguments
    refused = _export_here(Path(folder), Path(into), identity)
    if refused is None:
        return 0
    print(refused)
    return _REFUSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
