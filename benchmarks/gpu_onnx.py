"""The same shapes on ONNX Runtime: converted into a folder that is deleted afterwards."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.gpu_setting import Model, Setting, shape
from midfill_engine.cache.sequence import CachedSequence
from midfill_engine.errors import BackendUnavailableError
from midfill_engine.onnx.convert import convert
from midfill_engine.onnx.layouts import find_layout
from midfill_engine.progress import silent
from midfill_engine.synthetic_weights import SyntheticWeights

__all__ = ["OnnxMissingError", "open_onnx"]

_PROVIDER = "CUDAExecutionProvider"


class OnnxMissingError(RuntimeError):
    """ONNX Runtime cannot be measured on the device; says why."""


@contextmanager
def open_onnx(name: str, layout: str, setting: Setting) -> Iterator[Model]:
    """Convert a shape, and give a model of it. Raises ``OnnxMissingError``."""
    _look(setting)
    from midfill_engine.backends.onnx_backend import OnnxBackend

    config = shape(name)
    began_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="midfill-gpu-") as folder:
        convert(
            SyntheticWeights(config, setting.seed),
            Path(folder),
            layout=find_layout(layout),
            source_sha256="synthetic",
            progress=silent,
            cancel=setting.cancel,
            precision="float16" if setting.on_gpu else "float32",
        )
        try:
            device = "cuda" if setting.on_gpu else "cpu"
            backend = OnnxBackend(Path(folder), device=device)
        except BackendUnavailableError as error:
            raise OnnxMissingError(str(error)) from error
        try:
            yield Model(
                name=name,
                weights=layout,
                config=config,
                backend=backend,
                sequence=CachedSequence(backend, setting.capacity),
                load_s=time.perf_counter() - began_s,
            )
        finally:
            backend.close()


def _look(setting: Setting) -> None:
    """Refuse before anything is converted for nothing."""
    try:
        import onnxruntime  # type: ignore[import-untyped]
    except ImportError as error:
        raise OnnxMissingError("onnxruntime is not installed") from error
    if setting.on_gpu and _PROVIDER not in onnxruntime.get_available_providers():
        raise OnnxMissingError(
            "this onnxruntime drives no GPU: pip install 'midfill[cuda]' instead of [cpu]"
        )
