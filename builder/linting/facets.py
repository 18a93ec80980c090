"""Clauses in a normal form that can be compared: what one rule asks, does another ask, too?

A *facet* is one thing asked of a request; a rule is about a request only if all its facets hold. Only what is certain
from the text is claimed: that two facets look different does not mean that they are.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from policy_core.glob import covers_glob
from policy_core.model import Clauses, Condition, EntityClauses, Rule

Kind: TypeAlias = Literal["any", "all", "same"]
"""*any*: one of the values (globs) must match; *all*: every value must be there; *same*: compared as a whole."""
Key: TypeAlias = tuple[Kind, str]
Facets: TypeAlias = dict[Key, frozenset[Any]]

TAGS: Key = ("all", "risk_tags")
ANY_TAG: Key = ("any", "risk_tags_any")


def rule_facets(rule: Rule) -> Facets:
    """Return all that a rule asks: ``match``, ``unless`` and ``when``."""
    facets = clause_facets(rule.match)
    facets.update(_unless_facets(rule.unless))
    facets.update((("same", f"when {_text(operand)}"), frozenset()) for operand in conjuncts(rule.when))
    return facets


def clause_facets(clauses: Clauses) -> Facets:
    """Return what one side of a rule asks."""
    facets = dict(_positive(clauses))
    if clauses.none_of is not None:
        facets.update((_negated(key), values) for key, values in _positive(clauses.none_of))
    return facets


def excluded_facets(clauses: Clauses) -> Facets:
    """Return what the ``not`` of one side says must not hold, each by itself."""
    return {} if clauses.none_of is None else dict(_positive(clauses.none_of))


def conjuncts(when: Condition | None) -> list[Any]:
    """Return the operands of the ``&&`` a condition is made of; a condition without one is its only operand."""
    if when is None:
        return []
    return when[1:] if when[:1] == ["&&"] else [when]


def covers(wide: Facets, narrow: Facets) -> bool:
    """Tell whether each request that has all the narrow facets is sure to have all the wide ones."""
    return all(implied(key, values, narrow) for key, values in wide.items())


def implied(key: Key, values: frozenset[Any], narrow: Facets) -> bool:
    """Tell whether one facet is sure to hold where all the narrow ones do."""
    if key == ANY_TAG and not values.isdisjoint(narrow.get(TAGS, ())):
        return True
    other = narrow.get(key)
    if other is None:
        return False
    if key[0] == "all":
        return values <= other
    if key[0] == "same":
        return values == other
    return other <= values or all(any(_value_covers(wide, value) for wide in values) for value in other)


def _value_covers(wide: Any, narrow: Any) -> bool:
    texts = isinstance(wide, str) and isinstance(narrow, str)
    return covers_glob(wide, narrow) if texts else bool(wide == narrow)


def _positive(clauses: Clauses) -> Iterator[tuple[Key, frozenset[Any]]]:
    for name in ("actions", "tenants", "capabilities", "pack_ids", "risk_tags_any"):
        if values := getattr(clauses, name):
            yield ("any", name), frozenset(values)
    for name in ("risk_tags", "requires"):
        if values := getattr(clauses, name):
            yield ("all", name), frozenset(values)
    for label, pattern in clauses.labels.items():
        yield ("any", f"labels.{label}"), frozenset((pattern,))
    if clauses.subject is not None:
        yield from _entity("subject", clauses.subject)
    if clauses.resource is not None:
        yield from _entity("resource", clauses.resource)
    for path, tests in clauses.attributes.items():
        for operator, wanted in tests.operators().items():
            yield ("same", f"attributes.{path}.{operator}"), frozenset(map(_text, _listed(wanted)))
    if clauses.time is not None:
        yield ("same", "time"), frozenset((_text(clauses.time),))


def _entity(name: str, entity: EntityClauses) -> Iterator[tuple[Key, frozenset[Any]]]:
    for part in ("types", "ids", "roles"):
        if values := getattr(entity, part):
            yield ("any", f"{name}.{part}"), frozenset(values)
    for key, accepted in entity.properties.items():
        # true, 1 and 1.0 are equal in Python and different here
        values = (value if isinstance(value, str) else (type(value).__name__, value) for value in accepted)
        yield ("any", f"{name}.properties.{key}"), frozenset(values)


def _unless_facets(unless: Clauses | None) -> Mapping[Key, frozenset[Any]]:
    """Return the negation of ``unless`` as a facet: of a single clause it is what ``not`` says of that clause."""
    if unless is None:
        return {}
    facets = clause_facets(unless)
    if len(facets) == 1 and unless.none_of is None:
        ((key, values),) = facets.items()
        return {_negated(key): values}
    return {("same", "unless"): frozenset(facets.items())}


def _negated(key: Key) -> Key:
    kind, name = key
    return "same", f"not {kind} {name}"


def _listed(wanted: Any) -> Any:
    return wanted if isinstance(wanted, list | tuple) else (wanted,)


def _text(value: Any) -> str:
    return msgspec.json.encode(value, order="sorted").decode()
