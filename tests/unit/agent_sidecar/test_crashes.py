"""Cut short at every single disk operation, an update leaves a state that the next start verifies and enforces."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from polled_host import Host
from signed_store import SignedStore, bundle, denial, rules

from agent_sidecar.inspecting import verify
from policy_core.model import HostLimits, Provisions
from policy_core.provisions import encode_provisions

ALLOW, DENY = bundle(rules("allow"), number=1), bundle(rules("deny"), number=2)
OPERATIONS = ("open", "fsync", "replace", "rename", "mkdir", "unlink", "rmdir", "symlink", "ftruncate", "pwrite")


class Crash(BaseException):
    """The process is gone: nothing below may catch this and tidy up."""


class Disk:
    """Counts operations on the disk, and crashes at the one it was told."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.left = -1
        for name in OPERATIONS:
            patch.setattr(os, name, self._counting(getattr(os, name)))

    def _counting(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            if self.left == 0:
                raise Crash
            self.left -= 1
            return operation(*arguments, **options)

        return run


def first_activation(store: SignedStore, host: Any) -> None:
    host.start()
    store.publish(ALLOW)


def update(store: SignedStore, host: Any) -> None:
    first_activation(store, host)
    host.poll()
    store.publish(DENY)


def fleet_rollback_to_known_bytes(store: SignedStore, host: Any) -> None:
    update(store, host)
    host.poll()
    store.publish(ALLOW, action="rollback")


def update_while_rolled_back(store: SignedStore, host: Any) -> None:
    update(store, host)
    host.poll()
    host.enforcement.rollback(reason="test", by="test")
    store.publish(bundle(rules("throttle"), number=3))


def update_that_ends_a_rollback(store: SignedStore, host: Any) -> None:
    update(store, host)
    host.poll()
    host.enforcement.rollback(reason="test", by="test")
    limits = encode_provisions(Provisions(hosts=HostLimits(min_release={"prod": 2})))
    store.publish(bundle(rules("throttle"), number=3, **{"provisions.json": limits}))


def keys_replaced_while_rolled_back(store: SignedStore, host: Any) -> None:
    update(store, host)
    host.poll()
    host.enforcement.rollback(reason="test", by="test")
    store.offer_nothing()
    store.replace_keys("prod", "timestamp", "snapshot")


def renewed_metadata(store: SignedStore, host: Any) -> None:
    first_activation(store, host)
    host.poll()
    store.refresh()


@pytest.mark.parametrize(
    ("scenario", "stays_back"),
    [
        (first_activation, False),
        (update, False),
        (fleet_rollback_to_known_bytes, False),
        (update_while_rolled_back, True),
        (update_that_ends_a_rollback, False),
        (keys_replaced_while_rolled_back, False),
        (renewed_metadata, False),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_poll_cut_at_any_disk_operation_leaves_a_verified_snapshot(
    scenario: Callable[[SignedStore, Any], None], stays_back: bool, store: SignedStore, host: Any, tmp_path: Path
) -> None:
    scenario(store, host)
    before, pinned = host.release, host.enforcement.state.pin is not None
    host.stop()
    saved = tmp_path / "saved"
    shutil.copytree(host.path, saved, symlinks=True)
    steps = 0
    while True:
        shutil.rmtree(host.path)
        shutil.copytree(saved, host.path, symlinks=True)
        host.start()
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch)
            disk.left = steps
            try:
                host.poll()
            except Crash:
                crashed = True
            else:
                crashed = False
        host.start()  # the lock of the dead process is released; nothing else is tidied
        is_back = host.enforcement.state.pin is not None
        assert host.release in ({before} if is_back else {before, store.release.release})  # type: ignore[union-attr]
        assert is_back or not pinned or host.release > before
        assert all("below the least" in why for why in host.enforcement.unusable.values())
        assert all(not found.problem for found in verify(host.path))
        host.poll()
        assert host.enforcement.state.current.release == store.release.release  # type: ignore[union-attr]
        assert (host.enforcement.state.pin is not None) is stays_back
        assert not list(host.path.rglob(".tmp-*"))
        if not crashed:
            break
        steps += 1
    assert steps > 10


def test_an_emergency_cut_at_any_disk_operation_loses_no_entry_that_was_in_force(tmp_path: Path) -> None:
    store = SignedStore(tmp_path / "store", oncall=True)
    host = Host(tmp_path / "state", store).start()
    store.publish(bundle(rules("allow", "allow"), number=1))
    store.call(denial("act.0"))
    host.poll()
    store.call(denial("act.0"), denial("act.1", id="e-2"))
    host.stop()
    saved = tmp_path / "saved"
    shutil.copytree(host.path, saved, symlinks=True)
    steps, crashed = 0, True
    seen = set()
    while crashed:
        shutil.rmtree(host.path)
        shutil.copytree(saved, host.path, symlinks=True)
        host.start()
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch).left = steps
            try:
                host.poll()
            except Crash:
                crashed = True
            else:
                crashed = False
        host.start()
        seen.add(host.decide("act.1"))
        assert host.decide("act.0") == "deny"
        host.poll()
        assert host.decide("act.1") == "deny"
        steps += 1
    host.stop()
    assert seen == {"allow", "deny"}


@pytest.mark.parametrize("order", ["rollback", "resume"])
def test_an_order_cut_at_any_disk_operation_is_given_or_not(
    order: str, store: SignedStore, host: Any, tmp_path: Path
) -> None:
    update(store, host)
    host.poll()
    if order == "resume":
        host.enforcement.rollback(reason="test", by="test")
    before = host.release
    host.stop()
    saved = tmp_path / "saved"
    shutil.copytree(host.path, saved, symlinks=True)
    steps, crashed = 0, True
    seen = set()
    while crashed:
        shutil.rmtree(host.path)
        shutil.copytree(saved, host.path, symlinks=True)
        host.start()
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch).left = steps
            try:
                getattr(host.enforcement, order)(reason="test", by="test")
            except Crash:
                crashed = True
            else:
                crashed = False
        host.start()
        seen.add(host.release)
        assert host.enforcement.unusable == {}
        steps += 1
    assert seen == {1, 2}
    assert host.release != before
