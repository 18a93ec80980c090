"""``velocity`` of job-style rules as our ``rate``: the same limit and window, and what a request must have to count."""

from dataclasses import dataclass

from builder.importing import atoms
from builder.importing.atoms import Atom
from builder.language import fields
from builder.language.nodes import MapNode, Report
from policy_core.rates import MAX_KEY_PATHS, MAX_LIMIT

_KEYS = {
    "actor_id": "subject.id", "actor_type": "subject.type", "tenant": "context.tenant", "topic": "action.name",
    "pack_id": "context.pack_id", "capability": "context.capability",
}  # fmt: skip
_NOBODY = ("anonymous",)
_MAX_WINDOW_S = 86_400


@dataclass(frozen=True, slots=True)
class Velocity:
    """A rate. Where one of `present` does not hold, or one of `absent` does, the key is empty there: nothing counts."""

    limit: int
    window_s: int
    key: tuple[str, ...]
    present: tuple[Atom, ...] = ()
    absent: tuple[Atom, ...] = ()


def read_velocity(report: Report, node: MapNode) -> Velocity | None:
    """Return the rate, None if it has a problem."""
    before = len(report.problems)
    hint = "write velocity: {max_requests: 3, window_seconds: 3600, key: actor_id}"
    values = {
        name: fields.require(report, node, name, "velocity", hint) for name in ("max_requests", "window_seconds", "key")
    }
    limit = values["max_requests"] and fields.integer(
        report, values["max_requests"], "max_requests", least=1, most=MAX_LIMIT
    )
    window = values["window_seconds"] and fields.integer(
        report, values["window_seconds"], "window_seconds", least=1, most=_MAX_WINDOW_S
    )
    written = values["key"] and fields.string(report, values["key"], "key")
    paths = []
    for part in written.split(":") if written else ():
        path = _KEYS.get(part.strip()) or _label_path(part.strip())
        if path is None and values["key"]:
            known = f"known: labels.NAME (without further dots), {', '.join(_KEYS)}, joined with ':'"
            report.at(values["key"], f"key: cannot count by {fields.shown(part)}", known)
        elif path:
            paths.append(path)
    key = tuple(dict.fromkeys(paths))
    if len(key) > MAX_KEY_PATHS and values["key"]:
        report.at(values["key"], f"key has too many parts ({len(key)}, limit {MAX_KEY_PATHS})", "leave some out")
    if len(report.problems) > before or not limit or not window:
        return None
    present = tuple(atoms.has_value(path) for path in key if path.startswith("context.") and path != "context.tenant")
    absent = tuple(atoms.one_of(path, _NOBODY) for path in key if path.startswith("subject."))
    return Velocity(limit, window, key, present, absent)


def _label_path(part: str) -> str | None:
    name = part.removeprefix("labels.")
    return f"context.labels.{name}" if name != part and name and "." not in name else None
