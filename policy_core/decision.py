"""The answer to a request, as every API and the decision log spell it (fields absent when empty)."""

import msgspec

from policy_core.model import Constraint, Decision, Remediation

MATCHED_RULE = "matched_rule"
NO_MATCHING_RULE = "no_matching_rule"
EVALUATION_ERROR = "evaluation_error"
CONSTRAINT_CONFLICT = "constraint_conflict"
POLICY_UNAVAILABLE = "policy_unavailable"
POLICY_STALE = "policy_stale"
BUILT_IN_REASON_CODES = frozenset(
    {MATCHED_RULE, NO_MATCHING_RULE, EVALUATION_ERROR, CONSTRAINT_CONFLICT, POLICY_UNAVAILABLE, POLICY_STALE}
)


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


class Answer(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A complete answer. `allowed` is true exactly for ``allow`` and ``allow_with_constraints``."""

    decision: Decision
    allowed: bool
    reason: str = ""
    reason_code: str
    matched_rule: str = ""
    applied_rules: list[str] = []
    constraints: dict[str, Constraint] = {}
    remediations: tuple[Remediation, ...] = ()
    gates: dict[str, str] = {}
    dry_run: DryRun | None = None
    errors: list[RuleError] = []
    decision_id: str = ""
    policy: PolicyRef | None = None


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
