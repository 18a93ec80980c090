"""The schemas of policy documents and of what stands beside them: exceptions and classifications."""

from builder.editing.clauses import GLOB, WORD, clauses
from builder.editing.parts import (
    DATE,
    DURATION,
    MOMENT,
    PATH,
    VERSION,
    Schema,
    described,
    either,
    integer,
    list_of,
    map_of,
    mapping,
    one_of,
    text,
)
from builder.language.exceptions import CATEGORIES
from builder.language.metadata import MAX_REVIEW_CYCLE_DAYS, SEVERITIES
from builder.language.remediations import MAX_REMEDIATIONS
from policy_core.constraints import MAX_LIST_ITEMS, MAX_TEXT_CHARS, REGISTRY, Merge, merge_of
from policy_core.grants import MAX_GRANTS
from policy_core.model import CONSTRAINING, GRANTING, RESTRICTING, Decision, Gate, RateScope
from policy_core.rates import MAX_LIMIT

IDENTIFIER = r"[A-Za-z0-9][A-Za-z0-9._-]*"
NAME = r"[A-Za-z0-9][A-Za-z0-9._@-]*"
_TEXTS: Schema = list_of(text(), may_be_empty=True) | {"maxItems": MAX_LIST_ITEMS}
_TIERS = one_of(("standard", "baseline"), "baseline: cannot be weakened by an exception")


def policy() -> Schema:
    """Return the schema of a document below ``policies/``."""
    properties = {
        "version": VERSION,
        "id": text("unique; default: the path below policies/, dots for slashes", pattern=IDENTIFIER, most=128),
        "metadata": metadata(),
        "mode": one_of(("enforce", "dry_run"), "dry_run: evaluated and reported, never changes a decision"),
        "tier": _TIERS,
        "rules": list_of(rule()),
    }
    return mapping(properties, required=("version", "rules"))


def metadata() -> Schema:
    """Return the schema of what a policy says about itself."""
    control = mapping({"framework": text(), "id": text()}, required=("framework", "id"))
    return mapping(
        {
            "title": text(),
            "intent": text("why the policy is there", most=4_000),
            "owners": map_of(text(), "who answers for it, by role"),
            "severity": one_of(SEVERITIES),
            "controls": list_of(control, "controls of frameworks it serves"),
            "review": mapping({"cycle_days": integer(1, MAX_REVIEW_CYCLE_DAYS), "last_reviewed": DATE}),
            "expires": described(DATE, "after this day nothing is published until somebody has looked"),
        }
    )


def rule() -> Schema:
    """Return the schema of one rule; what goes with which decision is part of it."""
    properties = {
        "id": text("unique in the document", pattern=IDENTIFIER, most=128),
        "decision": one_of([decision.value for decision in Decision]),
        "match": described(clauses(), "which requests the rule is about; all clauses must hold"),
        "unless": described(clauses(), "the rule does not apply where all of these hold"),
        "when": text("one condition in CEL", most=4 * 2**20),
        "gate": one_of([gate.value for gate in Gate], "which runtime criterion the rule serves"),
        "constraints": described(constraints() | {"minProperties": 1}, "bounds the application must keep"),
        "reason": text("for people; comes with the answer"),
        "reason_code": text("for programs", pattern=r"[a-z][a-z0-9_]{0,63}"),
        "on_missing": one_of(("error", "skip"), "skip: where it cannot be evaluated it does not apply"),
        "rate": _rate(),
        "approval": _approval(),
        "remediations": list_of(_remediation(), "what to do instead") | {"maxItems": MAX_REMEDIATIONS},
    }
    return {
        **mapping(properties, required=("id", "decision")),
        "allOf": [
            _only_with("constraints", CONSTRAINING),
            _only_with("remediations", RESTRICTING),
            _only_with("approval", {Decision.REQUIRE_APPROVAL}),
            _only_with("rate", set(Decision) - GRANTING),
            {"if": _decides(CONSTRAINING), "then": {"required": ["constraints"]}},
        ],
    }


def constraints() -> Schema:
    """Return the schema of constraints: the closed registry, and free names."""
    return {
        "type": "object",
        "properties": {name: described(_constraint(name), bounds) for name, bounds in REGISTRY.items()},
        "patternProperties": {
            "^x_[a-z0-9_]{1,62}$": {
                "anyOf": [text(most=MAX_TEXT_CHARS), {"type": ["number", "boolean"]}, _TEXTS],
            }
        },
        "additionalProperties": False,
    }


def exception() -> Schema:
    """Return the schema of a file below ``exceptions/``."""
    moment = {"anyOf": [DATE, MOMENT]}
    names = list_of(text(pattern=NAME, most=128))
    properties = {
        "version": VERSION,
        "id": text(pattern=NAME, most=128),
        "rules": list_of(text(), "the restricting rules it switches off, as POLICY/RULE"),
        "scope": mapping({"match": clauses()}, "for which requests", required=("match",)),
        "category": one_of(CATEGORIES),
        "justification": text(most=4_000),
        "compensating_controls": list_of(text()),
        "requested_by": text(pattern=NAME, most=128),
        "approved_by": described(names, "who approved it; not who asks for it"),
        "ticket": text(most=4_000),
        "created": described(moment, "when it begins"),
        "expires": described(moment, "the last day it is in force, or the moment it ends"),
    }
    return mapping(properties, required=[name for name in properties if name != "compensating_controls"])


def classify() -> Schema:
    """Return the schema of a file below ``classify/``."""
    resource = mapping({"types": list_of(GLOB), "ids": list_of(GLOB)})
    match = mapping({"actions": list_of(GLOB), "topics": list_of(GLOB), "resource": resource})
    entry = mapping(
        {
            "id": text(pattern=IDENTIFIER, most=128),
            "match": {**match, **either("actions", "topics")},
            "risk_tags": list_of(WORD, "tags such requests carry, whatever they claim"),
            "require_facts": list_of(PATH, "attributes without which such requests are denied"),
        },
        required=("id", "match"),
    )
    properties = {
        "version": VERSION,
        "id": text("unique among policies too", pattern=IDENTIFIER, most=128),
        "tier": _TIERS,
        "classify": list_of({**entry, "anyOf": [{"required": ["risk_tags"]}, {"required": ["require_facts"]}]}),
    }
    return mapping(properties, required=("version", "classify"))


def _constraint(name: str) -> Schema:
    merged = merge_of(name)
    if merged in (Merge.LEAST, Merge.GREATEST):
        return {"type": "number", "minimum": 0, "exclusiveMaximum": 2**53}
    if merged in (Merge.TRUE_WINS, Merge.FALSE_WINS):
        return {"type": "boolean"}
    return text(most=MAX_TEXT_CHARS) if merged is Merge.AGREE else _TEXTS


def _rate() -> Schema:
    properties = {
        "limit": integer(1, MAX_LIMIT, "the rule applies once so many were allowed"),
        "window": DURATION,
        "key": list_of(PATH, "what is counted apart"),
        "scope": one_of([scope.value for scope in RateScope], "fleet: all hosts count together"),
    }
    return mapping(properties, "how often is too often", required=("limit", "window", "key"))


def _approval() -> Schema:
    quorum = map_of(integer(1, MAX_GRANTS), "how many approvers of each team")
    return mapping({"from": quorum, "expires_in": DURATION}, "what satisfies the rule", required=("from", "expires_in"))


def _remediation() -> Schema:
    properties = {
        "id": text(),
        "title": text(),
        "summary": text(),
        "replacement_action": text(),
        "replacement_capability": text(),
        "add_labels": map_of(text()),
        "remove_labels": list_of(text()),
    }
    return mapping(properties, required=("id", "title"))


def _only_with(key: str, decisions: set[Decision] | frozenset[Decision]) -> Schema:
    return {"if": {"required": [key]}, "then": _decides(decisions)}


def _decides(decisions: set[Decision] | frozenset[Decision]) -> Schema:
    words = [decision.value for decision in Decision if decision in decisions]
    return {"properties": {"decision": {"enum": words}}}
