"""What a sidecar announces, and what readers make of it."""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from signed_store import SignedStore, bundle, denial, rules

from agent_sidecar import announcing
from agent_sidecar.activation import Unavailable
from agent_sidecar.announcing import BEAT_LIMIT_S, IN_FORCE, Announcement, Announcer, Silent, entries_digest
from agent_sidecar.durable import StateError
from policy_core.trust.oncall import Emergency

NOTHING = Unavailable("nothing")


@pytest.fixture
def announcer(tmp_path: Path) -> Announcer:
    return Announcer(tmp_path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the monotonic clock."""

    def set_to(seconds: float) -> None:
        monkeypatch.setattr(announcing.time, "monotonic", lambda: seconds)

    set_to(1000.0)
    return set_to


def active(host: Any, store: SignedStore) -> Any:
    store.publish(bundle(rules("allow"), number=1))
    host.poll()
    return host.enforcement.active


def test_before_the_first_beat_nobody_lives(announcer: Announcer, tmp_path: Path) -> None:
    announcer.say(NOTHING, ())

    assert not Announcement(tmp_path).head().is_alive()


@pytest.mark.parametrize(("later_s", "lives"), [(0.0, True), (BEAT_LIMIT_S, True), (BEAT_LIMIT_S + 0.01, False)])
def test_a_beat_counts_for_two_seconds(
    announcer: Announcer, tmp_path: Path, clock: Callable[[float], None], *, later_s: float, lives: bool
) -> None:
    announcer.beat(5.0)

    clock(1000.0 + later_s)

    assert Announcement(tmp_path).head().is_alive() is lives


def test_a_beat_from_the_future_is_of_another_boot(
    announcer: Announcer, tmp_path: Path, clock: Callable[[float], None]
) -> None:
    announcer.beat(5.0)

    clock(999.0)

    assert not Announcement(tmp_path).head().is_alive()


def test_what_was_written_in_another_boot_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcing, "boot_id", lambda: "another")
    Announcer(tmp_path).beat(5.0)
    monkeypatch.undo()

    with pytest.raises(StateError, match="before this machine was started"):
        Announcement(tmp_path).read()


def test_a_change_is_announced_with_a_number_of_its_own(
    announcer: Announcer, tmp_path: Path, host: Any, store: SignedStore
) -> None:
    found = Announcement(tmp_path)
    announcer.say(NOTHING, ())
    before = found.head().number

    announcer.say(active(host, store), ())

    said = found.read()
    assert said.number == found.head().number != before
    assert said.snapshot == host.enforcement.active.ref
    assert (said.deny_after, said.entries) == (None, entries_digest(()))


def test_the_same_again_changes_nothing(announcer: Announcer, tmp_path: Path, host: Any, store: SignedStore) -> None:
    announcer.say(active(host, store), ())
    before = Announcement(tmp_path).head()

    announcer.say(host.enforcement.active, ())

    assert Announcement(tmp_path).head() == before


def test_other_emergency_entries_are_another_number(
    announcer: Announcer, tmp_path: Path, host: Any, store: SignedStore
) -> None:
    announcer.say(active(host, store), ())
    before = Announcement(tmp_path).head().number

    announcer.say(host.enforcement.active, [Emergency.from_custom(denial("act.0"))])

    assert Announcement(tmp_path).head().number != before


def test_who_ended_does_not_live_and_beats_no_more(announcer: Announcer, tmp_path: Path) -> None:
    announcer.beat(5.0)

    announcer.end()
    announcer.beat(6.0)

    assert not Announcement(tmp_path).head().is_alive()


def test_another_sidecar_puts_a_file_of_its_own_there(announcer: Announcer, tmp_path: Path) -> None:
    found = Announcement(tmp_path)
    announcer.beat(5.0)
    assert not found.is_replaced(tmp_path)

    Announcer(tmp_path)

    assert found.is_replaced(tmp_path)
    assert found.head().number != Announcement(tmp_path).head().number


def test_a_sidecar_that_announces_nothing_takes_away_what_was_announced(announcer: Announcer, tmp_path: Path) -> None:
    Silent(tmp_path)

    with pytest.raises(StateError, match="cannot be read"):
        Announcement(tmp_path)


def test_a_disk_that_refuses_ends_the_beats_until_it_takes_the_whole_again(
    announcer: Announcer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Callable[[float], None],
    host: Any, store: SignedStore,
) -> None:  # fmt: skip
    found, release = Announcement(tmp_path), active(host, store)
    announcer.beat(5.0)
    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", _no_room)
        announcer.say(release, ())
        clock(1000.0 + BEAT_LIMIT_S + 1)
        announcer.beat(6.0)
        assert not found.head().is_alive()

    announcer.beat(7.0)

    assert found.head().is_alive()
    assert found.read().snapshot == release.ref


def _no_room(*_arguments: object) -> int:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("damage", [b"", b"\0" * 10, b"\0" * 400, struct.pack("<QddII", 1, 0.0, 0.0, 2, 7) + b"{}"])
def test_a_damaged_file_is_refused(announcer: Announcer, tmp_path: Path, damage: bytes) -> None:
    (tmp_path / IN_FORCE).write_bytes(damage)
    found = Announcement(tmp_path)

    with pytest.raises(StateError, match="damaged"):
        found.read()
    assert not found.head().is_alive()


def test_what_is_being_changed_is_refused(announcer: Announcer, tmp_path: Path) -> None:
    page = bytearray((tmp_path / IN_FORCE).read_bytes())
    page[0] ^= 1  # the number in the head is not the one in the body

    (tmp_path / IN_FORCE).write_bytes(page)

    with pytest.raises(StateError, match="being changed"):
        Announcement(tmp_path).read()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    Announcer(tmp_path / "elsewhere")
    (tmp_path / IN_FORCE).symlink_to(tmp_path / "elsewhere" / IN_FORCE)

    with pytest.raises(StateError, match="cannot be read"):
        Announcement(tmp_path)
