"""Metrics in the text form that Prometheus reads: one table says their names, kinds and values.

Their names are a contract; docs/reference/sidecar-api.md has them from this table. Ends are times, not seconds left: so
they are right, and an alarm works, even if this host's clock does not. Labels are small closed sets, never a revision,
a rule or a subject: a series that is never seen again would stay in the database for ever.
"""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from agent_sidecar.decision_log.log import LogStatus
from agent_sidecar.decision_log.settings import Durability
from agent_sidecar.decision_log.shipper import ShippingStatus
from agent_sidecar.freshness import Freshness, FreshnessState
from agent_sidecar.status import Status
from agent_sidecar.tally import BOUNDS_S, Tally
from policy_core import __version__

_STARTED = time.time()
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What metrics are made of, as of host time `now`.

    `activated_at` is when what is in force was activated (host time; NaN: nothing is). `polls` are counted by outcome,
    `events` by their names in the history; `requests` and `connections` are those of all sockets. `spans` are how many
    were exported, and how many dropped; None if none are wanted.
    """

    now: float
    status: Status
    freshness: Freshness
    activated_at: float
    tally: Tally
    polls: Mapping[str, int]
    events: Mapping[str, int]
    requests: int
    connections: int
    spans: tuple[int, int] | None


class Kind(StrEnum):
    """The types of Prometheus that are used here."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


Values = Mapping[str, float]
"""Values by what follows the name: labels in braces, the suffix of a histogram's series, or nothing."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; what has no value yet is left out. `more` is Markdown for the reference page alone."""

    name: str
    kind: Kind
    help: str
    values: Callable[[Readings], Values]
    more: str = ""


def metrics_text(readings: Readings) -> bytes:
    """Return the document."""
    return "".join(line for metric in METRICS for line in _lines(metric, readings)).encode()


def _lines(metric: Metric, readings: Readings) -> Iterator[str]:
    values = {rest: value for rest, value in metric.values(readings).items() if math.isfinite(value)}
    if values:
        yield f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind}\n"
        yield from (f"{metric.name}{rest} {value:.15g}\n" for rest, value in values.items())


def _by(label: str, values: Mapping[str, float]) -> Values:
    return {f'{{{label}="{name}"}}': value for name, value in values.items()}


def _log(value: Callable[[LogStatus], float]) -> Callable[[Readings], Values]:
    return lambda r: {} if r.status.log.durability is Durability.OFF else {"": value(r.status.log)}


def _shipping(value: Callable[[ShippingStatus], float]) -> Callable[[Readings], Values]:
    def values(readings: Readings) -> Values:
        shipping = readings.status.log.shipping
        return {"": value(shipping)} if shipping and shipping.to else {}

    return values


def _histogram(tally: Tally) -> Values:
    values: dict[str, float] = {}
    sum_so_far = 0
    for bound_s, count in zip(BOUNDS_S, tally.buckets, strict=False):
        sum_so_far += count
        values[f'_bucket{{le="{bound_s:g}"}}'] = sum_so_far
    everything = sum(tally.buckets)
    return {**values, '_bucket{le="+Inf"}': everything, "_sum": tally.took_us / 1e6, "_count": everything}


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp() if moment else math.nan


def _resident_bytes(process: int | str = "self") -> float:
    try:
        return int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):  # it has just ended, or there is no such file here
        return math.nan


METRICS = (
    Metric("writ_ready", Kind.GAUGE, "Whether requests are answered from a policy.", lambda r: {"": r.status.ready}),
    Metric(
        "writ_freshness", Kind.GAUGE, "1 for the state the policy is in, 0 for the others.",
        lambda r: _by("state", {each: each is r.status.state for each in FreshnessState}),
    ),
    Metric(
        "writ_release", Kind.GAUGE, "Release that requests are answered from.",
        lambda r: {"": r.status.enforced.release} if r.status.enforced else {},
    ),
    Metric(
        "writ_published_release", Kind.GAUGE, "Release that the channel lists.",
        lambda r: {"": r.status.published.release} if r.status.published else {},
        "Above `writ_release` for long: this host refuses it, or was rolled back",
    ),
    Metric(
        "writ_activation_timestamp_seconds", Kind.GAUGE, "When what is enforced was activated.",
        lambda r: {"": r.activated_at},
    ),
    Metric("writ_rules", Kind.GAUGE, "Rules of the policy that is enforced.",
           lambda r: {"": r.status.enforced.rules} if r.status.enforced else {}),
    Metric("writ_rejected", Kind.GAUGE, "1 while something was refused and nothing good has come since.",
           lambda r: {"": r.status.rejection is not None}),
    Metric("writ_pinned", Kind.GAUGE, "1 while this host is rolled back.", lambda r: {"": r.status.pinned is not None}),
    Metric("writ_emergency_entries", Kind.GAUGE, "Emergency entries in force.",
           lambda r: {"": len(r.status.emergency)}),
    Metric(
        "writ_metadata_signed_timestamp_seconds", Kind.GAUGE, "When the timestamp in force was signed.",
        lambda r: {"": r.freshness.signed_at},
    ),
    Metric(
        "writ_metadata_expiry_timestamp_seconds", Kind.GAUGE, "When the newest verified metadata of a role expires.",
        lambda r: _by("role", {role: term.expires for role, term in sorted(r.freshness.terms.items())}),
    ),
    Metric(
        "writ_metadata_version", Kind.GAUGE, "Version of the newest verified metadata of a role.",
        lambda r: _by("role", {role: term.version for role, term in sorted(r.freshness.terms.items())}),
        "A host whose `timestamp` stays behind that of its neighbours is being held back",
    ),
    Metric("writ_clock_behind_seconds", Kind.GAUGE, "How far the system clock is behind host time.",
           lambda r: {"": r.status.clock_behind_s}),
    Metric(
        "writ_decisions_total", Kind.COUNTER, "Decisions by their word.",
        lambda r: _by("decision", r.tally.decisions),
        "As they were made: where one cannot be logged a denial leaves, and `writ_decision_log_denied_total` counts it",
    ),
    Metric(
        "writ_decision_duration_seconds", Kind.HISTOGRAM, "Time from a decoded request to its answer.",
        lambda r: _histogram(r.tally),
        "Network, decoding and the decision log are not in it. Its buckets are powers of two of a microsecond",
    ),
    Metric("writ_http_requests_total", Kind.COUNTER, "Requests on all sockets, of every kind.",
           lambda r: {"": r.requests}),
    Metric("writ_connections", Kind.GAUGE, "Open connections on all sockets.", lambda r: {"": r.connections}),
    Metric("writ_access_refused_total", Kind.COUNTER, "Connections of users who are on no list.",
           lambda r: {"": r.status.access.refused}),
    Metric("writ_connections_turned_away_total", Kind.COUNTER, "Connections beyond a limit.",
           lambda r: {"": r.status.access.turned_away}),
    Metric("writ_certificate_expiry_timestamp_seconds", Kind.GAUGE, "When the certificate callers see expires.",
           lambda r: {"": _seconds(r.status.access.certificate_expires_at)}),
    Metric("writ_polls_total", Kind.COUNTER, "Polls of the store by outcome.", lambda r: _by("outcome", r.polls)),
    Metric(
        "writ_history_events_total", Kind.COUNTER, "Events of the history.", lambda r: _by("event", r.events),
        "Swaps are its `activated`, `rollback` and `resume`; its names are [below](#history)",
    ),
    Metric("writ_rate_keys", Kind.GAUGE, "Keys that rates of this host count.",
           lambda r: {"": r.status.memory.counted_keys}),
    Metric("writ_spent_grants", Kind.GAUGE, "Grants that were used and are remembered.",
           lambda r: {"": r.status.memory.spent_grants}),
    Metric("writ_memory_journal_bytes", Kind.GAUGE, "What remembering takes of the disk.",
           lambda r: {"": r.status.memory.journal_bytes}),
    Metric(
        "writ_fleet_store_reachable", Kind.GAUGE, "0 while the fleet store does not answer.",
        lambda r: {"": not r.status.memory.fleet.error} if r.status.memory.fleet else {},
    ),
    Metric("writ_decision_log_bytes", Kind.GAUGE, "What the decision log takes of the disk.",
           _log(lambda log: log.bytes)),
    Metric("writ_decision_log_limit_bytes", Kind.GAUGE, "What the decision log may take of the disk.",
           _log(lambda log: log.max_bytes)),
    Metric("writ_decision_log_writable", Kind.GAUGE, "0 while nothing can be logged, and so nothing is allowed.",
           _log(lambda log: not log.problem)),
    Metric("writ_decision_log_records_total", Kind.COUNTER, "Records in the chain of this host.",
           _log(lambda log: log.records)),
    Metric("writ_decision_log_given_up_total", Kind.COUNTER, "Records deleted to make room.",
           _log(lambda log: log.given_up)),
    Metric("writ_decision_log_denied_total", Kind.COUNTER, "Answers that were deny because of the decision log.",
           _log(lambda log: log.denied)),
    Metric("writ_decision_log_shipped_records_total", Kind.COUNTER, "Records that arrived where the log is shipped to.",
           _shipping(lambda shipping: shipping.shipped_records)),
    Metric("writ_decision_log_shipping_failures_total", Kind.COUNTER, "Attempts to ship a segment that failed.",
           _shipping(lambda shipping: shipping.failures)),
    Metric("writ_decision_log_refused_segments", Kind.GAUGE, "Segments whose place is taken by something else.",
           _shipping(lambda shipping: shipping.refused)),
    Metric("writ_decision_log_unshipped_bytes", Kind.GAUGE, "What of the decision log is only on this host.",
           _shipping(lambda shipping: shipping.waiting.bytes)),
    Metric(
        "writ_decision_log_oldest_unshipped_timestamp_seconds", Kind.GAUGE, "Time of the oldest unshipped record.",
        _shipping(lambda shipping: _seconds(shipping.waiting.oldest_at)),
        "Now minus this is what a lost disk would cost; absent while there is none",
    ),
    Metric("writ_trace_spans_exported_total", Kind.COUNTER, "Spans that a collector took.",
           lambda r: {"": r.spans[0]} if r.spans else {}),
    Metric("writ_trace_spans_dropped_total", Kind.COUNTER, "Spans that no collector got.",
           lambda r: {"": r.spans[1]} if r.spans else {}),
    Metric(
        "writ_workers_ready", Kind.GAUGE, "Worker processes that accept connections.",
        lambda r: {"": sum(each.ready for each in r.status.workers)} if r.status.workers else {},
    ),
    Metric("writ_workers_replaced_total", Kind.COUNTER, "Worker processes that ended and were replaced.",
           lambda r: {"": r.status.workers_replaced} if r.status.workers else {}),
    Metric(
        "writ_workers_resident_memory_bytes", Kind.GAUGE, "Resident memory of all worker processes, shared pages too.",
        lambda r: {"": sum(_resident_bytes(each.pid) for each in r.status.workers)} if r.status.workers else {},
    ),
    Metric("writ_build_info", Kind.GAUGE, "1, with the version of this sidecar.",
           lambda r: _by("version", {__version__: 1})),  # noqa: ARG005
    Metric("process_resident_memory_bytes", Kind.GAUGE, "Resident memory of this process.",
           lambda r: {"": _resident_bytes()}),  # noqa: ARG005
    Metric("process_cpu_seconds_total", Kind.COUNTER, "Processor time of this process.",
           lambda r: {"": time.process_time()}),  # noqa: ARG005
    Metric("process_start_time_seconds", Kind.GAUGE, "When this process started.",
           lambda r: {"": _STARTED}),  # noqa: ARG005
)  # fmt: skip
