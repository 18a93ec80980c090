"""One segment, read strictly: line after line, each of which must be the only one that can stand there. Pure.

What `SegmentReader` has accepted is whole in itself. Whether it is the host's own, its checkpoints tell (`Signed`), and
its neighbours (`sequence`) whether it is where it belongs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from policy_core.decision_log.chain import checkpoint_message, next_head
from policy_core.decision_log.errors import LogError
from policy_core.decision_log.lines import (
    CHECKPOINT,
    MAX_LINE_BYTES,
    MAX_SEGMENT_BYTES,
    Record,
    Seal,
    SegmentHeader,
    decode_checkpoint,
    decode_header,
    decode_record,
    decode_seal,
    encode_line,
)


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint: `keyid` is said to have made `signature` over `message`, which covers all up to `seq`."""

    seq: int
    line: int
    keyid: str
    signature: bytes
    message: bytes


class SegmentReader:
    """Takes the lines of a segment one by one; `name` is told in errors.

    `header`, `head`, `last_seq` and `length` (bytes, newlines included) say how far it has come.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.header: SegmentHeader | None = None
        self.head = b""
        self.last_seq = 0
        self.length = 0
        self.is_sealed = False
        self.signed: Signed | None = None
        self._line = 0

    def feed(self, line: bytes) -> Record | None:
        """Take the next line, without its newline; return the record it is, if it is one. Raises LogError."""
        self._line += 1
        if len(line) > MAX_LINE_BYTES:
            raise self._error(f"the line is too long (expected at most {MAX_LINE_BYTES} bytes)")
        try:
            record = self._take(line)
        except ValueError as error:
            raise self._error(str(error)) from error
        self.length += len(line) + 1
        return record

    @property
    def records(self) -> int:
        """Return how many records there were."""
        return self.last_seq - self.header.first_seq + 1 if self.header else 0

    def _take(self, line: bytes) -> Record | None:
        if self.header is None:
            self.header = decode_header(line)
            self.head = next_head(bytes.fromhex(self.header.previous), line)
            self.last_seq = self.header.first_seq - 1
            return None
        if self.is_sealed:
            raise ValueError("nothing can follow a seal")
        if line.startswith(b'{"type":"seal"'):
            self._take_seal(decode_seal(line))
            return None
        return self._take_record(decode_record(line))

    def _take_record(self, record: Record) -> Record:
        if record.seq != self.last_seq + 1:
            raise ValueError(f"record {record.seq} is out of place (expected {self.last_seq + 1})")
        head = next_head(self.head, record.prefix)
        if head.hex() != record.stated_hash:
            raise ValueError(f"record {record.seq} does not fit the chain: it, or one before, was changed")
        if record.type == CHECKPOINT:
            found = decode_checkpoint(record)
            message = checkpoint_message(self.head, found.covered)
            self.signed = Signed(record.seq, self._line, found.keyid, found.signature, message)
        self.head, self.last_seq = head, record.seq
        return record

    def _take_seal(self, seal: Seal) -> None:
        if self.signed is None or self.signed.seq != self.last_seq:
            raise ValueError("the seal does not follow a checkpoint")
        if seal != Seal(count=self.records, last_seq=self.last_seq, record_hash=self.head.hex()):
            raise ValueError("the seal is that of other records")
        self.is_sealed = True

    def _error(self, what: str) -> LogError:
        return LogError(self.name, what, line=self._line)


@dataclass(frozen=True, slots=True)
class Whole:
    """A segment that was read to its end: its header, its last record's number and hash, and what signed it last.

    `torn_bytes` were begun and not ended, which only happens to one that is still open.
    """

    header: SegmentHeader
    last_seq: int
    head: bytes
    signed: Signed | None
    torn_bytes: int = 0


def read_sealed(content: bytes, *, name: str) -> Iterator[Record | Signed | Whole]:
    """Yield the records and checkpoints of a finished segment, and what it was as a whole. Raises LogError."""
    reader = SegmentReader(name)
    yield from _read(reader, content)
    if reader.length != len(content):
        raise LogError(name, "the last line has no end")
    if not reader.is_sealed:
        raise LogError(name, "is cut off: it has no seal")
    yield _whole(reader, 0)


def read_open(content: bytes, *, name: str) -> Iterator[Record | Signed | Whole]:
    """Yield the same of a segment that is being written: it has no seal yet, and its last line may be half there."""
    reader = SegmentReader(name)
    yield from _read(reader, content)
    if reader.header is not None:
        yield _whole(reader, len(content) - reader.length)


def _read(reader: SegmentReader, content: bytes) -> Iterator[Record | Signed]:
    if len(content) > MAX_SEGMENT_BYTES:
        raise LogError(reader.name, f"is too large (expected at most {MAX_SEGMENT_BYTES} bytes)")
    start = 0
    while (end := content.find(b"\n", start)) >= 0:
        record = reader.feed(content[start:end])
        if record:
            yield record
            if record.type == CHECKPOINT and reader.signed:
                yield reader.signed
        start = end + 1


def _whole(reader: SegmentReader, torn_bytes: int) -> Whole:
    if reader.header is None:
        raise LogError(reader.name, "is empty")
    return Whole(reader.header, reader.last_seq, reader.head, reader.signed, torn_bytes)


def seal_line(header: SegmentHeader, *, last_seq: int, head: bytes) -> bytes:
    """Return the line, with newline, that ends a segment whose last record is a checkpoint."""
    count = last_seq - header.first_seq + 1
    return encode_line(Seal(count=count, last_seq=last_seq, record_hash=head.hex())) + b"\n"
