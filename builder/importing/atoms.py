"""What a rule of a job-style file asks, taken apart into atoms: each can be asked, and each can be denied.

An atom is true or false of every well-typed job request, also where an attribute is absent: a denial of it then is
exact, and a rule can except what an earlier rule decided. A value of the wrong type is an error, which never grants.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from builder.importing.topics import Topic, quote

Clause: TypeAlias = Mapping[str, Any]
"""Clauses as they are authored."""


@dataclass(frozen=True, slots=True)
class TextAtom:
    """The text at a path fully matches one of the patterns; an absent one does not.

    `literals` are all texts it can be, in folded case, None if there is no such list. `topics` are the patterns where
    the text is the action's name.
    """

    path: str
    regexes: tuple[str, ...]
    literals: frozenset[str] | None
    exact: tuple[str, ...] = ()
    topics: tuple[Topic, ...] = ()

    @property
    def clause(self) -> Clause:
        """Return the clause that asks for it."""
        if self.exact:
            return {"attributes": {self.path: {"exists": True, "in": list(self.exact)}}}
        return {"attributes": {self.path: {"exists": True, "regex": list(self.regexes)}}}


@dataclass(frozen=True, slots=True)
class LogicAtom:
    """Something that a condition can say, and perhaps a clause too.

    `fact` is what it says of one label, as (label, value), so that contradictions are seen.
    """

    cel: str
    clause: Clause | None = field(compare=False, default=None)
    fact: tuple[str, str] | None = None


Atom: TypeAlias = TextAtom | LogicAtom


def any_case(path: str, values: Iterable[str]) -> TextAtom:
    """Return the atom: one of the values, without regard to case."""
    values = tuple(dict.fromkeys(value.strip() for value in values))
    if not any(value != value.swapcase() for value in values):
        return one_of(path, values)
    regexes = tuple(quote(value) if value == value.swapcase() else f"(?i){quote(value)}" for value in values)
    return TextAtom(path, regexes, frozenset(value.casefold() for value in values))


def one_of(path: str, values: tuple[str, ...]) -> TextAtom:
    """Return the atom: exactly one of the values."""
    return TextAtom(path, tuple(map(quote, values)), frozenset(value.casefold() for value in values), values)


def topic_in(topics: Iterable[Topic]) -> TextAtom:
    """Return the atom: the action's name matches one of the patterns."""
    topics = tuple(dict.fromkeys(topics))
    literals = frozenset(topic.literal.casefold() for topic in topics) if all(t.literal for t in topics) else None
    return TextAtom("action.name", tuple(topic.regex for topic in topics), literals, topics=topics)


def any_tag(tags: tuple[str, ...]) -> LogicAtom:
    """Return the atom: at least one of these risk tags."""
    cel = f"has(context.risk_tags) && context.risk_tags.exists(tag, tag in {_cel(tags)})"
    return LogicAtom(cel, None if _has_glob(tags) else {"risk_tags_any": list(tags)})


def any_classification(words: tuple[str, ...]) -> LogicAtom:
    """Return the atom: the agent handles at least one of these kinds of data."""
    where = "context.job.agent_data_classifications"
    return LogicAtom(f"has(context.job) && has({where}) && {where}.exists(kind, kind in {_cel(words)})")


def requires(word: str) -> LogicAtom:
    """Return the atom: this word is required."""
    cel = f"has(context.requires) && {_cel(word)} in context.requires"
    return LogicAtom(cel, None if _has_glob([word]) else {"requires": [word]})


def label_is(name: str, value: str) -> LogicAtom:
    """Return the atom: the label has this value."""
    clause = None if set(value) & set("*?[]{}\\") else {"labels": {name: value}}
    return LogicAtom(f"{_has_label(name)} && {_label(name)} == {_cel(value)}", clause, (name, value))


def label_outside(allowed: Mapping[str, tuple[str, ...]]) -> LogicAtom:
    """Return the atom: one of the labels is there and has a value that is not allowed."""
    parts = [f"{_has_label(name)} && !({_label(name)} in {_cel(values)})" for name, values in allowed.items()]
    names = [name for name in allowed if _is_path(name)]
    clause: Clause | None = None
    if len(allowed) == len(names) == 1:
        clause = {"attributes": {f"context.labels.{names[0]}": {"exists": True, "not_in": list(allowed[names[0]])}}}
    return LogicAtom(_any(parts), clause)


def label_above(thresholds: Mapping[str, int | float]) -> LogicAtom:
    """Return the atom: one of the labels is there and is a number above its threshold."""
    parts = [f"{_has_label(name)} && {_label(name)} > {_number(limit)}" for name, limit in thresholds.items()]
    names = [name for name in thresholds if _is_path(name)]
    clause: Clause | None = None
    if len(thresholds) == len(names) == 1:
        clause = {"attributes": {f"context.labels.{names[0]}": {"exists": True, "gt": thresholds[names[0]]}}}
    return LogicAtom(_any(parts), clause)


def secrets(*, present: bool) -> LogicAtom:
    """Return the atom: the label ``secrets_present`` says so; where it is absent or empty, the tag ``secrets``."""
    label = _label("secrets_present")
    yes = ("true", "1", "yes", "Yes", "YES", "yEs", "yeS", "YEs", "YeS", "yES")
    cel = (
        f"({_has_label('secrets_present')} && {label} != '' ? {label} in {_cel(yes)}"
        " : has(context.risk_tags) && 'secrets' in context.risk_tags)"
    )
    return LogicAtom(cel if present else f"!{cel}")


def has_value(path: str) -> LogicAtom:
    """Return the atom: the attribute is there."""
    parts = path.split(".")
    cel = " && ".join(f"has({'.'.join(parts[:length])})" for length in range(2, len(parts) + 1))
    return LogicAtom(cel, {"attributes": {path: {"exists": True}}})


def disjoint(one: Iterable[Atom], other: Iterable[Atom]) -> bool:
    """Tell whether no request can have all atoms of both, as far as that is plain to see."""
    return any(_contradict(mine, theirs) for mine in one for theirs in other)


def implied(atom: Atom, by: Iterable[Atom]) -> bool:
    """Tell whether an atom holds wherever the others do, as far as that is plain to see."""
    return any(atom == other or (isinstance(other, TextAtom) and _narrower(other, atom)) for other in by)


def _contradict(mine: Atom, theirs: Atom) -> bool:
    if isinstance(mine, TextAtom) and isinstance(theirs, TextAtom):
        if mine.path != theirs.path:
            return False
        if mine.literals is not None and theirs.literals is not None:
            return mine.literals.isdisjoint(theirs.literals)
        return bool(mine.topics and theirs.topics) and all(
            _apart(left.prefix, right.prefix) for left in mine.topics for right in theirs.topics
        )
    if isinstance(mine, LogicAtom) and isinstance(theirs, LogicAtom) and mine.fact and theirs.fact:
        return mine.fact[0] == theirs.fact[0] and mine.fact[1] != theirs.fact[1]
    return False


def _apart(left: str, right: str) -> bool:
    return not left.startswith(right) and not right.startswith(left)


def _narrower(inner: TextAtom, outer: Atom) -> bool:
    if not isinstance(outer, TextAtom) or inner.path != outer.path:
        return False
    if inner.topics and outer.topics:
        return all(any(_covers(wide, topic) for wide in outer.topics) for topic in inner.topics)
    return set(inner.regexes) <= set(outer.regexes)


def _covers(wide: Topic, topic: Topic) -> bool:
    """Tell whether a pattern matches whatever another does; of those with wildcards only ``prefix*`` is understood."""
    start = wide.glob.removesuffix("*")
    open_ended = start != wide.glob and not set(start) & set("*?")
    return wide == topic or (
        open_ended and "/" not in topic.regex.replace("[^/]", "") and topic.prefix.startswith(start)
    )


def _cel(value: object) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def _number(value: float) -> str:
    return str(value)


def _any(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else "(" + " || ".join(f"({part})" for part in parts) + ")"


def _label(name: str) -> str:
    return f"context.labels[{_cel(name)}]"


def _has_label(name: str) -> str:
    return f"has(context.labels) && {_cel(name)} in context.labels"


def _has_glob(words: Iterable[str]) -> bool:
    return any(character in word for word in words for character in "*?")


def _is_path(name: str) -> bool:
    return "." not in name and bool(name)
