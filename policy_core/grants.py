"""Approval grants: an approver's signed word that one request may pass the rules that ask for it.

A grant is ``writ1.<payload>.<signature>`` (base64url without padding): JSON of `Grant`, and an Ed25519 signature
(RFC 8032) over a domain tag and the payload. It names the rules and the request by digest, so that it fits nothing else
and outlives a publish that leaves those rules alone. Whoever may grant is listed in the policy; nobody grants for
themselves, and nobody counts twice.
"""

import base64
import binascii
import hashlib
import struct
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from policy_core.decision import (
    GRANT_EXPIRED,
    GRANT_FOREIGN,
    GRANT_INVALID,
    GRANT_OTHER_AUDIENCE,
    GRANT_OTHER_REQUEST,
    GRANT_OTHER_RULES,
    GRANT_REPLAYED,
    GRANT_SELF_APPROVED,
    GRANT_UNVERIFIABLE,
    Ask,
    RefusedGrant,
)
from policy_core.errors import InvalidError, RemoteError
from policy_core.model import Approval, Approver, Rule
from policy_core.request import Request

MAX_GRANTS = 16
MAX_GRANT_CHARS = 2_048
MAX_CLOCK_SKEW_S = 60
ANY_AUDIENCE = "any"
NONCE_BYTES = 16
USED = "this grant was used already"
MAX_EXPIRES_IN_S = 30 * 86_400

_MAX_NAME_CHARS = 256
_PREFIX = "writ1"
_DOMAIN = b"writ-grant/v1\n"
_RULES_DOMAIN = b"writ-asking-rules/v1\n"
_REQUEST_DOMAIN = b"writ-request/v1\n"
_LENGTH = struct.Struct(">Q").pack
_SORTED = msgspec.json.Encoder(order="sorted")


def check_approval(approval: Approval) -> tuple[str, str] | None:
    """Return what is wrong with an approval as (message, hint), None if grants can satisfy it."""
    if not approval.quorum:
        return "approval.from names no team", "such as from: {security: 1}"
    if any(count < 1 for count in approval.quorum.values()) or sum(approval.quorum.values()) > MAX_GRANTS:
        return (
            "approval.from asks for an impossible number",
            f"name 1 or more of each team, {MAX_GRANTS} in all",
        )
    if not 1 <= approval.expires_in_s <= MAX_EXPIRES_IN_S:
        return f"approval.expires_in is {approval.expires_in_s} s", f"choose 1s to {MAX_EXPIRES_IN_S // 86_400}d"
    return None


# Points of small order (RFC 8032 lets them pass): anybody can make signatures that fit them. Keys of zeros and ones, as
# people write them where the real one comes later, are among them. By the y coordinate, canonical or not.
_P = 2**255 - 19
_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
WEAK_POINTS = frozenset({0, 1, _P - 1, _P, _P + 1, _ORDER_8, _P - _ORDER_8})


def is_weak_key(key: bytes) -> bool:
    """Tell whether anybody could sign for an Ed25519 public key (32 bytes)."""
    sign_bit = 1 << 255
    return int.from_bytes(key, "little") & ~sign_bit in WEAK_POINTS


class GrantError(InvalidError):
    """A grant is not one, or does not count; `reason_code` says why."""

    def __init__(self, reason_code: str, message: str) -> None:
        super().__init__(message)
        self.reason_code = reason_code


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an approver signs: key (64 hex digits), the two digests of the ask, for whom, and when (epoch seconds).

    `nonce` is 32 hex digits that no other grant has: each grant is good for one answer.
    """

    key: str
    rules_digest: str
    request_digest: str
    audience: str
    issued: int
    expires: int
    nonce: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the grants of a request are worth: whose are accepted (ids), which those are, and which were refused."""

    approvers: tuple[str, ...] = ()
    grants: tuple[Grant, ...] = ()
    refused: tuple[RefusedGrant, ...] = ()


NO_GRANTS = Verdict()


def rules_digest(rules: Iterable[Rule]) -> str:
    """Return ``sha256:…`` over rules as they are written, whatever their order."""
    return _digest(_RULES_DOMAIN, *sorted(map(_SORTED.encode, rules)))


def request_digest(request: Request) -> str:
    """Return ``sha256:…`` over what a request says, without its grants; host and time are no part of it."""
    context = {name: value for name, value in request.context.items() if name != "grants"}
    parts = (request.subject, request.action, request.resource, context)
    return encoded_request_digest(*map(_SORTED.encode, parts))


def encoded_request_digest(subject: bytes, action: bytes, resource: bytes, context: bytes) -> str:
    """Return what `request_digest` does of parts that are JSON with sorted keys; the context is one without grants.

    As `_digest` does, spelled out: every logged decision asks for this.
    """
    content = b"%b%b%b%b%b%b%b%b%b" % (
        _REQUEST_DOMAIN, _LENGTH(len(subject)), subject, _LENGTH(len(action)), action, _LENGTH(len(resource)), resource,
        _LENGTH(len(context)), context,
    )  # fmt: skip
    return "sha256:" + hashlib.sha256(content).hexdigest()


def claims_of(tokens: object) -> list[Grant | dict[str, str]]:
    """Return what grants say, without what makes them valid; of one that cannot be read, its SHA-256."""
    found: list[Grant | dict[str, str]] = []
    every: list[Any] = tokens if type(tokens) is list else [tokens]
    for token in every[:MAX_GRANTS]:
        try:
            found.append(msgspec.json.decode(_from_base64(token.split(".")[1]), type=Grant))
        except (AttributeError, IndexError, ValueError, RecursionError):
            found.append({"sha256": hashlib.sha256(_SORTED.encode(token)).hexdigest()})
    return found


def signed_bytes(payload: bytes) -> bytes:
    """Return what a signature of a grant is over."""
    return _DOMAIN + payload


def grant_id(grant: Grant) -> str:
    """Return what a decoded grant is revoked by: its nonce, in the one spelling of 32 lower-case hex digits."""
    return bytes.fromhex(grant.nonce).hex()


def encode_grant(grant: Grant, sign: Callable[[bytes], bytes]) -> str:
    """Return a grant as it travels in ``context.grants``, signed by `sign`."""
    payload = _SORTED.encode(grant)
    return ".".join((_PREFIX, _base64(payload), _base64(sign(signed_bytes(payload)))))


def decode_grant(token: object) -> Grant:
    """Return a grant whose signature its own key made; whose key that is, is another question.

    Raises GrantError (``grant_invalid``).
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if type(token) is not str or len(token) > MAX_GRANT_CHARS:
        raise GrantError(GRANT_INVALID, f"not text of at most {MAX_GRANT_CHARS} characters")
    try:
        prefix, encoded, signature = token.split(".")
        payload = _from_base64(encoded)
        grant = msgspec.json.decode(payload, type=Grant)
        if prefix != _PREFIX or len(bytes.fromhex(grant.nonce)) != NONCE_BYTES:
            raise GrantError(GRANT_INVALID, "not a grant")
        public = bytes.fromhex(grant.key)
        if is_weak_key(public):
            raise GrantError(GRANT_INVALID, "anybody could sign for its key")
        Ed25519PublicKey.from_public_bytes(public).verify(_from_base64(signature), signed_bytes(payload))
    except (ValueError, binascii.Error, msgspec.DecodeError, RecursionError) as error:
        raise GrantError(GRANT_INVALID, "not a grant") from error
    except InvalidSignature as error:
        raise GrantError(GRANT_INVALID, "the signature does not fit") from error
    return grant


def check_grants(
    request: Request,
    ask: Ask,
    approvers: Mapping[str, Approver],
    *,
    is_spent: Callable[[Grant], bool],
) -> Verdict:
    """Return what the grants in ``context.grants`` are worth to an ask, at the time of the request.

    `is_spent` tells whether a grant was used already; if it raises RemoteError the grant is refused.
    """
    tokens = request.context.get("grants")
    if not tokens:
        return NO_GRANTS
    by_key = {approver.key: approver for approver in approvers.values()}
    requesters = requesters_of(request)
    accepted: dict[str, Grant] = {}
    refused = []
    tokens = tokens if type(tokens) is list else [tokens]
    for number, token in enumerate(tokens[:MAX_GRANTS]):
        try:
            grant = decode_grant(token)
            approver = _check(grant, ask, by_key.get(grant.key), requesters, request.now)
            if is_spent(grant):
                refused.append(RefusedGrant(number, GRANT_REPLAYED, USED))
            else:
                accepted.setdefault(approver.id, grant)
        except GrantError as error:
            refused.append(RefusedGrant(number, error.reason_code, error.message))
        except RemoteError as error:
            refused.append(RefusedGrant(number, GRANT_UNVERIFIABLE, error.message))
    if len(tokens) > MAX_GRANTS:
        refused.append(RefusedGrant(MAX_GRANTS, GRANT_INVALID, f"too many grants (limit {MAX_GRANTS})"))
    return Verdict(tuple(accepted), tuple(accepted.values()), tuple(refused))


def _check(grant: Grant, ask: Ask, approver: Approver | None, requesters: frozenset[str], now: float) -> Approver:
    """Return who granted, if the grant is for this ask. Raises GrantError."""
    if approver is None:
        raise GrantError(GRANT_FOREIGN, "signed by a key that no approver of this policy has")
    if own_subjects(approver.subjects, requesters):
        raise GrantError(GRANT_SELF_APPROVED, f"{approver.id} asks for this request, and cannot approve it too")
    if grant.issued > now + MAX_CLOCK_SKEW_S:
        raise GrantError(GRANT_INVALID, f"issued in the future (at {grant.issued})")
    if now >= min(grant.expires, grant.issued + ask.expires_in_s):
        raise GrantError(GRANT_EXPIRED, f"expired (granted at {grant.issued})")
    if grant.audience not in (ANY_AUDIENCE, ask.audience):
        raise GrantError(GRANT_OTHER_AUDIENCE, f"for {grant.audience!a} (this is {ask.audience!a})")
    if grant.rules_digest != ask.rules_digest:
        raise GrantError(GRANT_OTHER_RULES, "the rules that ask are not those it was given for")
    if grant.request_digest != ask.request_digest:
        raise GrantError(GRANT_OTHER_REQUEST, "the request is not the one it was given for")
    return approver


def requesters_of(request: Request) -> frozenset[str]:
    """Return everyone who asks, as `own_subjects` compares them: the subject, and whoever it acts for.

    That is every text in ``subject.properties.on_behalf_of``, however deep: a text too many keeps one approver out, one
    that is overlooked lets somebody approve their own request.
    """
    texts = [request.subject_id]
    found: list[object] = [request.subject["properties"].get("on_behalf_of")]
    for each in found:
        if type(each) is dict:
            found += each.values()
        elif type(each) is list:
            found += each
        elif type(each) is str:
            texts.append(each)
    return frozenset(map(_folded, texts))


def own_subjects(subjects: Iterable[str], requesters: frozenset[str]) -> list[str]:
    """Return those of a person's subject ids that ask, however they are written; empty if this person does not."""
    return sorted(subject for subject in subjects if _folded(subject) in requesters)


def missing_approvals(quorum: Mapping[str, int], approvers: Sequence[Approver]) -> dict[str, int]:
    """Return how many approvers each team lacks, empty if none; nobody counts for two teams at once.

    Seats are given to approvers by augmenting paths (Kuhn 1955), so that a place is found wherever there is one.
    """
    seats = [team for team, count in quorum.items() for _ in range(count)]
    holder: dict[int, Approver] = {}

    def sit(approver: Approver, tried: set[int]) -> bool:
        for seat, team in enumerate(seats):
            if team in approver.teams and seat not in tried:
                tried.add(seat)
                if seat not in holder or sit(holder[seat], tried):
                    holder[seat] = approver
                    return True
        return False

    hopeless: set[frozenset[str]] = set()  # who finds no seat finds none later, nor does anybody of the same teams
    for approver in approvers:
        wanted = quorum.keys() & frozenset(approver.teams)
        if wanted not in hopeless and not sit(approver, set()):
            hopeless.add(frozenset(wanted))
    lacking: dict[str, int] = {}
    for seat, team in enumerate(seats):
        if seat not in holder:
            lacking[team] = lacking.get(team, 0) + 1
    return lacking


def _folded(name: str) -> str:
    """Return what spellings of one name share: to a directory of people, Ana is ana.

    Of a long text that is what it begins with: to put a megabyte of accents in order takes minutes.
    """
    return unicodedata.normalize("NFKC", name.strip()[:_MAX_NAME_CHARS]).casefold().strip()


def _digest(domain: bytes, *parts: bytes) -> str:
    content = domain + b"".join([len(part).to_bytes(8, "big") + part for part in parts])
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _from_base64(text: str) -> bytes:
    """Decode strictly: one encoding for each content. Raises ValueError."""
    content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _base64(content) != text:
        raise ValueError("not canonical base64")
    return content
