"""What rules read of a request: all that their outcomes, and the words of their errors, can depend on.

Where two requests meet the same rules and agree in what those read, they get the same answer, unless it depends on
what was remembered. `policy_core.matcher.caching` rests on that.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias

from policy_core.condition.reading import paths_read
from policy_core.matcher.judging import ScopedException
from policy_core.matcher.windows import window_check
from policy_core.model import Clauses, EntityClauses, Rule, TimeWindow
from policy_core.request import Request

Path: TypeAlias = tuple[str, ...]
Read: TypeAlias = Callable[[Request], object]

_SCALARS = {
    ("subject", "type"): "subject_type",
    ("subject", "id"): "subject_id",
    ("action", "name"): "action_name",
    ("resource", "type"): "resource_type",
    ("resource", "id"): "resource_id",
}
ABSENT = ...
"""Stands in a key for what is not there; JSON has no such value, and null is another one."""
MAX_SET = 100
TOO_LARGE = object()
"""Stands for a set that takes longer to sort than it is worth; `marshal` refuses it, so there is no key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """What is read: values at paths, sets (attributes of `Request`), in which windows and spans the time is.

    `clock` says that the time itself is read.
    """

    paths: frozenset[Path]
    sets: frozenset[str]
    windows: frozenset[TimeWindow]
    spans: frozenset[tuple[int, int]]
    clock: bool


def reads_of(rules: Iterable[Rule], exceptions: Iterable[ScopedException]) -> Reads:
    """Return what rules read, and the exceptions that may switch them off."""
    paths: set[Path] = set()
    sets: set[str] = set()
    windows: set[TimeWindow] = set()
    spans: set[tuple[int, int]] = set()
    sides: list[Clauses] = []
    for rule in rules:
        sides.append(rule.match)
        if rule.unless is not None:
            sides.append(rule.unless)
        if rule.when is not None:
            paths.update(paths_read(rule.when))
    for exception in exceptions:
        sides.append(exception.scope)
        spans.add((exception.starts, exception.expires))
    for clauses in sides:
        if clauses.none_of is not None:
            sides.append(clauses.none_of)
        paths.update(_paths(clauses))
        sets.update(_sets(clauses))
        if clauses.time is not None:
            windows.add(clauses.time)
    clock = any(path[0] == "now" for path in paths)
    return Reads(
        paths=frozenset(paths), sets=frozenset(sets), windows=frozenset(windows), spans=frozenset(spans), clock=clock
    )


def readers(reads: Reads) -> tuple[Read, ...]:
    """Return closures that read all of it, except the time itself, as values that `marshal` tells apart."""
    scalars = sorted(_SCALARS[path] for path in reads.paths if path in _SCALARS)
    found: list[Read] = [attrgetter(*scalars)] if scalars else []
    below: dict[Path, list[str]] = {}
    for path in sorted(reads.paths):
        if path[0] != "now" and path not in _SCALARS:
            below.setdefault(path[:-1], []).append(path[-1])
    found += [_fields(parent, tuple(fields)) for parent, fields in below.items()]
    found += map(_set, sorted(reads.sets))
    found += map(window_check, reads.windows)
    found += [_span(*span) for span in reads.spans]
    return tuple(found)


def _paths(clauses: Clauses) -> Iterator[Path]:
    if clauses.actions:
        yield "action", "name"
    for key, wanted in (
        ("tenant", clauses.tenants),
        ("capability", clauses.capabilities),
        ("pack_id", clauses.pack_ids),
    ):
        if wanted:
            yield "context", key
    for label in clauses.labels:
        yield "context", "labels", label
    for name, entity in (("subject", clauses.subject), ("resource", clauses.resource)):
        if entity is not None:
            yield from _entity_paths(name, entity)
    for path in clauses.attributes:
        yield tuple(path.split("."))


def _entity_paths(name: str, entity: EntityClauses) -> Iterator[Path]:
    if entity.types:
        yield name, "type"
    if entity.ids:
        yield name, "id"
    for key in entity.properties:
        yield name, "properties", key


def _sets(clauses: Clauses) -> Iterator[str]:
    if clauses.risk_tags or clauses.risk_tags_any:
        yield "tags"
    if clauses.requires:
        yield "requires"
    if clauses.subject is not None and clauses.subject.roles:
        yield "roles"
    if clauses.resource is not None and clauses.resource.roles:
        yield "resource_roles"


def _fields(parent: Path, fields: tuple[str, ...]) -> Read:
    """Return what reads some fields of one object; where there is none, how far the request goes and what is there."""
    absent = (ABSENT,) * len(fields)
    if not parent:
        return lambda request: [dict(getattr(request, name)) for name in fields]
    if parent == ("context",):
        return lambda request: [*map(request.context.get, fields, absent)]
    if parent == ("subject", "properties"):
        return lambda request: [*map(request.subject_properties.get, fields, absent)]
    if parent == ("resource", "properties"):
        return lambda request: [*map(request.resource_properties.get, fields, absent)]
    root = _host if parent[0] == "host" else attrgetter(parent[0])
    steps = parent[1:]

    def read(request: Request) -> object:
        value = root(request)
        for depth, step in enumerate(steps):
            if type(value) is not dict:
                return depth, value
            if step not in value:
                return depth
            value = value[step]
        if type(value) is not dict:
            return len(steps), value
        return [*map(value.get, fields, absent)]

    return read


def _host(request: Request) -> dict[str, str]:
    return dict(request.host)  # labels may be any kind of mapping


def _set(attribute: str) -> Read:
    get = attrgetter(attribute)

    def read(request: Request) -> object:
        held = get(request)
        if held is None:
            return None
        return sorted(held) if len(held) <= MAX_SET else TOO_LARGE

    return read


def _span(starts: int, expires: int) -> Read:
    return lambda request: starts <= request.now < expires
