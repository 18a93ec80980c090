"""The decision cache: answers by the rules that a request meets and by all that those read of it.

It lies behind the index. What a request is looked up by is not its attributes but those that the rules it meets read;
whoever meets few rules is answered before a key could be made. A key holds values with their types, sets sorted, and
of the time only on which side of each limit it lies; so nothing in it grows old. What rates and approvals take part in
is never kept.

Nobody can make it a burden. Rules are read about once they have come together often; where what they read does not
repeat, they are asked about seldom; entries are bounded in number and in bytes.
"""

import marshal
from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from policy_core.decision import Answer
from policy_core.matcher.index import Rules
from policy_core.matcher.judging import ScopedException
from policy_core.matcher.reading import Read, readers, reads_of
from policy_core.model import Rule
from policy_core.remembering import Remembered
from policy_core.request import Request

MAX_ENTRIES = 10_000
MAX_BYTES = 8_000_000  # of all entries, as `_bytes_of` estimates them
MAX_KEY_BYTES = 1_024
MAX_GROUP_RULES = 256
"""More rules than that are looked at without the cache: to read about them takes longer than a request may."""
MAX_GROUPS_RULES = 100_000  # in all groups together
_GROUP_WEIGHT = 20  # what a group takes beside its rules, in rules

MEET_EVERY = 8
"""Of sets of rules that are new to the cache each so many-th is noted, so ever new ones cost next to nothing."""
WARM_AFTER = 64
"""How often rules must have come together: to read about a rule takes as long as to check ten."""
PATIENCE, MOST_PATIENCE = 100, 1_000  # misses in a row until a group is left alone
GAIN = 3  # misses that one hit makes up for
REST = 2_000  # requests for which it is left alone
_ENTRY_BYTES = 600
_LEAST_BYTES = MAX_BYTES // MAX_ENTRIES
_NEVER = -(1 << 62)
_UNKNOWN, _TIMELESS, _TIMED = 0, 1, 2
_FORMAT = 2  # of `marshal`: no sharing and no interning, so equal values give equal bytes


class Group:
    """Rules that requests meet together: how to read what their outcomes depend on, and whether that pays.

    A `balance` below zero counts up to the next time the cache is asked; one above is what is left of the patience, and
    only who has seen that may write another one that is not below zero: the `reads` are known by then.
    """

    __slots__ = ("balance", "number", "reads")

    def __init__(self, number: int) -> None:
        self.number = number
        self.balance = -WARM_AFTER
        self.reads: tuple[Read, ...] = ()


class DecisionCache:
    """Answers of one matcher by what they depend on; it goes with the matcher, so a swap leaves nothing stale."""

    __slots__ = (
        "_answers",
        "_exceptions",
        "_groups",
        "_kinds",
        "_numbers",
        "_rules",
        "_strangers",
        "hits",
        "misses",
    )

    def __init__(self, rules: Sequence[Rule], exceptions: Mapping[int, Sequence[ScopedException]]) -> None:
        self._rules = rules
        self._exceptions = exceptions
        self._groups: Remembered[Rules, Group] = Remembered(MAX_GROUPS_RULES)
        self._answers: Remembered[bytes, Answer] = Remembered(MAX_BYTES)
        self._kinds = bytearray(len(rules))  # which of them read the time, once somebody has asked
        self._numbers = count()  # never the same one twice, whichever threads ask
        self._strangers = 0
        self.hits = 0
        self.misses = 0

    def look_up(self, candidates: Rules, request: Request) -> tuple[bytes, Answer | None]:
        """Return the key of a classified request that meets these rules, and its answer if there is one.

        Without a key the request is to be answered without the cache.
        """
        if len(candidates) > MAX_GROUP_RULES:
            return b"", None
        group = self._groups.get(candidates)
        if group is None:
            self._strangers += 1
            if self._strangers % MEET_EVERY == 0:
                self._groups.put(candidates, Group(next(self._numbers)), weight=_GROUP_WEIGHT + len(candidates))
            return b"", None
        balance = group.balance  # read once: no other thread may find it at zero before `_wake` has ended
        if balance < 0:
            if balance == -1:
                self._wake(group, candidates)
            else:
                group.balance = balance + 1
            return b"", None
        try:
            key = marshal.dumps((group.number, [read(request) for read in group.reads]), _FORMAT)
        except ValueError:  # not of JSON, or nested too deeply
            key = b""
        known = self._answers.get(key)
        if known is not None:
            self.hits += 1
            if group.balance < MOST_PATIENCE:
                group.balance += GAIN
            return key, known
        self.misses += 1
        group.balance -= 1
        if group.balance == 0:
            group.balance = -REST
        return (key if len(key) <= MAX_KEY_BYTES else b""), None

    def are_timeless(self, candidates: Rules) -> bool:
        """Tell whether what these rules and their exceptions say cannot change with time; False for very many."""
        return len(candidates) <= MAX_GROUP_RULES and all(self._is_timeless(rule.ordinal) for rule in candidates)

    def put(self, key: bytes, answer: Answer) -> None:
        """Keep the answer to the request with this key, which depends on nothing that is remembered.

        It is nobody else's: whoever asks gets copies.
        """
        self._answers.put(key, answer, weight=_bytes_of(key, answer))

    def forget(self) -> Iterator[None]:
        """Forget everything, yielding after every few entries; see `Matcher.dismantle`."""
        yield from self._groups.forget()
        yield from self._answers.forget()

    def _is_timeless(self, ordinal: int) -> bool:
        kind = self._kinds[ordinal]
        if kind == _UNKNOWN:
            reads = reads_of([self._rules[ordinal]], self._exceptions.get(ordinal, ()))
            kind = _TIMED if reads.clock or reads.windows or reads.spans else _TIMELESS
            self._kinds[ordinal] = kind
        return kind == _TIMELESS

    def _wake(self, group: Group, candidates: Rules) -> None:
        """Ask the cache from now on, unless the rules read the time in a way that no key can hold."""
        if not group.reads:
            numbers = {rule.ordinal for rule in candidates}
            exceptions = [each for number in numbers for each in self._exceptions.get(number, ())]
            reads = reads_of([self._rules[number] for number in numbers], exceptions)
            if reads.clock:
                group.balance = _NEVER
                return
            group.reads = readers(reads)
        group.balance = PATIENCE


def _bytes_of(key: bytes, answer: Answer) -> int:
    """Return what an entry takes, never less than the share that makes `MAX_ENTRIES` the most there are."""
    size = _ENTRY_BYTES + len(key) + 8 * len(answer.applied_rules)
    for error in answer.errors:
        size += len(error.message)
    return max(_LEAST_BYTES, size)
