"""What people on call write on a command line: the match of an emergency deny, and how long it holds."""

from datetime import datetime, timedelta

from builder.language.clauses import read_clauses
from builder.language.nodes import Report
from builder.language.times import duration_s, timestamp_us
from builder.language.yamlfile import read_yaml
from policy_core.errors import InvalidPolicyError, UsageError
from policy_core.model import Clauses
from policy_core.trust.oncall import MAX_EMERGENCY_LIFETIME

WHERE = "MATCH"
_EVERYTHING = "name what is denied; {actions: ['*']} says everything"


def read_match(text: str) -> Clauses:
    """Return the clauses written as in a rule's ``match``, in YAML on one line; raises InvalidPolicyError."""
    report = Report(WHERE)
    node = read_yaml(text.encode(), report)
    clauses = read_clauses(report, node, "match") if node else None
    if node and clauses == Clauses() and not report.problems:
        report.at(node, "match has no clause, so everything would be denied", _EVERYTHING)
    if report.problems or clauses is None:
        raise InvalidPolicyError(report.problems)
    return clauses


def read_expires(text: str, now: datetime) -> datetime:
    """Return when an entry made `now` (aware, whole seconds) expires: after a duration, or at a timestamp.

    Raises UsageError, also for more than `MAX_EMERGENCY_LIFETIME`.
    """
    seconds = duration_s(text)
    try:
        if seconds is None:
            seconds = timestamp_us(text) // 1_000_000 - int(now.timestamp())
    except ValueError as error:
        raise UsageError(
            f"--expires {text!a}: is neither a duration nor a time", hint="write 4h, 30m, 2d or 2026-03-01T12:00:00Z"
        ) from error
    most = MAX_EMERGENCY_LIFETIME
    if not 0 < seconds <= most.total_seconds():
        raise UsageError(
            f"--expires {text!a}: is not within the next {most.days} days",
            hint="what is to stay longer belongs into the policy, by a pull request",
        )
    return now + timedelta(seconds=seconds)
