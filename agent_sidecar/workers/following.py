"""What a worker answers from: policies from the snapshots of its primary, loaded and put in force as that says.

The primary has verified each snapshot before it names it. A worker reads the bytes from the state directory, checks
that they are those of the release, and loads them as the primary did. One thread loads, one changes what is in force,
and another tidies up behind it; `active` may be read by any.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from agent_sidecar.activation import Activation, Unavailable, prepare
from agent_sidecar.disposal import take_apart, unshared
from agent_sidecar.emergencies import decoded_entries
from agent_sidecar.giving_way import GivingWay
from agent_sidecar.snapshots import SnapshotError, SnapshotFolder, SnapshotRef
from agent_sidecar.workers.messages import Enforce
from policy_core.emergency import overlay_of
from policy_core.matcher import Matcher
from policy_core.matcher.tightening import tighten
from policy_core.trust.release import Release

STARTING = Unavailable("this worker has not been told yet what is in force")


class Following:
    """Holds the policies a worker has loaded; the one it answers from is `active`."""

    def __init__(
        self,
        snapshots: SnapshotFolder,
        *,
        host: Mapping[str, str],
        clock: Callable[[], float],
        wait_for_requests: Callable[[], bool],
    ) -> None:
        """`wait_for_requests` returns once every request that had begun is answered, False if it cannot tell."""
        self.active: Activation | Unavailable = STARTING
        self._snapshots = snapshots
        self._host = host
        self._clock = clock
        self._wait_for_requests = wait_for_requests
        self._loaded: dict[SnapshotRef, Activation] = {}
        self._entries: tuple[dict[str, str], ...] = ()
        self._overlay = overlay_of(())
        self._lock = threading.Lock()

    def load(self, release: Release) -> Activation:
        """Load a policy, unless it is loaded. Raises KnownError, MemoryError."""
        with self._lock:
            ref = SnapshotRef.of(release)
            if found := self._loaded.get(ref) or self._listed(release):
                self._loaded[ref] = found
                return found
        made = self._prepared(release)
        with self._lock:
            return self._loaded.setdefault(ref, made)

    def enforce(self, order: Enforce) -> None:
        """Answer from what is in force from now on. Raises KnownError, MemoryError; then nothing has changed."""
        if order.release is None:
            self.active = Unavailable(order.reason)
            return
        loaded = self.load(order.release)
        if order.entries != self._entries:
            self._overlay = overlay_of(decoded_entries(order.entries))
            self._entries = order.entries
        matcher = tighten(loaded.matcher, self._overlay)
        self.active = replace(loaded, matcher=matcher, deny_after=order.deny_after)

    def let_go(self, order: Enforce) -> list[Matcher]:
        """Keep what an order says, and return the matchers that no new request can reach."""
        wanted = {SnapshotRef.of(each) for each in (order.release, *order.keep) if each}
        with self._lock:
            before, self._loaded = self._loaded, {ref: each for ref, each in self._loaded.items() if ref in wanted}
            kept = [each.matcher for each in self._loaded.values()]
        return unshared([each.matcher for each in before.values()], kept)

    def tidy(self, order: Enforce, gone: list[Matcher]) -> None:
        """Free what is gone, and load what is to be kept beside what is in force: in another thread than orders.

        Raises KnownError, MemoryError.
        """
        take_apart(gone, wait_for_requests=self._wait_for_requests, pause=GivingWay())
        for release in order.keep:
            self.load(release)

    def _listed(self, release: Release) -> Activation | None:
        """Return a loaded policy as a release lists its bytes again."""
        listed = (each.listed_as(release, now=self._clock()) for each in self._loaded.values())
        return next((activation for activation in listed if activation), None)

    def _prepared(self, release: Release) -> Activation:
        blob = self._snapshots.bundle(release.sha256)
        if blob is None:
            raise SnapshotError(f"snapshot {release.sha256[:12]}: its bundle is missing or damaged")
        now, before = self._clock(), self.active
        return prepare(blob, release, host=self._host, now=now, pause=GivingWay(), before=before)
