"""Making an activation: what a bundle must be, and that others get their turn meanwhile."""

from dataclasses import replace
from typing import Any

import pytest
from signed_store import SignedStore, bundle, rules

from agent_sidecar.activation import prepare
from policy_core.decision import POLICY_STALE
from policy_core.selftest import SelfTestCase, SelfTestError
from policy_core.trust.errors import MetadataError

REQUEST: dict[str, Any] = {"job": {"topic": "act.0"}}


def test_an_activation_answers_with_the_policy_it_is(store: SignedStore) -> None:
    release = store.publish(bundle(rules("allow"), number=1))
    activation = prepare(bundle(rules("allow"), number=1), release, host={}, now=7.0)

    answer = activation.answer(REQUEST, now=8.0, decision_id="d")

    assert (answer.decision, answer.decision_id, activation.activated_at) == ("allow", "d", 7.0)
    assert answer.policy
    assert (answer.policy.bundle, answer.policy.channel) == (f"sha256:{release.sha256}", "prod")


def test_from_its_limit_on_it_denies_as_stale(store: SignedStore) -> None:
    blob = bundle(rules("allow"), number=1)
    activation = replace(prepare(blob, store.publish(blob), host={}, now=0.0), deny_after=10.0)

    assert activation.answer(REQUEST, now=9.9, decision_id="").decision == "allow"
    assert activation.answer(REQUEST, now=10.0, decision_id="").reason_code == POLICY_STALE


def test_whether_an_answer_came_from_the_cache_shows_right_after_it(
    store: SignedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("policy_core.matcher.matcher.FEW_RULES", 0)
    monkeypatch.setattr("policy_core.matcher.caching.MEET_EVERY", 1)
    monkeypatch.setattr("policy_core.matcher.caching.WARM_AFTER", 1)
    blob = bundle(rules("allow"), number=1)
    activation = prepare(blob, store.publish(blob), host={}, now=0.0)
    seen = []
    for number in range(5):
        before = activation.cache_hits
        activation.answer(REQUEST, now=float(number), decision_id="d")
        seen.append(activation.cache_hits - before)

    assert seen == [0, 0, 0, 1, 1]
    assert activation.cache_misses == 1


def test_the_same_bytes_released_again_begin_with_an_empty_cache_and_name_the_newer_release(
    store: SignedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("policy_core.matcher.matcher.FEW_RULES", 0)
    monkeypatch.setattr("policy_core.matcher.caching.MEET_EVERY", 1)
    monkeypatch.setattr("policy_core.matcher.caching.WARM_AFTER", 1)
    blob = bundle(rules("allow"), number=1)
    first, second = store.publish(blob), store.publish(blob)
    activation = prepare(blob, first, host={}, now=0.0)
    for _ in range(5):
        activation.answer(REQUEST, now=0.0, decision_id="d")

    again = activation.listed_as(second, now=1.0)

    assert again
    assert (activation.cache_hits, again.cache_hits) == (2, 0)
    answers = [again.answer(REQUEST, now=1.0, decision_id="d").policy for _ in range(5)]
    assert {policy.release for policy in answers if policy} == {second.release}


def test_the_self_test_must_hold(store: SignedStore) -> None:
    blob = bundle(rules("deny"), number=1, selftest=[SelfTestCase(request=REQUEST, decision="allow")])

    with pytest.raises(SelfTestError):
        prepare(blob, store.publish(blob), host={}, now=0.0)


def test_a_bundle_of_another_revision_than_signed_is_refused(store: SignedStore) -> None:
    blob = bundle(rules("allow"), number=1)
    release = replace(store.publish(blob), revision="f" * 40)

    with pytest.raises(MetadataError, match="is not the content of revision f"):
        prepare(blob, release, host={}, now=0.0)


def test_loading_pauses_between_slices(store: SignedStore) -> None:
    blob = bundle(rules(*["allow"] * 2000), number=1)
    pauses: list[None] = []

    prepare(blob, store.publish(blob), host={}, now=0.0, pause=lambda: pauses.append(None))

    assert len(pauses) > 20


def test_it_is_warm_for_what_was_asked_of_the_one_before(store: SignedStore) -> None:
    blob, newer = bundle(rules("allow"), number=1), bundle(rules("deny"), number=2)
    before = prepare(blob, store.publish(blob), host={}, now=0.0)
    before.answer(REQUEST, now=1.0, decision_id="d")
    before.answer({"job": {"topic": "never.heard.of"}}, now=1.0, decision_id="d")

    after = prepare(newer, store.publish(newer), host={}, now=2.0, before=before)

    index = after.matcher.parts[0]
    assert set(index._plans.newest(10)) == {"act.0", "never.heard.of"}
    assert after.answer(REQUEST, now=3.0, decision_id="d").decision == "deny"
