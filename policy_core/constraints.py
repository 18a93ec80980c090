"""The registry of constraints: what each bounds, and how several of one name merge.

Merging only ever tightens, so it is associative, commutative and idempotent: rule order cannot matter. Values that must
agree and do not are a conflict, whatever the order they meet in.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from enum import Enum
from typing import Any

from policy_core.model import Constraint

MAX_LIST_ITEMS = 1_000
MAX_TEXT_CHARS = 200

REGISTRY: dict[str, str] = {
    "max_artifact_bytes": "bytes the action may write as artifacts",
    "max_concurrent_jobs": "jobs of this kind that may run at once",
    "max_cost_usd": "money one run may spend, in US dollars",
    "max_files": "files one change may touch",
    "max_lines": "lines one change may touch",
    "max_output_bytes": "bytes the action may return",
    "max_retries": "attempts after the first",
    "max_rows": "rows one statement may read or change",
    "max_runtime_ms": "run time in milliseconds",
    "max_runtime_sec": "run time in seconds",
    "max_targets": "hosts, instances or records one action may touch",
    "max_tokens": "model tokens one run may use",
    "min_interval_sec": "seconds between two runs",
    "min_replicas": "instances that must stay up",
    "min_retention_days": "days the record of the action must be kept",
    "command_allowlist": "commands that may be started",
    "fs_read_allowlist": "paths that may be read",
    "fs_write_allowlist": "paths that may be written",
    "network_allowlist": "hosts that may be reached",
    "tool_allowlist": "tools that may be called",
    "command_denylist": "commands that may not be started",
    "network_denylist": "hosts that may not be reached",
    "path_denylist": "paths that may not be touched",
    "redact_denylist": "patterns that must be removed from what is returned",
    "tool_denylist": "tools that may not be called",
    "required_evidence": "what must be recorded about the action, words the application knows",
    "isolated": "the action runs in a sandbox",
    "read_only": "the action may read, not write",
    "allow_escalation": "the action may raise its privileges",
    "allow_network": "the action may reach a network",
    "redaction_level": "how results are redacted, a word the application knows",
    "run_as": "the identity the action runs under",
}
FLAGS = frozenset({"isolated", "read_only", "allow_escalation", "allow_network"})

_FREE = re.compile(r"x_[a-z0-9_]{1,62}")


class Merge(Enum):
    """How several constraints of one name become one."""

    LEAST = "least"
    GREATEST = "greatest"
    INTERSECTION = "intersection"
    UNION = "union"
    TRUE_WINS = "`true` wins"
    FALSE_WINS = "`false` wins"
    AGREE = "must agree"


class ConstraintConflict(Exception):  # noqa: N818 - a finding about a policy, no failure of ours
    """Constraints that must agree do not; `name` is the first of them by name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def merge_of(name: str) -> Merge:
    """Return how constraints of a name merge; free names (``x_…``) must agree."""
    if name.startswith("x_"):
        return Merge.AGREE
    for start, rule in (("max_", Merge.LEAST), ("min_", Merge.GREATEST)):
        if name.startswith(start):
            return rule
    if name.startswith("required_"):
        return Merge.UNION
    for end, rule in (("_allowlist", Merge.INTERSECTION), ("_denylist", Merge.UNION)):
        if name.endswith(end):
            return rule
    if name in FLAGS:
        return Merge.FALSE_WINS if name.startswith("allow_") else Merge.TRUE_WINS
    return Merge.AGREE


def check_constraint(name: str, value: object) -> tuple[str, str] | None:
    """Return what is wrong with a constraint as (message, hint), or None if it is in the registry and well formed."""
    if name.startswith("x_"):
        return _check_free(name, value)
    if name not in REGISTRY:
        close = get_close_matches(name, REGISTRY, n=1)
        hint = f"did you mean {close[0]}?" if close else "a name of your own starts with x_; known: "
        return f"unknown constraint {name}", hint if close else hint + ", ".join(sorted(REGISTRY))
    merged_by = merge_of(name)
    if merged_by in (Merge.LEAST, Merge.GREATEST):
        if not _is_bound(value):
            return f"constraint {name} must be a number of at least 0 and below 2^53", f"such as {name}: 3"
    elif merged_by in (Merge.TRUE_WINS, Merge.FALSE_WINS):
        if type(value) is not bool:
            return f"constraint {name} must be true or false", f"such as {name}: {merged_by is Merge.TRUE_WINS}".lower()
    elif merged_by is Merge.AGREE:
        if not _is_text(value):
            return f"constraint {name} must be text of at most {MAX_TEXT_CHARS} characters", ""
    else:
        return _check_list(name, value)
    return None


def canonical_constraint(value: bool | int | float | str | Iterable[str]) -> Constraint:
    """Return the one form a checked constraint is stored in: 3.0 as 3, a list sorted and without repeats."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return int(value) if value == int(value) else value
    return tuple(sorted(set(value)))


def agree(one: Constraint, other: Constraint) -> bool:
    """Tell whether two constraints are the same value of the same type."""
    return type(one) is type(other) and one == other


def merge(sets: Iterable[Mapping[str, Constraint]]) -> dict[str, Constraint]:
    """Merge canonical constraints by tightening. Raises ConstraintConflict where values must agree and do not."""
    merged: dict[str, Constraint] = {}
    conflicts = []
    for constraints in sets:
        for name, value in constraints.items():
            held = merged.get(name)
            if held is None:
                merged[name] = value
            elif (both := _MERGERS.get(name, _agreed)(held, value)) is None:
                conflicts.append(name)
            else:
                merged[name] = both
    if conflicts:
        raise ConstraintConflict(min(conflicts))
    return merged


def _check_free(name: str, value: object) -> tuple[str, str] | None:
    if not _FREE.fullmatch(name):
        return f"constraint name {name[:80]} is not valid", "x_ is followed by lower-case letters, digits and '_'"
    if type(value) in (list, tuple):
        return _check_list(name, value)
    number = type(value) in (int, float) and abs(value) < 2**53  # type: ignore[arg-type]
    if type(value) is bool or number or _is_text(value):
        return None
    return f"constraint {name} must be text, a number, true, false or a list of strings", ""


def _check_list(name: str, value: object) -> tuple[str, str] | None:
    if type(value) not in (list, tuple) or not all(type(item) is str and item for item in value):  # type: ignore[attr-defined]
        hint = f'such as {name}: ["one", "two"]' + ("; [] permits nothing" if name.endswith("_allowlist") else "")
        return f"constraint {name} must be a list of strings", hint
    if len(value) > MAX_LIST_ITEMS:  # type: ignore[arg-type]
        return f"constraint {name} has more than {MAX_LIST_ITEMS} entries", ""
    return None


def _is_bound(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value < 2**53  # type: ignore[operator]


def _is_text(value: object) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_TEXT_CHARS


def _intersection(held: Any, value: Any) -> Constraint:
    # through a set, as two lists of 1 000 entries would take 5 ms
    return tuple(filter(frozenset(value).__contains__, held))


def _union(held: Any, value: Any) -> Constraint:
    return tuple(sorted({*held, *value}))


def _agreed(held: Any, value: Any) -> Constraint | None:
    return value if agree(held, value) else None


_BY_MERGE: dict[Merge, Callable[[Any, Any], Constraint | None]] = {
    Merge.LEAST: min,
    Merge.GREATEST: max,
    Merge.INTERSECTION: _intersection,
    Merge.UNION: _union,
    Merge.TRUE_WINS: lambda held, value: held or value,
    Merge.FALSE_WINS: lambda held, value: held and value,
    Merge.AGREE: _agreed,
}
_MERGERS = {name: _BY_MERGE[merge_of(name)] for name in REGISTRY}
