"""A simulation for people and for machines."""

from collections.abc import Iterator
from typing import Any

import msgspec

from builder.publishing.describing import count
from builder.simulating.flips import ConstraintChange, Kind
from builder.simulating.replaying import Flip, Group, Side, Simulation
from policy_core.decision import Answer
from policy_core.model import Constraint
from policy_core.request import Request

_MARKS = {Kind.WIDENED: "!", Kind.CHANGED: "~", Kind.NARROWED: "-"}
_MAX_SHOWN = 120


def describe_simulation(simulation: Simulation, before: Side, after: Side, *, examples: int) -> Iterator[str]:
    """Yield the report as lines: a summary, then each group of flips with up to `examples` requests."""
    yield f"from  {before.label}"
    yield f"to    {after.label}"
    yield summary(simulation)
    for group in simulation.groups:
        yield ""
        yield from _describe_group(group, before, after, examples)


def summary(simulation: Simulation) -> str:
    """Return one line that counts requests and flips."""
    requests = f"{count(simulation.total, 'request')} ({simulation.distinct} distinct)"
    if not simulation.groups:
        return f"{requests}: no flips"
    kinds = ", ".join(f"{simulation.count(kind)} {kind}" for kind in Kind if simulation.count(kind))
    return f"{requests}: {count(simulation.count(), 'flip')} ({simulation.flips_percent:.2f} %), {kinds}"


def describe_flip(flip: Flip) -> str:
    """Return a flip as one line: who asks for what, and both decisions."""
    return f"{_asked(flip)}: {_steps(flip)}"


def simulation_record(simulation: Simulation, before: Side, after: Side, *, examples: int) -> dict[str, Any]:
    """Return a simulation as a JSON object, each group with up to `examples` requests."""
    return {
        "from": {"label": before.label, "revision": before.tree.revision, "dirty": before.tree.dirty},
        "to": {"label": after.label, "revision": after.tree.revision, "dirty": after.tree.dirty},
        "requests": simulation.total,
        "distinct": simulation.distinct,
        "flips": simulation.count(),
        "flips_percent": round(simulation.flips_percent, 4),
        **{kind.value: simulation.count(kind) for kind in Kind},
        "groups": [
            {
                "kind": group.step.kind,
                "requests": group.count,
                "distinct": len(group.flips),
                "before": _side_record(group.flips[0].before, before),
                "after": _side_record(group.flips[0].after, after),
                "examples": [_flip_record(flip) for flip in group.flips[:examples]],
            }
            for group in simulation.groups
        ],
    }


def _describe_group(group: Group, before: Side, after: Side, examples: int) -> Iterator[str]:
    step = group.step
    decisions = f"{step.before} → {step.after}" if step.before != step.after else f"{step.after}, other constraints"
    yield f"{_MARKS[step.kind]} {step.kind}: {count(group.count, 'request')}, {decisions}"
    yield f"    before  {_decider(group.flips[0].before, before)}"
    yield f"    after   {_decider(group.flips[0].after, after)}"
    for flip in group.flips[:examples]:
        yield f"    · {_asked(flip)}"
        if flip.constraint_changes:
            yield f"        {_constraints(flip)}"
    if 0 < examples < len(group.flips):
        yield f"    · … and {len(group.flips) - examples} more"


def _decider(answer: Answer, side: Side) -> str:
    if not answer.matched_rule:
        return "no rule grants it"
    note = " (in error, so it applies)" if answer.reason_code == "evaluation_error" else ""
    return f"{answer.matched_rule}{note}  {side.places[answer.matched_rule]}"


def _asked(flip: Flip) -> str:
    recorded = flip.recorded
    times = f", {flip.count} times" if flip.count > 1 else ""
    name = f" {recorded.name!r}" if recorded.name else ""
    return f"{_sentence(recorded.request)}  ({recorded.place}{name}{times})"


def _sentence(request: Request) -> str:
    """Return *type id [roles]: action on type id [tags]*, cut to a readable length."""
    who = f"{request.subject_type} {request.subject_id}{_set(request.roles)}"
    what = f"{request.action_name} on {request.resource_type} {request.resource_id}{_set(request.tags)}"
    text = f"{who}: {what}"
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def _set(values: frozenset[str] | None) -> str:
    return f" [{', '.join(sorted(values))}]" if values else ""


def _steps(flip: Flip) -> str:
    decisions = f"{flip.before.decision} → {flip.after.decision}" if flip.before.decision != flip.after.decision else ""
    return ", ".join(filter(None, (decisions, _constraints(flip))))


def _constraints(flip: Flip) -> str:
    return "; ".join(_change(change) for change in flip.constraint_changes)


def _change(change: ConstraintChange) -> str:
    return f"{change.name}: {_value(change.before)} → {_value(change.after)}"


def _value(value: Constraint | None) -> str:
    return "no bound" if value is None else msgspec.json.encode(value).decode()


def _side_record(answer: Answer, side: Side) -> dict[str, Any]:
    return {
        "decision": answer.decision,
        "rule": answer.matched_rule or None,
        "place": side.places.get(answer.matched_rule),
    }


def _flip_record(flip: Flip) -> dict[str, Any]:
    recorded = flip.recorded
    return {
        "place": recorded.place,
        "name": recorded.name or None,
        "count": flip.count,
        "request": recorded.raw,
        "now": recorded.request.now,
        "host": recorded.request.host,
        "constraints": [
            {"name": change.name, "before": change.before, "after": change.after, "kind": change.kind}
            for change in flip.constraint_changes
        ],
        "before": _answer_record(flip.before),
        "after": _answer_record(flip.after),
    }


def _answer_record(answer: Answer) -> Answer:
    return msgspec.structs.replace(answer, policy=None)
