"""The constraints of job-style rules, grouped or flat, under the names of our registry."""

from collections.abc import Iterator

from builder.importing.fields import BOUND_GROUPS, BOUNDS
from builder.language.nodes import BrokenNode, ListNode, MapNode, Node, Report, ScalarNode, plain
from policy_core.constraints import canonical_constraint, check_constraint
from policy_core.model import Constraint


def read_bounds(report: Report, node: MapNode) -> dict[str, Constraint]:
    """Return the constraints of one rule. One that is written twice, or bounds nothing there, is a problem."""
    found: dict[str, Constraint] = {}
    read_only = False
    for name, key, value in _leaves(node):
        ours = BOUNDS.get(name)
        if ours is None or isinstance(value, BrokenNode):
            continue
        if _bounds_nothing(value):
            hint = "take it out; if nothing was to be permitted, write a rule that denies"
            report.at(key, f"constraint {name} bounds nothing there, and would permit nothing here", hint)
        elif problem := check_constraint(ours, plain(value)):
            report.at(value, f"{name}: {problem[0]}", problem[1])
        elif ours in found:
            report.at(key, f"{name} says {ours} a second time", "keep one of them")
        else:
            found[ours] = canonical_constraint(plain(value))
            read_only = read_only or name == "fs_read_only"
    if read_only and isinstance(writable := found.get("fs_write_allowlist"), tuple):
        readable = found["fs_read_allowlist"]  # what may be written may be read there
        found["fs_read_allowlist"] = canonical_constraint(
            [*writable, *(readable if isinstance(readable, tuple) else ())]
        )
    return found


def _leaves(node: MapNode) -> Iterator[tuple[str, ScalarNode, Node]]:
    for name, (key, value) in node.entries.items():
        if name not in BOUND_GROUPS:
            yield name, key, value
        elif isinstance(value, MapNode):
            yield from ((inner, key, value) for inner, (key, value) in value.entries.items())


def _bounds_nothing(value: Node) -> bool:
    if isinstance(value, ListNode):
        return not value.items
    return isinstance(value, ScalarNode) and value.value is not False and value.value in (0, None, "")
