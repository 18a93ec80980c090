"""What goes into a segment, as bytes: records in their chain, checkpoints, headers and seals of this host."""

import secrets
from collections.abc import Callable
from typing import NamedTuple, Protocol

from agent_sidecar.decision_log.files import boot_id
from agent_sidecar.decision_log.head import Shed
from agent_sidecar.history import moment
from policy_core import __version__
from policy_core.decision_log.chain import chained, checkpoint_prefix, opened
from policy_core.decision_log.lines import MAX_LINE_BYTES, NO_HASH, SegmentHeader
from policy_core.decision_log.segment import seal_line
from policy_core.decision_log.sequence import DROPPED

Entry = tuple[bytes, str, bytes]
"""A record to be: its type, its time as logs spell it, and what follows in its JSON (a comma first, or nothing)."""

MAX_REST_BYTES = MAX_LINE_BYTES - 512
"""What follows in a record's JSON, with room for all else in its line."""

Chained = tuple[bytes, int, bytes]
"""Bytes to append, the seq of the last record in them, and the head after it."""


class Start(NamedTuple):
    """Where a segment begins: its number in the chain, its first seq, the head before it, and which chain that is."""

    segment: int
    first_seq: int
    previous: str
    chain: str


def new_chain() -> Start:
    """Return the beginning of a chain."""
    return Start(1, 1, NO_HASH, secrets.token_hex(16))


class Signer(Protocol):
    """The host's key."""

    @property
    def keyid(self) -> str:
        """Return its name."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return a signature (64 bytes)."""
        ...


class Scribe:
    """Spells what this process appends, at the times of `clock`."""

    def __init__(self, *, host: str, signer: Signer, clock: Callable[[], float]) -> None:
        self.host = host
        self._signer = signer
        self._clock = clock

    @property
    def hour(self) -> str:
        """Return the hour of now, as it stands in times."""
        return moment(self._clock())[:13]

    def records(self, entries: tuple[Entry, ...], seq: int, head: bytes) -> Chained:
        """Return records that follow record `seq`."""
        lines = []
        for kind, ts, rest in entries:
            seq += 1
            line, head = chained(head, b'{"type":"%b","seq":%d,"ts":"%b"' % (kind, seq, ts.encode()) + rest)
            lines.append(line)
        return lines[0] if len(lines) == 1 else b"".join(lines), seq, head

    def checkpoint(self, seq: int, head: bytes) -> Chained:
        """Return a checkpoint that follows record `seq`."""
        signer, at = self._signer, moment(self._clock())
        prefix = checkpoint_prefix(head, seq=seq + 1, ts=at, keyid=signer.keyid, sign=signer.sign)
        line, head = chained(head, prefix)
        return line, seq + 1, head

    def ending(self, header: SegmentHeader, seq: int, head: bytes) -> Chained:
        """Return a checkpoint and the seal of a segment."""
        line, seq, head = self.checkpoint(seq, head)
        return line + seal_line(header, last_seq=seq, head=head), seq, head

    def beginning(self, start: Start) -> tuple[bytes, bytes]:
        """Return the header of a segment, and the head after it."""
        header = SegmentHeader(
            host=self.host, boot=boot_id(), chain=start.chain, segment=start.segment, first_seq=start.first_seq,
            previous=start.previous, opened_at=moment(self._clock()), sidecar_version=__version__,
        )  # fmt: skip
        return opened(header)

    def start_after(self, header: SegmentHeader, seq: int, head: bytes) -> Start:
        """Return how the segment after another begins: in the same chain, or in one of its own under another name."""
        if header.host != self.host:
            return new_chain()
        return Start(header.segment + 1, seq + 1, head.hex(), header.chain)

    def start_again(self, header: SegmentHeader) -> Start:
        """Return how a segment that has no records yet begins, now."""
        if header.host != self.host:
            return new_chain()
        return Start(header.segment, header.first_seq, header.previous, header.chain)

    def is_of_this_life(self, header: SegmentHeader) -> bool:
        """Tell whether a segment was begun under the same boot, version and name."""
        return (header.boot, header.sidecar_version, header.host) == (boot_id(), __version__, self.host)


def dropped(shed: Shed, ts: str) -> Entry:
    """Return the record that tells of segments that were given up."""
    first, last, previous, head, _ = shed
    told = b',"first_seq":%d,"last_seq":%d,"previous":"%b","head":"%b"'
    return DROPPED.encode(), ts, told % (first, last, previous.hex().encode(), head.hex().encode())
