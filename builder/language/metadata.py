"""What a policy document says about itself: who owns it, why it is there, until when it may be published."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

from builder.language import fields
from builder.language.codes import Code
from builder.language.nodes import MapNode, Node, Report

SEVERITIES = ("low", "medium", "high", "critical")
KEYS = ("title", "intent", "owners", "severity", "controls", "review", "expires")
MAX_REVIEW_CYCLE_DAYS = 3_650
EXPIRING_DAYS = 30
"""From how many days before its expiry on a policy is worth a warning."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata of one document; empty or None where it says nothing."""

    title: str = ""
    intent: str = ""
    owners: Mapping[str, str] | None = None
    severity: str = ""
    controls: tuple[tuple[str, str], ...] = ()
    review_cycle_days: int | None = None
    last_reviewed: datetime.date | None = None
    expires: datetime.date | None = None

    def says(self, key: str) -> bool:
        """Tell whether a metadata key was given; for ``review`` both of its parts."""
        if key == "review":
            return self.review_cycle_days is not None and self.last_reviewed is not None
        return bool(getattr(self, key))


def read_metadata(report: Report, node: Node, *, today: datetime.date | None) -> Metadata | None:
    """Return the metadata of a document; `today` (UTC) is what its dates are held against, None: do not judge them."""
    found = fields.mapping(report, node, "metadata")
    if found is None:
        return None
    fields.check_keys(report, found, "metadata", KEYS)
    title, intent, owners = found.get("title"), found.get("intent"), found.get("owners")
    severity, controls, review = found.get("severity"), found.get("controls"), found.get("review")
    cycle_days, last_reviewed = _review(report, review, today) if review else (None, None)
    return Metadata(
        title=(title and fields.one_line(report, title, "metadata.title")) or "",
        intent=(intent and fields.string(report, intent, "metadata.intent", max_chars=4_000)) or "",
        owners=_owners(report, owners) if owners else None,
        severity=(severity and fields.choice(report, severity, "severity", SEVERITIES)) or "",
        controls=_controls(report, controls) if controls else (),
        review_cycle_days=cycle_days,
        last_reviewed=last_reviewed,
        expires=_expires(report, found, today),
    )


def _owners(report: Report, node: Node) -> dict[str, str]:
    owners = fields.string_map(report, node, "metadata.owners")
    return {role: team.strip() for role, (_, team) in owners.items()}


def _controls(report: Report, node: Node) -> tuple[tuple[str, str], ...]:
    controls = []
    for item in fields.items(report, node, "metadata.controls") or ():
        found = fields.mapping(report, item, "entry of metadata.controls")
        if found is None:
            continue
        fields.check_keys(report, found, "entry of metadata.controls", ("framework", "id"))
        hint = "write {framework: SOC2, id: CC6.1}"
        framework = fields.require(report, found, "framework", "entry of metadata.controls", hint)
        control = fields.require(report, found, "id", "entry of metadata.controls", hint)
        if framework and control:
            names = fields.one_line(report, framework, "framework"), fields.one_line(report, control, "id")
            controls.append((names[0] or "", names[1] or ""))
    return tuple(controls)


def _review(report: Report, node: Node, today: datetime.date | None) -> tuple[int | None, datetime.date | None]:
    found = fields.mapping(report, node, "metadata.review")
    if found is None:
        return None, None
    fields.check_keys(report, found, "metadata.review", ("cycle_days", "last_reviewed"))
    cycle, last = found.get("cycle_days"), found.get("last_reviewed")
    cycle_days = cycle and fields.integer(report, cycle, "cycle_days", least=1, most=MAX_REVIEW_CYCLE_DAYS)
    last_reviewed = last and fields.date(report, last, "last_reviewed")
    if last and cycle_days and last_reviewed and today and (age := (today - last_reviewed).days) > cycle_days:
        message = f"review is overdue (last {age} days ago, cycle {cycle_days})"
        report.warn(last, message, "review the policy", code=Code.OVERDUE_REVIEW)
    return cycle_days or None, last_reviewed or None


def _expires(report: Report, found: MapNode, today: datetime.date | None) -> datetime.date | None:
    """A policy may be published until the end of its last day, UTC; hosts never look at this date."""
    node = found.get("expires")
    expires = node and fields.date(report, node, "expires")
    if node and expires and today:
        hint = "review it and set a later date, or remove the policy"
        left = (expires - today).days
        if left < 0:
            report.of(Code.EXPIRED_POLICY).at(node, f"policy expired on {expires}", hint)
        elif left <= EXPIRING_DAYS:
            days = f"{left} day{'' if left == 1 else 's'}"
            message = f"policy expires on {expires}, in {days}: after that nothing can be published"
            report.warn(node, message, hint, code=Code.EXPIRING_POLICY)
    return expires or None
