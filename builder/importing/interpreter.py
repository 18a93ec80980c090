"""What a job-style file decides, told by its own rules: first match, in order. Shares nothing with the importer.

It reads the file as plain values and a request in the job form, and is written to be compared with, not to be quick.
Texts in lists are compared without regard to case, but tags and required words exactly, as the importer reads them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_TIERS = ("job", "workflow", "global")
_WORDS = {
    "allow": "allow", "permit": "allow", "allow_with_constraints": "allow", "allow-with-constraints": "allow",
    "deny": "deny", "block": "deny", "throttle": "throttle", "require_approval": "require_approval",
    "require-approval": "require_approval", "require_human": "require_approval",
}  # fmt: skip
_SPECIAL = re.compile(r"[*?\[\\]")
_PART = re.compile(r"\[\^?(?:\\.|.)(?:\\.|[^\]\\])*\]|\\.|.", re.DOTALL)
_MEMBER = re.compile(r"(\\.|.)(?:-(\\.|.))?", re.DOTALL)
_FOLDED = {
    "capabilities": "capability", "pack_ids": "pack_id", "actor_ids": "actor_id", "actor_types": "actor_type",
    "agent_risk_tiers": "agent_risk_tier",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the file says of a request, and by which rule (its place in the order of trial); -1: by default."""

    decision: str
    rule: int


class Interpreter:
    """Decides as the file does."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._selector: Mapping[str, str] = document.get("selector") or {}
        self._allows = document.get("default_decision") == "allow"
        tier = document.get("tier") or _TIERS[-1]
        rules = list(document.get("rules") or ())
        rules.sort(key=lambda rule: _TIERS.index(rule.get("tier") or tier))
        self.rules: Sequence[Mapping[str, Any]] = rules or _tenant_rules(document.get("tenants") or {})
        self._of_topic: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}

    def decide(self, request: Mapping[str, Any], exceeded: frozenset[int] = frozenset()) -> Verdict:
        """Return the decision; `exceeded` are the rules whose velocity has been exceeded for this request."""
        job = request["job"]
        tenant = request.get("tenant_id", "default")
        if not job["topic"].startswith("job."):
            return Verdict("deny", -1)
        if not _selected(self._selector, job):
            return Verdict("deny", -1)
        for number, rule in self._about(job["topic"]):
            velocity = rule.get("velocity")
            if velocity and (number not in exceeded or not _has_key(velocity["key"], job)):
                continue
            if _selected(rule.get("selector") or {}, job) and _matches(rule.get("match") or {}, tenant, job):
                return Verdict(_WORDS[rule["decision"].strip().lower()], number)
        return Verdict("allow", len(self.rules)) if self._allows else Verdict("deny", -1)

    def _about(self, topic: str) -> Sequence[tuple[int, Mapping[str, Any]]]:
        """Return the rules about a topic, in order; remembered, as few topics make many requests."""
        found = self._of_topic.get(topic)
        if found is None:
            found = self._of_topic[topic] = [
                (number, rule) for number, rule in enumerate(self.rules) if _is_about(rule.get("match") or {}, topic)
            ]
        return found


def _tenant_rules(tenants: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    rules = []
    for name, tenant in tenants.items():
        for key, decision in (("deny_topics", "deny"), ("allow_topics", "allow")):
            if topics := (tenant or {}).get(key):
                rules.append({"match": {"tenants": [name], "topics": topics}, "decision": decision})
    return rules


def _is_about(match: Mapping[str, Any], topic: str) -> bool:
    patterns = match.get("topics")
    return not patterns or any(matches_topic(pattern.strip(), topic) for pattern in patterns)


def _selected(selector: Mapping[str, str], job: Mapping[str, Any]) -> bool:
    # a job without an id goes by its topic
    return all(value == job.get(name, job["topic"] if name == "job_id" else None) for name, value in selector.items())


def _has_key(key: str, job: Mapping[str, Any]) -> bool:
    for part in key.split(":"):
        name = part.strip()
        if name.startswith("labels."):
            if not job.get("labels", {}).get(name.removeprefix("labels.")):
                return False
        elif name != "tenant" and not job.get(name):
            return False
    return True


def _matches(match: Mapping[str, Any], tenant: str, job: Mapping[str, Any]) -> bool:
    labels = job.get("labels", {})
    tags = job.get("risk_tags", [])
    asked = {name: wanted for name, wanted in match.items() if wanted not in ([], {}, None, "")}
    for name, wanted in asked.items():
        if name == "tenants":
            held = _listed(tenant, wanted)
        elif name in _FOLDED:
            held = _listed(job.get(_FOLDED[name]), wanted)
        elif name == "topics":
            held = True  # looked at before
        elif name == "risk_tags":
            held = any(tag in tags for tag in wanted)
        elif name == "agent_data_classifications":
            held = any(word in job.get(name, []) for word in wanted)
        elif name == "requires":
            held = all(word in job.get("requires", []) for word in wanted)
        elif name == "labels":
            held = all(labels.get(label) == value for label, value in wanted.items())
        elif name == "label_allowlist":
            held = any(label in labels and labels[label] not in allowed for label, allowed in wanted.items())
        elif name == "label_threshold":
            held = any(_above(labels.get(label), limit) for label, limit in wanted.items())
        else:
            held = _has_secrets(labels, tags) is wanted
        if not held:
            return False
    return True


def _listed(value: str | None, wanted: Sequence[str]) -> bool:
    return value is not None and any(value.strip().lower() == entry.strip().lower() for entry in wanted)


def _above(value: object, limit: float) -> bool:
    try:
        return float(value) > limit  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def _has_secrets(labels: Mapping[str, Any], tags: Sequence[str]) -> bool:
    said = labels.get("secrets_present", "")
    return said in ("true", "1") or said.lower() == "yes" if said else "secrets" in tags


def matches_topic(pattern: str, name: str) -> bool:
    """Tell whether a name matches a pattern: ``*`` and ``?`` stop at a slash, ``[a-z]`` is a class, ``\\`` escapes."""
    start = _SPECIAL.split(pattern, maxsplit=1)[0]
    if start == pattern or not name.startswith(start):
        return pattern == name
    parts = _parts(pattern)
    places = _past_stars({0}, parts)  # all places in the pattern that the name so far can have led to
    for character in name:
        places = {
            place + (parts[place] != "*")
            for place in places
            if place < len(parts) and _accepts(parts[place], character)
        }
        places = _past_stars(places, parts)
    return len(parts) in places


@lru_cache(maxsize=10_000)
def _parts(pattern: str) -> tuple[str, ...]:
    """Return the pattern in parts: ``*``, ``?``, a class with its brackets, or an escaped or plain character."""
    return tuple(found[0] for found in _PART.finditer(pattern))


def _past_stars(places: set[int], parts: Sequence[str]) -> set[int]:
    found = set(places)
    while places := {place + 1 for place in places if place < len(parts) and parts[place] == "*"} - found:
        found |= places
    return found


def _accepts(part: str, character: str) -> bool:
    if part in ("*", "?"):
        return character != "/"
    if part[0] != "[":
        return part[-1] == character
    members = _MEMBER.findall(part[1:-1].removeprefix("^"))
    held = any(low[-1] <= character <= (high or low)[-1] for low, high in members)
    return held is not part.startswith("[^")
