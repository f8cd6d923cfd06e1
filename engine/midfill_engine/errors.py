"""Every error the engine raises on purpose.

MidfillError
├── ModelError                   a model cannot be had, or cannot be used
│   ├── UnknownModelError        no such id in the registry; names the nearest
│   ├── ModelMissingError        known, but not on this machine yet: says what to pull
│   ├── ModelFormatError         the file is not what its name says, or of an unsupported kind
│   ├── LicenceError             its licence has to be agreed to first: says where to read it
│   └── IntegrityError           size or sha256 differs from the registry's
├── FetchError                   no source could deliver; one line per source that was tried
├── DiskFullError                not enough room: says how much is needed, and where
├── BackendUnavailableError      a runtime is not installed: says which extra to install
├── OutOfMemoryError             the device has no room for a model or a cache: says what would fit
├── WorkCancelledError           fetching or converting was stopped by its cancel token
└── RequestError                 the request itself cannot be served (too long, no such ability)

Messages are written for the person at the editor: what happened, then what to do about it.
"""

from __future__ import annotations

__all__ = [
    "BackendUnavailableError",
    "DiskFullError",
    "FetchError",
    "IntegrityError",
    "LicenceError",
    "MidfillError",
    "ModelError",
    "ModelFormatError",
    "ModelMissingError",
    "OutOfMemoryError",
    "RequestError",
    "UnknownModelError",
    "WorkCancelledError",
]


class MidfillError(Exception):
    """Base of all errors midfill raises on purpose; ``str(error)`` can be shown to a user."""


class ModelError(MidfillError):
    """A model cannot be had, or cannot be used."""


class UnknownModelError(ModelError):
    """No model of that id is registered."""


class ModelMissingError(ModelError):
    """The model is not on this machine; ``download_bytes`` says how large a known one is."""

    def __init__(
        self, message: str, *, model_id: str | None = None, download_bytes: int | None = None
    ) -> None:
        super().__init__(message)
        self.model_id = model_id
        self.download_bytes = download_bytes


class ModelFormatError(ModelError):
    """A model file is damaged, or of a kind that is not supported."""


class LicenceError(ModelError):
    """The user has not agreed to the model's licence yet."""


class IntegrityError(ModelError):
    """A file's size or sha256 is not the one the registry promises."""


class FetchError(MidfillError):
    """No source could deliver a file."""


class DiskFullError(MidfillError):
    """There is not enough room on the disk."""


class BackendUnavailableError(MidfillError):
    """The runtime that a backend drives is not installed."""


class OutOfMemoryError(MidfillError):
    """A device has no room left for a model, a cache or a step; nothing is lost but the step."""


class WorkCancelledError(MidfillError):
    """Fetching or converting was stopped by its cancel token; nothing half made is left."""


class RequestError(MidfillError):
    """The request cannot be served as it is."""
