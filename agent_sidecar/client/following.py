"""Follows what a sidecar has in force, in the process of an application: the same snapshots, verified again.

What is in force is what the living sidecar announces (`agent_sidecar.announcing`); every answer looks there first. The
snapshot is read from its state directory and verified from the trust root, as a sidecar does that starts without
network, and the emergency entries must be the very ones it announces. A thread does this aside, in slices, and frees
what was in force before the same way. While there is nothing to answer from, `view` gives None and `problem` says why.
"""

import gc
import logging
import math
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from agent_sidecar.activation import Activation, load
from agent_sidecar.announcing import Announcement, Head, InForce, entries_digest
from agent_sidecar.client.owners import Owners, check_directory
from agent_sidecar.durable import StateError
from agent_sidecar.emergencies import decoded_entries
from agent_sidecar.snapshots import SnapshotFolder, SnapshotRef
from agent_sidecar.state import State, read_state, read_trusted_root
from policy_core.emergency import in_force, overlay_of
from policy_core.errors import KnownError
from policy_core.matcher import Matcher
from policy_core.matcher.tightening import Overlay, tighten

LOOK_EVERY_S = 1.0
WOKEN_EVERY_S = 0.05
"""How often answers that could not be given in process may have it looked again before that."""
LEAST_DELAY_S, MOST_DELAY_S = 0.05, 60.0
PATIENCE_S = 30.0
"""How long answers under way may hold on to what was in force; after that it is freed at once, when they let go."""

_log = logging.getLogger("writ.client")


@dataclass(frozen=True, slots=True, weakref_slot=True)
class View:
    """What to answer from, for as long as the announcement it was made for holds. An answer under way holds it."""

    announcement: Announcement
    number: int
    activation: Activation

    def head(self) -> Head | None:
        """Return what the living sidecar says at this moment; None if it has something else in force, or is gone."""
        head = self.announcement.head()
        return head if head.number == self.number and head.is_alive() else None


class _Gone:
    """A policy that no new answer is given from: freed in slices once no answer under way can use it.

    From the deadline on it is left to those who do.
    """

    def __init__(self, matcher: Matcher, views: "list[weakref.ref[View]]") -> None:
        self._matcher = matcher
        self._views = views
        self._deadline = time.monotonic() + PATIENCE_S

    def is_freed(self) -> bool:
        """Free it, if that can be done now; tell whether nothing is left to do."""
        if any(view() is not None for view in self._views):
            return time.monotonic() > self._deadline
        for _ in self._matcher.dismantle():
            _breathe()
        return True


class _Retry:
    """When to try again what failed for an announcement: after twice the time each time, at once for another one."""

    def __init__(self) -> None:
        self._number = 0
        self._delay_s = self._due = 0.0

    def is_due(self, number: int) -> bool:
        """Tell whether it is time to try what is announced under a number."""
        return number != self._number or time.monotonic() >= self._due

    def failed(self, number: int) -> None:
        """Take note that it could not be used: to load a large policy again and again would slow the application."""
        self._delay_s = min(2 * self._delay_s, MOST_DELAY_S) if number == self._number else LEAST_DELAY_S
        self._number, self._due = number, time.monotonic() + self._delay_s


class Follower:
    """Follows one state directory, in a thread of its own from the first look on; safe to use from any thread."""

    def __init__(self, directory: Path, owners: Owners, *, clock: Callable[[], float]) -> None:
        self.problem = "the policy has not been loaded yet"
        self._directory = directory
        self._owners = owners
        self._clock = clock
        self._view: View | None = None
        self._loaded: Activation | None = None
        self._announcement: Announcement | None = None
        self._retry = _Retry()
        self._is_closed = False
        self.forked()

    def forked(self) -> None:
        """Begin anew in a child process: threads stay behind in the parent, and what they had locked stays locked.

        So what the parent has loaded is not used; it is let go of when the child begins to follow, not in the fork.
        """
        self._left_behind = (self._view, self._loaded)
        self._view = self._loaded = self._announcement = None
        self._views: list[weakref.ref[View]] = []  # that answer, or did, from what is loaded
        self._gone: list[_Gone] = []
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._starting = threading.Lock()

    def view(self) -> tuple[View, Head] | None:
        """Return what to answer from now, and what the sidecar says; None if there is nothing, with the reason why."""
        view = self._view
        if view is not None:
            head = view.head()
            if head is not None:
                if self._thread is None:
                    self._start()
                return view, head
        self._start()
        self._wake.set()
        return None

    def close(self) -> None:
        """End the thread; nothing is answered any more."""
        self._is_closed = True
        self._view = self._loaded = self._announcement = None
        self.problem = "closed"
        self._wake.set()

    def is_ended(self) -> bool:
        """Tell whether it is closed, and see to it that a look under way then has left nothing to answer from."""
        if self._is_closed:
            self._view = self._loaded = None
        return self._is_closed

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=_follow, args=(weakref.ref(self), self._wake), daemon=True)
                self._thread.name = "writ-policy"
                self._thread.start()

    def look(self) -> None:
        """Bring the view up to date, and free what is no longer used. For the thread alone."""
        self._left_behind = (None, None)
        view = self._view
        if view is not None and view.announcement.is_replaced(self._directory):
            view = self._view = None
        if view is None or not view.head():
            try:
                self._catch_up()
            except (KnownError, OSError, ImportError) as error:
                self._report(error)
        del view
        self._gone = [each for each in self._gone if not each.is_freed()]

    def _catch_up(self) -> None:
        """(1) Whose directory; (2) who lives there; (3) what is announced, loaded; (4) announced still: in force."""
        directory = check_directory(self._directory, self._owners)
        if self._announcement is None or self._announcement.is_replaced(directory):
            self._announcement = Announcement(directory)
        announcement = self._announcement
        head = announcement.head()
        if not head.is_alive():
            raise StateError(f"{directory}: no sidecar lives there")
        if not self._retry.is_due(head.number):
            return
        try:
            activation = self._announced(directory, announcement, head)
        except BaseException:
            self._retry.failed(head.number)
            raise
        view = View(announcement, head.number, activation)
        self._views = [*(each for each in self._views if each() is not None), weakref.ref(view)]
        self._view, self.problem = view, ""

    def _announced(self, directory: Path, announcement: Announcement, head: Head) -> Activation:
        """Return what is announced, from state, snapshot and entries on disk. Raises KnownError."""
        said = announcement.read()
        state = read_state(directory)
        if state is None or said.snapshot is None:
            raise StateError(f"{directory}: {said.reason or 'holds no state'}")
        activation = self._activation(directory, said.snapshot, state)
        if not said.number == head.number == announcement.head().number:
            raise StateError(f"{directory}: something else is in force by now")
        return replace(
            activation,
            matcher=tighten(activation.matcher, self._overlay(said, state, head)),
            host=state.settings.host,
            deny_after=math.inf if said.deny_after is None else said.deny_after,
        )

    def _activation(self, directory: Path, ref: SnapshotRef, state: State) -> Activation:
        """Return a snapshot, verified; and loaded, unless its bytes are loaded. Raises KnownError."""
        before = self._loaded
        if before is not None and before.ref == ref:
            return before
        snapshot = SnapshotFolder(directory / "snapshots").load(
            ref, trusted_root=read_trusted_root(directory), channel=state.settings.channel
        )
        now = self._clock()
        listed = before and before.listed_as(snapshot.release, now=now)
        loaded = listed or load(snapshot.blob, snapshot.release, host=state.settings.host, now=now, pause=_settle)
        self._loaded, self._view = loaded, None
        if before is not None and not before.matcher.shares_rules(loaded.matcher):
            self._gone.append(_Gone(before.matcher, self._views))
            self._views = []
        return loaded

    def _overlay(self, said: InForce, state: State, head: Head) -> Overlay:
        """Return the emergency entries announced. Raises StateError if those on disk are others."""
        saved = decoded_entries(state.emergency)
        for entries in (saved, in_force(saved, max(self._clock(), head.host_time))):
            if entries_digest(entries) == said.entries:
                return overlay_of(entries)
        raise StateError(f"{self._directory}: other emergency entries are in force than on disk")

    def _report(self, error: Exception) -> None:
        problem = f"{error.message}; {error.hint}" if isinstance(error, KnownError) and error.hint else str(error)
        if self.problem != problem and not self._is_closed:
            self.problem = problem
            _log.info("not in process: %s", problem)


def _follow(follower: "weakref.ref[Follower]", wake: threading.Event) -> None:
    """Look at intervals, and when woken, for as long as somebody has the follower."""
    while True:
        found = follower()
        if found is None or found.is_ended():
            return
        try:
            found.look()
        except Exception:  # noqa: BLE001 - thread boundary: a bug must not end it; the sidecar is asked meanwhile
            _log.exception("cannot follow")
        del found
        time.sleep(WOKEN_EVERY_S)
        wake.wait(LOOK_EVERY_S)
        wake.clear()


def _settle() -> None:
    """Give up the interpreter between slices of loading, after putting what is new among what lives long.

    Else Python would find there is much of it, and look through all objects of the application at once (0.1 s).
    """
    if not gc.get_freeze_count():  # an application that froze objects keeps them so
        gc.freeze()
        gc.unfreeze()
    _breathe()


def _breathe() -> None:
    """Give up the interpreter between slices of work."""
    time.sleep(0)
