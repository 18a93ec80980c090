"""The schema of ``match``, ``unless`` and ``not``."""

from builder.editing.parts import (
    MOMENT,
    SCALAR,
    Schema,
    described,
    either,
    list_of,
    map_of,
    mapping,
    one_of,
    one_or_list,
    text,
)
from policy_core.windows import DAYS

GLOB = text(pattern=r"[^\[\]{}\\]+")
WORD = text(pattern=r"[^*?]+")
_MAYBE_EMPTY_GLOB: Schema = {"type": "string", "pattern": r"^[^\[\]{}\\]*$"}
_GLOB_OR_SCALAR: Schema = {"anyOf": [_MAYBE_EMPTY_GLOB, {"type": ["number", "boolean"]}]}
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d|24:00"

_OPERATORS: dict[str, Schema] = {
    "eq": described(SCALAR, "equal, of the same type"),
    "ne": described(SCALAR, "not equal"),
    "in": list_of(SCALAR, "equal to one of these"),
    "not_in": list_of(SCALAR, "equal to none of these"),
    "glob": one_or_list(GLOB, "matches one of these: * is any run of characters, ? is one"),
    "prefix": one_or_list(text(), "begins with one of these"),
    **{name: {"type": "number"} for name in ("lt", "le", "gt", "ge")},
    "exists": {"type": "boolean", "description": "is there, or is not there"},
    "cidr": one_or_list(text(), "an IP address in one of these networks"),
    "regex": one_or_list(text(), "the whole text matches one of these RE2 patterns"),
}


def clauses() -> Schema:
    """Return the schema of the clauses of one side of a rule."""
    inner = _clauses()
    return _beside(mapping({**inner, "not": _beside(mapping(inner, "none of these clauses may hold"))}))


def _clauses() -> dict[str, Schema]:
    return {
        "actions": list_of(GLOB, "globs over the name of the action"),
        "topics": list_of(GLOB, "another name for actions"),
        "risk_tags": list_of(WORD, "the request carries all of these tags", may_be_empty=True),
        "risk_tags_any": list_of(WORD, "the request carries at least one of these tags"),
        "tenants": list_of(GLOB, "globs over context.tenant"),
        "capabilities": list_of(GLOB, "globs over context.capability"),
        "pack_ids": list_of(GLOB, "globs over context.pack_id"),
        "requires": list_of(WORD, "context.requires has all of these"),
        "labels": map_of(GLOB, "each label of context.labels matches its glob"),
        "subject": _entity("who asks"),
        "resource": _entity("what it is about"),
        "attributes": map_of(
            mapping(_OPERATORS), "tests of facts by their dotted path", keys=r"(subject|action|resource|context)\..+"
        ),
        "time": mapping(
            {
                "after": described(MOMENT, "not before this moment"),
                "before": described(MOMENT, "earlier than this moment"),
                "days": list_of(one_of(DAYS)),
                "between": {
                    "type": "array",
                    "items": text(pattern=_CLOCK),
                    "minItems": 2,
                    "maxItems": 2,
                    "description": "from, to: such as ['22:00', '06:00']; it may wrap midnight",
                },
                "tz": text("IANA name of a time zone; UTC if there is none"),
            },
            "when a rule is about a request at all",
        ),
    }


def _entity(description: str) -> Schema:
    parts = {
        "types": list_of(GLOB),
        "ids": list_of(GLOB),
        "roles": list_of(WORD, "has at least one of these roles"),
        "properties": map_of(one_or_list(_GLOB_OR_SCALAR), "each property has one of the accepted values"),
    }
    return mapping(parts, description)


def _beside(schema: Schema) -> Schema:
    return {**schema, **either("actions", "topics")}
