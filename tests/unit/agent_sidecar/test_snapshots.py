"""Snapshots on disk: what loads verifies, and what is still referenced is never touched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from signed_store import SignedStore, bundle, rules

from agent_sidecar.snapshots import SnapshotError, SnapshotFolder, SnapshotRef

ALLOW = bundle(rules("allow"), number=1)


@pytest.fixture
def saved(store: SignedStore, host: Any) -> tuple[SnapshotFolder, SnapshotRef, Path]:
    store.publish(ALLOW)
    host.poll()
    ref = host.enforcement.state.current
    return host.directory.snapshots, ref, host.path / "snapshots" / ref.sha256


def test_a_saved_snapshot_loads(store: SignedStore, saved: Any) -> None:
    folder, ref, _ = saved

    found = folder.load(ref, trusted_root=store.root, channel="prod")

    assert (found.blob, found.release) == (ALLOW, store.release)


def alter(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: (path / name).write_bytes(change((path / name).read_bytes())) and None


DAMAGES = {
    "bundle altered": alter("bundle.tar.gz", lambda content: content[:-1] + b"x"),
    "bundle truncated": alter("bundle.tar.gz", lambda content: content[:-1]),
    "bundle empty": alter("bundle.tar.gz", lambda _: b""),
    "bundle missing": lambda path: (path / "bundle.tar.gz").unlink(),
    "metadata altered": alter("release-1.json", lambda content: content.replace(b"prod", b"prad", 1)),
    "metadata truncated": alter("release-1.json", lambda content: content[:-9]),
    "metadata empty": alter("release-1.json", lambda _: b""),
    "metadata binary": alter("release-1.json", lambda _: b"\xff"),
    "metadata missing": lambda path: (path / "release-1.json").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_snapshot_is_refused(store: SignedStore, saved: Any, damage: Callable[[Path], None]) -> None:
    folder, ref, path = saved
    damage(path)

    with pytest.raises(SnapshotError, match=f"snapshot {ref.sha256[:12]}"):
        folder.load(ref, trusted_root=store.root, channel="prod")


def test_a_chain_for_another_release_does_not_authorise(store: SignedStore, saved: Any) -> None:
    folder, ref, path = saved
    (path / "release-1.json").rename(path / "release-9.json")

    with pytest.raises(SnapshotError, match="authorises another release than 9"):
        folder.load(SnapshotRef(ref.sha256, 9, ref.revision), trusted_root=store.root, channel="prod")


def test_collecting_keeps_just_what_is_referenced(saved: Any) -> None:
    folder, ref, path = saved
    (path / "release-0.json").write_text("old chain")
    (path.parent / ("0" * 64)).mkdir()

    folder.collect([ref])

    assert [each.name for each in path.parent.iterdir()] == [ref.sha256]
    assert sorted(each.name for each in path.iterdir()) == ["bundle.tar.gz", "release-1.json"]
