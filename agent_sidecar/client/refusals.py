"""What is raised in place of an action that may not run."""

from policy_core.decision import Answer
from policy_core.errors import KnownError
from policy_core.model import Remediation

NOT_KEPT = "constraints_not_kept"


class Denied(KnownError):  # noqa: N818 - an answer, no failure
    """An action was not run; `answer` is why, unless `reason_code` says that the answer could not be obeyed."""

    exit_code = 4
    default_hint = "do not try again unchanged; the remediations, if there are any, say what to do instead"

    def __init__(self, action: str, answer: Answer, *, reason: str = "", reason_code: str = "") -> None:
        self.action = action
        self.answer = answer
        self.reason = reason or answer.reason
        self.reason_code = reason_code or answer.reason_code
        by = f" [{answer.matched_rule}]" if answer.matched_rule else ""
        word = "deny" if reason_code else answer.decision
        super().__init__(f"{action}: {word}: {self.reason or self.reason_code}{by} (decision {answer.decision_id})")

    @property
    def matched_rule(self) -> str:
        """Return the rule that decided, empty if none did."""
        return self.answer.matched_rule

    @property
    def decision_id(self) -> str:
        """Return the id of the decision."""
        return self.answer.decision_id

    @property
    def remediations(self) -> tuple[Remediation, ...]:
        """Return what the deciding rule suggests instead."""
        return self.answer.remediations


class ApprovalMissing(Denied):
    """The action needs an approval that nobody has given, or not in time; `answer.approval` is what is asked for."""

    default_hint = "writ grant makes an approval: docs/how-to/approve-an-action.md"


class Throttled(Denied):
    """The action may run later; `answer.retry_after_s` says when to ask again."""

    default_hint = "ask again later"
