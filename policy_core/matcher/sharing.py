"""Equal parts of decoded rules are one object: much of what a large policy takes is the same words again and again."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import force_setattr

from policy_core.model import Clauses, EntityClauses, Rule

_PARTS = ("constraints", "approval", "rate", "remediations", "when")
_WHOLE = ("labels", "attributes")
_LISTS = ("actions", "risk_tags", "risk_tags_any", "tenants", "capabilities", "pack_ids", "requires")
_ENTITY_LISTS = ("types", "ids", "roles")

_NOTHING: dict[str, Any] = {}


class Sharer:
    """Makes the rules of one policy share what is equal in them. Parts are equal if their JSON is: true is not 1."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}
        self._encode = msgspec.json.Encoder().encode

    def share(self, rule: Rule) -> None:
        """Replace the parts of a rule by equal ones of rules before it. Only for rules that nobody else holds yet."""
        self._one(rule, "policy")
        self._encoded(rule, _PARTS)
        for clauses in _sides(rule):
            self._encoded(clauses, _WHOLE)
            for name in _LISTS:
                self._one(clauses, name)
            for entity in (clauses.subject, clauses.resource):
                if entity is not None:
                    self._entity(entity)

    def _entity(self, entity: EntityClauses) -> None:
        self._encoded(entity, ("properties",))
        for name in _ENTITY_LISTS:
            self._one(entity, name)

    def _one(self, holder: Any, name: str) -> None:
        """Share a string, or a list of strings."""
        value = getattr(holder, name)
        if value:
            known = self._known.setdefault(value, value)
            if known is not value:
                force_setattr(holder, name, known)

    def _encoded(self, holder: Any, names: tuple[str, ...]) -> None:
        for name in names:
            value = getattr(holder, name)
            if value:
                known = self._known.setdefault((name, self._encode(value)), value)
                if known is not value:
                    force_setattr(holder, name, known)
            elif type(value) is dict:
                force_setattr(holder, name, _NOTHING)


def _sides(rule: Rule) -> Iterator[Clauses]:
    for clauses in (rule.match, rule.unless):
        if clauses is not None:
            yield clauses
            if clauses.none_of is not None:
                yield clauses.none_of
