"""The status document of a host that is well, as far as reports say something of it."""

from typing import Any

TIME = "2026-03-01T12:00:00.000Z"
ENFORCED = {"bundle": "sha256:ab", "revision": "cd", "release": 7, "rules": 3, "activated_at": TIME}
STATUS: dict[str, Any] = {
    "state": "fresh", "ready": True, "reason": "", "version": "0.1.0", "store": "file:///s", "channel": "prod",
    "enforced": ENFORCED, "pinned": None, "emergency": [], "limits": {"max_pin_s": 1.0, "min_release": 0},
    "published": {"release": 8, "revision": "cd", "action": "publish", "actor": "ana"}, "current": None,
    "previous": None,
    "signed_at": TIME, "expires_at": TIME, "verified_at": TIME, "answered_at": TIME, "failure": None, "rejection": None,
    "metadata": {"timestamp": {"version": 12, "expires_at": TIME, "expiring": False}}, "clock_behind_s": 0.0,
    "memory": {
        "host_id": "web-1", "counted_keys": 0, "spent_grants": 0, "journal_bytes": 0, "forgot_at": "", "fleet": None,
    },
    "polls": 1, "decisions": 1, "log": {"durability": "process"},
}  # fmt: skip
