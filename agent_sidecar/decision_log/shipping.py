"""Finished segments become objects of the store that the log is shipped to, and are then deleted here.

A segment is deleted only when its object was read back and is the same. So a crash at any moment leaves it here, or
there, or in both places, and the next attempt finds out which.
"""

import contextlib
import hashlib
from pathlib import Path

import msgspec

from agent_sidecar.decision_log.files import OPEN, SEALED, numbers, open_path, sealed_path
from agent_sidecar.durable import read_file
from bundle_store.delivering import deliver
from bundle_store.port import RecordsStore
from policy_core import gzipped
from policy_core.decision_log.errors import LogError
from policy_core.decision_log.lines import MAX_SEGMENT_BYTES, decode_header, decode_seal
from policy_core.decision_log.names import segment_object

LEVEL = 4
"""Of compression: 6 % more bytes than with 9, in 40 % of the time, which decisions may want."""
_BEGINNING_BYTES = 4_096


class Backlog(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is only on this host: finished segments, bytes of all, and the time of the oldest record ("": none).

    Without a record there are no bytes either: a header is nothing to lose.
    """

    segments: int = 0
    bytes: int = 0
    oldest_at: str = ""


def ship_segment(store: RecordsStore, path: Path) -> int:
    """Ship a finished segment, delete the file, and return how many records it had. One that is gone is nothing to do.

    Raises LogError if it is none, DifferentObjectError, StateError, RemoteError.
    """
    try:
        content = read_file(path, max_bytes=MAX_SEGMENT_BYTES)
    except FileNotFoundError:  # given up to make room
        return 0
    digest = hashlib.sha256(content).hexdigest()
    try:
        header = decode_header(content[: content.index(b"\n")])
        seal = decode_seal(content[content.rindex(b"\n", 0, -1) + 1 : -1])
    except ValueError as error:
        raise LogError(path.name, f"cannot be shipped: {error}") from error
    deliver(
        store,
        segment_object(header, digest),
        gzipped.compress(content, level=LEVEL),
        notes={"records": str(seal.count), "sha256": digest},
        content=_unpacked,
    )
    path.unlink(missing_ok=True)
    return seal.count


def backlog(directory: Path, *, used_bytes: int) -> Backlog:
    """Return what of a spool, whose segments take so many bytes, has not been shipped. Raises OSError."""
    sealed = numbers(directory, SEALED)
    segments = [
        *(sealed_path(directory, number) for number in sealed),
        *(open_path(directory, number) for number in numbers(directory, OPEN)),
    ]
    for path in segments:
        with contextlib.suppress(FileNotFoundError):  # shipped, or moved to its final name, meanwhile
            if oldest_at := _first_record_at(path):
                return Backlog(len(sealed), used_bytes, oldest_at)
    return Backlog(len(sealed))


def _first_record_at(path: Path) -> str:
    """Return the time of the first record of a segment; empty if it has none."""
    with path.open("rb") as file:
        _, _, record = file.read(_BEGINNING_BYTES).partition(b"\n")
    _, found, rest = record[:128].partition(b',"ts":"')
    return rest.partition(b'"')[0].decode("ascii", "replace") if found else ""


def _unpacked(blob: bytes) -> bytes:
    return gzipped.decompress(blob, max_bytes=MAX_SEGMENT_BYTES)
