"""Is what each host logged whole, unchanged and its own? Decided from the segments and the hosts' keys alone."""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from builder.logs.keys import KeyRing
from builder.logs.sources import EVER, LogSource, Read, Span
from policy_core.decision_log.enrolment import HostKey
from policy_core.decision_log.errors import LogError
from policy_core.decision_log.lines import Record
from policy_core.decision_log.names import spelled_host
from policy_core.decision_log.segment import Signed, Whole
from policy_core.decision_log.sequence import ChainReport, Finding, Flaw, HostVerifier
from policy_core.errors import TrustError

NEW_FOR = timedelta(hours=1)
"""A key younger than this may not have signed anything that has arrived; a host's clock may be ahead by as much."""


class UnprovenLogError(TrustError):
    """Some host's log is not proven: exit code 5."""

    default_hint = "each line with ✗ says which host, which object and which records; the others are proven"


@dataclass(frozen=True, slots=True)
class HostReport:
    """What was found of a host: its chains, oldest first, and every flaw; no flaw is a proof."""

    host: str
    chains: Sequence[ChainReport] = ()
    findings: list[Finding] = field(default_factory=list)


@dataclass(slots=True)
class Verification:
    """The outcome for all hosts; `problems` are about keys, not about one log."""

    source: str
    hosts: list[HostReport] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def flaws(self) -> int:
        """Return how many things are wrong."""
        return len(self.problems) + sum(len(host.findings) for host in self.hosts)

    @property
    def is_proven(self) -> bool:
        """Tell whether there is a log, and nothing is wrong."""
        return bool(self.hosts) and not self.flaws

    def check(self) -> None:
        """Raise UnprovenLogError unless there is a log, and nothing is wrong with any."""
        if not self.hosts:
            raise UnprovenLogError(f"{self.source}: there is no log", hint="check place, host and time")
        if self.flaws:
            broken = sum(bool(host.findings) for host in self.hosts)
            what = f"flaws: {self.flaws}, hosts with flaws: {broken} of {len(self.hosts)}"
            raise UnprovenLogError(f"{self.source}: is not proven ({what})")


Tick = Callable[[int, int], None]
"""Told of progress: segments done, and in all."""


Watch = Callable[[str, Record], None]
"""Shown every record, by host, in the order in which it was written; whether it is proven, the outcome says."""


def verify_logs(
    source: LogSource,
    ring: KeyRing,
    *,
    host: str | None = None,
    span: Span = EVER,
    accepted: Container[str] = frozenset(),
    tick: Tick = lambda _done, _total: None,
    watch: Watch = lambda _host, _record: None,
    now: datetime | None = None,
) -> Verification:
    """Verify the logs of all hosts, or of one, in a span of time; `accepted` chains may have begun anew.

    Raises RemoteError.
    """
    outcome = Verification(source.url, problems=list(ring.problems))
    found = source.find(host=host, span=span)
    from_start = source.is_everything and span.first is None
    total, done = sum(map(len, found.values())), 0
    verifiers = {name: HostVerifier(name, ring.of(name), from_start=from_start) for name in sorted(found)}
    for name, verifier in verifiers.items():
        for read in source.read(found[name]):
            _take(verifier, read, partial(watch, name))
            done += 1
            tick(done, total)
    ends = {end for verifier in verifiers.values() for end in verifier.ends}
    reports = {
        name: HostReport(name, *verifier.finish(ends, accepted=accepted)) for name, verifier in verifiers.items()
    }
    if source.is_everything and span == EVER:
        expected = ring.hosts.keys() & {spelled_host(host)} if host else ring.hosts.keys()
        for name in sorted(expected):
            _find_silent(reports, name, ring.of(name).values(), now=now or datetime.now(UTC))
    outcome.hosts = [report for _, report in sorted(reports.items())]
    return outcome


def _take(verifier: HostVerifier, read: Read, watch: Callable[[Record], None]) -> None:
    if read.misplaced:
        verifier.flawed(Flaw.MISPLACED, read.name, read.misplaced)
        return
    try:
        verifier.take(read.name, read.digest, _watched(read.parts(), watch))
    except LogError as error:
        verifier.flawed(Flaw.DAMAGED, error.name, f"line {error.line}: {error.what}" if error.line else error.what)


def _watched(
    parts: Iterable[Record | Signed | Whole], watch: Callable[[Record], None]
) -> Iterator[Record | Signed | Whole]:
    for part in parts:
        if isinstance(part, Record):
            watch(part)
        yield part


def _find_silent(reports: dict[str, HostReport], host: str, keys: Iterable[HostKey], *, now: datetime) -> None:
    """Find keys of a host that have signed nothing: its log was taken away, or somebody else enrolled a key for it."""
    signed = {chain.keyid for chain in reports[host].chains} if host in reports else set()
    for key in keys:
        is_new = abs(now - datetime.fromisoformat(key.created)) < NEW_FOR
        if key.keyid not in signed and not is_new:
            message = f"key {key.keyid[:16]} of {key.created} is enrolled, and nothing is there that it has signed"
            reports.setdefault(host, HostReport(host)).findings.append(Finding(Flaw.SILENT, "", message))
