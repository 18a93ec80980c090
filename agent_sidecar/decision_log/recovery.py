"""What a writer does that finds a log as a crash has left it: cut what is torn, and find the end of the chain.

States a crash of a process can leave, and what becomes of them:

- a line, or some lines of a batch, half written: cut; nobody was answered on it
- a checkpoint without the seal after it: a record like any other
- a seal, the file still ``.open``, with or without the next segment: finished, and the next one begun
- a file begun and not named: never read

A crash of the machine can also leave less of a segment than the next one follows, or a file with holes. What does not
fit any more is set aside as ``.damaged``, never deleted, and reported.
"""

import contextlib
import os
from pathlib import Path

from agent_sidecar import logs
from agent_sidecar.decision_log.files import (
    DAMAGED,
    OPEN,
    SEALED,
    Segment,
    numbers,
    open_path,
    read_segment,
    sealed_path,
)


def find_end(directory: Path) -> Segment | None:
    """Return the segment the log ends in, its file cut to what is whole; None if there is no log.

    Raises StateError, OSError.
    """
    end: Segment | None = None
    for number in numbers(directory, OPEN):
        found = read_segment(open_path(directory, number))
        if found.reader.header is None or (end and not found.follows(end)):
            _set_aside(found.path)
        else:
            end = found
    if end is None:
        finished = numbers(directory, SEALED)
        return read_segment(sealed_path(directory, finished[-1])) if finished else None
    if end.rest:
        _cut(end)
    return end


def _cut(segment: Segment) -> None:
    """Cut what follows the last whole line, and keep a copy if that is more than a crash of a process leaves."""
    if segment.is_damaged:
        aside = segment.path.with_suffix(DAMAGED)
        with contextlib.suppress(OSError):  # a full disk must not keep the log from going on
            aside.write_bytes(segment.rest)
        _report(segment.path, aside)
    os.truncate(segment.path, segment.reader.length)


def _set_aside(path: Path) -> None:
    if path.stat().st_size == 0:
        path.unlink()
        return
    aside = path.with_suffix(DAMAGED)
    path.rename(aside)
    _report(path, aside)


def _report(path: Path, aside: Path) -> None:
    logs.warning(
        "decision_log_damaged",
        segment=path.name,
        kept=str(aside),
        hint="the machine went down, or the disk is failing: records after this place may be missing",
    )
