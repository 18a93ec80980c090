"""What of a decision the log holds, as whatever is in force says: all, what the policy leaves of it, or nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from agent_sidecar import logs
from policy_core.decision import Answer
from policy_core.matcher import Matcher
from policy_core.redacting import EVERYTHING, Parts, Redactor
from policy_core.request import normalise


@dataclass(frozen=True, slots=True)
class Kept:
    """What is recorded of a request (None: nothing), and the paths of what is not."""

    parts: Parts | None
    erased: tuple[str, ...] = ()


WITHHELD = Kept(None, EVERYTHING)


class Recording(Protocol):
    """Says what is recorded of a decision."""

    def keep(self, parts: Parts | None, raw: object, *, now: float, answer: Answer) -> Kept | None:
        """Return what is recorded of a request whose canonical `parts` these are; None for a decision without record.

        Never raises. `parts` is None for what is no request.
        """
        ...


class RecordNothing:
    """While no policy is in force nobody knows what may be recorded: who asked is, and what was answered."""

    def keep(self, parts: Parts | None, raw: object, *, now: float, answer: Answer) -> Kept:  # noqa: ARG002
        """Return that nothing is."""
        return WITHHELD


@dataclass(frozen=True, slots=True)
class RecordByPolicy:
    """Follows the rules of a policy. Where they fail the record is kept, with nothing of the request in it."""

    redactor: Redactor
    matcher: Matcher
    host: Mapping[str, str]

    def keep(self, parts: Parts | None, raw: object, *, now: float, answer: Answer) -> Kept | None:
        """Return what the policy leaves."""
        if parts is None:
            return WITHHELD
        try:
            request = self.matcher.classified(normalise(raw, now=now, host=self.host))
            if self.redactor.leaves_out(request, answer):
                return None
            return Kept(*self.redactor.redact(parts, request))
        except Exception as error:  # noqa: BLE001 - whatever fails here must not lose a record
            logs.bug("redaction_failed", error, decision_id=answer.decision_id)
            return WITHHELD
