"""Where logs are: a store that hosts ship to, or the spool of one host. They are found first, then read in order."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from bundle_store.opening import open_records
from bundle_store.port import ObjectNotFoundError, RecordsStore, StoredObject
from policy_core import gzipped
from policy_core.decision_log.errors import LogError
from policy_core.decision_log.lines import MAX_SEGMENT_BYTES, Record, SegmentHeader, decode_header
from policy_core.decision_log.names import hour_folder, read_segment_name, segment_object, spelled_host
from policy_core.decision_log.segment import Signed, Whole, read_open, read_sealed
from policy_core.errors import InvalidError, UsageError

MAX_OBJECT_BYTES = MAX_SEGMENT_BYTES + (1 << 20)  # what cannot be compressed grows a little
READERS = 4
LATE = timedelta(hours=1)
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)
_SPOOLED = re.compile(r"(?P<number>[0-9]{16})\.(?P<state>open|sealed)\.jsonl")


@dataclass(frozen=True, slots=True)
class Span:
    """Hours of host time, `first` to `last`, both included; None is no limit. Segments are cut at the hour."""

    first: datetime | None = None
    last: datetime | None = None

    @property
    def with_late(self) -> "Span":
        """Return the span in whose segments all records of this one are: an answer may take until the next hour."""
        return Span(self.first, self.last and min(self.last, _END_OF_TIME - LATE) + LATE)

    def __contains__(self, hour: tuple[str, int]) -> bool:
        return (self.first is None or hour >= _hour(self.first)) and (self.last is None or hour <= _hour(self.last))


EVER = Span()


@dataclass(frozen=True, slots=True)
class Reference:
    """A segment that was found: by rising `first_seq` they are in the order in which a host wrote them."""

    first_seq: int
    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Read:
    """A segment that was read: its bytes, or why it cannot be one."""

    name: str
    content: bytes = b""
    is_open: bool = False
    problem: LogError | None = None
    misplaced: str = ""

    @property
    def digest(self) -> bytes:
        """Return the SHA-256 of its bytes."""
        return hashlib.sha256(self.content).digest()

    def parts(self) -> Iterator[Record | Signed | Whole]:
        """Yield what is in it, in order. Raises LogError."""
        if self.problem:
            raise self.problem
        yield from (read_open if self.is_open else read_sealed)(self.content, name=self.name)


class LogSource(Protocol):
    """Some place with logs of hosts."""

    @property
    def url(self) -> str:
        """Name it in messages."""
        ...

    @property
    def is_everything(self) -> bool:
        """Tell whether all that was ever logged is to be found here; else older records have gone elsewhere."""
        ...

    def find(self, *, host: str | None, span: Span) -> dict[str, list[Reference]]:
        """Return the segments of each host, or of one, in the order in which they were written."""
        ...

    def read(self, references: Iterable[Reference]) -> Iterator[Read]:
        """Yield the segments in the given order. Raises RemoteError."""
        ...


def open_source(where: str, *, base: Path) -> LogSource:
    """Return a store by its URL, or a spool by its directory or the state directory it lies in. Raises UsageError."""
    if "://" in where:
        return ShippedLogs(open_records(where))
    directory = base / where
    if (directory / "spool").is_dir():
        directory /= "spool"
    if not directory.is_dir():
        raise UsageError(
            f"{where}: is no directory", hint="name s3://BUCKET/PREFIX, file:///DIRECTORY, or the spool of a host"
        )
    return Spooled(directory)


class ShippedLogs:
    """The objects hosts ship."""

    is_everything = True

    def __init__(self, store: RecordsStore) -> None:
        self.url = store.url
        self._store = store

    def find(self, *, host: str | None, span: Span) -> dict[str, list[Reference]]:
        """Return what lies in those hours; other objects are passed over."""
        wanted = spelled_host(host) if host else None
        found: dict[str, list[Reference]] = {}
        after = hour_folder(*_hour(span.first)) if span.first else ""
        for listed in self._store.listing("dt=", after=after):
            name = read_segment_name(listed.name)
            if name is None or wanted not in {None, name.host}:
                continue
            hour = (name.day, name.hour)
            if span.last and hour > _hour(span.last):
                break
            if hour in span:
                found.setdefault(name.host, []).append(Reference(name.first_seq, listed.name, listed.size_bytes))
        for references in found.values():
            references.sort(key=lambda each: (each.first_seq, each.name))
        return found

    def read(self, references: Iterable[Reference]) -> Iterator[Read]:
        """Yield the segments, a few of which are fetched ahead."""
        with ThreadPoolExecutor(READERS) as pool:
            ahead: list[Future[Read]] = []
            try:
                for reference in references:
                    ahead.append(pool.submit(self._read, reference))
                    if len(ahead) > READERS:
                        yield ahead.pop(0).result()
                while ahead:
                    yield ahead.pop(0).result()
            finally:
                for future in ahead:
                    future.cancel()

    def _read(self, reference: Reference) -> Read:
        name = reference.name
        try:
            stored = self._store.get(name, max_bytes=MAX_OBJECT_BYTES) or StoredObject(b"", "")
            content = gzipped.decompress(stored.body, max_bytes=MAX_SEGMENT_BYTES)
        except ObjectNotFoundError:
            return Read(name, problem=LogError(name, "was listed, and is not there"))
        except InvalidError as error:
            return Read(name, problem=LogError(name, f"is no segment: {error.message}"))
        digest = hashlib.sha256(content).hexdigest()
        misplaced = ""
        if (header := _header_of(content)) and (right := segment_object(header, digest)) != name:
            misplaced = f"holds what belongs under {right}"
        elif stored.notes.get("sha256", digest) != digest:
            misplaced = "is noted to have another digest"
        return Read(name, content, misplaced=misplaced)


class Spooled:
    """The spool of one host; the sidecar may be running, and shipping, meanwhile."""

    is_everything = False

    def __init__(self, directory: Path) -> None:
        self.url = str(directory)
        self._directory = directory

    def find(self, *, host: str | None, span: Span) -> dict[str, list[Reference]]:
        """Return the segments that are here, if they are of the host; those that do not say whose they are, too."""
        found: dict[str, list[Reference]] = {}
        for path in sorted(self._directory.iterdir()):
            if not _SPOOLED.fullmatch(path.name):
                continue
            with suppress(FileNotFoundError), path.open("rb") as file:  # shipped meanwhile
                header = _header_of(file.read(1 << 16))
                size = path.stat().st_size
                name = spelled_host(header.host) if header else "unknown"
                in_span = not header or (header.opened_at[:10], int(header.opened_at[11:13])) in span
                if in_span and (header is None or host in {None, header.host}):
                    first_seq = header.first_seq if header else 0
                    found.setdefault(name, []).append(Reference(first_seq, path.name, size))
        return found

    def read(self, references: Iterable[Reference]) -> Iterator[Read]:
        """Yield the segments."""
        for reference in references:
            is_open = reference.name.endswith(".open.jsonl")
            path = self._directory / reference.name
            if is_open and not path.exists():
                path, is_open = path.with_name(reference.name.replace(".open.", ".sealed.")), False
            try:
                with path.open("rb") as file:
                    content = file.read(MAX_SEGMENT_BYTES + 1)
            except FileNotFoundError:  # shipped meanwhile; if others before it are not, that is a gap
                continue
            except OSError as error:
                problem = LogError(path.name, f"cannot be read: {error.strerror}")
                yield Read(path.name, problem=problem)
                continue
            header = _header_of(content)
            numbered = header is None or header.segment == int(path.name[:16])
            yield Read(path.name, content, is_open, misplaced="" if numbered else "has the number of another segment")


def _header_of(content: bytes) -> SegmentHeader | None:
    try:
        return decode_header(content.partition(b"\n")[0])
    except ValueError:
        return None


def _hour(moment: datetime) -> tuple[str, int]:
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d}", moment.hour
