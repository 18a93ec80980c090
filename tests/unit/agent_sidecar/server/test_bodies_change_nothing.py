"""Two hosts live through the same, and one of them remembers no bodies: they give the same answers and records.

What comes between two equal bodies is drawn: time, swaps, emergencies, staleness, log rules, rates that fill up.
"""

import json
import math
from dataclasses import replace
from itertools import product
from typing import Any

import msgspec
import pytest
from asking import UID_7, Asking
from effort import examples
from host_in_process import Host, activation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_sidecar.access.binding import Bind, Binds
from agent_sidecar.activation import Activation, Unavailable
from agent_sidecar.asked import Asked
from agent_sidecar.bodies import Bodies
from agent_sidecar.decision_log.records import spell
from agent_sidecar.memory import Elsewhere
from agent_sidecar.recording import RecordByPolicy
from agent_sidecar.server import decisions, opa
from agent_sidecar.server.caller import Caller, CallerKind
from policy_core.decision import Answer
from policy_core.decoding import decode_request
from policy_core.matcher.tightening import Overlay, tighten
from policy_core.memory import Looking
from policy_core.model import Clauses, Decision, EntityClauses, Erasure, LogRules, PolicyException, Rule, TimeWindow
from policy_core.redacting import Redactor
from policy_core.revoking import Revoked
from policy_core.testing import memory_strategies
from policy_core.testing.memory import PlainMemory

START, STEP_S = memory_strategies.START, memory_strategies.STEP_S
MIDDLE = int(START + 8 * STEP_S)
PATHS = [b"/access/v1/evaluation", b"/api/v1/policy/evaluate", b"/v1/data/writ/answer", b"/v0/data/writ/answer"]
BINDS = Binds((Bind(kind=CallerKind.TOKEN, name="bob", subjects=("agent/bot",)),))
CALLERS = [UID_7, UID_7, UID_7, UID_7, Caller(CallerKind.TOKEN, "bob", bounds=BINDS.of(CallerKind.TOKEN, "bob"))]


class Forgetful(Bodies):
    """Reads every body anew."""

    def asked(self, body: bytes | bytearray) -> Asked:
        return Asked(self._pick(decode_request(body)))


class Living:
    """A host whose rates and grants are remembered as by another process."""

    def __init__(self, active: Activation) -> None:
        self.memory = PlainMemory()
        self.host = Host(memory=Elsewhere("host", self._decide))
        self.host.active, self.host.now = active, START

    async def _decide(self, raw: object, decision_id: str, is_trial: bool) -> Answer:
        memory = Looking(self.memory) if is_trial else self.memory
        return self.host.active.answer(raw, now=self.host.now, decision_id=decision_id, memory=memory)

    def ask(self, body: bytes, path: bytes, caller: Caller) -> Any:
        """Return the reply and the records, without ids, durations and whether it was known."""
        del self.host.log.decided[:]
        status, reply = self.host.reply(body, path, caller)
        records = []
        for decided in self.host.log.decided:
            spelt = spell(decided, Asking(caller=caller), {})
            record = json.loads(b"{" + spelt[1:] + b"}") if spelt else None
            if record:
                record |= {"eval_us": 0, "cache_hit": False}
            records.append(_anonymous(record))
        return status, _anonymous(reply), records


def _anonymous(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _anonymous(each) for key, each in value.items() if key != "decision_id"}
    return [_anonymous(each) for each in value] if isinstance(value, list) else value


_before, _after = TimeWindow(before=MIDDLE), TimeWindow(after=MIDDLE)
_matches = [
    Clauses(time=_before),
    Clauses(time=_after),
    Clauses(none_of=Clauses(time=_before)),
    *[Clauses(subject=EntityClauses(ids=("agent",)))] * 3,
]
_bounds = {"max_targets": 1}
_others = st.builds(
    lambda word, match, dry_run: Rule(
        "", "r", word, match, constraints=_bounds if word is Decision.CONSTRAIN else {}, dry_run=dry_run
    ),
    st.sampled_from([Decision.DENY, Decision.CONSTRAIN, Decision.ALLOW]),
    st.sampled_from(_matches),
    st.booleans(),
)
_ENDS = PolicyException("e1", ("lifted/r",), Clauses(), starts=0, expires=MIDDLE)


@st.composite
def _policies(draw: st.DrawFn) -> Activation:
    """Draw a policy with few rules, so that many answers last: some read the time, one may be lifted until MIDDLE."""
    rules = draw(memory_strategies.policies())[: draw(st.sampled_from([0, 0, 0, 9]))]
    rules.append(Rule("granting", "r", Decision.ALLOW))
    is_lifted = draw(st.sampled_from([False, False, True]))
    if is_lifted:
        rules.append(Rule("lifted", "r", Decision.DENY))
    for number, rule in enumerate(draw(st.lists(_others, max_size=2))):
        rules.append(msgspec.structs.replace(rule, policy=f"other{number}"))
    beside = msgspec.structs.asdict(draw(memory_strategies.provisions(rules, {})))
    if is_lifted:
        beside["exceptions"] += (_ENDS,)
    found = activation(*rules, **beside)
    log = draw(st.sampled_from([None, None, *_LOG_RULES]))
    return replace(found, recording=RecordByPolicy(Redactor(log, {}), found.matcher, {}) if log else None)


_LOG_RULES = [
    LogRules(erase=(Erasure("context.tenant", Clauses(time=TimeWindow(after=MIDDLE))),)),
    LogRules(leave_out=(Clauses(time=TimeWindow(before=MIDDLE)),)),
    LogRules(erase=(Erasure("subject.id", Clauses(risk_tags=("prod",))),)),
]
_OVERLAYS = [
    Overlay(),
    Overlay(),
    Overlay(denies=(Rule("emergency", "e", Decision.DENY, Clauses(resource=EntityClauses(ids=("web",)))),)),
    Overlay(denies=(Rule("emergency", "e", Decision.DENY, Clauses(time=TimeWindow(after=MIDDLE))),)),
    Overlay(revoked=Revoked(exceptions=frozenset({"e1"}))),
]
_times = st.tuples(st.just("time"), st.sampled_from([STEP_S, 8 * STEP_S]))
_events = st.one_of(
    _times,
    _times,
    _times,
    st.tuples(st.just("policy"), st.integers(0, 1)),
    st.tuples(st.just("overlay"), st.sampled_from(_OVERLAYS)),
    st.tuples(st.just("stale in"), st.sampled_from([STEP_S, STEP_S, math.inf])),
    st.tuples(st.just("nothing")),
)


def _happens(event: tuple[Any, ...], living: list[Living], policies: list[Activation], in_force: list[Any]) -> None:
    match event:
        case "time", step:
            for each in living:
                each.host.now += step
            return
        case "policy", number:
            in_force[0] = policies[number]
        case "overlay", overlay:
            in_force[1] = overlay
        case "stale in", seconds:
            in_force[2] = living[0].host.now + seconds
        case _:
            active: Any = Unavailable("none")
            for each in living:
                each.host.active = active
            return
    policy, overlay, until = in_force
    for each in living:
        each.host.active = replace(policy, matcher=tighten(policy.matcher, overlay), deny_after=until)


@settings(max_examples=examples(100, nightly=3_000), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(_policies(), min_size=2, max_size=2),
    st.lists(memory_strategies.requests, min_size=2, max_size=2),
    st.sampled_from(PATHS),
    st.lists(_events, min_size=4, max_size=8),
)
def test_who_remembers_bodies_answers_and_records_as_who_does_not(
    policies: list[Activation], requests: list[dict[str, Any]], path: bytes, events: list[tuple[Any, ...]]
) -> None:
    remembers = Living(policies[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decisions, "Bodies", Forgetful)
        patch.setattr(opa, "Bodies", Forgetful)
        forgets = Living(policies[0])
    in_force: list[Any] = [policies[0], Overlay(), math.inf]
    bodies = [json.dumps({"input": each} if path.startswith(b"/v1") else each).encode() for each in requests]

    for event in [("time", 0.0), *events]:
        _happens(event, [remembers, forgets], policies, in_force)
        for body, caller in product(bodies, CALLERS):
            assert remembers.ask(body, path, caller) == forgets.ask(body, path, caller)

    assert remembers.memory.counted == forgets.memory.counted
