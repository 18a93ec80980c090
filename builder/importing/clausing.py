"""Puts atoms together into the clauses of one rule; what has no room in a clause goes into a condition."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from builder.importing.atoms import Atom, LogicAtom, TextAtom

_NO_SLASH = "*/*"
_MERGED = ("risk_tags_any", "topics")  # lists any-of: none of both lists is none of their union


@dataclass(slots=True)
class Draft:
    """The clauses of a rule being written: of ``match``, of its ``not``, and the parts of ``when``, ANDed."""

    match: dict[str, Any] = field(default_factory=dict)
    none_of: dict[str, Any] = field(default_factory=dict)
    when: list[str] = field(default_factory=list)
    flat_names: bool = False  # the rule is about names without a slash only

    def ask(self, atom: Atom) -> None:
        """Add that an atom holds."""
        if isinstance(atom, TextAtom) and atom.topics:
            self._ask_topics(atom)
        elif atom.clause is None or not _join(self.match, atom.clause):
            if isinstance(atom, TextAtom):
                raise ValueError(f"two lists for {atom.path}")
            self.when.append(atom.cel)

    def deny(self, atoms: Iterable[Atom]) -> None:
        """Add that not all of the atoms hold: one text, or whatever a condition can say."""
        only, *others = atoms = tuple(atoms)
        if isinstance(only, TextAtom):
            self._deny_text(only)
        elif others or only.clause is None or not _join_denied(self.none_of, only.clause):
            cels = [atom.cel for atom in atoms if isinstance(atom, LogicAtom)]
            self.when.append("!(" + " && ".join(cels) + ")")

    def scope_to_jobs(self) -> None:
        """Keep the rule to names that start with ``job.``: of anything else a job-style file says nothing."""
        topics = self.match.get("topics")
        named = self.match.get("attributes", {}).get("action.name", {})
        if topics is None and not named:
            self.match["topics"] = ["job.*"]
        elif not all(name.startswith(("job.", r"job\.")) for name in topics or (*named.values(),)[0]):
            self.match.setdefault("attributes", {})["action.name"] = {**named, "prefix": ["job."]}

    def clauses(self) -> dict[str, Any]:
        """Return what follows ``match``."""
        order = ("topics", "risk_tags_any", "requires", "labels", "attributes")
        found = {name: self.match[name] for name in order if name in self.match}
        return found | ({"not": self.none_of} if self.none_of else {})

    def without_slashes(self, clauses: dict[str, Any]) -> dict[str, Any]:
        """Return other clauses for the same names, where need be without what keeps their globs from slashes."""
        needless = self.flat_names and clauses.get("not") == {"topics": [_NO_SLASH]}
        return {name: value for name, value in clauses.items() if not (needless and name == "not")}

    def _ask_topics(self, atom: TextAtom) -> None:
        topics = atom.topics
        self.flat_names = not any("/" in (topic.literal or topic.glob) for topic in topics)
        if all(topic.glob for topic in topics) and (self.flat_names or atom.literals is not None):
            self.match["topics"] = [topic.glob for topic in topics]
            if atom.literals is None:
                _join_denied(self.none_of, {"topics": [_NO_SLASH]})
        elif atom.literals is not None:  # a name that no glob can spell
            self.match.setdefault("attributes", {})["action.name"] = {"in": [topic.literal for topic in topics]}
        else:
            self.flat_names = False  # a class may hold a slash
            self.match.setdefault("attributes", {})["action.name"] = {"regex": list(atom.regexes)}

    def _deny_text(self, atom: TextAtom) -> None:
        simple = all(topic.glob and (self.flat_names or topic.literal) for topic in atom.topics)
        if atom.topics and simple:
            _join_denied(self.none_of, {"topics": [topic.glob for topic in atom.topics]})
            return
        held = self.none_of.setdefault("attributes", {}).get(atom.path)
        regexes = list(dict.fromkeys((*(held or {}).get("regex", ()), *atom.regexes)))
        self.none_of["attributes"][atom.path] = {"exists": True, "regex": regexes}


def all_clauses(atoms: Iterable[Atom]) -> dict[str, Any] | None:
    """Return clauses that hold exactly where all the atoms do, None if clauses alone cannot say it."""
    draft = Draft()
    for atom in atoms:
        draft.ask(atom)
    return None if draft.when else draft.clauses()


def _join(clauses: dict[str, Any], more: Mapping[str, Any]) -> bool:
    """Add clauses of ``match``, all of which must hold; False, changing nothing, where there is no room."""
    (name, value), *_ = more.items()
    if name == "labels":
        if set(value) & set(clauses.get(name, {})):
            return False
        clauses.setdefault(name, {}).update(value)
    elif name == "requires":
        clauses[name] = list(dict.fromkeys((*clauses.get(name, ()), *value)))
    elif name == "attributes":
        (path, tests), *_ = value.items()
        held = clauses.setdefault(name, {}).setdefault(path, {})
        if (set(held) & set(tests)) - {"exists"}:
            return False
        held.update(tests)
    elif name in clauses:
        return False
    else:
        clauses[name] = list(value)
    return True


def _join_denied(clauses: dict[str, Any], more: Mapping[str, Any]) -> bool:
    """Add a clause to those of which none may hold; False, changing nothing, where there is no room."""
    (name, value), *_ = more.items()
    if name in _MERGED:
        clauses[name] = list(dict.fromkeys((*clauses.get(name, ()), *value)))
    elif name == "attributes":
        (path, tests), *_ = value.items()
        if path in clauses.get(name, {}):
            return False
        clauses.setdefault(name, {})[path] = dict(tests)
    elif name in clauses:
        return False
    else:
        clauses[name] = dict(value) if isinstance(value, Mapping) else list(value)
    return True
