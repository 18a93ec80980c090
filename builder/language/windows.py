"""The ``time`` clause: change windows and freezes."""

import re

from builder.language import fields
from builder.language.codes import Code
from builder.language.nodes import BrokenNode, ListNode, MapNode, Node, Report, ScalarNode
from policy_core.model import TimeWindow
from policy_core.windows import DAYS, opens, zone

_KEYS = ("after", "before", "days", "between", "tz")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_CLOCK_HINT = "write [22:00, 06:00], hours and minutes; it may wrap midnight, and end at 24:00"


def read_window(report: Report, node: Node, what: str) -> TimeWindow | None:
    """Return the window, None if there is nothing usable; one that never opens is a problem."""
    found = fields.mapping(report, node, what)
    if found is None:
        return None
    before = len(report.problems)
    fields.check_keys(report, found, what, _KEYS)
    days, between = found.get("days"), found.get("between")
    window = TimeWindow(
        after=_moment(report, found, "after", what),
        before=_moment(report, found, "before", what),
        days=_days(report, days, f"{what}.days") if days else (),
        between=_between(report, between, f"{what}.between") if between else None,
        tz=_zone(report, found, what),
    )
    if len(report.problems) == before and not opens(window):
        report.at(node, f"{what} is a window that never opens", "no moment from after to before meets the rest of it")
    return window


def _moment(report: Report, found: MapNode, name: str, what: str) -> int | float | None:
    node = found.get(name)
    moment = fields.moment(report, node, f"{what}.{name}") if node else None
    return int(moment) if moment is not None and moment == int(moment) else moment


def _days(report: Report, node: Node, what: str) -> tuple[str, ...]:
    items = fields.items(report, node, what) or ()
    chosen = [fields.choice(report, item, f"entry of {what}", DAYS) for item in items]
    if len(set(chosen)) != len(chosen):
        report.warn(node, f"{what} lists a day twice", "list it once", code=Code.REPEATED_ENTRY)
    return tuple(day for day in DAYS if day in chosen)


def _between(report: Report, node: Node, what: str) -> tuple[int, int] | None:
    if type(node) is BrokenNode:
        return None
    if type(node) is not ListNode or len(node.items) != 2:
        report.at(node, f"{what}: expected two times of day, found {fields.describe(node)}", _CLOCK_HINT)
        return None
    start, end = (_clock(report, item, what, last=item is node.items[1]) for item in node.items)
    if start is None or end is None:
        return None
    if start == end or end == 0:
        message = "starts and ends at the same time" if start == end else "ends at 00:00"
        report.at(node, f"{what} {message}", "leave it out for the whole day" if start == end else "write 24:00")
        return None
    return start, end


def _clock(report: Report, node: Node, what: str, *, last: bool) -> int | None:
    if type(node) is ScalarNode and isinstance(node.value, str):
        if last and node.value == "24:00":
            return 24 * 60
        if match := _CLOCK.fullmatch(node.value):
            return int(match[1]) * 60 + int(match[2])
    if type(node) is not BrokenNode:
        report.at(node, f"{what}: expected a time of day, found {fields.describe(node)}", _CLOCK_HINT)
    return None


def _zone(report: Report, found: MapNode, what: str) -> str:
    node = found.get("tz")
    name = node and fields.string(report, node, f"{what}.tz")
    if not node or not name:
        return ""
    if "days" not in found.entries and "between" not in found.entries:
        report.at(
            node, f"{what}.tz does nothing without days or between", "remove it: after and before have their zone"
        )
    try:
        zone(name)
    except ValueError as error:
        report.at(node, f"{what}.tz: {error}", "use an IANA name such as Europe/Berlin")
    return "" if name == "UTC" else name
