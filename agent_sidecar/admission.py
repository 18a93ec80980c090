"""Kubernetes `AdmissionReview` v1 as a request, and answers as reviews (tables: docs/reference/kubernetes.md).

A review is read strictly in what the request is made of; what Kubernetes may add beside that is ignored.
"""

import math
from typing import Annotated, Any, Literal

import msgspec

from policy_core.decision import Answer
from policy_core.model import Decision
from policy_core.request import RequestError

MAX_WARNING_CHARS = 256
"""More than that of one warning may be cut off by the API server."""
_SUBJECT_TYPES = (("system:serviceaccount:", "service_account"), ("system:node:", "node"))
_OPERATIONS = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]


class Kind(msgspec.Struct):
    """What is changed."""

    kind: str


class Resource(msgspec.Struct):
    """What is changed, as paths of the API name it."""

    resource: NonEmpty
    group: str = ""


class UserInfo(msgspec.Struct):
    """Who asks for the change."""

    username: NonEmpty
    uid: str = ""
    groups: list[str] = []
    extra: dict[str, list[str]] = {}


class AdmissionRequest(msgspec.Struct, rename="camel"):
    """The change. What Kubernetes may add beside is ignored."""

    uid: NonEmpty
    kind: Kind
    resource: Resource
    operation: _OPERATIONS
    user_info: UserInfo
    sub_resource: str = ""
    name: str = ""
    namespace: str = ""
    object: dict[str, Any] | None = None
    old_object: dict[str, Any] | None = None
    dry_run: bool = False


class Review(msgspec.Struct, rename="camel"):
    """What is asked; `request.dry_run` says that nothing may change by it."""

    api_version: Literal["admission.k8s.io/v1"]
    kind: Literal["AdmissionReview"]
    request: AdmissionRequest


def read_review(raw: object) -> Review:
    """Return a decoded review. Raises RequestError if it is none of version v1, or names no user, resource or uid."""
    try:
        return msgspec.convert(raw, Review)
    except msgspec.ValidationError as error:
        raise RequestError(
            f"review: {error}", hint='send an AdmissionReview of "admission.k8s.io/v1", as the API server does'
        ) from error


def request_of(review: Review) -> dict[str, Any]:
    """Map a review onto the AuthZEN form (the table in docs/reference/kubernetes.md)."""
    asked, user = review.request, review.request.user_info
    subject = {"roles": user.groups, "uid": user.uid, "extra": user.extra}
    resource = {
        "kind": asked.kind.kind,
        "group": asked.resource.group,
        "name": asked.name,
        "namespace": asked.namespace,
        "subresource": asked.sub_resource,
        "object": asked.object,
        "old_object": asked.old_object,
    }
    return {
        "subject": {"type": _subject_type(user.username), "id": user.username, "properties": _given(subject)},
        "action": {"name": f"kubernetes.{asked.operation.lower()}"},
        "resource": {
            "type": _resource_type(asked),
            "id": f"{asked.namespace}/{asked.name}" if asked.namespace else asked.name,
            "properties": _given(resource),
        },
        "context": {"dry_run": asked.dry_run, **_given({"tenant": asked.namespace})},
    }


def reply_to(review: Review, answer: Answer) -> dict[str, Any]:
    """Return the review that answers. It allows what is allowed without constraints, as nobody here would keep them."""
    response: dict[str, Any] = {
        "uid": review.request.uid,
        "allowed": answer.decision is Decision.ALLOW,
        "auditAnnotations": _annotations(answer),
    }
    if answer.decision is not Decision.ALLOW:
        response["status"] = _status(answer)
    elif answer.dry_run and answer.dry_run.decision is not Decision.ALLOW:
        by = f" by {answer.dry_run.matched_rule}" if answer.dry_run.matched_rule else ""
        warning = f"writ: a policy on trial would decide {answer.dry_run.decision}{by}"
        response["warnings"] = [warning[:MAX_WARNING_CHARS]]
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values that are not empty: Kubernetes leaves out what is, and so what rules read is absent."""
    return {name: value for name, value in values.items() if value}


def _subject_type(username: str) -> str:
    return next((name for prefix, name in _SUBJECT_TYPES if username.startswith(prefix)), "user")


def _resource_type(asked: AdmissionRequest) -> str:
    """Return for example ``pods``, ``deployments.apps``, ``pods/exec``, ``deployments.apps/scale``."""
    resource = f"{asked.resource.resource}.{asked.resource.group}" if asked.resource.group else asked.resource.resource
    return f"{resource}/{asked.sub_resource}" if asked.sub_resource else resource


def _annotations(answer: Answer) -> dict[str, str]:
    said = {"decision": str(answer.decision), "decision-id": answer.decision_id, "rule": answer.matched_rule}
    if answer.policy:
        said |= {"revision": answer.policy.revision, "release": str(answer.policy.release)}
    return {name: value for name, value in said.items() if value}


def _status(answer: Answer) -> dict[str, Any]:
    why = answer.reason or answer.reason_code
    if answer.decision is Decision.ALLOW_WITH_CONSTRAINTS:
        why = f"allowed within constraints only, which nothing here keeps ({', '.join(sorted(answer.constraints))})"
    elif answer.decision is Decision.REQUIRE_APPROVAL:
        why = f"needs an approval: {why}"
    by = f" [{answer.matched_rule}]" if answer.matched_rule else ""
    message = f"writ: {why}{by} (decision {answer.decision_id})"
    if answer.decision is Decision.THROTTLE:
        wait = {"retryAfterSeconds": math.ceil(answer.retry_after_s or 1)}
        return {"code": 429, "reason": "TooManyRequests", "message": message, "details": wait}
    return {"code": 403, "reason": "Forbidden", "message": message}
