"""Loading a policy beside an application: what it costs the others in the process."""

import gc
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from signed_store import SignedStore, bundle

from agent_sidecar.client import following
from policy_core.model import Clauses, Decision, Rule

RULES = 6_000
# loads what comes on stdin as an application does, and prints how often Python looked through all objects meanwhile
APPLICATION = """
import gc, sys
import msgspec
from agent_sidecar.activation import load
from agent_sidecar.client import following
from policy_core.trust.release import Release

size, about = msgspec.json.decode(sys.stdin.buffer.readline())
about["reviewed_by"] = tuple(about["reviewed_by"])
release, blob = Release(**about), sys.stdin.buffer.read(size)
passes = []
for pause in (following._breathe, following._settle):
    gc.collect()
    before = gc.get_stats()[2]["collections"]
    loaded = load(blob, release, host={}, now=0.0, pause=pause)
    passes.append(gc.get_stats()[2]["collections"] - before)
    del loaded
print(passes)
"""


def rule(number: int) -> Rule:
    """Return a rule that many objects are made of."""
    match = Clauses(
        actions=(f"act.{number}.*", f"do.{number}"), tenants=(f"t{number}", "t"), risk_tags=("a", "b"),
        labels={"env": "prod", "tier": f"{number}"}, capabilities=("x*", "y"),
    )  # fmt: skip
    return Rule("p", f"r{number}", Decision.ALLOW, match=match, unless=Clauses(tenants=(f"u{number}",)))


def test_loading_makes_python_look_through_nothing(tmp_path: Path) -> None:
    blob = bundle([rule(number) for number in range(RULES)], number=1)
    release = SignedStore(tmp_path).publish(blob)

    done = subprocess.run(
        [sys.executable, "-c", APPLICATION], input=json.dumps([len(blob), asdict(release)]).encode() + b"\n" + blob,
        stdout=subprocess.PIPE, check=True,
    )  # fmt: skip

    simply, settled = json.loads(done.stdout)
    assert simply > 0
    assert settled == 0


def test_what_an_application_has_frozen_stays_so() -> None:
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        following._settle()
        assert gc.get_freeze_count() > frozen // 2 > 0  # some of it has been freed meanwhile
    finally:
        gc.unfreeze()


def test_nothing_is_frozen_otherwise() -> None:
    gc.unfreeze()  # what other tests have left

    following._settle()

    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_stays_on_or_off_as_the_application_has_it(*, enabled: bool) -> None:
    if not enabled:
        gc.disable()
    try:
        following._settle()
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
