"""AuthZEN's searches: which of the candidates in the bundle's data may, as each of them would be answered alone.

A search is many decisions, so it takes turns: a slice of about a millisecond, then whatever else waits in the event
loop, then a slice of the next search. A page ends when it is full, when enough candidates were looked at, when it has
taken long enough, or when another policy comes into force. Nothing is counted and no grant is spent. The decision log
has one record of a page, not one of each candidate; a page that cannot be recorded is refused.
"""

import asyncio
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from time import monotonic  # not the time of the loop, which stands still while a slice is worked on
from typing import Any

import msgspec

from agent_sidecar.activation import Activation
from agent_sidecar.durable import StateError
from agent_sidecar.server.authzen import check_content_type
from agent_sidecar.server.connection import Connection
from agent_sidecar.server.decisions import DecisionApi
from agent_sidecar.server.replies import Reply, encode
from agent_sidecar.server.service import Routes
from policy_core.decision import POLICY_STALE, POLICY_UNAVAILABLE, Answer, PolicyRef
from policy_core.decoding import decode_request
from policy_core.request import RequestError
from policy_core.searching import (
    DirectoryError,
    Search,
    SearchKind,
    candidates,
    position_of,
    properties_of,
    read_search,
    token_at,
)

PATH = "/access/v1/search/"
MAX_SEARCHES = 16
"""Each holds a body of up to 1 MB while it takes turns."""
MAX_EXAMINED = 10_000
"""Candidates that are decided about for one page."""
PAGE_S = 1.0
"""Half of what applications give a decision; a page may be ended by it before anything is found."""
SLICE_S = 0.001

_NO_POLICY = (POLICY_UNAVAILABLE, POLICY_STALE)


class PageEnd(msgspec.Struct, frozen=True):
    """Where the next page begins, empty if there is none, and how many results this one has."""

    next_token: str
    count: int


class SearchContext(msgspec.Struct, frozen=True, omit_defaults=True):
    """The policy that was asked, and where none could be, why."""

    policy: PolicyRef | None = None
    reason_code: str = ""
    reason: str = ""


class SearchResults(msgspec.Struct, frozen=True):
    """A page of subjects, resources or actions, each as a request would have it."""

    results: list[dict[str, Any]]
    page: PageEnd
    context: SearchContext


@dataclass(slots=True)
class _Walk:
    """A page being made: the candidates of one bundle from `position` on, which are the `rest` of all up to `end`."""

    search: Search
    active: Activation
    rest: Iterator[tuple[str, Any]]
    position: int
    end: int
    peer: Connection
    until: float
    found: list[dict[str, Any]] = field(default_factory=list)
    examined: int = 0
    is_overtaken: bool = False

    @property
    def bundle(self) -> str:
        return self.active.policy.bundle

    @property
    def is_at_end(self) -> bool:
        return self.position >= self.end

    @property
    def is_full(self) -> bool:
        return self.is_at_end or len(self.found) >= self.search.limit or self.examined >= MAX_EXAMINED

    def take(self, result: dict[str, Any], answer: Answer) -> None:
        """Note the answer about a candidate, unless another policy gave it."""
        if answer.reason_code in _NO_POLICY or (answer.policy and answer.policy.bundle != self.bundle):
            self.is_overtaken = True
            return
        if answer.allowed:
            self.found.append(result)
        self.position += 1
        self.examined += 1

    async def take_later(self, result: dict[str, Any], answering: Awaitable[Answer]) -> None:
        """Wait for the answer about a candidate, and note it."""
        self.take(result, await answering)


class SearchApi:
    """Answers searches; about each candidate `decisions` decides."""

    def __init__(self, decisions: DecisionApi) -> None:
        self._decisions = decisions
        self._turn = asyncio.Lock()

    @property
    def routes(self) -> Routes:
        """Return the paths of this API."""
        return {f"{PATH}{kind}".encode(): (b"POST", partial(self._search, kind)) for kind in SearchKind}

    @property
    def endpoints(self) -> dict[str, str]:
        """Return the paths by their names in AuthZEN's metadata."""
        return {f"search_{kind}_endpoint": f"{PATH}{kind}" for kind in SearchKind}

    def _search(self, kind: SearchKind, body: bytes | bytearray, peer: Connection) -> Reply | Awaitable[Reply]:
        try:
            check_content_type(peer)
            search = read_search(kind, decode_request(body))
            active, now = self._decisions.in_force(), self._decisions.clock()
            if not isinstance(active, Activation) or now >= active.deny_after:
                return 200, encode(_nobody(active.answer({}, now=now, decision_id="")))
            entries = candidates(active.matcher.provisions.data, search)
            position = position_of(search, bundle=active.policy.bundle, end=len(entries))
        except RequestError as error:
            return 400, encode(error.message)
        except DirectoryError as error:
            return 500, encode(error.message)
        if len(self._decisions.walks) >= MAX_SEARCHES:
            return 503, encode(f"more than {MAX_SEARCHES} searches are under way")
        self._decisions.walks.append(active.policy.bundle)
        rest = islice(entries.items(), position, None)
        return self._answer(_Walk(search, active, rest, position, len(entries), peer, monotonic() + PAGE_S))

    async def _answer(self, walk: _Walk) -> Reply:
        try:
            while not (walk.is_full or walk.is_overtaken or monotonic() >= walk.until):
                async with self._turn:
                    waiting = self._walk_on(walk)
                    await asyncio.sleep(0)
                if waiting:
                    await waiting
            return self._page(walk)
        except DirectoryError as error:
            return 500, encode(error.message)
        except StateError as error:
            return _unlogged(error.message)
        finally:
            self._decisions.walks.remove(walk.bundle)  # from here on the policy may be freed, its data included

    def _page(self, walk: _Walk) -> Reply:
        policy = walk.active.policy
        told = {"search": walk.search.kind, "found": len(walk.found), "examined": walk.examined, "policy": policy}
        self._decisions.note("searched", walk.peer, told, _unlogged)
        token = "" if walk.is_at_end else token_at(walk.position, search=walk.search, bundle=walk.bundle)
        return 200, encode(SearchResults(walk.found, PageEnd(token, len(walk.found)), SearchContext(policy)))

    def _walk_on(self, walk: _Walk) -> Awaitable[None] | None:
        """Decide about the next candidates for a slice of time, one of them at least. Raises DirectoryError.

        Return what waits for the answer about one that is decided elsewhere; that takes nobody's turn.
        """
        enough, search = monotonic() + SLICE_S, walk.search
        for name, entry in walk.rest:
            result = search.result(name, properties_of(search, name, entry))
            answer = self._decisions.consider(search.request(result), walk.peer)
            if isinstance(answer, Awaitable):
                return walk.take_later(result, answer)
            walk.take(result, answer)
            if walk.is_overtaken or walk.is_full or monotonic() >= enough:
                return None
        return None


def _nobody(answer: Answer) -> SearchResults:
    return SearchResults(
        [], PageEnd("", 0), SearchContext(answer.policy, reason_code=answer.reason_code, reason=answer.reason)
    )


def _unlogged(why: str = "the decision log cannot be written") -> Reply:
    return 503, encode(f"nobody is found unlogged: {why}")
