"""What hosts have decided and logged is a corpus as it is."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from asking import Asking
from spooled import NOON, new_spool, segments

from agent_sidecar.asked import Asked
from agent_sidecar.decision_log.log import DecisionLog
from agent_sidecar.decision_log.records import Decided, Spoken
from agent_sidecar.decision_log.settings import LogSettings
from builder.simulating.corpus import Corpus, Recorded
from builder.source import PolicyTree
from policy_core.decision import Answer
from policy_core.errors import InvalidPolicyError
from policy_core.model import Decision
from policy_core.request import normalise

REQUEST = {"subject": {"type": "user", "id": "a"}, "action": {"name": "x"}, "resource": {"type": "t", "id": "i"}}
JOB = {"job": {"topic": "job.x", "risk_tags": ["prod"], "grants": ["writ1.a.b"]}, "tenant_id": "acme"}
ANSWER = Answer(decision=Decision.ALLOW, allowed=True, reason_code="matched_rule", decision_id="d-1")


def logged(directory: Path, *raws: object) -> bytes:
    """Return a finished segment in which a host has logged decisions, ten seconds apart."""
    spool = new_spool(directory)
    spool.open()
    log = DecisionLog(
        spool, LogSettings(), clock=lambda: NOON, host={"env": "prod"}, shipper=None, soon=lambda _flush: None
    )
    log.event("activated", {"release": 1})
    for number, raw in enumerate(raws):
        log.write(Decided(Asked(raw), ANSWER, NOON + 10 * number, 1, Spoken.AUTHZEN, is_trial=False), Asking())
    log.flush()
    spool.seal()
    return segments(directory)[0].read_bytes()


def read(content: bytes) -> tuple[list[Recorded], list[int]]:
    corpus = Corpus(PolicyTree("0" * 40, False, {"corpus/web-1-0001.jsonl.gz": gzip.compress(content)}))
    return list(corpus), corpus.counts


def test_each_decision_is_decided_again_as_it_was(tmp_path: Path) -> None:
    found, counts = read(logged(tmp_path, REQUEST, JOB, REQUEST))

    assert counts == [2, 1]
    first, second = (each.request for each in found)
    was = normalise(JOB, now=NOON, host={"env": "prod"})
    assert (first.now, first.host, first.action_name) == (NOON, {"env": "prod"}, "x")
    assert (second.subject, second.action, second.resource, second.tags) == (
        was.subject, was.action, was.resource, was.tags,
    )  # fmt: skip
    assert second.context == {name: value for name, value in was.context.items() if name != "grants"}
    assert found[1].place == "corpus/web-1-0001.jsonl.gz:4"


@pytest.mark.parametrize("change", [{"erased": ["subject.id"]}, {"input": None}])
def test_what_was_erased_cannot_be_decided_again(tmp_path: Path, change: dict[str, Any]) -> None:
    lines = []
    for line in logged(tmp_path, REQUEST).splitlines():
        record = json.loads(line)
        if record["type"] == "decision":
            record |= change
            if record["input"] is None:
                del record["input"]
        lines.append(json.dumps(record).encode())

    assert read(b"\n".join(lines)) == ([], [])


def test_a_log_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidPolicyError) as caught:
        read(logged(tmp_path, REQUEST)[:-20])

    assert "request: is not JSON" in caught.value.problems[0].message
