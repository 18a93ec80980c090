"""Emergency entries of whoever is on call: over any snapshot, at once, through restarts, and only ever tighter."""

import json
import os
import time
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from granting import ASKING, FILES, asking_request, grant_for
from polled_host import REQUEST
from signed_store import ONCALL, SignedStore, bundle, denial, entry, rules

from agent_sidecar.decision_log.log import NoLog
from agent_sidecar.durable import StateError
from agent_sidecar.explaining import explain_in_force
from agent_sidecar.inspecting import answer
from agent_sidecar.status import status_of
from agent_sidecar.status_text import status_text
from agent_sidecar.texts import event_text
from agent_sidecar.updating import Outcome
from policy_core.matcher.tightening import TightenedMatcher
from policy_core.model import Clauses, Decision, PolicyException, Provisions, Rule
from policy_core.provisions import encode_provisions
from policy_core.request import normalise

ALLOWING = bundle(rules("allow", "allow"), number=1)
NEXT = bundle(rules("allow", "deny"), number=2)
REFUSED = bundle(rules("allow"), number=3, **{"matcher.jsonl": b"nonsense\n"})


@pytest.fixture
def store(tmp_path):
    return SignedStore(tmp_path / "store", oncall=True)


def _asked(host, action="act.0"):
    request = {**REQUEST, "action": {"name": action}}
    return host.enforcement.active.answer(request, now=host.clock(), decision_id="")


def _by(host, action="act.0"):
    return _asked(host, action).matched_rule


def _events(host):
    return [(event.event, event.entry) for event in host.events() if event.event.startswith("emergency")]


def test_a_deny_takes_effect_at_the_next_poll_without_fetching_a_bundle(store, host):
    store.publish(ALLOWING)
    host.poll()

    number = store.call(denial("act.0"))
    outcome = host.poll()

    assert (outcome, host.release) == (Outcome.ACTIVATED, number)
    assert not [name for name in host.store.reads if name.startswith("targets/")]
    answered = _asked(host)
    assert (answered.decision, answered.matched_rule, answered.reason) == ("deny", "emergency/e-1", "leaked key")
    assert answered.reason_code == "emergency_deny"
    assert answered.policy.release == number
    assert host.decide("act.1") == "allow"


def test_neither_an_emergency_nor_going_back_on_call_loads_a_policy_again(store, host, monkeypatch):
    first = store.publish(ALLOWING)
    host.poll()
    store.publish(NEXT)
    host.poll()
    monkeypatch.setattr("agent_sidecar.updating.prepare", None)

    for number, chosen in enumerate([None, None, first, None, first, first], start=3):
        store.call(denial("act.0"), selected=chosen)
        assert host.poll() is Outcome.ACTIVATED
        answered = _asked(host, "act.1")
        assert (answered.policy.release, answered.decision) == (number, "allow" if chosen else "deny")
        assert _asked(host).policy.release == number


def test_bytes_listed_again_with_another_content_digest_are_not_taken_for_the_loaded_policy(store, host):
    release = store.publish(ALLOWING)
    host.poll()
    store.release_as(replace(release, release=2, content_sha256="0" * 64), ALLOWING)

    assert (host.poll(), host.release) == (Outcome.REJECTED, 1)


def test_a_policy_listed_under_two_releases_is_taken_apart_once_and_only_when_both_are_gone(store, host):
    first = store.publish(ALLOWING)
    host.poll()
    store.publish(NEXT)
    host.poll()
    store.call(selected=first)
    host.poll()
    both = host.enforcement.active.matcher
    for number in (4, 5, 6):
        store.publish(bundle(rules("allow", "throttle"), number=number))
        assert host.poll() is Outcome.ACTIVATED
        assert host.decide("act.1") == "throttle"

    with pytest.raises(AttributeError):
        both.decide(normalise(REQUEST, now=host.clock(), host={}))


def test_without_entries_the_matcher_is_the_one_that_was_loaded(store, host):
    store.publish(ALLOWING)
    host.poll()

    assert not isinstance(host.enforcement.active.matcher, TightenedMatcher)


def test_an_entry_applies_to_a_host_that_is_rolled_back(store, host):
    store.publish(ALLOWING)
    host.poll()
    store.publish(NEXT)
    host.poll()
    host.enforcement.rollback(reason="act.1 is refused", by="ops")

    store.call(denial("act.0"))
    host.poll()

    assert (host.release, _by(host), host.decide("act.1")) == (1, "emergency/e-1", "allow")


def test_an_entry_survives_a_restart_without_network_on_a_host_that_is_rolled_back(store, host):
    store.publish(ALLOWING)
    host.poll()
    store.publish(NEXT)
    host.poll()
    host.enforcement.rollback(reason="act.1 is refused", by="ops")
    store.call(denial("act.0"))
    host.poll()

    host.store.is_down = True
    host.start()

    assert (host.release, _by(host)) == (1, "emergency/e-1")
    assert _events(host) == [("emergency", "e-1")]


def test_an_answer_given_in_process_follows_the_entries(store, host):
    store.publish(ALLOWING)
    store.call(denial("act.0"))
    host.poll()

    assert answer(host.path, REQUEST).matched_rule == "emergency/e-1"


def test_a_bundle_that_cannot_be_fetched_does_not_hold_an_entry_up(store, host):
    """The attack: whoever can delete from the bucket keeps hosts from an emergency by taking the new bundle away."""
    store.publish(ALLOWING)
    host.poll()
    store.bundle_path(store.publish(NEXT)).unlink()
    store.call(denial("act.0"))

    outcome = host.poll()

    assert (outcome, host.release, _by(host)) == (Outcome.UNREACHABLE, 1, "emergency/e-1")
    assert host.start().release == 1
    assert _by(host) == "emergency/e-1"


def test_a_bundle_that_is_refused_does_not_hold_an_entry_up(store, host):
    store.publish(ALLOWING)
    host.poll()
    store.publish(REFUSED)
    store.call(denial("act.0"))

    outcome = host.poll()

    assert (outcome, host.release, _by(host)) == (Outcome.REJECTED, 1, "emergency/e-1")


def test_an_entry_counts_until_it_expires_though_the_channel_has_released_since(store, host):
    store.publish(ALLOWING)
    store.call(denial("act.0"))
    host.poll()

    store.publish(NEXT)
    host.poll()

    assert (host.release, _by(host)) == (3, "emergency/e-1")


def test_a_deny_ends_to_the_second_and_is_reported_at_the_next_poll(store, host):
    store.publish(ALLOWING)
    store.call(denial("act.0"))
    host.poll()
    expires = host.enforcement.emergencies.entries[0].expires.timestamp()

    host.now = expires - 0.5
    assert _by(host) == "emergency/e-1"
    host.now = expires
    assert _by(host) == "p/r0"
    host.store.is_down = True
    host.poll()

    assert host.enforcement.emergencies.entries == ()
    assert _events(host) == [("emergency", "e-1"), ("emergency_expired", "e-1")]


def test_setting_the_clock_back_does_not_bring_an_entry_back_nor_end_one(store, host):
    store.publish(ALLOWING)
    store.call(denial("act.0"))
    host.poll()
    before = host.clock()

    host.now = before - 86_400
    assert _by(host) == "emergency/e-1"
    host.now = before + 7_200
    host.poll()
    host.now = before
    host.poll(full=True)

    assert _by(host) == "p/r0"


def test_an_entry_that_expired_while_the_host_was_down_is_reported_at_its_start(store, host):
    store.publish(ALLOWING)
    store.call(denial("act.0"))
    host.poll()

    host.now = host.clock() + 7_200
    host.start()

    assert _by(host) == "p/r0"
    assert _events(host)[-1] == ("emergency_expired", "e-1")


def test_a_newer_document_without_an_entry_lifts_it(store, host):
    store.publish(ALLOWING)
    store.call(denial("act.0"), denial("act.1", id="e-2"))
    host.poll()

    store.call(denial("act.1", id="e-2"))
    host.poll()

    assert (_by(host), _by(host, "act.1")) == ("p/r0", "emergency/e-2")
    assert _events(host) == [("emergency", "e-1"), ("emergency", "e-2"), ("emergency_lifted", "e-1")]


def test_an_older_document_does_not_lift_an_entry(store, host):
    """The attack: the metadata of before is served again."""
    store.publish(ALLOWING)
    host.poll()
    before = store.timestamp.read_bytes()
    store.call(denial("act.0"))
    host.poll()

    store.timestamp.write_bytes(before)
    host.poll(full=True)

    assert _by(host) == "emergency/e-1"


def test_an_older_document_does_not_lift_an_entry_though_the_update_never_ended_and_the_cache_is_lost(store, host):
    store.publish(ALLOWING)
    host.poll()
    before = store.timestamp.read_bytes()
    store.bundle_path(store.publish(NEXT)).unlink()
    store.call(denial("act.0"))
    host.poll()

    store.timestamp.write_bytes(before)
    for file in (host.path / "tuf").rglob("*.json"):
        file.unlink()
    outcome = host.poll(full=True)

    assert (outcome, _by(host)) == (Outcome.REJECTED, "emergency/e-1")


def test_a_foreign_key_lifts_nothing(store, host):
    store.publish(ALLOWING)
    store.call(denial("act.0"))
    host.poll()

    store.signers[ONCALL] = store.signers["snapshot"]
    store.call()

    assert (host.poll(), _by(host)) == (Outcome.REJECTED, "emergency/e-1")


LOOSENING = [
    denial("*", rule=denial("*")["rule"].replace('"deny"', '"allow"')),
    denial("*", rule=denial("*")["rule"].replace('"emergency"', '"p"')),
    denial("*", rule=denial("*")["rule"][:-1] + ',"skip_errors":true}'),
    denial("*", rule=denial("*")["rule"].replace('"e-1"', '"e-2"')),
    denial("*", rule=""),
    entry("deny", "act.0"),
    entry("allow", "act.0"),
    entry("revoke_grant", ""),
    entry("revoke_exception", "x", lasts=timedelta(days=31)),
    entry("revoke_exception", "x", lasts=-timedelta(hours=1)),
    entry("revoke_exception", "x", created="2099-01-01T00:00:00Z", expires="2099-01-02T00:00:00Z"),
    entry("revoke_exception", "x", unknown="1"),
    entry("revoke_exception", "x", reason="two\nlines"),
]


@pytest.mark.parametrize("forged", LOOSENING, ids=range(len(LOOSENING)))
def test_an_entry_that_is_none_is_refused_with_its_whole_update_and_the_old_ones_stay(store, host, forged):
    store.publish(ALLOWING)
    store.call(denial("act.1", id="e-9"))
    host.poll()

    store.call(forged)
    outcome = host.poll()

    assert outcome is Outcome.REJECTED
    assert "emergency entry" in host.updater.rejection.reason
    assert (host.release, _by(host), _by(host, "act.1")) == (2, "p/r0", "emergency/e-9")


def test_an_emergency_keeps_the_snapshot_to_go_back_to(store, host):
    store.publish(ALLOWING)
    host.poll()
    store.publish(NEXT)
    host.poll()
    for _ in range(3):
        store.call(denial("act.0"))
        host.poll()

    state = host.enforcement.state
    assert (state.current.release, state.previous.release) == (5, 1)
    host.enforcement.rollback(reason="act.1 is refused", by="ops")
    assert (host.release, _by(host), host.decide("act.1")) == (1, "emergency/e-1", "allow")


def test_after_a_rollback_by_whoever_is_on_call_an_emergency_keeps_what_it_came_from(store, host):
    first = store.publish(ALLOWING)
    host.poll()
    store.publish(NEXT)
    host.poll()
    store.call(selected=first)
    host.poll()
    assert not [name for name in host.store.reads if name.startswith("targets/")]
    store.call(denial("act.0"), selected=first)
    host.poll()

    state = host.enforcement.state
    assert (state.current.sha256, state.previous.release) == (first.sha256, 2)
    assert (_by(host), host.decide("act.1")) == ("emergency/e-1", "allow")


def test_a_full_disk_does_not_hold_an_entry_up(store, host, monkeypatch):
    store.publish(ALLOWING)
    host.poll()
    store.call(denial("act.0"))
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", _refuse)
        outcome = host.poll()

    assert (outcome, _by(host)) == (Outcome.UNREACHABLE, "emergency/e-1")
    host.poll()
    assert _events(host) == [("emergency", "e-1")]
    assert _by(host.start()) == "emergency/e-1"


def _refuse(_descriptor):
    raise OSError(28, "No space left on device")


def test_a_state_whose_entries_cannot_be_read_does_not_start(store, host):
    store.publish(ALLOWING)
    store.call(denial("act.0"))
    host.poll()
    host.stop()
    file = host.path / "state.json"
    state = json.loads(file.read_bytes())
    state["emergency"][0]["rule"] = state["emergency"][0]["rule"].replace('"match"', '"newer":1,"match"')
    file.write_bytes(msgspec.json.encode(state))

    with pytest.raises(StateError, match="emergency entry e-1: not a rule of a known form"):
        host.start()


def test_revoking_an_exception_takes_effect_and_ends_a_poll_after_it_expires(store, host):
    waiver = PolicyException("waiver", ("p/refuse",), Clauses(), 0, 4_000_000_000)
    policy = [Rule("p", "allow", Decision.ALLOW), Rule("p", "refuse", Decision.DENY)]
    files = {"provisions.json": encode_provisions(Provisions(exceptions=(waiver,)))}
    store.publish(bundle(policy, number=1, **files))
    host.poll()
    assert (_asked(host).decision, _asked(host).exception) == ("allow", "waiver")

    store.call(entry("revoke_exception", "waiver"))
    host.poll()
    assert (_asked(host).decision, _asked(host).exception) == ("deny", "")

    host.now = host.clock() + 7_200
    host.poll()
    assert _asked(host).decision == "allow"


def test_revoking_an_approver_takes_effect(store, host):
    store.publish(bundle([ASKING], number=1, **FILES))
    host.poll()
    memory = host.new_memory()

    def asked(*grants):
        return host.enforcement.active.answer(asking_request(*grants), now=time.time(), decision_id="", memory=memory)

    grant = grant_for(msgspec.to_builtins(asked().approval))
    store.call(entry("revoke_approver", "ana"))
    host.poll()

    assert (asked(grant).decision, asked(grant).reason_code) == ("require_approval", "grant_revoked")


def _status(host):
    found = status_of(host.enforcement, host.updater, host.clock, host.new_memory(), NoLog().status())
    return msgspec.json.decode(msgspec.json.encode(found))


def test_the_status_shows_what_is_in_force_and_what_names_nothing(store, host):
    store.publish(bundle([ASKING], number=1, **FILES))
    store.call(
        denial("act.0"),
        entry("revoke_approver", "ana", id="e-2"),
        entry("revoke_approver", "nobody", id="e-3"),
        entry("revoke_exception", "waiver", id="e-4"),
        entry("revoke_grant", "ab" * 16, id="e-5"),
    )
    host.poll()

    found = _status(host)

    shown = found["emergency"]
    assert shown[0] | {"until": ""} == {
        "id": "e-1", "kind": "deny", "reason": "leaked key", "actor": "ana", "until": "",
        "rule": {"match": {"actions": ["act.0"]}},
    }  # fmt: skip
    assert [each["id"] for each in shown if each.get("names_nothing")] == ["e-3", "e-4"]
    text = status_text(found)
    assert f'emergency  e-1: deny {{"match": {{"actions": ["act.0"]}}}} until {shown[0]["until"]}' in text
    assert "by ana: leaked key, names nothing here" in text


def test_the_status_shows_no_entry_where_none_is_in_force(store, host):
    store.publish(ALLOWING)
    host.poll()

    assert _status(host)["emergency"] == []
    assert "emergency" not in status_text(_status(host))


def test_the_history_names_entry_kind_reason_and_actor(store, host):
    store.publish(ALLOWING)
    store.call(entry("revoke_approver", "ana"))
    host.poll()

    (event,) = host.events("emergency")

    assert (event.entry, event.reason, event.by) == ("e-1", "revoke_approver ana: leaked key", "ana")
    assert "e-1  by ana  revoke_approver ana: leaked key" in event_text(msgspec.to_builtins(event))


def test_an_explanation_given_by_the_sidecar_follows_the_entries(store, host):
    store.publish(ALLOWING)
    store.call(denial("act.0"))
    host.poll()

    record = explain_in_force(
        host.enforcement.active, REQUEST, now=host.clock(), memory=host.new_memory(), pause=lambda: None
    )

    assert record["answer"]["matched_rule"] == "emergency/e-1"
    assert [rule["rule"] for rule in record["rules"]][:2] == ["emergency/e-1", "p/r0"]


def test_a_refresh_over_the_same_entries_keeps_the_matcher(store, host):
    store.publish(ALLOWING)
    store.call(denial("act.0"))
    host.poll()
    matcher = host.enforcement.active.matcher

    store.refresh()
    host.poll()

    assert host.enforcement.active.matcher is matcher
