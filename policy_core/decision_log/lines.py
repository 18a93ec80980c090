"""The lines of a segment: a header, records, a seal. Pure.

A *record* is any JSON object that begins with ``type``, ``seq`` and ``ts`` and ends with ``record_hash``; what is
between is its writer's business. A *checkpoint* is a record, too. Header, checkpoint and seal have one spelling each.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import msgspec

SCHEMA = "writ.decision-log/1"
NO_HASH = "0" * 64
"""`previous` of the first segment of a chain."""

MAX_LINE_BYTES = 8 << 20
MAX_SEGMENT_BYTES = 32 << 20
MAX_SEQ = 2**53 - 1
MAX_HOST_CHARS = 200

_HASH = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-f]{8,32}")
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z"
_MOMENT = re.compile(_TIME)
_BEGINNING = re.compile(rb'\{"type":"([a-z][a-z0-9_]{0,39})","seq":([1-9][0-9]{0,15}),"ts":"(%b)"[,}]' % _TIME.encode())
_END = re.compile(rb',"record_hash":"([0-9a-f]{64})"\}')
_END_CHARS = len(',"record_hash":""}') + 64
_SIGNATURE = re.compile(rb',"sig":"([0-9a-f]{128})"$')

CHECKPOINT = "checkpoint"
_RESERVED = frozenset({"segment", "seal"})

Line = TypeVar("Line", bound=msgspec.Struct)


class SegmentHeader(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type", tag="segment"
):
    """First line. `chain` and `boot` are random or the kernel's (8 to 32 hex digits); numbers count from 1.

    `previous` is the last record hash of the segment before, `opened_at` host time.
    """

    schema: str = SCHEMA
    host: str
    boot: str
    chain: str
    segment: int
    first_seq: int
    previous: str
    opened_at: str
    sidecar_version: str

    def problem(self) -> str:
        """Return what is wrong with the values; empty if nothing is."""
        checks = (
            (self.schema == SCHEMA, f"schema is not {SCHEMA}"),
            (is_host(self.host), "host is no name"),
            (_ID.fullmatch(self.boot), "boot is not 8 to 32 hex digits"),
            (_ID.fullmatch(self.chain), "chain is not 8 to 32 hex digits"),
            (1 <= self.segment <= MAX_SEQ, "segment is out of range"),
            (1 <= self.first_seq <= MAX_SEQ, "first_seq is out of range"),
            (_HASH.fullmatch(self.previous), "previous is no hash"),
            (is_moment(self.opened_at), "opened_at is no time"),
            ((self.segment == 1) == (self.first_seq == 1), "a chain begins with record 1 of segment 1"),
            ((self.segment == 1) == (self.previous == NO_HASH), "just the first segment follows nothing"),
        )
        return next((what for holds, what in checks if not holds), "")


class Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type", tag="seal"):
    """Last line of a finished segment; `count` is how many records it has, `record_hash` that of the last one."""

    count: int
    last_seq: int
    record_hash: str


class _Envelope(msgspec.Struct):
    """What each record has, as a JSON reader sees it; the rest is checked to be JSON and passed over."""

    type: str
    seq: int
    ts: str
    record_hash: str


class _Checkpoint(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    seq: int
    ts: str
    keyid: str
    sig: str
    record_hash: str


@dataclass(frozen=True, slots=True)
class Record:
    """A record: its first three fields, its bytes without ``,"record_hash":…}`` and newline, and the hash it states."""

    type: str
    seq: int
    ts: str
    prefix: bytes
    stated_hash: str

    @property
    def line(self) -> bytes:
        """Return the record as it was written, without the newline."""
        return b'%b,"record_hash":"%b"}' % (self.prefix, self.stated_hash.encode())


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint says: whose key signed (`keyid`), `signature` (64 bytes), and over which bytes of its line."""

    keyid: str
    signature: bytes
    covered: bytes


def is_host(name: str) -> bool:
    """Tell whether a text can be the id of a host: printable, no blanks, at most MAX_HOST_CHARS."""
    return len(name) <= MAX_HOST_CHARS and name.isprintable() and name.split() == [name]


def is_moment(text: str) -> bool:
    """Tell whether a text is a time as logs spell it: UTC to the millisecond, ``2026-03-01T12:00:00.000Z``."""
    return _MOMENT.fullmatch(text) is not None and _is_in_the_calendar(text)


def encode_line(line: SegmentHeader | Seal) -> bytes:
    """Return a header or seal as it is written, without the newline."""
    return msgspec.json.encode(line)


def decode_header(line: bytes) -> SegmentHeader:
    """Return the header a line is. Raises ValueError, which says what is wrong."""
    header = _decode(line, SegmentHeader)
    if problem := header.problem():
        raise ValueError(problem)
    return header


def decode_seal(line: bytes) -> Seal:
    """Return the seal a line is. Raises ValueError, which says what is wrong."""
    return _decode(line, Seal)


def decode_record(line: bytes) -> Record:
    """Return the record a line is; whether its hash is right, the chain tells. Raises ValueError."""
    beginning, end = _BEGINNING.match(line), _END.fullmatch(line, len(line) - _END_CHARS)
    if not beginning or not end:
        raise ValueError("not a record (expected type, seq and ts first, and record_hash last)")
    kind, seq, ts = beginning[1].decode(), int(beginning[2]), beginning[3].decode()
    stated = end[1].decode()
    if msgspec.structs.astuple(_json(line, _Envelope)) != (kind, seq, ts, stated):
        raise ValueError("a key of the record occurs twice")
    if kind in _RESERVED or seq > MAX_SEQ or not _is_in_the_calendar(ts):
        raise ValueError("not a record (its type is reserved, its seq too high, or its ts no time)")
    return Record(kind, seq, ts, line[: end.start()], stated)


def decode_checkpoint(record: Record) -> Checkpoint:
    """Return what a record of type ``checkpoint`` says. Raises ValueError."""
    found = _json(record.line, _Checkpoint)
    signature = _SIGNATURE.search(record.prefix)
    if signature is None or not _HASH.fullmatch(found.keyid) or msgspec.json.encode(found) != record.line:
        raise ValueError("a checkpoint is not spelled as one is")
    return Checkpoint(found.keyid, bytes.fromhex(found.sig), record.prefix[: signature.start()])


def checkpoint_start(*, seq: int, ts: str, keyid: str) -> bytes:
    """Return a checkpoint's line up to its signature, which covers this."""
    return b'{"type":"checkpoint","seq":%d,"ts":"%b","keyid":"%b"' % (seq, ts.encode(), keyid.encode())


def _is_in_the_calendar(moment: str) -> bool:
    try:
        datetime.fromisoformat(moment)
    except ValueError:  # such as the 30th of February
        return False
    return True


def _decode(line: bytes, kind: type[Line]) -> Line:
    found = _json(line, kind)
    if msgspec.json.encode(found) != line:
        raise ValueError(f"not spelled as a {kind.__struct_config__.tag} is")
    return found


def _json(line: bytes, kind: type[Line]) -> Line:
    try:
        line.decode()  # what is passed over must be UTF-8, too
        return msgspec.json.decode(line, type=kind)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
