"""Giving up the oldest records for lack of room: whole segments, and a record of type ``dropped`` tells of them.

What went is noted before its file is deleted, and counts as told only once that record is written: a crash between the
two leaves no gap that nobody explains. With both locks of the spool held.
"""

from pathlib import Path

from agent_sidecar import logs
from agent_sidecar.decision_log.files import DAMAGED, finished, read_ends
from agent_sidecar.decision_log.head import Head, Shed
from agent_sidecar.durable import StateError
from policy_core.decision_log.lines import Seal, SegmentHeader


def shed_oldest(directory: Path, head: Head, *, chain: str | None) -> bool:
    """Give up the oldest finished segment of a log that goes on in `chain`; False if there is none. Raises OSError."""
    path = next(iter(finished(directory, before=head.read()[1])), None)
    if path is None:
        return False
    size = path.stat().st_size
    try:
        header, seal = read_ends(path)
    except StateError as error:  # nobody could tell what goes with it
        logs.warning("decision_log_damaged", reason=error.message, hint="the disk is failing")
        path.rename(path.with_suffix(DAMAGED))
    else:
        head.shed_records += seal.count
        if header.chain == chain:  # any other has its end: nothing can be told in it any more
            _note(head, header, seal)
        path.unlink()
    head.finished_bytes = max(0, head.finished_bytes - size)
    return True


def _note(head: Head, header: SegmentHeader, seal: Seal) -> None:
    first, previous, known = header.first_seq, bytes.fromhex(header.previous), head.shed
    if known and known[1] == first - 1:  # what told of that range may be among what goes now
        first, previous = known[0], known[2]
    head.shed = (first, seal.last_seq, previous, bytes.fromhex(seal.record_hash), False)


def untold(head: Head) -> Shed | None:
    """Return what was given up, if the log does not tell it yet."""
    shed = head.shed
    return None if shed is None or shed[4] else shed


def note_told(head: Head, shed: Shed) -> None:
    """Note that the log tells it now."""
    head.shed = (*shed[:4], True)
