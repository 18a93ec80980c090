"""Kubernetes asks as it asks any admission webhook: one path, on which anything but a decision is an HTTP error.

The API server takes an HTTP error as a webhook that failed; with ``failurePolicy: Fail`` nothing is admitted then.
"""

from collections.abc import Awaitable
from functools import partial

from agent_sidecar.admission import Review, read_review, reply_to, request_of
from agent_sidecar.asked import Asked
from agent_sidecar.decision_log.records import Spoken
from agent_sidecar.server.connection import Connection
from agent_sidecar.server.decisions import DecisionApi
from agent_sidecar.server.replies import Reply, encode
from agent_sidecar.server.service import Routes
from policy_core.decision import Answer
from policy_core.decoding import decode_request


class KubernetesApi:
    """Reviews admissions; decisions are made by `decisions`."""

    def __init__(self, decisions: DecisionApi) -> None:
        self._decisions = decisions

    @property
    def routes(self) -> Routes:
        """Return the paths of this API."""
        return {b"/kubernetes/admission": (b"POST", self.admission)}

    def admission(self, body: bytes | bytearray, peer: Connection) -> Reply | Awaitable[Reply]:
        """Answer a review. Raises RequestError, which is status 400; a dry run counts and spends nothing."""
        review = read_review(decode_request(body))
        spell = partial(_spell, review)
        return self._decisions.answer(
            Asked(request_of(review)), spell, peer, Spoken.KUBERNETES, is_trial=review.request.dry_run
        )


def _spell(review: Review, answer: Answer) -> Reply:
    return 200, encode(reply_to(review, answer))
