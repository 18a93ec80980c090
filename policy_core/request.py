"""Requests in both forms, normalised by one pure function (DESIGN of the forms: docs/reference/requests.md).

The canonical form is OpenID AuthZEN 1.0 (subject, action, resource, context). The *job* form
``{"tenant_id": …, "job": {…}}`` is mapped onto it; an OPA ``{"input": …}`` of either form is unwrapped.
Unknown keys are ignored, as AuthZEN demands; what the rules rely on (the five scalars) is checked.
"""

from collections.abc import Callable, Mapping
from typing import Any

from policy_core.errors import UsageError

_EMPTY: frozenset[str] = frozenset()
_NO_LABELS: dict[str, str] = {}


class RequestError(UsageError):
    """The request has not the shape of either form; the message lists everything wrong with it."""

    default_hint = (
        'send {"subject": {"type", "id"}, "action": {"name"}, "resource": {"type", "id"}} or {"job": {"topic"}}'
    )


class Request:
    """A normalised request with the circumstances the host adds.

    `subject`, `action`, `resource` and `context` are plain JSON objects; the first three always hold their scalars and
    ``properties``, which are there by themselves too. `tags`, `roles`, `requires` (sets) and `labels` are taken out of
    them once: absent is empty, and ``None`` stands for a value of the wrong type, which makes a clause over it an
    error. `host` holds the host's labels, `now` seconds since the epoch. Some of it is worked out when first asked for.
    """

    __slots__ = (
        "action", "action_name", "action_properties", "context", "host", "labels", "now", "requires", "resource",
        "resource_id", "resource_properties", "resource_roles", "resource_type", "roles", "subject", "subject_id",
        "subject_properties", "subject_type", "tags",
    )  # fmt: skip

    subject: dict[str, Any]
    action: dict[str, Any]
    resource: dict[str, Any]
    roles: frozenset[str] | None
    resource_roles: frozenset[str] | None
    requires: frozenset[str] | None

    def __init__(
        self,
        subject: dict[str, Any],
        action: dict[str, Any],
        resource: dict[str, Any],
        context: dict[str, Any],
        now: float,
        host: Mapping[str, str],
    ) -> None:
        self.subject_type: str = subject["type"]
        self.subject_id: str = subject["id"]
        self.action_name: str = action["name"]
        self.resource_type: str = resource["type"]
        self.resource_id: str = resource["id"]
        self.subject_properties = _properties(subject)
        self.action_properties = _properties(action)
        self.resource_properties = _properties(resource)
        self.context = context
        self.now = now
        self.host = host
        self.tags = _string_set(context.get("risk_tags"))
        labels = context.get("labels")
        self.labels: dict[str, Any] | None = _NO_LABELS if labels is None else labels if type(labels) is dict else None

    def __getattr__(self, name: str) -> Any:
        """Work out what no slot holds yet. Raises AttributeError for what a request has not."""
        work_out = _LATER.get(name)
        if work_out is None:
            raise AttributeError(name)
        value = work_out(self)
        setattr(self, name, value)
        return value

    def carrying(self, tags: frozenset[str]) -> "Request":
        """Return this request with more risk tags: claimed ones are never taken away, a broken claim stays broken."""
        if self.tags is None or tags <= self.tags:
            return self
        context = {**self.context, "risk_tags": sorted(tags | self.tags)}
        return Request(self.subject, self.action, self.resource, context, now=self.now, host=self.host)


_LATER: dict[str, Callable[[Request], Any]] = {
    "subject": lambda r: {"type": r.subject_type, "id": r.subject_id, "properties": r.subject_properties},
    "action": lambda r: {"name": r.action_name, "properties": r.action_properties},
    "resource": lambda r: {"type": r.resource_type, "id": r.resource_id, "properties": r.resource_properties},
    "roles": lambda r: _string_set(r.subject_properties.get("roles")),
    "resource_roles": lambda r: _string_set(r.resource_properties.get("roles")),
    "requires": lambda r: _string_set(r.context.get("requires")),
}
"""What most requests are answered without: worked out when it is first asked for."""


def normalise(raw: object, *, now: float, host: Mapping[str, str]) -> Request:
    """Return the canonical request of either form; `raw` is a decoded JSON value and stays untouched.

    Raises RequestError naming every part that is missing or of the wrong type.
    """
    if type(raw) is not dict:
        raise RequestError("request: is not a JSON object")
    body: dict[str, Any] = raw
    if "subject" not in body:
        if type(body.get("input")) is dict:
            body = body["input"]
        if "job" in body and "subject" not in body:
            body = from_job(body)
    try:
        context = body.get("context")
        if context is None:
            context = {}
        request = Request(body["subject"], body["action"], body["resource"], context, now, host)
        if (
            type(request.subject_type) is type(request.subject_id) is type(request.action_name) is str
            and type(request.resource_type) is type(request.resource_id) is type(request.action_name)
            and type(context) is dict
        ):
            return request
    except (KeyError, TypeError, AttributeError):
        pass  # one of the parts is missing or no object: say which below
    raise RequestError("request: " + "; ".join(_problems(body)))


def canonical(raw: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return subject, action, resource and context of a request in either form, as `normalise` has them.

    Raises RequestError for what has not got them; their values are not looked at.
    """
    try:
        body = raw
        if "subject" not in body:
            if type(body.get("input")) is dict:
                body = body["input"]
            if "job" in body and "subject" not in body:
                body = from_job(body)
        subject, action, resource, context = body["subject"], body["action"], body["resource"], body.get("context")
        parts = (
            {"type": subject["type"], "id": subject["id"], "properties": _properties(subject)},
            {"name": action["name"], "properties": _properties(action)},
            {"type": resource["type"], "id": resource["id"], "properties": _properties(resource)},
            {} if context is None else context,
        )
    except (KeyError, TypeError, AttributeError):
        parts = None
    if parts is None or type(parts[3]) is not dict:
        raise RequestError("request: has not all its parts")
    return parts


def from_job(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Map the job form onto the AuthZEN form (the table in docs/reference/requests.md).

    Raises RequestError if `job` or a scalar in it is of the wrong type.
    """
    job = raw["job"]
    if type(job) is not dict:
        raise RequestError("request: job is not an object")
    topic = job.get("topic")
    context: dict[str, Any] = {"tenant": raw.get("tenant_id", "default")}
    rest = {}
    for key, value in job.items():
        if key in _JOB_CONTEXT:
            context[key] = value
        elif key not in _JOB_SCALARS:
            rest[key] = value
    if rest:
        context["job"] = rest
    return {
        "subject": {"type": job.get("actor_type", "anonymous"), "id": job.get("actor_id", "anonymous")},
        "action": {"name": topic},
        "resource": {"type": "job", "id": job.get("job_id", topic)},
        "context": context,
    }


_JOB_SCALARS = frozenset({"topic", "actor_type", "actor_id", "job_id"})
_JOB_CONTEXT = frozenset({"risk_tags", "labels", "capability", "requires", "pack_id", "grants"})
_SHAPE = (("subject", ("type", "id")), ("action", ("name",)), ("resource", ("type", "id")))


def _properties(part: dict[str, Any]) -> dict[str, Any]:
    properties = part.get("properties")
    if properties is None:
        return {}
    if type(properties) is not dict:
        raise TypeError
    return properties


def _string_set(value: object) -> frozenset[str] | None:
    """Return the strings of a list as a set; absent is empty, anything else is None (an error in clauses)."""
    if value is None:
        return _EMPTY
    if type(value) is not list:
        return None
    for item in value:
        if type(item) is not str:
            return None
    return frozenset(value)


def _problems(raw: Mapping[str, Any]) -> list[str]:
    found = []
    for part, scalars in _SHAPE:
        value = raw.get(part)
        if type(value) is not dict:
            found.append(f"{part} is {'missing' if value is None else 'not an object'}")
            continue
        found += [
            f"{part}.{name} is {'missing' if value.get(name) is None else 'not a string'}"
            for name in scalars
            if type(value.get(name)) is not str
        ]
        if value.get("properties") is not None and type(value["properties"]) is not dict:
            found.append(f"{part}.properties is not an object")
    if raw.get("context") is not None and type(raw["context"]) is not dict:
        found.append("context is not an object")
    return found
