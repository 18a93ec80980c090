"""What applications import: decisions in process, and guards for what they do (docs/reference/client.md)."""

from agent_sidecar.client.calls import SubjectError, acting_as
from agent_sidecar.client.grant_folder import GrantFolder
from agent_sidecar.client.guarding import Constraints, guard
from agent_sidecar.client.obeying import Asked
from agent_sidecar.client.policy import Decided, Policy
from agent_sidecar.client.refusals import ApprovalMissing, Denied, Throttled
from policy_core.decision import Answer
from policy_core.request import RequestError

__all__ = [
    "Answer",
    "ApprovalMissing",
    "Asked",
    "Constraints",
    "Decided",
    "Denied",
    "GrantFolder",
    "Policy",
    "RequestError",
    "SubjectError",
    "Throttled",
    "acting_as",
    "guard",
]
