"""Both request forms become one; what the rules rely on is checked, everything wrong is said at once."""

import pytest

from policy_core.request import RequestError, from_job, normalise

AUTHZEN = {
    "subject": {"type": "user", "id": "alice", "properties": {"roles": ["sre"]}},
    "action": {"name": "service.restart"},
    "resource": {"type": "service", "id": "checkout"},
    "context": {"risk_tags": ["prod"], "labels": {"env": "prod"}, "requires": ["shell"]},
}


def _normalised(raw):
    return normalise(raw, now=5.0, host={"env": "prod"})


def test_the_canonical_form_is_taken_as_it_is():
    request = _normalised(AUTHZEN)

    assert (request.subject_type, request.subject_id, request.action_name) == ("user", "alice", "service.restart")
    assert (request.resource_type, request.resource_id) == ("service", "checkout")
    assert request.resource["properties"] == {}
    assert (request.roles, request.tags, request.requires) == ({"sre"}, {"prod"}, {"shell"})
    assert (request.labels, request.now, request.host) == ({"env": "prod"}, 5.0, {"env": "prod"})


def test_the_job_form_is_mapped():
    raw = {
        "tenant_id": "acme",
        "job": {
            "topic": "job.exec", "actor_type": "agent", "actor_id": "bot", "job_id": "j1", "risk_tags": ["prod"],
            "capability": "shell", "pack_id": "p", "requires": ["x"], "labels": {"a": "b"}, "priority": 3,
        },
    }  # fmt: skip

    assert from_job(raw) == {
        "subject": {"type": "agent", "id": "bot"},
        "action": {"name": "job.exec"},
        "resource": {"type": "job", "id": "j1"},
        "context": {
            "tenant": "acme", "risk_tags": ["prod"], "capability": "shell", "pack_id": "p", "requires": ["x"],
            "labels": {"a": "b"}, "job": {"priority": 3},
        },
    }  # fmt: skip


def test_a_bare_job_gets_the_documented_defaults():
    request = _normalised({"job": {"topic": "job.exec"}})

    assert (request.subject_type, request.subject_id) == ("anonymous", "anonymous")
    assert (request.resource_type, request.resource_id) == ("job", "job.exec")
    assert request.context == {"tenant": "default"}


@pytest.mark.parametrize("inner", [AUTHZEN, {"job": {"topic": "job.exec"}}])
def test_an_opa_input_of_either_form_is_unwrapped(inner):
    assert _normalised({"input": inner}).action_name == _normalised(inner).action_name


def test_unknown_keys_are_ignored():
    assert _normalised({**AUTHZEN, "extra": 1}).action_name == "service.restart"


def test_everything_wrong_is_said_at_once():
    raw = {"subject": {"type": 5}, "action": "x", "context": []}

    with pytest.raises(RequestError) as caught:
        _normalised(raw)

    assert caught.value.message == (
        "request: subject.type is not a string; subject.id is missing; action is not an object; "
        "resource is missing; context is not an object"
    )


@pytest.mark.parametrize(
    "raw",
    [
        None, [], "x", 5, {}, {"job": 5}, {"job": {}}, {"job": {"topic": 7}}, {"input": []},
        {**AUTHZEN, "subject": {"type": "user", "id": "a", "properties": []}},
        {**AUTHZEN, "resource": {"type": "service", "id": None}},
        {**AUTHZEN, "context": "x"},
    ],
)  # fmt: skip
def test_a_request_of_the_wrong_shape_is_refused(raw):
    with pytest.raises(RequestError):
        _normalised(raw)


def test_deeply_wrapped_input_is_refused_not_followed_for_ever():
    raw = AUTHZEN
    for _ in range(5000):
        raw = {"input": raw}

    with pytest.raises(RequestError):
        _normalised(raw)


@pytest.mark.parametrize("value", ["prod", ["prod", 3], {"prod": True}, 5])
def test_tags_of_the_wrong_type_are_not_taken_for_no_tags(value):
    assert _normalised({**AUTHZEN, "context": {"risk_tags": value}}).tags is None


def test_the_input_is_left_untouched():
    before = repr(AUTHZEN)
    _normalised(AUTHZEN)

    assert repr(AUTHZEN) == before


def test_whole_parts_are_what_was_sent_and_no_more():
    raw = {
        "subject": {"type": "user", "id": "ann", "properties": {"roles": ["sre"]}, "extra": 1},
        "action": {"name": "act", "extra": 1},
        "resource": {"type": "service", "id": "web", "properties": None},
    }

    request = normalise(raw, now=0.0, host={})

    assert request.subject == {"type": "user", "id": "ann", "properties": {"roles": ["sre"]}}
    assert request.action == {"name": "act", "properties": {}}
    assert request.resource == {"type": "service", "id": "web", "properties": {}}
    assert request.subject is request.subject
    assert not hasattr(request, "extra")
