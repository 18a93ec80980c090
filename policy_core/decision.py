"""The answer to a request, as every API and the decision log spell it (fields absent when empty)."""

import msgspec

from policy_core.model import Constraint, Decision, Remediation

MATCHED_RULE = "matched_rule"
NO_MATCHING_RULE = "no_matching_rule"
EVALUATION_ERROR = "evaluation_error"
CONSTRAINT_CONFLICT = "constraint_conflict"
POLICY_UNAVAILABLE = "policy_unavailable"
POLICY_STALE = "policy_stale"
MISSING_FACT = "missing_fact"
APPROVED = "approved"
EMERGENCY_DENY = "emergency_deny"
LOG_UNAVAILABLE = "log_unavailable"
CALLER_NOT_BOUND = "caller_not_bound"
GRANT_REASON_CODES = (
    GRANT_INVALID := "grant_invalid",
    GRANT_FOREIGN := "grant_foreign",
    GRANT_SELF_APPROVED := "grant_self_approved",
    GRANT_EXPIRED := "grant_expired",
    GRANT_OTHER_RULES := "grant_other_rules",
    GRANT_OTHER_REQUEST := "grant_other_request",
    GRANT_OTHER_AUDIENCE := "grant_other_audience",
    GRANT_REPLAYED := "grant_replayed",
    GRANT_UNVERIFIABLE := "grant_unverifiable",
    GRANT_REVOKED := "grant_revoked",
)
BUILT_IN_REASON_CODES = frozenset(
    {
        MATCHED_RULE, NO_MATCHING_RULE, EVALUATION_ERROR, CONSTRAINT_CONFLICT, POLICY_UNAVAILABLE, POLICY_STALE,
        MISSING_FACT, APPROVED, EMERGENCY_DENY, LOG_UNAVAILABLE, CALLER_NOT_BOUND, *GRANT_REASON_CODES,
    }
)  # fmt: skip


class PolicyRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which policy gave an answer: bundle digest (``sha256:…``), git revision, channel and release."""

    bundle: str
    revision: str
    channel: str = ""
    release: int = 0


class RuleError(msgspec.Struct, frozen=True):
    """A rule whose clauses could not be evaluated for this request, and the first reason why."""

    rule: str
    message: str


class DryRun(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the decision would have been, had the dry-run documents been in force."""

    decision: Decision
    matched_rule: str = ""


class RefusedGrant(msgspec.Struct, frozen=True, omit_defaults=True):
    """A grant that does not count: its place among those of the request (from 0), and why."""

    grant: int
    reason_code: str
    message: str


class Ask(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an approver is asked for, by the rules that ask.

    A grant is signed over the two digests (``sha256:…``): of those rules as they are written, and of the request
    without its grants. `quorum` (``from``) is how many approvers of each team it takes; a grant lives at most
    `expires_in_s` seconds and is for this `audience`, or for ``any``. `approvers` are those whose grants count so far.
    """

    rules: tuple[str, ...]
    rules_digest: str
    request_digest: str
    quorum: dict[str, int] = msgspec.field(name="from")
    expires_in_s: int
    audience: str = ""
    approvers: tuple[str, ...] = ()
    missing: dict[str, int] = {}
    refused: tuple[RefusedGrant, ...] = ()


class Answer(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A complete answer. `allowed` is true exactly for ``allow`` and ``allow_with_constraints``."""

    decision: Decision
    allowed: bool
    reason: str = ""
    reason_code: str
    matched_rule: str = ""
    applied_rules: list[str] = []
    constraints: dict[str, Constraint] = {}
    retry_after_s: float | None = None
    approval: Ask | None = None
    remediations: tuple[Remediation, ...] = ()
    gates: dict[str, str] = {}
    exception: str = ""
    dry_run: DryRun | None = None
    errors: list[RuleError] = []
    decision_id: str = ""
    policy: PolicyRef | None = None


_copy = Answer.__copy__  # type: ignore[attr-defined] # a struct's own, in C


def issued(answer: Answer, decision_id: str) -> Answer:
    """Return a copy of an answer under an id of its own; whoever gets it cannot change the original."""
    own: Answer = _copy(answer)
    own.decision_id = decision_id
    own.applied_rules = [*answer.applied_rules]
    own.constraints = {**answer.constraints}
    own.gates = {**answer.gates}
    own.errors = [*answer.errors]
    return own


def refusal(reason_code: str, reason: str, *, decision_id: str = "", policy: PolicyRef | None = None) -> Answer:
    """Return a ``deny`` that no rule gave: no policy, stale policy, or no rule that grants."""
    return Answer(
        decision=Decision.DENY,
        allowed=False,
        reason=reason,
        reason_code=reason_code,
        decision_id=decision_id,
        policy=policy,
    )
