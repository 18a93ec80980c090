"""Clauses compiled to checks: closures from a request to True, False or None (None: the clause is an *error*).

Checks are shared between rules that say the same, so ten thousand rules cost few closures. Within a rule those that
cannot be an error come first and the condition last: false ends the evaluation, an error does not (Kleene's AND).
"""

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec

from policy_core.condition import ConditionError, compile_condition
from policy_core.glob import any_glob
from policy_core.matcher.attributes import accepting, attribute_check
from policy_core.matcher.windows import window_check
from policy_core.model import AttributeTests, Clauses, Condition, Rule, Scalar
from policy_core.request import Request

Check: TypeAlias = Callable[[Request], bool | None]
Maker: TypeAlias = Callable[[Any], Check]
Clause: TypeAlias = tuple[str, Maker, Any]


class CheckCompiler:
    """Compiles the clauses of one bundle, each distinct clause once; `data` is the bundle's reference data."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data
        self._shared: dict[Any, Check] = {}

    def checks(self, rule: Rule, *, without: frozenset[str] = frozenset()) -> tuple[Check, ...]:
        """Return the checks of a rule in evaluation order, leaving out the clauses that the index has proven.

        `without` names clauses as `never_error` does.
        """
        checks = self.clause_checks(rule.match, without=without)
        if rule.unless is not None:
            checks += (self._unless(rule.unless),)
        if rule.when is not None:
            checks += (self._condition(rule.when),)
        return checks

    def clause_checks(self, clauses: Clauses, *, without: frozenset[str] = frozenset()) -> tuple[Check, ...]:
        """Return the checks of the clauses of one side, in evaluation order."""
        checks = [
            self._share((name, wanted), make, wanted)
            for name, make, wanted in never_error(clauses)
            if name not in without
        ]
        none_of = clauses.none_of
        if none_of is not None:
            checks += [self._negated(clause) for clause in never_error(none_of)]
        checks += [self._share(_key(name, wanted), make, wanted) for name, make, wanted in _may_error(clauses)]
        if none_of is not None:
            checks += [self._negated(clause) for clause in _may_error(none_of)]
        return tuple(checks)

    def _share(self, key: Any, make: Maker, wanted: Any) -> Check:
        check = self._shared.get(key)
        if check is None:
            check = self._shared[key] = make(wanted)
        return check

    def _unless(self, clauses: Clauses) -> Check:
        key = ("unless", msgspec.json.encode(clauses))
        check = self._shared.get(key)
        if check is None:
            parts = [make(wanted) for _, make, wanted in _all(clauses)]
            if clauses.none_of is not None:
                parts += [_negation(make(wanted)) for _, make, wanted in _all(clauses.none_of)]
            check = self._shared[key] = _none_of_all(tuple(parts))
        return check

    def _negated(self, clause: Clause) -> Check:
        name, make, wanted = clause
        return self._share(("not", *_key(name, wanted)), lambda wanted: _negation(make(wanted)), wanted)

    def _condition(self, when: Condition) -> Check:
        return self._share(("when", msgspec.json.encode(when)), self._make_condition, when)

    def _make_condition(self, when: Condition) -> Check:
        holds = compile_condition(when, self._data)

        def check(request: Request) -> bool | None:
            try:
                return holds(request)
            except ConditionError:
                return None

        return check


def never_error(clauses: Clauses) -> Iterator[Clause]:
    """Yield (name, maker, wanted) of the clauses over scalars, which every request has: they are true or false."""
    if clauses.actions:
        yield "actions", _ACTION, clauses.actions
    for name, entity in (("subject", clauses.subject), ("resource", clauses.resource)):
        if entity is not None:
            if entity.types:
                yield f"{name}.types", _TYPES[name], entity.types
            if entity.ids:
                yield f"{name}.ids", _IDS[name], entity.ids


def _may_error(clauses: Clauses) -> Iterator[Clause]:
    """Yield (name, maker, wanted) of the clauses over sets and facts, cheapest first."""
    yield from _sets(clauses)
    yield from _facts(clauses)


def _sets(clauses: Clauses) -> Iterator[Clause]:
    if clauses.time is not None:
        yield "time", window_check, clauses.time
    if clauses.risk_tags:
        yield "risk_tags", _ALL_TAGS, frozenset(clauses.risk_tags)
    if clauses.risk_tags_any:
        yield "risk_tags_any", _ANY_TAG, frozenset(clauses.risk_tags_any)
    if clauses.requires:
        yield "requires", _ALL_REQUIRED, frozenset(clauses.requires)
    for name, entity in (("subject", clauses.subject), ("resource", clauses.resource)):
        if entity is not None and entity.roles:
            yield f"{name}.roles", _ROLES[name], frozenset(entity.roles)
    if clauses.labels:
        yield "labels", _labels, tuple(clauses.labels.items())


def _facts(clauses: Clauses) -> Iterator[Clause]:
    for key, wanted in (
        ("tenant", clauses.tenants),
        ("capability", clauses.capabilities),
        ("pack_id", clauses.pack_ids),
    ):
        if wanted:
            yield f"context.{key}", _FACTS[key], wanted
    for name, entity in (("subject", clauses.subject), ("resource", clauses.resource)):
        if entity is not None:
            for key, values in entity.properties.items():
                # the types are part of what is shared: True, 1 and 1.0 are equal and hash alike
                yield f"{name}.properties", _PROPERTIES[name], (key, values, tuple(map(type, values)))
    for path, tests in clauses.attributes.items():
        yield f"attributes.{path}", _attribute, (path, tests)


def _all(clauses: Clauses) -> Iterator[Clause]:
    yield from never_error(clauses)
    yield from _may_error(clauses)


def _key(name: str, wanted: Any) -> tuple[str, Any]:
    """Return what two equal clauses share; attribute tests by their JSON, where true, 1 and 1.0 differ."""
    return name, msgspec.json.encode(wanted[1]) if name.startswith("attributes.") else wanted


def _negation(check: Check) -> Check:
    def negated(request: Request) -> bool | None:
        held = check(request)
        return None if held is None else not held

    return negated


def _none_of_all(parts: tuple[Check, ...]) -> Check:
    """Return the check of ``unless``: Kleene's negation of the conjunction of its clauses."""

    def check(request: Request) -> bool | None:
        outcome: bool | None = False
        for part in parts:
            held = part(request)
            if held is False:
                return True
            if held is None:
                outcome = None
        return outcome

    return check


def _matches(attribute: str) -> Maker:
    get = attrgetter(attribute)

    def make(patterns: tuple[str, ...]) -> Check:
        matches = any_glob(patterns)
        return lambda request: matches(get(request))

    return make


def _includes(attribute: str) -> Maker:
    get = attrgetter(attribute)

    def make(wanted: frozenset[str]) -> Check:
        def check(request: Request) -> bool | None:
            held = get(request)
            return None if held is None else wanted <= held

        return check

    return make


def _intersects(attribute: str) -> Maker:
    get = attrgetter(attribute)

    def make(wanted: frozenset[str]) -> Check:
        def check(request: Request) -> bool | None:
            held = get(request)
            return None if held is None else not wanted.isdisjoint(held)

        return check

    return make


def _fact(key: str) -> Maker:
    def make(patterns: tuple[str, ...]) -> Check:
        matches = any_glob(patterns)

        def check(request: Request) -> bool | None:
            value = request.context.get(key)
            return matches(value) if type(value) is str else None

        return check

    return make


def _property(attribute: str) -> Maker:
    get = attrgetter(f"{attribute}_properties")

    def make(wanted: tuple[str, tuple[Scalar, ...], object]) -> Check:
        key, values = wanted[0], wanted[1]
        accepts = accepting(values, any_glob(value for value in values if isinstance(value, str)))
        return lambda request: accepts(get(request).get(key))

    return make


def _labels(wanted: tuple[tuple[str, str], ...]) -> Check:
    pairs = tuple((key, any_glob((pattern,))) for key, pattern in wanted)

    def check(request: Request) -> bool | None:
        labels = request.labels
        if labels is None:
            return None
        outcome: bool | None = True
        for key, matches in pairs:
            value = labels.get(key)
            if type(value) is str:
                if not matches(value):
                    return False
            elif value is None:
                return False
            else:
                outcome = None
        return outcome

    return check


def _attribute(wanted: tuple[str, AttributeTests]) -> Check:
    return attribute_check(*wanted)


_ACTION = _matches("action_name")
_TYPES = {"subject": _matches("subject_type"), "resource": _matches("resource_type")}
_IDS = {"subject": _matches("subject_id"), "resource": _matches("resource_id")}
_ROLES = {"subject": _intersects("roles"), "resource": _intersects("resource_roles")}
_ALL_TAGS, _ANY_TAG, _ALL_REQUIRED = _includes("tags"), _intersects("tags"), _includes("requires")
_FACTS = {key: _fact(key) for key in ("tenant", "capability", "pack_id")}
_PROPERTIES = {"subject": _property("subject"), "resource": _property("resource")}
