"""From an answer that asks for approval to a grant: everything is checked that a host will check, before signing.

The order: (1) the answer asks for something, and is still short of it; (2) the request is the very one that was asked
about, so that nobody signs a digest unseen; (3) the key belongs to an approver who can help and does not ask for the
request; (4) audience and lifetime are what the ask permits.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from policy_core.decision import Ask
from policy_core.errors import UsageError
from policy_core.grants import NONCE_BYTES, Grant, own_subjects, request_digest, requesters_of
from policy_core.model import Approver
from policy_core.request import Request, normalise

_WRAPPERS = ("context", "result", "answer")  # where AuthZEN, OPA's Data API and explain put an answer


class UngrantableError(UsageError):
    """There is nothing to grant, or this key cannot grant it."""


def read_ask(content: bytes) -> Ask:
    """Return what an answer asks for, in whatever form a sidecar gave it. Raises UngrantableError."""
    try:
        found = _ask_in(msgspec.json.decode(content))
        if found is None:
            raise UngrantableError(
                "answer: asks for no approval",
                hint="give the whole answer: writ-sidecar decide --socket PATH --format json REQUEST",
            )
        ask = msgspec.convert(found, Ask)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UngrantableError(
            f"answer: is not one of a sidecar ({error})",
            hint="writ-sidecar decide --socket PATH --format json REQUEST prints one",
        ) from error
    if not ask.missing:
        raise UngrantableError("answer: nothing is missing, the request has all the grants it takes")
    return ask


def require_same_request(ask: Ask, raw: Any) -> Request:
    """Return the request that was asked about. Raises UngrantableError if `raw` is another, RequestError."""
    request = normalise(raw, now=0, host={})
    if request_digest(request) != ask.request_digest:
        raise UngrantableError(
            "request: is not the one the answer is about, their digests differ",
            hint="an answer is about one request to the last character (its grants aside): ask again with this one",
        )
    return request


def approver_of(key: str, approvers: Sequence[Approver], ask: Ask, request: Request) -> Approver:
    """Return whose key this is, if a grant of theirs would count. Raises UngrantableError."""
    approver = next((each for each in approvers if each.key == key), None)
    if approver is None:
        raise UngrantableError(
            f"key {key[:16]}…: no approver of this policy has it", hint="see approvers in writ.yaml of this repository"
        )
    require_unrelated(approver.id, approver.subjects, request)
    if approver.id in ask.approvers:
        raise UngrantableError(f"{approver.id}: has granted this already", hint="somebody else has to")
    if not set(approver.teams) & ask.missing.keys():
        missing = ", ".join(ask.missing)
        raise UngrantableError(f"{approver.id}: is in none of the teams that are missing", hint=f"missing: {missing}")
    return approver


def require_unrelated(name: str, subjects: Sequence[str], request: Request) -> None:
    """Raise UngrantableError if somebody with these subject ids asks for the request, or it is made for them."""
    own = own_subjects(subjects, requesters_of(request))
    if own:
        raise UngrantableError(f"{name}: asks for this request (as {', '.join(own)})", hint="nobody approves their own")


def make_grant(ask: Ask, key: str, *, audience: str | None, expires_in_s: int | None, now: int) -> Grant:
    """Return the grant to be signed by a key (64 hex digits), for the ask's audience and lifetime unless narrowed.

    Raises UngrantableError.
    """
    chosen = ask.audience if audience is None else audience
    if not chosen:
        raise UngrantableError(
            "answer: names no audience, as one that no running sidecar gave", hint="ask a sidecar, or give --audience"
        )
    lifetime_s = ask.expires_in_s if expires_in_s is None else expires_in_s
    if lifetime_s > ask.expires_in_s:
        raise UngrantableError(
            f"--expires: the rules accept a grant for {ask.expires_in_s} s at most", hint="leave it out for all of that"
        )
    return Grant(
        key=key,
        rules_digest=ask.rules_digest,
        request_digest=ask.request_digest,
        audience=chosen,
        issued=now,
        expires=now + lifetime_s,
        nonce=secrets.token_hex(NONCE_BYTES),
    )


def _ask_in(answer: Any) -> Mapping[str, Any] | None:
    if not isinstance(answer, dict):
        return None
    found = answer.get("approval")
    if isinstance(found, dict):
        return found
    return next((ask for name in _WRAPPERS if (ask := _ask_in(answer.get(name)))), None)
