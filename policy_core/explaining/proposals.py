"""Which single changes could make a clause hold, or keep it from holding.

Proposals are guesses from what the clause wants and what the request has; whether one does any good is decided by the
matcher. They leave the action alone (that would be another request) and never touch ``context.grants``.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from policy_core.attributes import ORDERED, comparable, parse_network
from policy_core.condition import ConditionError, compile_condition
from policy_core.explaining.changes import Change, Kind, Situation
from policy_core.memory import ForgottenError
from policy_core.model import Clauses, EntityClauses, Rule, Scalar
from policy_core.trace import ClauseTrace
from policy_core.windows import next_moment

Path: TypeAlias = tuple[str, ...]
MAX_PER_CLAUSE = 6
_OTHER = "other"
_SETS: Mapping[str, Path] = {
    "risk_tags": ("context", "risk_tags"),
    "risk_tags_any": ("context", "risk_tags"),
    "requires": ("context", "requires"),
    "subject.roles": ("subject", "properties", "roles"),
    "resource.roles": ("resource", "properties", "roles"),
}
_FACTS: Mapping[str, Path] = {
    "tenants": ("context", "tenant"),
    "capabilities": ("context", "capability"),
    "pack_ids": ("context", "pack_id"),
    "subject.types": ("subject", "type"),
    "subject.ids": ("subject", "id"),
    "resource.types": ("resource", "type"),
    "resource.ids": ("resource", "id"),
}
_ALL_OF = frozenset({"risk_tags", "requires"})
_ROOTS = frozenset({"subject", "action", "resource", "context"})
_UNTOUCHED = frozenset({("action", "name"), ("context", "grants")})
_SCALAR_TYPES = frozenset({str, bool, int, float})
_EQUATING = frozenset({"==", "!=", "in", "startsWith", "endsWith", "contains"})
_MIRRORED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def vocabulary(rules: Iterable[Rule]) -> Mapping[Path, tuple[Scalar, ...]]:
    """Return the values that rules know of each attribute: what a clause does not want, another one might."""
    known: dict[Path, dict[Scalar, None]] = defaultdict(dict)
    for rule in rules:
        for clauses in (rule.match, rule.unless, rule.match.none_of, rule.unless and rule.unless.none_of):
            if clauses is not None:
                for path, values in _values(clauses):
                    known[path] |= dict.fromkeys(map(example, values))
    return {path: tuple(values) for path, values in known.items()}


def _values(clauses: Clauses) -> Iterator[tuple[Path, Iterable[Scalar]]]:
    yield ("context", "tenant"), clauses.tenants
    yield ("context", "capability"), clauses.capabilities
    yield ("context", "pack_id"), clauses.pack_ids
    for name, entity in (("subject", clauses.subject), ("resource", clauses.resource)):
        if entity is not None:
            yield from _entity_values(name, entity)
    for path, tests in clauses.attributes.items():
        for operator, wanted in tests.operators().items():
            if operator in ("eq", "ne", "in", "not_in", "glob"):
                yield tuple(path.split(".")), wanted if isinstance(wanted, list | tuple) else (wanted,)


def _entity_values(name: str, entity: EntityClauses) -> Iterator[tuple[Path, Iterable[Scalar]]]:
    yield (name, "type"), entity.types
    yield (name, "id"), entity.ids
    for key, values in entity.properties.items():
        yield (name, "properties", key), values


def example(value: Scalar) -> Scalar:
    """Return a text that a glob matches; of anything else the value itself."""
    return value.replace("*", "x").replace("?", "x") if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Proposer:
    """Proposes changes to one situation, with the values that `known` gives for attributes."""

    situation: Situation
    data: Mapping[str, Any]
    known: Mapping[Path, tuple[Scalar, ...]]

    def changes(self, rule: Rule, clause: ClauseTrace, *, hold: bool) -> list[Change]:
        """Return what could make a clause of a rule hold (or not), the most promising first."""
        name = clause.clause.partition(".")[2]
        if name.startswith("not."):
            name, hold = name.removeprefix("not."), not hold
        found = self._changes(rule, clause, name or clause.clause, hold)
        unique = {change.key: change for change in found if _may_change(change.path)}
        return list(unique.values())[:MAX_PER_CLAUSE]

    def _changes(self, rule: Rule, clause: ClauseTrace, name: str, hold: bool) -> Iterator[Change]:
        wanted: Any = clause.wanted
        if name in _SETS:
            yield from self._members(_SETS[name], wanted, all_of=name in _ALL_OF, hold=hold)
        elif name in _FACTS:
            yield from self._fact(_FACTS[name], wanted, hold=hold)
        elif name == "labels":
            yield from self._labels(wanted, hold=hold)
        elif name == "time":
            yield from self._time(rule, clause, hold=hold)
        elif name == "when":
            yield from self._condition(wanted, hold=hold)
        elif name == "rate":
            yield from self._rate(rule, clause, hold=hold)
        elif name.startswith("attributes."):
            yield from self._attribute(tuple(name.split(".")[1:]), wanted, hold=hold)
        elif (parts := name.split(".", 2))[1:2] == ["properties"]:
            yield from self._fact(tuple(parts), wanted, hold=hold)

    def _members(self, path: Path, wanted: Sequence[str], *, all_of: bool, hold: bool) -> Iterator[Change]:
        seen = self.seen(path)
        held = set(seen) if type(seen) is list and all(type(item) is str for item in seen) else set()
        for word in wanted:
            if hold and word not in held:
                yield Change(Kind.ADD, path, word)
            elif not hold and word in held and (all_of or held.intersection(wanted)):
                yield Change(Kind.REMOVE, path, word)

    def _fact(self, path: Path, wanted: Iterable[Scalar], *, hold: bool) -> Iterator[Change]:
        values = [example(value) for value in wanted]
        yield from self._set(path, values if hold else self._others(path, values))

    def _labels(self, wanted: Mapping[str, str], *, hold: bool) -> Iterator[Change]:
        for label, pattern in wanted.items():
            path = ("context", "labels", label)
            if hold:
                yield from self._set(path, [example(pattern)])
            elif self.seen(path) is not None:
                yield Change(Kind.UNSET, path)

    def _attribute(self, path: Path, asked: Mapping[str, Any], *, hold: bool) -> Iterator[Change]:
        if "exists" in asked and (asked["exists"] is not hold) and self.seen(path) is not None:
            yield Change(Kind.UNSET, path)
        for operator, wanted in asked.items():
            yield from self._set(path, self._satisfying(path, operator, wanted, hold=hold))

    def _satisfying(self, path: Path, operator: str, wanted: Any, *, hold: bool) -> Iterable[Scalar]:
        """Return values for which an operator holds, or does not."""
        if operator in ORDERED:
            return _around(wanted)
        if operator == "exists":
            return self.known.get(path, ()) or (_OTHER,)
        values: list[Scalar] = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
        if operator in ("ne", "not_in"):
            hold = not hold
        if not hold:
            return self._others(path, values)
        if operator == "cidr":
            return [str(parse_network(str(value))[0]) for value in values]
        return [example(value) for value in values] if operator == "glob" else values

    def _time(self, rule: Rule, clause: ClauseTrace, *, hold: bool) -> Iterator[Change]:
        clauses = rule.match if clause.clause.startswith("match.") else rule.unless
        if clauses is not None and ".not." in clause.clause:
            clauses = clauses.none_of
        if clauses is not None and clauses.time is not None:
            moment = next_moment(clauses.time, self.situation.request.now, within=hold)
            if moment is not None:
                yield Change(Kind.AT, value=moment)

    def _rate(self, rule: Rule, clause: ClauseTrace, *, hold: bool) -> Iterator[Change]:
        now = self.situation.request.now
        if hold or type(clause.seen) is not str:
            return
        try:
            wait_s = self.situation.memory.retry_after(rule, clause.seen, now)
        except ForgottenError:
            return
        if wait_s is not None:
            yield Change(Kind.AT, value=math.ceil(now + wait_s))

    def _condition(self, node: Any, *, hold: bool) -> Iterator[Change]:
        """Yield changes for the parts of a condition that stand in the way."""
        match node:
            case ["&&" | "||", *operands]:
                for operand in operands:
                    if self.value(operand) is not hold:
                        yield from self._condition(operand, hold=hold)
            case ["!", operand]:
                yield from self._condition(operand, hold=not hold)
            case ["?:", test, then, otherwise]:
                yield from self._condition(then if self.value(test) is True else otherwise, hold=hold)
            case ["has", ["var", *path], str(field)]:
                yield from self._presence((*path, field), hold=hold)
            case ["in", str(member), ["var", *path]]:
                yield Change(Kind.ADD if hold else Kind.REMOVE, tuple(path), member)
            case [_, ["var", "now"], ["timestamp", int(limit_us)]] | [_, ["timestamp", int(limit_us)], ["var", "now"]]:
                yield from (Change(Kind.AT, value=limit_us // 1_000_000 + step) for step in (0, 1))
            case [str(operator), left, right]:
                yield from self._comparison(operator, left, right, hold=hold)
                yield from self._comparison(_MIRRORED.get(operator, ""), right, left, hold=hold)

    def _comparison(self, operator: str, variable: Any, other: Any, *, hold: bool) -> Iterator[Change]:
        match variable:
            case ["var", root, *fields] if fields and (wanted := self.value(other)) is not None:
                path = (root, *fields)
                yield from self._set(path, self._compared(path, operator, wanted, hold=hold))

    def _compared(self, path: Path, operator: str, wanted: Any, *, hold: bool) -> Iterable[Scalar]:
        if operator in ("<", "<=", ">", ">="):
            return _around(wanted)
        values = wanted if type(wanted) is list else [wanted]
        if operator == "!=":
            hold = not hold
        if operator not in _EQUATING or not all(type(value) in _SCALAR_TYPES for value in values):
            return ()
        return values if hold else self._others(path, values)

    def _presence(self, path: Path, *, hold: bool) -> Iterator[Change]:
        if hold:
            yield from self._set(path, self.known.get(path, ()) or (_OTHER,))
        elif self.seen(path) is not None:
            yield Change(Kind.UNSET, path)

    def _set(self, path: Path, values: Iterable[Scalar]) -> Iterator[Change]:
        """Yield a change for each value that the request has not there already."""
        seen = self.seen(path)
        for value in values:
            if (type(value), value) != (type(seen), seen):
                yield Change(Kind.SET, path, value)

    def _others(self, path: Path, unwanted: Sequence[Scalar]) -> list[Scalar]:
        """Return values of the types of the unwanted ones that are none of them."""
        others = [value for value in self.known.get(path, ()) if any(comparable(each, value) for each in unwanted)]
        others += [_OTHER] if any(isinstance(value, str) for value in unwanted) else []
        others += [True, False] if any(isinstance(value, bool) for value in unwanted) else []
        numbers = [value for value in unwanted if isinstance(value, int | float) and not isinstance(value, bool)]
        others += [max(numbers) + 1] if numbers else []
        taken = [(isinstance(value, bool), value) for value in unwanted]
        return [value for value in others if (isinstance(value, bool), value) not in taken]

    def seen(self, path: Path) -> object:
        """Return what the request has at a path, None if it has nothing there."""
        root, *fields = path
        return _follow(getattr(self.situation.request, root), fields) if root in _ROOTS else None

    def value(self, node: Any) -> Any:
        """Return the value of a part of a condition for this request, None if it has none."""
        match node:
            case ["var", "data", *fields]:
                return _follow(self.data, fields)
            case ["var", *path]:
                return self.seen(tuple(path))
            case ["double", str(text)]:
                return float(text)
            case ["list", *items]:
                return [self.value(item) for item in items]
            case list():
                try:
                    return compile_condition(node, self.data)(self.situation.request)
                except ConditionError:
                    return None
        return node


def _may_change(path: Path) -> bool:
    return not path or (len(path) > 1 and path[0] in _ROOTS and path[:2] not in _UNTOUCHED)


def _follow(value: Any, fields: Iterable[str]) -> Any:
    for field in fields:
        value = value.get(field) if isinstance(value, Mapping) else None
    return value


def _around(number: object) -> tuple[int | float, ...]:
    """Return a number and its neighbours: one of them is on either side of any comparison with it."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return ()
    return number, number - 1, number + 1
