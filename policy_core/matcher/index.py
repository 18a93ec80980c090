"""The index: from a request to the few rules that could apply, without looking at the others.

Two levels. First the action name: every distinct action pattern is a *node* found by exact name, by literal prefix or
by suffix. Within a node, rules are keyed by their rarest exact value (subject, resource, tenant, tag, label …). A rule
is left out only where one of its clauses is certainly false, never where it may be an error, so pruning cannot change
an answer: a request that lacks a keyed fact gets every rule keyed by it.

What the nodes say about an action name is worked out once and remembered (bounded); a decision is then one look-up of
the name and one per dimension in use.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, TypeAlias

from policy_core.glob import any_glob, is_glob, literal_prefix
from policy_core.matcher.attributes import reader
from policy_core.matcher.clauses import Check, CheckCompiler
from policy_core.model import EntityClauses, Rule
from policy_core.remembering import Remembered
from policy_core.request import Request

MAX_REMEMBERED_ACTIONS = 10_000
PLANS_PER_PATTERN = 4  # of a policy with many patterns more actions are remembered: a few for each
MAX_REMEMBERED_CHARS = 200  # of one action name: callers choose them, and a request may have a megabyte
_SLICE = 32  # rules between two yields, about 1 ms
_SMALL_NODE = 3  # below this, checking every rule costs less than one more look-up


class IndexedRule:
    """A rule as the matcher runs it: its position in the bundle and the checks the index has not already proven."""

    __slots__ = ("checks", "ordinal")

    def __init__(self, ordinal: int, checks: tuple[Check, ...]) -> None:
        self.ordinal = ordinal
        self.checks = checks


Rules: TypeAlias = tuple[IndexedRule, ...]
Read: TypeAlias = Callable[[Request], Any]
Lookup: TypeAlias = tuple[Read, dict[Any, Rules]]
"""How to read what a request has in a dimension, and the rules by key; under None those for whom it is an error."""
ERROR = (None,)
"""The keys of a request in a dimension of several values, where what it has is of the wrong type."""


class Plan:
    """All that is known from an action name alone: rules to check always, and the look-ups that add the others.

    A request has a key in each dimension of `single` (a string; anything else is an error), and any number of keys in
    each dimension of `several` (of which None is an error).
    """

    __slots__ = ("always", "several", "single")

    def __init__(self, always: Rules, single: tuple[Lookup, ...], several: tuple[Lookup, ...]) -> None:
        self.always = always
        self.single = single
        self.several = several

    def candidates(self, request: Request) -> Rules:
        """Return the rules that may apply to a request or be in error; one that has several keys may be there twice."""
        found = self.always
        for read, table in self.single:
            key = read(request)
            rules = table.get(key if type(key) is str else None)
            if rules is not None:
                found += rules
        for read, table in self.several:
            keys = read(request)
            for key in ERROR if keys is None else keys:
                rules = table.get(key)
                if rules is not None:
                    found += rules
        return found


Option: TypeAlias = tuple[str, tuple[Any, ...]]
"""A way to key a rule: a dimension, and the values in it of which a request must have at least one."""


@dataclass(slots=True)
class _Member:
    """A rule in a node, with the options it could be keyed by."""

    ordinal: int
    rule: Rule
    options: tuple[Option, ...]


@dataclass(slots=True, eq=False)
class Node:
    """The rules that share one action pattern."""

    members: list[_Member] = field(default_factory=list)
    population: Counter[tuple[str, Any]] = field(default_factory=Counter)
    always: Rules = ()
    single: tuple[Lookup, ...] = ()
    several: tuple[Lookup, ...] = ()


class Index:
    """Finds candidates; built in two phases: `add` each rule, then `build` in slices the caller can interleave."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._prefixes: dict[int, dict[str, list[Node]]] = {}
        self._suffixes: dict[int, dict[str, list[Node]]] = {}
        self._globs: dict[int, dict[str, list[tuple[Callable[[str], bool], Node]]]] = {}
        self._plans: Remembered[str, Plan] = Remembered(MAX_REMEMBERED_ACTIONS)

    def add(self, ordinal: int, rule: Rule) -> None:
        """Put a rule into the node of each of its action patterns (``*`` if it has none)."""
        member = _Member(ordinal, rule, tuple(_options(rule)))
        for pattern in rule.match.actions or ("*",):
            node = self._nodes.get(pattern)
            if node is None:
                node = self._nodes[pattern] = Node()
                self._file(pattern, node)
            node.members.append(member)
            node.population.update((dimension, value) for dimension, values in member.options for value in values)

    def build(self, compiler: CheckCompiler) -> Iterator[None]:
        """Key the rules of every node and compile their checks; yields after every few rules of work."""
        for node in self._nodes.values():
            yield from _build(node, compiler)
        self._plans = Remembered(max(MAX_REMEMBERED_ACTIONS, PLANS_PER_PATTERN * len(self._nodes)))

    def plan(self, action: str) -> Plan:
        """Return what to do for an action name; remembered for the next request with that name."""
        plan = self._plans.get(action)
        if plan is None:
            nodes = self._matching(action)
            plan = Plan(
                tuple(rule for node in nodes for rule in node.always),
                tuple(lookup for node in nodes for lookup in node.single),
                tuple(lookup for node in nodes for lookup in node.several),
            )
            if len(action) <= MAX_REMEMBERED_CHARS:
                self._plans.put(action, plan)
        return plan

    def warm(self, other: "Index") -> Iterator[None]:
        """Make the plans that another index has made last, yielding after every few."""
        for number, action in enumerate(other._plans.newest(MAX_REMEMBERED_ACTIONS)):  # noqa: SLF001 - of the same kind
            if number % _SLICE == 0:
                yield
            self.plan(action)

    def dismantle(self) -> Iterator[None]:
        """Take the index apart, yielding after every few entries; see `Matcher.dismantle`."""
        plans = self._plans
        del self._plans  # a matcher that shares the index must not answer from what is left either
        yield from plans.forget()
        for by_literal in (self._prefixes, self._suffixes, self._globs):
            by_literal.clear()
        while self._nodes:
            _, node = self._nodes.popitem()
            tables = [*(table for _, table in (*node.single, *node.several)), {None: node.always}]
            del node
            for table in tables:
                yield from _emptied(table)

    def _file(self, pattern: str, node: Node) -> None:
        """Make a node findable: exact names by name, ``p*`` and ``*s`` by their literal end, the rest by prefix."""
        if not is_glob(pattern):
            return
        prefix = literal_prefix(pattern)
        if pattern == prefix + "*":
            self._prefixes.setdefault(len(prefix), {}).setdefault(prefix, []).append(node)
        elif not is_glob(pattern[1:]) and pattern[0] == "*":
            self._suffixes.setdefault(len(pattern) - 1, {}).setdefault(pattern[1:], []).append(node)
        else:
            self._globs.setdefault(len(prefix), {}).setdefault(prefix, []).append((any_glob((pattern,)), node))

    def _matching(self, action: str) -> list[Node]:
        nodes: list[Node] = []
        if not is_glob(action) and (node := self._nodes.get(action)) is not None:
            nodes.append(node)
        for length, by_prefix in self._prefixes.items():
            nodes += by_prefix.get(action[:length], ())
        for length, by_suffix in self._suffixes.items():
            if length <= len(action):
                nodes += by_suffix.get(action[-length:], ())
        for length, by_prefix_glob in self._globs.items():
            nodes += [node for matches, node in by_prefix_glob.get(action[:length], ()) if matches(action)]
        return nodes


def _build(node: Node, compiler: CheckCompiler) -> Iterator[None]:
    """Key each rule by the option with the fewest rules under it; the checks keep whatever the key does not prove."""
    always: list[IndexedRule] = []
    tables: dict[str, dict[Any, Any]] = {}
    members, population = node.members, node.population
    node.members, node.population = [], Counter()
    keyed = len(members) > _SMALL_NODE
    members.reverse()
    while members:  # freed one by one: at once, those of a large node would stall the process
        if len(members) % _SLICE == 0:
            yield
        member = members.pop()
        options = member.options if keyed else ()
        dimension, values = min(options, key=lambda option: _crowd(option, population), default=("", ()))
        indexed = IndexedRule(member.ordinal, compiler.checks(member.rule, without=frozenset(("actions", dimension))))
        if not dimension:
            always.append(indexed)
            continue
        table = tables.setdefault(dimension, {})
        for value in values:
            table.setdefault(value, []).append(indexed)
        if dimension not in _SCALARS:
            table.setdefault(None, []).append(indexed)
    for table in tables.values():
        for number, (value, rules) in enumerate(table.items()):
            if number % _SLICE == 0:
                yield
            table[value] = tuple(rules)
    while population:
        for _ in range(min(_SLICE, len(population))):
            population.popitem()
        yield
    node.always = tuple(always)
    node.single = tuple((_reader(name), table) for name, table in tables.items() if name not in _SETS)
    node.several = tuple((_SETS[name], table) for name, table in tables.items() if name in _SETS)


def _emptied(table: dict[Any, Rules]) -> Iterator[None]:
    """Take the rules out of a table and free them, a few at a time, however many one key has."""
    held: list[IndexedRule] = []
    while table or held:
        while table and len(held) < _SLICE:
            held += table.popitem()[1]
        del held[-_SLICE:]
        yield


def _crowd(option: Option, population: Mapping[tuple[str, Any], int]) -> int:
    """Return how many rules of the node would be looked at together if this option were taken."""
    dimension, values = option
    return sum(population[dimension, value] for value in values)


def _options(rule: Rule) -> Iterator[Option]:
    """Yield the ways a rule can be keyed: clauses that hold only for certain exact values."""
    match = rule.match
    for name, entity in (("subject", match.subject), ("resource", match.resource)):
        if entity is not None:
            yield from _entity_options(name, entity)
    if match.tenants and not any(map(is_glob, match.tenants)):
        yield "tenant", match.tenants
    for tag in match.risk_tags:
        yield "tags", (tag,)
    if match.risk_tags_any:
        yield "tags", match.risk_tags_any
    for name in match.requires:
        yield "requires", (name,)
    for pair in match.labels.items():
        if not is_glob(pair[1]):
            yield "labels", (pair,)
    for path, tests in match.attributes.items():
        for wanted in ((tests.eq,), tests.in_):
            if wanted and all(isinstance(value, str) for value in wanted):
                yield f"attributes.{path}", wanted


def _entity_options(name: str, entity: EntityClauses) -> Iterator[Option]:
    for clause, patterns in ((f"{name}.types", entity.types), (f"{name}.ids", entity.ids)):
        if patterns and not any(map(is_glob, patterns)):
            yield clause, patterns
    if entity.roles:
        yield f"{name}.roles", entity.roles
    for key, values in entity.properties.items():
        if all(isinstance(value, str) and not is_glob(value) for value in values):
            yield f"{name}.properties.{key}", values


_SCALARS: Mapping[str, Read] = {
    "subject.types": attrgetter("subject_type"),
    "subject.ids": attrgetter("subject_id"),
    "resource.types": attrgetter("resource_type"),
    "resource.ids": attrgetter("resource_id"),
}


def _reader(dimension: str) -> Read:
    """Return what reads the one value that a request has in a dimension."""
    if dimension in _SCALARS:
        return _SCALARS[dimension]
    if dimension == "tenant":
        return lambda request: request.context.get("tenant")
    if dimension.startswith("attributes."):
        return reader(dimension.removeprefix("attributes."))
    part, _, key = dimension.partition(".properties.")
    if part == "subject":
        return lambda request: request.subject_properties.get(key)
    return lambda request: request.resource_properties.get(key)


def _label_pairs(request: Request) -> Iterable[Any] | None:
    labels = request.labels
    if labels is None:
        return None
    pairs = tuple(labels.items())
    return pairs if all(type(value) is str for _, value in pairs) else None


_SETS: Mapping[str, Read] = {
    "tags": attrgetter("tags"),
    "requires": attrgetter("requires"),
    "subject.roles": attrgetter("roles"),
    "resource.roles": attrgetter("resource_roles"),
    "labels": _label_pairs,
}
