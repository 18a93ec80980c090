"""A grant is good for one answer: on this host, after a restart, after a kill, and for whoever comes second."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agent_sidecar.host_clock import HostClock
from agent_sidecar.spending import SpentGrants
from policy_core.grants import MAX_EXPIRES_IN_S, Grant
from policy_core.memory import ForgottenError

NOW = 1_790_000_000


def grant(number: int = 1, *, key: str = "aa", issued: int = NOW, expires: int = NOW + 600, nonce: str = "") -> Grant:
    return Grant(key * 32, "sha256:r", "sha256:q", "host-1", issued, expires, nonce or f"{number:032x}")


def new_spent(folder: Path, now: float = NOW, **options: int) -> SpentGrants:
    return SpentGrants(folder, HostClock(clock=lambda: now), **options)


def codes(spent: SpentGrants, *grants: Grant) -> list[str]:
    return [refused.reason_code for refused in spent.spend(grants)]


def test_a_grant_is_spent_once(tmp_path: Path) -> None:
    spent = new_spent(tmp_path)

    assert codes(spent, grant()) == []
    assert spent.is_spent(grant())
    assert codes(spent, grant()) == ["grant_replayed"]


def test_a_spent_grant_stays_spent_over_a_restart(tmp_path: Path) -> None:
    new_spent(tmp_path).spend([grant()])

    assert codes(new_spent(tmp_path), grant()) == ["grant_replayed"]


def test_a_grant_is_on_disk_before_its_answer_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spent, synced = new_spent(tmp_path), []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda file: (synced.append(Path(f"/proc/self/fd/{file}").readlink()), fsync(file))
    )

    spent.spend([grant()])

    (path,) = tmp_path.glob("grants.*.log")
    assert synced == [path]
    assert b"aa" * 32 in path.read_bytes()


def test_a_grant_stays_spent_if_the_process_is_killed_before_its_reply(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[2]); from pathlib import Path\n"
        "import test_spending as t; t.new_spent(Path(sys.argv[1])).spend([t.grant()])\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )

    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)], check=False)

    assert done.returncode == -9
    assert codes(new_spent(tmp_path), grant()) == ["grant_replayed"]


def test_of_two_requests_with_one_grant_just_one_wins(tmp_path: Path) -> None:
    spent, found = new_spent(tmp_path), []
    together = threading.Barrier(8)

    def spend() -> None:
        together.wait()
        found.append(codes(spent, grant()))

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == [[], *[["grant_replayed"]] * 7]


def test_grants_are_spent_together_or_not_at_all(tmp_path: Path) -> None:
    spent = new_spent(tmp_path)
    spent.spend([grant(1)])

    assert codes(spent, grant(1), grant(2)) == ["grant_replayed"]
    assert codes(spent, grant(2)) == []


def test_nobody_uses_up_the_nonce_of_another_approver(tmp_path: Path) -> None:
    spent = new_spent(tmp_path)

    assert codes(spent, grant(key="aa")) == []
    assert codes(spent, grant(key="bb")) == []


def test_a_nonce_spelt_differently_is_the_same_nonce(tmp_path: Path) -> None:
    spent = new_spent(tmp_path)
    spent.spend([grant(nonce="ab" * 16)])

    assert spent.is_spent(grant(nonce="AB" * 16))
    assert spent.is_spent(grant(nonce="ab " * 16))


def test_a_clock_set_back_revives_no_grant_that_was_forgotten(tmp_path: Path) -> None:
    new_spent(tmp_path).spend([grant(expires=NOW + 10)])
    assert len(new_spent(tmp_path, NOW + 20)) == 1  # read, and left out of the new base
    clock = HostClock(clock=lambda: NOW)

    again = SpentGrants(tmp_path, clock)

    assert (len(again), clock()) == (0, NOW + 20)
    assert codes(again, grant(expires=NOW + 10)) == ["grant_expired"]


def test_a_grant_without_end_is_remembered_for_as_long_as_any_rule_accepts_it(tmp_path: Path) -> None:
    forever = grant(expires=2**62)
    new_spent(tmp_path).spend([forever])

    assert new_spent(tmp_path, NOW + MAX_EXPIRES_IN_S - 1).is_spent(forever)


def test_a_disk_that_refuses_refuses_the_grant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spent = new_spent(tmp_path)

    def failing(_file: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        (refused,) = spent.spend([grant()])

    assert (refused.reason_code, refused.message) == (
        "grant_unverifiable", "grants: cannot be written: Input/output error",
    )  # fmt: skip
    assert codes(spent, grant()) == []


def test_a_full_table_refuses_new_grants_until_old_ones_expire(tmp_path: Path) -> None:
    times = [float(NOW)]
    spent = SpentGrants(tmp_path, HostClock(clock=lambda: times[0]), max_spent=2)
    spent.spend([grant(1), grant(2)])

    assert codes(spent, grant(3, expires=NOW + 900)) == ["grant_unverifiable"]
    times[0] = NOW + 601
    assert codes(spent, grant(3, expires=NOW + 900)) == []


def test_after_damage_only_grants_given_later_are_accepted(tmp_path: Path) -> None:
    new_spent(tmp_path).spend([grant()])
    (tmp_path / "grants.base").write_bytes(b"damaged\n")

    spent = new_spent(tmp_path, NOW + 5)

    with pytest.raises(ForgottenError, match="lost count of used grants"):
        spent.is_spent(grant())
    with pytest.raises(ForgottenError):
        spent.is_spent(grant(2, issued=NOW + 65))
    assert not spent.is_spent(grant(2, issued=NOW + 66))
