"""Metrics in the text form that Prometheus reads: how fresh the policy is, and when which signature ends.

Their names are a contract (docs/reference/sidecar-api.md). Ends are times, not seconds left: so they are right, and an
alarm works, even if this host's clock does not.
"""

import math
from collections.abc import Iterator

from agent_sidecar.decision_log.log import LogStatus
from agent_sidecar.decision_log.settings import Durability
from agent_sidecar.freshness import Freshness, FreshnessState


def metrics_text(
    freshness: Freshness, *, now: float, ready: bool, clock_behind_s: float, emergency_entries: int, log: LogStatus
) -> bytes:
    """Return the document as of host time `now`."""
    state = freshness.state(now)
    roles = sorted(freshness.terms.items())
    lines = [
        *_gauge("writ_ready", "Whether requests are answered from a policy.", {"": float(ready)}),
        *_gauge(
            "writ_freshness",
            "1 for the state the policy is in, 0 for the others.",
            {f'{{state="{each}"}}': float(each is state) for each in FreshnessState},
        ),
        *_gauge(
            "writ_metadata_signed_timestamp_seconds",
            "When the timestamp in force was signed.",
            {"": freshness.signed_at},
        ),
        *_gauge(
            "writ_metadata_expiry_timestamp_seconds",
            "When the newest verified metadata of a role expires.",
            {f'{{role="{role}"}}': term.expires for role, term in roles},
        ),
        *_gauge(
            "writ_metadata_version",
            "Version of the newest verified metadata of a role.",
            {f'{{role="{role}"}}': float(term.version) for role, term in roles},
        ),
        *_gauge("writ_clock_behind_seconds", "How far the system clock is behind host time.", {"": clock_behind_s}),
        *_gauge("writ_emergency_entries", "How many emergency entries are in force.", {"": float(emergency_entries)}),
        *_log(log),
    ]
    return "".join(lines).encode()


def _log(log: LogStatus) -> Iterator[str]:
    if log.durability is Durability.OFF:
        return
    yield from _gauge("writ_decision_log_bytes", "What the log takes of the disk.", {"": float(log.bytes)})
    yield from _gauge("writ_decision_log_limit_bytes", "What it may take.", {"": float(log.max_bytes)})
    yield from _gauge("writ_decision_log_writable", "0 while nothing can be logged.", {"": float(not log.problem)})
    yield from _counter("writ_decision_log_records_total", "Records in the chain of this host.", log.records)
    yield from _counter("writ_decision_log_given_up_total", "Records deleted to make room.", log.given_up)
    yield from _counter("writ_decision_log_denied_total", "Answers that were deny because of the log.", log.denied)


def _counter(name: str, help_text: str, value: float) -> Iterator[str]:
    yield f"# HELP {name} {help_text}\n# TYPE {name} counter\n{name} {value:.15g}\n"


def _gauge(name: str, help_text: str, values: dict[str, float]) -> Iterator[str]:
    """Yield a gauge by its labels; a value there is none of yet is left out."""
    yield f"# HELP {name} {help_text}\n# TYPE {name} gauge\n"
    for labels, value in values.items():
        if math.isfinite(value):
            yield f"{name}{labels} {value:.15g}\n"
