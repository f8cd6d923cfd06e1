"""What is read for answers that must come soon: trees of documents, and other files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from midfill_server.explaining import Files
from midfill_server.syntax import Trees

__all__ = ["Reader"]

# Half of what a hover may take.
_MAX_PARSE_S = 0.07


class Reader:
    """Keeps what one session reads.

    ``trees`` gives none of a text that takes longer to parse than a hover can wait. ``pool`` is
    where ``files`` are read; what waits there too long is answered without.
    """

    def __init__(self) -> None:
        self.trees = Trees(limit_s=_MAX_PARSE_S)
        self.files = Files()
        self.pool = ThreadPoolExecutor(2, thread_name_prefix="midfill-reader")

    def close(self) -> None:
        """Begin nothing more."""
        self.pool.shutdown(wait=False, cancel_futures=True)
