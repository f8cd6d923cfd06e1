"""How fast completions were and what became of them, kept on this machine only.

Owns: what is recorded of a completion (what it cost) and of a suggestion (what somebody made of
it), the file that is kept in, and what the figures say.
Must never know: code text, file names, LSP types, engines, the network.

For the server: one recorder per process,

    path = statistics_path()                        # settings.py; None: the environment says no
    recorder = Recorder(path) if path is not None and settings.statistics else None
    recorder.add(Record(when_s=round(time.time()), ...))    # any thread, microseconds
    recorder.flush()                                # any thread, some 20 ms: not the event loop's
    recorder.close()                                # at the end

``add`` only puts the record into a list. The caller owns the timer: it calls ``flush`` every half
minute or so, and needs no timer while ``pending`` is 0. Nothing of it raises for a bad disk.
"""

from midfill_server.statistics.acceptance import (
    Acceptance,
    Calibration,
    Reception,
    summarise_feedback,
)
from midfill_server.statistics.feedback import Feedback
from midfill_server.statistics.record import Record
from midfill_server.statistics.store import Recorder, clear_records, read_feedback, read_records
from midfill_server.statistics.summary import Figures, Percentiles, Summary, Tokens, summarise

__all__ = [
    "Acceptance",
    "Calibration",
    "Feedback",
    "Figures",
    "Percentiles",
    "Reception",
    "Record",
    "Recorder",
    "Summary",
    "Tokens",
    "clear_records",
    "read_feedback",
    "read_records",
    "summarise",
    "summarise_feedback",
]
