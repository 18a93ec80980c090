"""The requests that a job-style file tells apart: each value it mentions, one near it, and none, all combined."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import prod
from typing import Any

from builder.importing.meeting import meeting_names

MAX_REQUESTS = 20_000
_SEED = 20_261_121
_MAX_SUBSETS_OF = 5
_ABSENT = None

_TEXTS = {
    "capabilities": "capability", "pack_ids": "pack_id", "actor_ids": "actor_id", "actor_types": "actor_type",
    "agent_risk_tiers": "agent_risk_tier",
}  # fmt: skip
_LISTS = ("risk_tags", "requires", "agent_data_classifications")
_SELECTORS = ("workflow_id", "job_id", "session_id")


@dataclass(frozen=True, slots=True)
class Space:
    """Values by attribute, of which at most so many combinations are tried.

    `hints` are the values each rule asks for; `complete` says that the values of a list are all its subsets.
    """

    values: Mapping[str, Sequence[Any]]
    hints: Sequence[Mapping[str, Sequence[Any]]]
    complete: bool
    most: int

    @property
    def size(self) -> int:
        """Return the number of combinations."""
        return prod(len(values) for values in self.values.values())

    @property
    def exhaustive(self) -> bool:
        """Tell whether `requests` yields all of them."""
        return self.complete and self.size <= self.most

    def requests(self) -> Iterator[dict[str, Any]]:
        """Yield each combination as a request in the job form, or a seeded sample that favours what rules ask for."""
        names = list(self.values)
        if self.exhaustive:
            for combination in product(*self.values.values()):
                yield _request(dict(zip(names, combination, strict=True)))
            return
        chance = random.Random(_SEED)  # noqa: S311 - a sample that is the same every time
        for number in range(self.most):
            chosen = {name: chance.choice(values) for name, values in self.values.items()}
            for _ in range(number % 3 if self.hints else 0):  # a third each: nothing in mind, one rule, two rules
                chosen |= {name: chance.choice(values) for name, values in chance.choice(self.hints).items()}
            yield _request(chosen)


def space_of(document: Mapping[str, Any], *, most: int = MAX_REQUESTS) -> Space:
    """Return the requests that a file, as plain values, tells apart: all, or a sample of `most`."""
    matches = [rule.get("match") or {} for rule in document.get("rules") or ()]
    for name, tenant in (document.get("tenants") or {}).items():
        lists = ((tenant or {}).get(key) or [] for key in ("deny_topics", "allow_topics"))
        matches += [{"tenants": [name], "topics": topics} for topics in lists]
    keys = [rule["velocity"]["key"] for rule in document.get("rules") or () if rule.get("velocity")]
    selectors = [document.get("selector") or {}]
    selectors += [rule.get("selector") or {} for rule in document.get("rules") or ()]
    found: dict[str, dict[Any, None]] = {"topic": {}}
    hints: list[dict[str, list[Any]]] = []
    for match in matches:
        hint = _mentioned(match)
        hints.append(hint)
        for name, mentioned in hint.items():
            found.setdefault(name, {}).update(dict.fromkeys(mentioned))
    patterns = [pattern.strip() for match in matches for pattern in match.get("topics") or ()]
    found["topic"].update(dict.fromkeys(meeting_names(patterns)))
    for selector in selectors:
        for name in _SELECTORS:
            if name in selector:
                found.setdefault(name, {})[selector[name]] = None
    for part in (part.strip() for key in keys for part in key.split(":")):
        if part not in ("topic", "tenant"):
            found.setdefault(part.replace("labels.", "label:", 1), {}).setdefault("some", None)
    values = {name: _distinct(name, list(given)) for name, given in found.items()}
    complete = all(len(_words(found[name])) <= _MAX_SUBSETS_OF for name in _LISTS if name in found)
    return Space(values, [hint for hint in hints if hint], complete, most)


def _mentioned(match: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the values that make the clauses of a rule hold, as far as single values can."""
    found: dict[str, list[Any]] = {}
    if topics := match.get("topics"):
        found["topic"] = [name for pattern in topics for name in _examples(pattern.strip())]
    if tenants := match.get("tenants"):
        found["tenant"] = list(tenants)
    found |= {ours: list(match[name]) for name, ours in _TEXTS.items() if match.get(name)}
    for name in _LISTS:
        if words := match.get(name):
            found[name] = [tuple(words)]
    for label, value in (match.get("labels") or {}).items():
        found[f"label:{label}"] = [value]
    for label, allowed in (match.get("label_allowlist") or {}).items():
        found[f"label:{label}"] = [*allowed, "outside"]
    for label, limit in (match.get("label_threshold") or {}).items():
        found[f"label:{label}"] = [limit, limit + 1]
    if isinstance(match.get("secrets_present"), bool):
        found["label:secrets_present"] = ["true", "false", "yes"]
        found["risk_tags"] = [*found.get("risk_tags", ()), ("secrets",)]
    return found


def _examples(pattern: str) -> Iterator[str]:
    """Yield names that a pattern matches, and some that only look like it."""
    literal, in_class = "", False
    for character in pattern:
        if character == "[" and not in_class:
            in_class = True
        elif character == "]":
            in_class = False
            literal += "\0"
        elif not in_class and character != "\\":
            literal += character
    classes = [character for character in "a0Z" if "\0" in literal] or [""]
    for inside in classes:
        name = literal.replace("\0", inside)
        wild = "*" in name or "?" in name
        for star in ("x", "x/y", "") if wild else ("",):
            yield name.replace("*", star).replace("?", "q")
    if "*" not in literal:
        yield literal.replace("\0", "a").replace("?", "q") + "x"


def _distinct(name: str, mentioned: list[Any]) -> list[Any]:
    if name == "topic":
        return list(dict.fromkeys([*mentioned, "job.other", "job.other/deep", "other"]))
    if name in _LISTS:
        words = _words(mentioned)
        if len(words) > _MAX_SUBSETS_OF:
            subsets = [(), *((word,) for word in words), *mentioned, tuple(words)]
        else:
            subsets = [found for count in range(len(words) + 1) for found in combinations(words, count)]
        return [_ABSENT, *dict.fromkeys(subsets)]
    folded = [] if name in _SELECTORS or name.startswith("label:") else [_other_case(value) for value in mentioned]
    other = [] if any(isinstance(value, int | float) for value in mentioned) else ["other"]
    return [_ABSENT, *dict.fromkeys([*mentioned, *folded, *other])]


def _words(lists: Iterable[Sequence[str]]) -> list[str]:
    return sorted({word for words in lists for word in words})


def _other_case(value: str) -> str:
    return "".join(c.swapcase() if len(c.swapcase()) == 1 else c for c in value)


def _request(chosen: Mapping[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = {}
    job: dict[str, Any] = {}
    labels = {}
    for name, value in chosen.items():
        if value is _ABSENT:
            continue
        if name == "tenant":
            request["tenant_id"] = value
        elif name.startswith("label:"):
            labels[name.removeprefix("label:")] = value
        else:
            job[name] = list(value) if isinstance(value, tuple) else value
    if labels:
        job["labels"] = labels
    return {**request, "job": job}
