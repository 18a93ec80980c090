"""Every bad state has a next step, and a good one has none."""

from typing import Any

import pytest

from agent_sidecar.advice import advice_of
from agent_sidecar.status_text import status_text

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
POLICY = {"bundle": "sha256:" + "a" * 64, "revision": "b" * 40, "release": 7}
GOOD: dict[str, Any] = {
    "state": "fresh", "ready": True, "reason": "", "version": "0", "store": "s3://p", "channel": "prod",
    "enforced": {**POLICY, "rules": 12, "activated_at": "2027-01-15T05:00:00Z"}, "pinned": None, "emergency": [],
    "limits": {"max_pin_s": 3600.0, "min_release": 0},
    "published": {
        "release": 7, "revision": "b" * 40, "action": "publish", "actor": "ci", "reason": "r",
        "signed_by": ["ana", "bo"],
    },
    "current": POLICY, "previous": None, "signed_at": "2027-01-15T07:48:00Z", "expires_at": "2027-01-16T07:00:00Z",
    "metadata": {"prod": {"version": 3, "expires_at": "2027-06-01T00:00:00Z", "expiring": False}}, "verified_at": "",
    "answered_at": "", "failure": None, "rejection": None, "clock_behind_s": 0.0, "log": {"durability": "off"},
    "memory": {
        "host_id": "h", "counted_keys": 0, "spent_grants": 0, "journal_bytes": 0, "forgot_at": "", "fleet": None,
    },
    "polls": 1, "decisions": 0,
}  # fmt: skip
ENTRY = {"id": "e-1", "kind": "deny", "reason": "x", "actor": "ana", "until": "2027-01-15T09:00:00Z"}
FAILURE = {"since": "2027-01-15T07:00:00Z", "message": "refused", "hint": "check the network"}
REJECTION = {"at": "2027-01-15T07:00:00Z", "reason": "signature", "hint": "check the trust root"}

BAD = {
    "nothing published": ({"enforced": None, "ready": False, "current": None, "published": None}, "no policy: publish"),
    "too stale": (
        {"ready": False, "state": "stale", "reason": "stale beyond"},
        "all is denied: sign the metadata anew",
    ),
    "stale": ({"state": "stale"}, "stale: sign the metadata anew"),
    "aging": ({"state": "aging"}, "aging: find out why nobody refreshes"),
    "not reporting": ({"reports": {"to": "s3://r", "problem": "403"}}, "reports: mend them"),
    "unreachable": ({"state": "unreachable", "failure": FAILURE}, "store: check the network"),
    "rejection": ({"rejection": REJECTION}, "refused: check the trust root"),
    "pinned": (
        {"pinned": {"since": "", "until": "2027-01-15T09:00:00Z", "reason": "x", "by": "uid 0"}},
        "rolled back: ",
    ),
    "behind": ({"published": {**GOOD["published"], "release": 9}}, "release 9 is not enforced"),
    "unusable": ({"previous": {**POLICY, "unusable": "missing"}}, "previous snapshot: check the disk"),
    "expiring": (
        {"metadata": {"root": {"version": 1, "expires_at": "2027-02-01T00:00:00Z", "expiring": True}}},
        "expiring: have it signed anew by 2027-02-01T00:00:00Z",
    ),
    "emergency": ({"emergency": [ENTRY]}, "emergency e-1: put it into the policy by"),
    "emergency of nothing": ({"emergency": [{**ENTRY, "names_nothing": True}]}, "emergency e-1: names nothing"),
    "log": ({"log": {"durability": "process", "max_bytes": 1, "problem": "full"}}, "decision log: make room"),
    "shipping": (
        {"log": {"durability": "process", "max_bytes": 1, "shipping": {"to": "s3://l", "problem": "denied"}}},
        "decision log: mend the shipping",
    ),
    "forgotten": ({"memory": {**GOOD["memory"], "forgot_at": "2027-01-15T07:00:00Z"}}, "memory: check the disk"),
    "fleet": ({"memory": {**GOOD["memory"], "fleet": {"store": "r", "error": "away"}}}, "fleet store: mend it"),
    "clock": ({"clock_behind_s": 5.0}, "clock: correct it"),
    "access": ({"access": {"problems": ["tokens: cannot be read"]}}, "access: tokens: cannot be read"),
    "workers": ({"workers": [{"ready": False}]}, "workers: some do not answer yet"),
}


def test_a_good_state_needs_nothing() -> None:
    assert advice_of(GOOD) == []
    assert status_text(GOOD, now=NOW).splitlines()[-1] == "next       nothing to do"


@pytest.mark.parametrize("state", BAD)
def test_every_bad_state_has_one_next_step(state: str) -> None:
    change, step = BAD[state]
    found = advice_of({**GOOD, **change})

    assert len(found) == 1
    assert found[0].startswith(step)
    assert found[0] in status_text({**GOOD, **change}, now=NOW)


def test_the_most_urgent_step_comes_first() -> None:
    found = advice_of({**GOOD, "clock_behind_s": 5.0, "rejection": REJECTION, "state": "aging"})

    assert [step.partition(":")[0] for step in found] == ["refused", "aging", "clock"]


def test_people_read_ages_and_who_signed() -> None:
    text = status_text(GOOD, now=NOW)

    assert "activated 3 h ago (2027-01-15T05:00:00Z)" in text
    assert "state      fresh, signed 12 min ago (2027-01-15T07:48:00Z), expires in 23 h (2027-01-16T07:00:00Z)" in text
    assert "publish by ci, signed by ana, bo: r" in text


def test_colours_are_for_terminals_and_never_come_from_the_document() -> None:
    hostile = {**GOOD, "rejection": {**REJECTION, "reason": "\x1b[32mall is well", "hint": "\x1b[2J"}}

    assert "\x1b" not in status_text(hostile, now=NOW)
    painted = status_text(hostile, now=NOW, coloured=True)
    assert "\x1b[32mfresh\x1b[0m" in painted
    assert "\x1b[31m\\x1b[32mall is well\x1b[0m" in painted
    assert "\x1b[2J" not in painted
