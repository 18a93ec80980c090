"""Reviews as requests, answers as reviews: the tables of docs/reference/kubernetes.md."""

from typing import Any

import pytest

from agent_sidecar.admission import MAX_WARNING_CHARS, read_review, reply_to, request_of
from policy_core.decision import Answer, DryRun, PolicyRef
from policy_core.model import Decision
from policy_core.request import RequestError, normalise

POD = {"kind": "Pod", "spec": {}}
REQUEST = {
    "uid": "u-1",
    "kind": {"group": "", "version": "v1", "kind": "Pod"},
    "resource": {"group": "", "version": "v1", "resource": "pods"},
    "operation": "CREATE",
    "userInfo": {"username": "ada", "uid": "7", "groups": ["dev"], "extra": {"scopes": ["openid"]}},
    "namespace": "shop",
    "name": "web",
    "object": POD,
    "oldObject": None,
    "dryRun": False,
    "options": {"kind": "CreateOptions"},
}


def review(**changes: Any) -> Any:
    return read_review({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": REQUEST | changes})


def answer(decision: Decision, **more: Any) -> Answer:
    is_allowed = decision in (Decision.ALLOW, Decision.ALLOW_WITH_CONSTRAINTS)
    more = {"reason_code": "matched_rule", "decision_id": "d-1"} | more
    return Answer(decision=decision, allowed=is_allowed, **more)


def test_every_part_of_a_review_has_its_place() -> None:
    assert request_of(review(subResource="exec", oldObject=POD)) == {
        "subject": {
            "type": "user",
            "id": "ada",
            "properties": {"roles": ["dev"], "uid": "7", "extra": {"scopes": ["openid"]}},
        },
        "action": {"name": "kubernetes.create"},
        "resource": {
            "type": "pods/exec",
            "id": "shop/web",
            "properties": {
                "kind": "Pod",
                "namespace": "shop",
                "name": "web",
                "subresource": "exec",
                "object": POD,
                "old_object": POD,
            },
        },
        "context": {"dry_run": False, "tenant": "shop"},
    }


def test_what_a_review_leaves_out_is_absent() -> None:
    request = request_of(review(namespace="", name="", object=None, userInfo={"username": "ada"}))

    assert request["resource"] == {"type": "pods", "id": "", "properties": {"kind": "Pod"}}
    assert (request["subject"]["properties"], request["context"]) == ({}, {"dry_run": False})
    normalise(request, now=0.0, host={})


@pytest.mark.parametrize(
    ("username", "expected"),
    [
        ("system:serviceaccount:ci:deployer", "service_account"),
        ("system:node:n-1", "node"),
        ("system:anonymous", "user"),
        ("oidc:system:node:n-1", "user"),
        ("System:node:n-1", "user"),
    ],
)
def test_the_kind_of_subject_is_in_the_reserved_prefix_of_its_name(username: str, expected: str) -> None:
    assert request_of(review(userInfo={"username": username}))["subject"]["type"] == expected


@pytest.mark.parametrize(
    ("group", "resource", "subresource", "expected"),
    [
        ("", "pods", "", "pods"),
        ("apps", "deployments", "", "deployments.apps"),
        ("apps", "deployments", "scale", "deployments.apps/scale"),
    ],
)
def test_the_type_names_resource_group_and_subresource(
    group: str, resource: str, subresource: str, expected: str
) -> None:
    found = request_of(
        review(resource={"group": group, "version": "v1", "resource": resource}, subResource=subresource)
    )

    assert found["resource"]["type"] == expected


@pytest.mark.parametrize("decision", list(Decision))
def test_nothing_but_a_plain_allow_is_admitted(decision: Decision) -> None:
    response = reply_to(review(), answer(decision, constraints={"max_targets": 1}))["response"]

    assert response["allowed"] is (decision is Decision.ALLOW)
    assert ("status" in response) is (decision is not Decision.ALLOW)


def test_a_refusal_says_why_and_how_to_find_it_again() -> None:
    said = answer(Decision.DENY, reason="No", matched_rule="a/b", policy=PolicyRef("sha256:0", "r-1", "prod", 4))

    response = reply_to(review(), said)["response"]

    assert response["status"] == {"code": 403, "reason": "Forbidden", "message": "writ: No [a/b] (decision d-1)"}
    assert response["auditAnnotations"] == {
        "decision": "deny", "decision-id": "d-1", "rule": "a/b", "revision": "r-1", "release": "4",
    }  # fmt: skip


@pytest.mark.parametrize(("wait", "expected"), [(12.2, 13), (None, 1)])
def test_a_throttled_request_may_come_again(wait: float | None, expected: int) -> None:
    status = reply_to(review(), answer(Decision.THROTTLE, retry_after_s=wait))["response"]["status"]

    assert (status["code"], status["details"]) == (429, {"retryAfterSeconds": expected})


def test_a_policy_on_trial_warns_where_it_would_not_admit() -> None:
    stricter = answer(Decision.ALLOW, dry_run=DryRun(Decision.DENY, "trial/" + "x" * 400))
    same = answer(Decision.ALLOW, dry_run=DryRun(Decision.ALLOW))

    (warning,) = reply_to(review(), stricter)["response"]["warnings"]

    assert warning.startswith("writ: a policy on trial would decide deny by trial/")
    assert len(warning) == MAX_WARNING_CHARS
    assert "warnings" not in reply_to(review(), same)["response"]


@pytest.mark.parametrize("part", ["uid", "kind", "resource", "operation", "userInfo"])
def test_a_review_without_what_a_request_needs_is_refused(part: str) -> None:
    with pytest.raises(RequestError, match="review: "):
        review(**{part: None})
