"""Approvers with keys, a rule that asks them, and the grants they give: what tests of grants start from."""

import secrets
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policy_core.grants import Grant, encode_grant
from policy_core.model import Approval, Approver, Clauses, Decision, Provisions, Rule
from policy_core.provisions import encode_provisions

KEYS = {name: Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"-")) for name in ("ana", "bo", "eve")}
REQUESTER = "agent-7"


def _approver(name: str, *subjects: str) -> Approver:
    return Approver(name, KEYS[name].public_key().public_bytes_raw().hex(), ("security",), (name, *subjects))


PROVISIONS = Provisions(approvers=(_approver("ana"), _approver("bo", REQUESTER)))
"""``bo`` is the person behind the agent that asks; ``eve`` is nobody."""
FILES = {"provisions.json": encode_provisions(PROVISIONS)}
ASKING = Rule(
    "p",
    "ask",
    Decision.REQUIRE_APPROVAL,
    match=Clauses(actions=("approve.*",)),
    approval=Approval({"security": 1}, 3600),
)


def asking_request(*grants: str, action: str = "approve.x") -> dict[str, Any]:
    """Return a request that needs an approval."""
    return {
        "subject": {"type": "agent", "id": REQUESTER},
        "action": {"name": action},
        "resource": {"type": "service", "id": "web"},
        "context": {"grants": list(grants)} if grants else {},
    }


def grant_for(ask: dict[str, Any], by: str = "ana", **changes: Any) -> str:
    """Return a grant for what an answer asks (its ``approval``), valid for ten minutes, with changes to its fields."""
    now = int(time.time())
    fields = {
        "key": KEYS[by].public_key().public_bytes_raw().hex(),
        "rules_digest": ask["rules_digest"],
        "request_digest": ask["request_digest"],
        "audience": ask["audience"],
        "issued": now,
        "expires": now + 600,
        "nonce": secrets.token_hex(16),
    }
    return encode_grant(Grant(**(fields | changes)), KEYS[by].sign)
