"""Activations: the immutable objects requests are answered from. Making one is all the work; answering is a line.

A request reads the reference to the activation in force once, so it sees one policy from start to end.
"""

import contextlib
import gc
import math
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import ClassVar, Protocol

import agent_sidecar.lean_imports  # noqa: F401 - before TUF
from agent_sidecar.recording import RecordByPolicy, Recording, RecordNothing
from agent_sidecar.snapshots import SnapshotRef
from policy_core.bundle import MATCHER, SELFTEST, BundleError, read_bundle
from policy_core.decision import POLICY_STALE, POLICY_UNAVAILABLE, Answer, PolicyRef, refusal
from policy_core.matcher import Matcher, loading
from policy_core.memory import Memory, Oblivious
from policy_core.redacting import Redactor
from policy_core.request import normalise
from policy_core.selftest import run_selftest
from policy_core.trust.errors import MetadataError
from policy_core.trust.release import Release

OBLIVIOUS = Oblivious()
_next_number = count(1).__next__


class Answering(Protocol):
    """What the decision API needs of whatever is in force."""

    @property
    def recording(self) -> Recording | None:
        """Return what the decision log holds of decisions, None for everything."""
        ...

    @property
    def cache_hits(self) -> int:
        """Return how many answers came from the decision cache; right after one that did, it is one more than before.

        It begins at 0 with every activation, as its cache does.
        """
        ...

    @property
    def number(self) -> int:
        """Return what no other activation of this process has, now or later; 0 where there is no policy."""
        ...

    @property
    def deny_after(self) -> float:
        """Return from which host time on everything is denied."""
        ...

    def answer(self, raw: object, *, now: float, decision_id: str, memory: Memory = OBLIVIOUS) -> Answer:
        """Return the answer to a decoded request at host time `now`. Raises RequestError for a wrong shape."""
        ...

    def lasting(self, raw: object, *, now: float) -> Answer | None:
        """Return the answer to a decoded request if it is the same before `deny_after`, whenever and whoever asks.

        It is not to be changed. Raises RequestError for a wrong shape.
        """
        ...


@dataclass(frozen=True, slots=True)
class Activation:
    """A loaded, self-tested policy. From host time `deny_after` on it is too stale, and everything is denied."""

    release: Release
    policy: PolicyRef
    matcher: Matcher
    host: Mapping[str, str]
    activated_at: float
    deny_after: float
    recording: Recording | None = None
    number: int = field(init=False, compare=False, default_factory=_next_number)

    @property
    def ref(self) -> SnapshotRef:
        """Return the name of its snapshot."""
        return SnapshotRef.of(self.release)

    @property
    def cache_hits(self) -> int:
        """Return how many answers came from the decision cache."""
        return self.matcher.cache_hits

    @property
    def cache_misses(self) -> int:
        """Return how many answers the decision cache was asked for and did not have."""
        return self.matcher.cache_misses

    def listed_as(self, release: Release, *, now: float) -> "Activation | None":
        """Return the same policy as a verified release lists its bytes again; None if these are not they."""
        if _bytes_of(release) != _bytes_of(self.release):
            return None
        policy = _policy_of(release)
        return replace(self, release=release, policy=policy, matcher=self.matcher.naming(policy), activated_at=now)

    def answer(self, raw: object, *, now: float, decision_id: str, memory: Memory = OBLIVIOUS) -> Answer:
        """Return the answer to a decoded request at host time `now`, noting in `memory` what it allows.

        Raises RequestError for a wrong shape.
        """
        if now >= self.deny_after:
            return refusal(POLICY_STALE, _STALE, decision_id=decision_id, policy=self.policy)
        return self.matcher.decide(normalise(raw, now=now, host=self.host), decision_id=decision_id, memory=memory)

    def lasting(self, raw: object, *, now: float) -> Answer | None:
        """Return the answer to a decoded request if it is the same for as long as this is in force and not too stale.

        It is not to be changed. Raises RequestError for a wrong shape.
        """
        return self.matcher.lasting(normalise(raw, now=now, host=self.host))


@dataclass(frozen=True, slots=True)
class Unavailable:
    """In force while there is no policy to enforce: denies everything, and says why."""

    cache_hits: ClassVar[int] = 0
    cache_misses: ClassVar[int] = 0
    recording: ClassVar[Recording] = RecordNothing()
    number: ClassVar[int] = 0
    deny_after: ClassVar[float] = -math.inf

    reason: str

    def answer(self, raw: object, *, now: float, decision_id: str, memory: Memory = OBLIVIOUS) -> Answer:  # noqa: ARG002
        """Return a refusal."""
        return refusal(POLICY_UNAVAILABLE, self.reason, decision_id=decision_id)

    def lasting(self, raw: object, *, now: float) -> None:
        """Return that no answer lasts."""


def prepare(
    blob: bytes,
    release: Release,
    *,
    host: Mapping[str, str],
    now: float,
    pause: Callable[[], object] = lambda: None,
    before: "Activation | Unavailable | None" = None,
) -> Activation:
    """Return an activation of a verified bundle, loaded and self-tested; `pause` is called between slices of the work.

    It is warm for the actions that were last asked about `before`. Raises InvalidError if the bundle cannot be used by
    this version, or fails its own tests, which holds for these bytes whoever releases them; MetadataError if it is not
    what this release says.
    """
    with _collector_waiting():
        made = load(blob, release, host=host, now=now, pause=pause)
        if isinstance(before, Activation):
            for _ in made.matcher.warm(before.matcher):
                pause()
        return made


def load(
    blob: bytes, release: Release, *, host: Mapping[str, str], now: float, pause: Callable[[], object]
) -> Activation:
    """Return what `prepare` does, in a process whose garbage collector is not ours to direct."""
    bundle = read_bundle(blob)
    pause()
    if bundle.dirty:
        raise BundleError(f"bundle {bundle.name}: was built from uncommitted files")
    if (bundle.revision, bundle.content_sha256) != (release.revision, release.content_sha256):
        raise MetadataError(f"bundle {bundle.name}: is not the content of revision {release.revision} that was signed")
    policy = _policy_of(release)
    provisions = bundle.provisions
    matcher = _run(loading(bundle.files[MATCHER], policy=policy, provisions=provisions), pause)
    for _ in run_selftest(matcher, bundle.files.get(SELFTEST, b"")):
        pause()
    rules = provisions.log
    recording = RecordByPolicy(Redactor(rules, provisions.data), matcher, host) if rules else None
    return Activation(release, policy, matcher, host, now, deny_after=math.inf, recording=recording)


def _bytes_of(release: Release) -> tuple[str, str, str]:
    return release.sha256, release.revision, release.content_sha256


def _policy_of(release: Release) -> PolicyRef:
    return PolicyRef(
        bundle=f"sha256:{release.sha256}", revision=release.revision, channel=release.channel, release=release.release
    )


def _run(steps: Generator[None, None, Matcher], pause: Callable[[], object]) -> Matcher:
    while True:
        try:
            next(steps)
        except StopIteration as done:
            matcher: Matcher = done.value
            return matcher
        pause()


@contextlib.contextmanager
def _collector_waiting() -> Iterator[None]:
    """Keep the garbage collector from walking a growing policy again and again, and later from walking it at all.

    What is frozen is still freed when its last reference goes, as policies hold no reference cycles.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


_STALE = "the policy's metadata expired longer ago than this host allows"
