"""All segments of a host, one after another: is anything missing, changed, or not the host's own? Pure.

Feed the segments by rising `first_seq`, whatever chain they are of; `finish` gives one report for each chain. What
comes after a gap is anchored by the signature of the next checkpoint, which covers the header before it.
"""

import itertools
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from policy_core.decision_log.enrolment import HostKey
from policy_core.decision_log.lines import Record, SegmentHeader
from policy_core.decision_log.segment import Signed, Whole

DROPPED = "dropped"
"""Type of the record in which a host says which of its own records (`first_seq` to `last_seq`) it gave up."""


class Flaw(StrEnum):
    """What is wrong with a log; each is a reason not to rely on it."""

    DAMAGED = "damaged"
    MISPLACED = "misplaced"
    SILENT = "silent"
    GAP = "gap"
    DROPPED = "dropped"
    CONFLICT = "conflict"
    RESTART = "restart"
    UNSIGNED = "unsigned"
    UNKNOWN_KEY = "unknown_key"
    FORGED = "forged"


@dataclass(frozen=True, slots=True)
class Finding:
    """One flaw: where it shows (the name of a segment), in words, and which records it concerns, if that is known."""

    flaw: Flaw
    name: str
    message: str
    first_seq: int = 0
    last_seq: int = 0

    def __str__(self) -> str:
        """Say it on one line."""
        return f"{self.flaw}: " + (f"{self.name}: " if self.name else "") + self.message


@dataclass(slots=True)
class ChainReport:
    """What is proven of a chain: records `first_seq` to `last_seq`, up to `signed_seq` by the host's key `keyid`.

    `previous` and `head` are the hashes before the first record and of the last one. `accepted`: it began anew, and
    somebody has looked into that.
    """

    chain: str
    opened_at: str
    first_seq: int
    previous: str
    head: str = ""
    last_seq: int = 0
    last_at: str = ""
    signed_seq: int = 0
    keyid: str = ""
    segments: int = 0
    repeated: int = 0
    torn_bytes: int = 0
    accepted: bool = False
    records: Counter[str] = field(default_factory=Counter)


class _Dropped(msgspec.Struct):
    first_seq: int
    last_seq: int


class _Chain:
    """A chain as far as it was read."""

    def __init__(self, name: str, header: SegmentHeader) -> None:
        self.report = ChainReport(header.chain, header.opened_at, header.first_seq, header.previous)
        self.begins_in = self.name = name
        self.head = header.previous
        self.segment = header.segment - 1
        self.last_seq = header.first_seq - 1
        self.digest = b""
        self.declared: list[_Dropped] = []
        self.gaps: list[Finding] = []

    def missing(self, first: int, last: int, *, before: str) -> None:
        """Take note of a gap before a segment."""
        message = f"records {first} to {last} of chain {self.report.chain} are missing before it"
        self.gaps.append(Finding(Flaw.GAP, before, message, first, last))


End = tuple[str, int, str, str]
"""Chain, its last record, that record's hash, and the key that signed it, which a host keeps when it is renamed."""


class HostVerifier:
    """Takes what `read_sealed` and `read_open` yield; `keys` are the host's enrolled ones by key id.

    `from_start`: the first segment of each chain is expected, too (it is not if only a part of the time is looked at),
    or that the chain goes on from where another host, which was this one under another name, has left it.
    """

    def __init__(self, host: str, keys: Mapping[str, HostKey], *, from_start: bool) -> None:
        self.host = host
        self._keys = keys
        self._from_start = from_start
        self._chains: dict[str, _Chain] = {}
        self._findings: list[Finding] = []

    def flawed(self, flaw: Flaw, name: str, message: str) -> None:
        """Take note of a segment that cannot be read, or lies where it does not belong."""
        self._findings.append(Finding(flaw, name, message))

    def take(self, name: str, digest: bytes, parts: Iterable[Record | Signed | Whole]) -> None:
        """Take the next segment; `digest` is the SHA-256 of its bytes. Raises LogError if it is damaged."""
        counts: Counter[str] = Counter()
        last_at, declared, signatures = "", [], []
        for part in parts:
            if isinstance(part, Record):
                counts[part.type] += 1
                last_at = part.ts
                if part.type == DROPPED and (dropped := _dropped(part)):
                    declared.append(dropped)
            elif isinstance(part, Signed):
                signatures.append(part)
            elif chain := self._follow(name, digest, part):
                chain.declared += declared
                chain.report.records += counts
                chain.report.last_at = last_at or chain.report.last_at
                self._check_signatures(chain, name, signatures)

    @property
    def ends(self) -> set[End]:
        """Return where its chains end so far."""
        return {(each.report.chain, each.last_seq, each.head, each.report.keyid) for each in self._chains.values()}

    def finish(
        self, elsewhere: Container[End] = frozenset(), *, accepted: Container[str] = frozenset()
    ) -> tuple[list[ChainReport], list[Finding]]:
        """Return what was found: the chains in the order in which they began, and every flaw.

        `elsewhere` is where chains end that other hosts have written; `accepted` chains may have begun anew.
        """
        chains = sorted(self._chains.values(), key=lambda chain: (chain.report.opened_at, chain.report.chain))
        for older, newer in itertools.pairwise(chains):
            newer.report.accepted = newer.report.chain in accepted
            if newer.report.accepted:
                continue
            self._findings.append(
                Finding(
                    Flaw.RESTART,
                    newer.name,
                    f"chain {newer.report.chain} begins anew at {newer.report.opened_at}: the host lost its state "
                    f"directory, and what chain {older.report.chain} had after record {older.report.last_seq} with it",
                )
            )
        for chain in chains:
            report = chain.report
            before = (report.chain, report.first_seq - 1, report.previous, report.keyid)
            begins = report.first_seq == 1 or before in elsewhere
            if self._from_start and not begins:
                chain.missing(1, report.first_seq - 1, before=chain.begins_in)
            self._findings += (_judged(gap, chain.declared) for gap in chain.gaps)
            after = max(report.signed_seq, report.first_seq - 1)
            if after < report.last_seq:
                self._findings.append(
                    Finding(
                        Flaw.UNSIGNED,
                        chain.name,
                        f"records {after + 1} to {report.last_seq} are not signed by a key of this host",
                        after + 1,
                        report.last_seq,
                    )
                )
        return [chain.report for chain in chains], self._findings

    def _follow(self, name: str, digest: bytes, whole: Whole) -> _Chain | None:
        """Append a segment to its chain; None if it is there already, or in contradiction."""
        header = whole.header
        chain = self._chains.get(header.chain)
        if chain is None:
            chain = self._chains[header.chain] = _Chain(name, header)
        if header.first_seq <= chain.last_seq:
            if digest == chain.digest:
                chain.report.repeated += 1
            else:
                self._contradicts(chain, name, f"records {header.first_seq} and on are also in {chain.name}, otherwise")
            return None
        if header.first_seq > chain.last_seq + 1:
            chain.missing(chain.last_seq + 1, header.first_seq - 1, before=name)
        elif header.previous != chain.head or header.segment != chain.segment + 1:
            self._contradicts(chain, name, f"does not follow {chain.name}")  # what comes next tells which
        chain.name, chain.digest = name, digest
        chain.head, chain.segment, chain.last_seq = whole.head.hex(), header.segment, whole.last_seq
        report = chain.report
        report.segments += 1
        report.last_seq, report.head, report.torn_bytes = whole.last_seq, chain.head, whole.torn_bytes
        return chain

    def _contradicts(self, chain: _Chain, name: str, message: str) -> None:
        self._findings.append(Finding(Flaw.CONFLICT, name, f"{message} (chain {chain.report.chain})"))

    def _check_signatures(self, chain: _Chain, name: str, signatures: Iterable[Signed]) -> None:
        report = chain.report
        for signed in signatures:
            key = self._keys.get(signed.keyid)
            where = f"line {signed.line}: checkpoint at record {signed.seq}"
            if key is None:
                message = f"{where} is signed by key {signed.keyid[:16]}, which is not enrolled for {self.host}"
                self._findings.append(Finding(Flaw.UNKNOWN_KEY, name, message))
            elif not key.verifies(signed.signature, signed.message):
                self._findings.append(Finding(Flaw.FORGED, name, f"{where}: the signature does not hold"))
            elif report.keyid not in {"", signed.keyid}:
                message = f"{where} is signed by key {signed.keyid[:16]}, earlier ones by {report.keyid[:16]}"
                self._findings.append(Finding(Flaw.FORGED, name, message))
            else:
                report.keyid, report.signed_seq = signed.keyid, signed.seq


def _dropped(record: Record) -> _Dropped | None:
    try:
        return msgspec.json.decode(record.line, type=_Dropped)
    except ValueError:
        return None


def _judged(gap: Finding, declared: Iterable[_Dropped]) -> Finding:
    """Return a gap, as one that the host itself reports if it does so in full."""
    position = gap.first_seq
    for dropped in sorted(declared, key=lambda each: each.first_seq):
        if dropped.first_seq <= position:
            position = max(position, dropped.last_seq + 1)
    if position <= gap.last_seq:
        return gap
    message = f"the host gave up records {gap.first_seq} to {gap.last_seq}: its disk was full (when_full: drop-oldest)"
    return Finding(Flaw.DROPPED, gap.name, message, gap.first_seq, gap.last_seq)
