"""The corpus: recorded requests below ``corpus/``, one JSON object a line, read strictly.

A line is a request in either form, an envelope ``{"request": …, "now": …, "host": …, "name": …}``, or a line of a
decision log as hosts ship it. Requests are decoded as the sidecar decodes them. Equal requests are kept once, with a
count: agents ask the same things over and over, and a decision is worth computing only once.
"""

import datetime
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import msgspec

from builder.language.codes import Code
from builder.language.fields import MOMENT_HINT, parse_moment
from builder.simulating.logged import envelope_of, is_logged
from builder.source import PolicyTree
from policy_core.decoding import decode_request
from policy_core.errors import InvalidPolicyError, Problem
from policy_core.request import Request, RequestError, normalise

MAX_FILE_BYTES = 64 * 2**20
"""Of one file, once decompressed."""
MAX_CORPUS_BYTES = 256 * 2**20
"""Of all files together, once decompressed."""
MAX_LINE_BYTES = 2**20
MAX_REQUESTS = 1_000_000
"""Distinct ones."""
MAX_PROBLEMS = 100
DEFAULT_NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).timestamp()
"""When a request without `now` is taken to be made, as in policy tests: a replay gives the same result on any day."""

_ENVELOPE = ("request", "now", "host", "name")
_FORMS = ("subject", "job", "input")
_NO_HOST: Mapping[str, str] = {}
_OTHER_SUFFIXES = (".json", ".ndjson", ".jsonl", ".gz", ".zst")  # compared without case


class Recorded(msgspec.Struct, frozen=True):
    """One distinct request: where it stands first (*file:line*), its name if it has one, as written, as decided."""

    place: str
    name: str
    raw: Any
    request: Request


@dataclass(slots=True)
class Corpus:
    """The recorded requests of a tree: iterating reads ``corpus/**/*.jsonl`` and ``.jsonl.gz`` from the beginning.

    Each distinct request comes once, in the order of files and lines, and is not kept. After the last one `counts`
    holds how often each occurs, by position. Then, too, InvalidPolicyError is raised if there was any problem, with
    those of all lines (the first `MAX_PROBLEMS` of them): what was read until then means nothing.
    """

    tree: PolicyTree
    counts: list[int] = field(default_factory=list)

    def __iter__(self) -> Iterator[Recorded]:
        """Read, decode and yield."""
        reader = _Reader()
        self.counts = reader.counts
        for path, content in self.tree.below("corpus"):
            if path.endswith((".jsonl", ".jsonl.gz")):
                yield from reader.read(path, content)
            elif path.lower().endswith(_OTHER_SUFFIXES):
                reader.problem(path, 0, "is not read (unknown suffix)", "files here end in .jsonl or .jsonl.gz")
        if reader.problems:
            raise InvalidPolicyError(reader.problems)


class _Full(Exception):  # noqa: N818 - ends the reading, is no error of its own
    """More is wrong, or there is more, than is worth reading on."""


@dataclass(slots=True)
class _Reader:
    counts: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    size: int = 0
    by_line: dict[bytes, int] = field(default_factory=dict)
    by_request: dict[bytes | tuple[bytes, float, bytes], int] = field(default_factory=dict)

    def read(self, path: str, content: bytes) -> Iterator[Recorded]:
        try:
            yield from self._lines(path, self._unpacked(path, content))
        except _Full:
            return

    def problem(self, path: str, line: int, message: str, hint: str = "") -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(path, line, int(line > 0), message, hint, Code.UNREADABLE))

    def _unpacked(self, path: str, content: bytes) -> bytes:
        if path.endswith(".gz"):
            try:
                with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
                    content = stream.read(MAX_FILE_BYTES + 1)
            except (OSError, EOFError, zlib.error) as error:
                # what could be read of it is no corpus: a cut would pass for the whole
                self.problem(
                    path, 0, f"damaged gzip ({str(error).lower().rstrip('.')})", "compress it again from the original"
                )
                raise _Full from error
        self.size += len(content)
        if len(content) > MAX_FILE_BYTES:
            self._stop(path, 0, f"file is too large (limit {MAX_FILE_BYTES} bytes, decompressed)", "split the file")
        if self.size > MAX_CORPUS_BYTES:
            self._stop(path, 0, f"the corpus is too large (limit {MAX_CORPUS_BYTES} bytes, decompressed)", "sample it")
        return content

    def _lines(self, path: str, content: bytes) -> Iterator[Recorded]:
        lines = content.split(b"\n")
        if not lines[-1]:
            lines.pop()
        position_of, counts = self.by_line.get, self.counts
        for number, line in enumerate(lines, 1):
            position = position_of(line)
            if position is not None:
                counts[position] += 1
                continue
            recorded = self._line(path, number, line)
            if recorded is not None:
                yield recorded

    def _line(self, path: str, number: int, line: bytes) -> Recorded | None:
        if len(self.counts) == MAX_REQUESTS:
            self._stop(path, number, f"more than {MAX_REQUESTS} distinct requests", "sample them")
        try:
            return self._new(f"{path}:{number}", line)
        except _LineError as error:
            self.problem(path, number, *error.args)
            if len(self.problems) == MAX_PROBLEMS:
                raise _Full from error
            return None

    def _new(self, place: str, line: bytes) -> Recorded | None:
        """Return the request of a line, None if it is one we had in other words."""
        if len(line) > MAX_LINE_BYTES:
            raise _LineError(f"line is too long ({len(line)} bytes, limit {MAX_LINE_BYTES})", "send less of it")
        if not line or line.isspace():
            raise _LineError("line is empty", "one JSON object a line, and nothing between them")
        value = _decode(line)
        if type(value) is not dict:
            raise _LineError("not a JSON object", "a line is a request, or an envelope with a request")
        if is_logged(value):
            envelope = envelope_of(value)
            if envelope is None:
                return None
            raw, name, now, host = _unwrapped(envelope)
        else:
            raw, name, now, host = _unwrapped(value)
        try:
            request = normalise(raw, now=now, host=host)
        except RequestError as error:
            raise _LineError(error.message, error.hint) from error
        key: bytes | tuple[bytes, float, bytes] = line if raw is value else _canonical(raw)
        if host or now != DEFAULT_NOW:
            key = (_canonical(raw), now, _canonical(host))
        position = self.by_request.setdefault(key, len(self.counts))
        self.by_line[line] = position
        if position < len(self.counts):
            self.counts[position] += 1
            return None
        self.counts.append(1)
        return Recorded(place, name, raw, request)

    def _stop(self, path: str, line: int, message: str, hint: str) -> NoReturn:
        self.problem(path, line, message, hint)
        raise _Full


class _LineError(Exception):
    """A line that is no request: message and hint."""


_canonical = msgspec.json.Encoder(order="sorted").encode


def _decode(line: bytes) -> object:
    try:
        return decode_request(line)
    except RequestError as error:
        raise _LineError(error.message[:200], error.hint) from error


def _unwrapped(value: dict[str, Any]) -> tuple[Any, str, float, Mapping[str, str]]:
    """Return request, name, time and host labels of a line."""
    if "request" not in value:
        return value, "", DEFAULT_NOW, _NO_HOST
    unknown = sorted(value.keys() - set(_ENVELOPE))
    if unknown:
        what = "a request beside" if unknown[0] in _FORMS else "unknown key"
        raise _LineError(f"{what} {unknown[0][:40]!r} in an envelope", f"an envelope has {', '.join(_ENVELOPE)}")
    name, host, moment = value.get("name", ""), value.get("host", _NO_HOST), value.get("now")
    if type(name) is not str or len(name) > 200 or not name.isprintable():
        raise _LineError("name: expected a line of text of at most 200 characters", "")
    if not isinstance(host, Mapping) or not all(type(label) is str for label in host.values()):
        raise _LineError("host: expected an object of texts", 'such as "host": {"env": "prod"}')
    now = DEFAULT_NOW if moment is None else parse_moment(moment) if type(moment) is str else None
    if now is None:
        raise _LineError("now: expected a time", MOMENT_HINT)
    return value["request"], name, now, host
