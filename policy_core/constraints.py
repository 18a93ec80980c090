"""The closed registry of constraints: what each bounds, and how several of one name merge.

Merging only ever tightens, so it is associative, commutative and idempotent: rule order cannot matter.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from policy_core.model import Constraint

MAX_LIST_ITEMS = 1_000

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
    "command_allowlist": "commands that may be started",
    "fs_read_allowlist": "paths that may be read",
    "fs_write_allowlist": "paths that may be written",
    "network_allowlist": "hosts that may be reached",
    "tool_allowlist": "tools that may be called",
}

_LATER = ("min_", "_denylist", "allow_", "x_")


def check_constraint(name: str, value: object) -> tuple[str, str] | None:
    """Return what is wrong with a constraint as (message, hint), or None if it is in the registry and well formed."""
    if name not in REGISTRY:
        if any(name.startswith(part) or name.endswith(part) for part in _LATER):
            return (
                f"constraint {name} is not yet supported",
                "supported are max_* (least) and *_allowlist (intersection)",
            )
        close = get_close_matches(name, REGISTRY, n=1)
        hint = f"did you mean {close[0]}?" if close else "known: " + ", ".join(sorted(REGISTRY))
        return f"unknown constraint {name}", hint
    if name.startswith("max_"):
        if type(value) not in (int, float) or not 0 <= value < 2**53:  # type: ignore[operator]
            return f"constraint {name} must be a number of at least 0 and below 2^53", f"such as {name}: 3"
        return None
    if type(value) not in (list, tuple) or not all(type(item) is str and item for item in value):  # type: ignore[attr-defined]
        return f"constraint {name} must be a list of strings", f'such as {name}: ["one", "two"]; [] permits nothing'
    if len(value) > MAX_LIST_ITEMS:  # type: ignore[arg-type]
        return f"constraint {name} has more than {MAX_LIST_ITEMS} entries", ""
    return None


def canonical_constraint(value: int | float | Iterable[str]) -> Constraint:
    """Return the one form a checked constraint is stored in: 3.0 as 3, a list sorted and without repeats."""
    if isinstance(value, int | float):
        return int(value) if value == int(value) else value
    return tuple(sorted(set(value)))


def merge(sets: Iterable[Mapping[str, Constraint]]) -> dict[str, Constraint]:
    """Merge canonical constraints by tightening: the least of ``max_*``, the intersection of ``*_allowlist``."""
    merged: dict[str, Constraint] = {}
    for constraints in sets:
        for name, value in constraints.items():
            held = merged.get(name)
            if held is None:
                merged[name] = value
            elif isinstance(held, tuple) and isinstance(value, tuple):
                # a set, as two lists of 1 000 entries would take 5 ms
                merged[name] = tuple(filter(frozenset(value).__contains__, held))
            else:
                merged[name] = min(held, value)
    return merged
