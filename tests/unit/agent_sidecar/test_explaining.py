"""Explaining a request leaves what a host remembers as it was, whatever time the suggestions speak of."""

from pathlib import Path

from agent_sidecar.host_clock import HostClock
from agent_sidecar.memory import HostMemory
from policy_core.decision import PolicyRef
from policy_core.explaining import explain
from policy_core.matcher import encode_rules, load
from policy_core.model import Clauses, Decision, Rate, Rule, TimeWindow
from policy_core.request import normalise

NOW = 1_790_000_000.0
RATED = Rule("p", "b", Decision.THROTTLE, rate=Rate(1, 60, ("resource.id",)))
RULES = [
    Rule("p", "a", Decision.ALLOW),
    RATED,
    Rule("p", "c", Decision.DENY, match=Clauses(time=TimeWindow(before=NOW + 86_400))),
]


def test_a_look_into_the_future_does_not_end_a_rate(tmp_path: Path) -> None:
    memory = HostMemory(tmp_path, host_id="h", clock=HostClock(clock=lambda: NOW), fleet=None)
    matcher = load(encode_rules(RULES), policy=PolicyRef(bundle="", revision=""))
    request = normalise({"job": {"topic": "restart", "job_id": "web"}}, now=NOW, host={})
    memory.count(RATED, '["web"]', NOW, reached=False)

    explanation = explain(matcher, request, memory=memory)

    assert [str(each) for each in explanation.suggestions] == ["at 2026-09-22T14:13:20Z: allow (p/a)"]
    assert memory.retry_after(RATED, '["web"]', NOW) == 60.0
