"""Bodies that no code decodes by a type: read by hand, because decisions are counted in microseconds, or made of parts.

They say what `policy_core.request`, `policy_core.searching` and the APIs do; a test that sends what they allow, and
what they do not, keeps them honest.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from agent_sidecar.inventory import HeldSnapshot
from agent_sidecar.server.insights import Which
from agent_sidecar.status import Status
from agent_sidecar.updating import Outcome
from policy_core.decision import Answer
from policy_core.searching import PageRequest

Properties = dict[str, Any] | None
Told = Annotated[str, Meta(min_length=1, max_length=500)]


class Prometheus:
    """The text form of metrics: no JSON, so no schema."""


class Failure(msgspec.Struct, omit_defaults=True):
    """What went wrong, and what to do about it."""

    code: str
    message: str
    hint: str = ""


class ErrorReply(msgspec.Struct):
    """An error of the service."""

    error: Failure


class OpaError(msgspec.Struct):
    """An error as Open Policy Agent gives it."""

    code: str
    message: str


class Entity(msgspec.Struct):
    """A subject or a resource."""

    type: str
    id: str
    properties: Properties = None


class Action(msgspec.Struct):
    """What is tried."""

    name: str
    properties: Properties = None


class EvaluationRequest(msgspec.Struct):
    """A request in the AuthZEN form."""

    subject: Entity
    action: Action
    resource: Entity
    context: Properties = None


class Job(msgspec.Struct):
    """What a scheduler is about to run; other members are `context.job`."""

    topic: str
    actor_type: str | UnsetType = UNSET
    actor_id: str | UnsetType = UNSET
    job_id: str | UnsetType = UNSET
    capability: Any = UNSET
    pack_id: Any = UNSET
    risk_tags: Any = UNSET
    labels: Any = UNSET
    requires: Any = UNSET
    grants: Any = UNSET


class JobRequest(msgspec.Struct):
    """A request in the job form."""

    job: Job
    tenant_id: Any = UNSET


class EvaluationReply(msgspec.Struct):
    """The boolean, and beside it the complete answer. A true one may come with constraints to act within."""

    decision: bool
    context: Answer


class BatchOptions(msgspec.Struct):
    """When a batch ends."""

    evaluations_semantic: Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"] = "execute_all"


class BatchRequest(msgspec.Struct):
    """Several requests; a part that an item does not have is taken from beside `evaluations`."""

    evaluations: Annotated[list[Any], Meta(min_length=1, max_length=100)]
    options: BatchOptions | UnsetType = UNSET
    subject: Any = UNSET
    action: Any = UNSET
    resource: Any = UNSET
    context: Any = UNSET


class ItemReply(msgspec.Struct):
    """An answer, or `{"error": {"status", "message"}}` in place of one."""

    decision: bool
    context: dict[str, Any]


class BatchReply(msgspec.Struct):
    """Answers in the order of the items, up to the one that ended the batch."""

    evaluations: list[ItemReply]


class Typed(msgspec.Struct):
    """What is searched for."""

    type: str


class SubjectSearch(msgspec.Struct):
    """Who may do this?"""

    subject: Typed
    action: Action
    resource: Entity
    context: Properties = None
    page: PageRequest | None = None


class ResourceSearch(msgspec.Struct):
    """On what may this be done?"""

    subject: Entity
    action: Action
    resource: Typed
    context: Properties = None
    page: PageRequest | None = None


class ActionSearch(msgspec.Struct):
    """What may be done?"""

    subject: Entity
    resource: Entity
    context: Properties = None
    page: PageRequest | None = None


class AuthZenMetadata(msgspec.Struct, omit_defaults=True):
    """Where each API of AuthZEN is."""

    policy_decision_point: str
    access_evaluation_endpoint: str
    access_evaluations_endpoint: str
    search_subject_endpoint: str = ""
    search_resource_endpoint: str = ""
    search_action_endpoint: str = ""


class JobAnswer(Answer, omit_defaults=True, kw_only=True):
    """A complete answer with its decision in capitals."""

    decision: Literal["DENY", "REQUIRE_APPROVAL", "THROTTLE", "ALLOW_WITH_CONSTRAINTS", "ALLOW"]  # type: ignore[assignment]


class Supposed(msgspec.Struct):
    """What was supposed for a simulation."""

    snapshot: Which
    now: str


class SimulatedAnswer(JobAnswer, omit_defaults=True, kw_only=True):
    """What would be answered; it has no decision id."""

    simulated: Supposed


class ExplanationReply(msgspec.Struct):
    """An answer, the rules near the request, and what would lead to another decision."""

    answer: Answer
    rules: list[dict[str, Any]]
    hidden: int
    suggestions: list[dict[str, Any]]


class SnapshotsReply(msgspec.Struct):
    """The snapshots of a host, the current one first."""

    snapshots: list[HeldSnapshot]


class EvaluationInput(msgspec.Struct):
    """A request in the AuthZEN form as the input of Open Policy Agent; without one the document is undefined."""

    input: EvaluationRequest | UnsetType = UNSET


class JobInput(msgspec.Struct):
    """A request in the job form as the input of Open Policy Agent; without one the document is undefined."""

    input: JobRequest | UnsetType = UNSET


class OpaStatus(msgspec.Struct):
    """The state of the bundle, as Open Policy Agent tells it."""

    result: dict[str, Any]


class OpaPolicies(msgspec.Struct):
    """No Rego modules: policies come as signed bundles."""

    result: list[Any]


class Empty(msgspec.Struct):
    """An empty object."""


class Live(msgspec.Struct):
    """The process answers."""

    live: bool


class AdmissionResponse(msgspec.Struct, omit_defaults=True, rename="camel"):
    """Whether a change is admitted."""

    uid: str
    allowed: bool
    audit_annotations: dict[str, str]
    status: dict[str, Any] = {}
    warnings: list[str] = []


class AdmissionReply(msgspec.Struct, rename="camel"):
    """An AdmissionReview that answers another."""

    api_version: Literal["admission.k8s.io/v1"]
    kind: Literal["AdmissionReview"]
    response: AdmissionResponse


class EnvoyRefusal(msgspec.Struct, omit_defaults=True):
    """Why a request ends at the proxy."""

    reason_code: str
    reason: str
    decision: str = ""
    decision_id: str = ""


class Reason(msgspec.Struct, forbid_unknown_fields=True):
    """Why an order is given."""

    reason: Told


class MayReason(msgspec.Struct, forbid_unknown_fields=True):
    """Why an order is given, if that is said."""

    reason: Annotated[str, Meta(max_length=500)] = ""


class RefreshReply(msgspec.Struct):
    """How a poll ended."""

    outcome: Outcome
    status: Status


class Level(msgspec.Struct, forbid_unknown_fields=True):
    """The least level that is logged."""

    level: Literal["debug", "info", "warning", "error"]
