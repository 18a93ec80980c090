"""Attacks on the host itself by somebody without keys: its clock, and its disk while it is stopped."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tamper.attacking import (
    Attack,
    Attacker,
    Where,
    accepts,
    collector,
    not_stopped,
    refused,
    shown_the_past,
    unchanged,
)
from tamper.editing import Editor, now
from tamper.rows_oncall import denied_in_an_emergency
from tamper.scene import Scene
from tuf.api.metadata import Metadata

from agent_sidecar.updating import Outcome
from policy_core import __version__
from policy_core.trust import layout

ROWS: list[Attack] = []
attack = collector(ROWS)

YEAR_S = 365 * 86_400.0
NOTHING_YET = accepts(2, "there was nothing on its disk yet")
VERIFIED_AT_START = "what is on disk is verified from the trust root at every start"
OWNS_THE_HOST = "whoever writes to the state directory owns the host; its history and its answers tell"


@contextmanager
def state_of(attacker: Attacker) -> Iterator[dict[str, Any]]:
    """Let a block change ``state.json``."""
    file = attacker.host.path / "state.json"
    state = json.loads(file.read_bytes())
    yield state
    file.write_text(json.dumps(state))


def expiring(scene: Scene) -> None:
    """Sign a timestamp that expires in a minute."""
    scene.owners.stamp(life_s=60)


def two_minutes_later(attacker: Attacker) -> None:
    attacker.host.now = time.time() + 120


@attack(
    "withholds everything until the metadata has expired",
    where=Where.NETWORK,
    given=expiring,
    seasoned=refused("timestamp: expired at"),
    stopped_by='`stale` is shown and counted; with `on_stale = "deny"` nothing is allowed any more',
)
def withheld_until_expired(attacker: Attacker) -> None:
    two_minutes_later(attacker)


@attack(
    "sets the clock back, so that expired metadata is valid again",
    where=Where.CLOCK,
    given=expiring,
    seasoned=refused("timestamp: expired at"),
    stopped_by="host time never falls: it is the highest ever seen",
)
def clock_set_back(attacker: Attacker) -> None:
    two_minutes_later(attacker)
    attacker.host.poll()
    attacker.host.now = time.time() - 3600


@attack(
    "sets the clock ten years ahead",
    where=Where.CLOCK,
    seasoned=refused("expired at"),
    stopped_by="the policy in force stays, but nothing new is taken until `state.json` is moved away by hand",
    for_good=True,
)
def clock_set_ahead(attacker: Attacker) -> None:
    attacker.host.now = time.time() + 10 * YEAR_S


# the disk, while the sidecar is stopped


@attack(
    "alters the bundle in force",
    where=Where.DISK,
    seasoned=accepts(2, "it starts with the previous snapshot, and fetches the bundle again at the first poll"),
    fresh=NOTHING_YET,
    stopped_by=VERIFIED_AT_START,
)
def altered_snapshot(attacker: Attacker) -> None:
    for file in current_snapshot(attacker, "bundle.tar.gz"):
        file.write_bytes(file.read_bytes()[:-1] + b"?")


@attack(
    "puts another bundle in place, and metadata for it that a key of their own signed",
    where=Where.DISK,
    seasoned=accepts(2, "it starts with the previous snapshot, and fetches the bundle again at the first poll"),
    fresh=NOTHING_YET,
    stopped_by=VERIFIED_AT_START,
)
def forged_snapshot(attacker: Attacker) -> None:
    forged = attacker.forge()
    blob = (attacker.folder / layout.target_object("prod", forged.name, forged.sha256)).read_bytes()
    folder = attacker.host.path / "snapshots" / forged.sha256
    for chain in current_snapshot(attacker, "release-*.json"):
        document = json.loads(chain.read_bytes())
        document["channel"] = attacker.sign(attacker.listing(forged, ahead=0), "foreign").decode()
        folder.mkdir()
        (folder / "bundle.tar.gz").write_bytes(blob)
        (folder / "release-3.json").write_text(json.dumps(document))
        with state_of(attacker) as state:
            state["current"] = {"sha256": forged.sha256, "release": 3, "revision": forged.revision}


@attack(
    "makes the previous snapshot the current one, and lowers all that was seen",
    where=Where.DISK,
    seasoned=accepts(2, "it starts with the older policy, and leaves it at the first poll"),
    fresh=NOTHING_YET,
    stopped_by="only snapshots that were signed can be chosen from, and the store has the newer one",
)
def forgetful_state(attacker: Attacker) -> None:
    forget(attacker)


def forget(attacker: Attacker) -> None:
    shutil.rmtree(attacker.host.path / "tuf", ignore_errors=True)
    with state_of(attacker) as state:
        state.update(current=state["previous"], previous=None, highest_release=0, versions={})


@attack(
    "the same, and puts the store back to the older state",
    where=Where.DISK,
    seasoned=not_stopped("a host that forgot everything is a fresh one", release=1, outcome=Outcome.UNCHANGED),
    fresh=shown_the_past(1, "nothing tells it that there was a newer one"),
    stopped_by=f"expiry; `min_release`; {OWNS_THE_HOST}",
)
def forgetful_state_and_old_store(attacker: Attacker) -> None:
    forget(attacker)
    attacker.scene.put_back("release-1")


@attack(
    "writes a host rollback of a year into `state.json`",
    where=Where.DISK,
    seasoned=not_stopped("it answers from the previous snapshot", release=1),
    fresh=NOTHING_YET,
    stopped_by=f"`writ-sidecar status` shows the rollback, `resume` ends it; {OWNS_THE_HOST}",
    for_good=True,
)
def long_pin(attacker: Attacker) -> None:
    with state_of(attacker) as state:
        if state["previous"]:
            state["pin"] = {"since": time.time() + YEAR_S, "until": time.time() + YEAR_S, "reason": "x", "by": "x"}


@attack(
    "takes an emergency deny out of `state.json`",
    where=Where.DISK,
    given=denied_in_an_emergency,
    seasoned=unchanged("it is back with the first poll"),
    fresh=accepts(3, "there was nothing on its disk yet"),
    stopped_by=f"the newest metadata says what is in force; {OWNS_THE_HOST}",
)
def forgotten_emergency(attacker: Attacker) -> None:
    with state_of(attacker) as state:
        state["emergency"] = []


@attack(
    "notes the next release as refused before it comes",
    where=Where.DISK,
    unseen=Scene.publish,
    seasoned=refused("because"),
    stopped_by=f"the next release is taken; {OWNS_THE_HOST}",
)
def refused_in_advance(attacker: Attacker) -> None:
    with state_of(attacker) as state:
        sha256 = attacker.release().sha256
        state["rejected"] = [{"at": 0, "reason": "because", "sha256": sha256, "version": __version__}]


@attack(
    "replaces the copy of the trust root in the state directory by a root of their own",
    where=Where.DISK,
    seasoned=unchanged("a sidecar reads the root it was configured with"),
    fresh=NOTHING_YET,
    stopped_by="the copy is for commands that look at the directory, and never read by `run`",
)
def replaced_root_copy(attacker: Attacker) -> None:
    (attacker.host.path / "root.json").write_bytes(own_root(attacker))


@attack(
    "fills the TUF cache with metadata of their own, from the root down",
    where=Where.DISK,
    seasoned=unchanged("the pinned root does not vouch for it, so it is fetched again"),
    fresh=accepts(2, "the pinned root does not vouch for what is there"),
    stopped_by="the cache is verified from the pinned root at every poll",
)
def poisoned_cache(attacker: Attacker) -> None:
    own = Editor(attacker.folder, dict.fromkeys(("snapshot", "timestamp", "targets", "prod"), attacker.foreign))
    cache = attacker.host.path / "tuf"
    (cache / "root_history").mkdir(parents=True, exist_ok=True)
    for name in ("root.json", "root_history/1.root.json", "root_history/2.root.json"):
        (cache / name).unlink(missing_ok=True)
        (cache / name).write_bytes(own_root(attacker))
    for role in ("timestamp", "snapshot", "targets", "prod"):
        signed = attacker.role(role)
        signed.version += 100
        (cache / f"{role}.json").write_bytes(own.sign(signed, role))


def own_root(attacker: Attacker) -> bytes:
    root = Metadata.from_bytes(attacker.scene.root).signed
    root.expires = now().replace(year=now().year + 1)
    for role in root.roles.values():
        role.keyids = []
    for name in root.roles:
        root.add_key(attacker.foreign.public_key, name)
    return attacker.sign(root, "foreign")


def current_snapshot(attacker: Attacker, pattern: str) -> Iterator[Any]:
    """Yield the files of the snapshot in force; none on a fresh host."""
    current = json.loads((attacker.host.path / "state.json").read_bytes())["current"]
    if current:
        yield from list((attacker.host.path / "snapshots" / current["sha256"]).glob(pattern))
