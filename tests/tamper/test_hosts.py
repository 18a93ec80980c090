"""Every attack on a host that has followed the channel, and on one that starts with it: the tamper matrix.

Whatever happens, the policy in force changes only where a row says so, also after a restart; and once the owners have
put things right, the next honest release is followed.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from polled_host import Host
from tamper.attacking import Attack, Attacker, Seen
from tamper.rows import ATTACKS
from tamper.rows_honest import STEPS, Step
from tamper.scene import RESTART, Honest, Scene

from agent_sidecar.updating import ROOT_PROBE_S, Outcome
from bundle_store.opening import open_reader

each_attack = pytest.mark.parametrize("row", ATTACKS, ids=lambda row: row.name)


@pytest.fixture
def host(scene: Scene, tmp_path: Path) -> Iterator[Host]:
    """A host that is not started yet, in a folder that does not exist yet."""
    host = Host(tmp_path / "host", scene)
    yield host
    host.stop()


@dataclass(frozen=True)
class Enforced:
    """What a host answers requests from, and what it answers."""

    release: int
    bundle: str
    decision: str
    reason: str


def enforced(host: Host) -> Enforced:
    answer = host.enforcement.active.answer(RESTART, now=host.clock(), decision_id="")
    bundle = answer.policy.bundle if answer.policy else ""
    return Enforced(host.release, bundle, answer.decision, answer.reason)


def poll(host: Host) -> tuple[Outcome, str]:
    """Poll as after the root probe has become due, and return what the host says."""
    host.seconds += ROOT_PROBE_S
    outcome = host.poll()
    failure, rejection = host.updater.freshness.failure, host.updater.rejection
    if outcome is Outcome.UNREACHABLE:
        return outcome, failure.message if failure else ""
    return outcome, rejection.reason if rejection and outcome is Outcome.REJECTED else ""


def judge(row: Attack, expected: Seen, host: Host, scene: Scene) -> None:
    """Let the attack happen to a host, and judge what it does then, after a restart, and when all is put right."""
    before = enforced(host)
    scene.keep()
    attacker = Attacker(scene.folder, scene.stolen(row.keys), scene=scene, host=host)
    if row.where.is_on_host:
        host.stop()
    with attacker.ending:
        row.do(attacker)
        host.store._inner = attacker.between(open_reader(scene.url))
        if row.where.is_on_host:
            host.start(min_release=row.min_release)

        outcome, reason = poll(host)
        seen = enforced(host)

        assert outcome is expected.outcome, reason
        assert not (expected.stops and is_forged(seen))
        assert expected.stops or seen.decision == "allow"
        if expected.release is None:
            assert seen == before
        else:
            assert seen.release == expected.release
        if outcome in {Outcome.REJECTED, Outcome.UNREACHABLE}:
            assert expected.text in reason

        poll(host)
        assert enforced(host) == seen
        host.start(min_release=row.min_release)
        poll(host)
        assert enforced(host) == seen

    if row.for_good:
        return
    host.store._inner = open_reader(scene.url)
    scene.publish_all() if row.published_over else scene.put_right(row.keys)
    assert poll(host) == (Outcome.ACTIVATED, "")
    assert host.enforcement.active.policy.revision == scene.honest.coming[-1].bundle.revision


def is_forged(found: Enforced) -> bool:
    """Tell whether requests are answered from something no honest person made."""
    return found.decision == "allow" and found.reason != "first"


@each_attack
def test_a_seasoned_host(row: Attack, scene: Scene, host: Host, honest: Honest) -> None:
    shutil.copytree(honest.state("host"), host.path)
    row.given(scene)
    host.start(min_release=row.min_release)
    poll(host)
    row.unseen(scene)

    judge(row, row.seasoned, host, scene)


@each_attack
def test_a_fresh_host(row: Attack, scene: Scene, host: Host) -> None:
    row.given(scene)
    row.unseen(scene)
    host.start(min_release=row.min_release)

    judge(row, row.fresh, host, scene)


each_step = pytest.mark.parametrize("row", STEPS, ids=lambda row: row.name)


@each_step
def test_a_seasoned_host_follows(row: Step, scene: Scene, host: Host, honest: Honest) -> None:
    shutil.copytree(honest.state("host"), host.path)
    host.start()
    row.do(scene)

    follow(row.seasoned, host)


@each_step
def test_a_fresh_host_follows(row: Step, scene: Scene, host: Host) -> None:
    row.do(scene)
    host.start()

    follow(row.fresh, host)


def follow(expected: Seen, host: Host) -> None:
    """Poll, and again after a restart."""
    assert poll(host) == (expected.outcome, "")
    after = enforced(host)
    host.start()
    assert poll(host)[0] is Outcome.UNCHANGED

    assert enforced(host) == after
    assert after.release == (expected.release or 2)
