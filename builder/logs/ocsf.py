"""Records as events of the Open Cybersecurity Schema Framework (OCSF 1.5). Pure.

A decision is an *API Activity* (class 6003) with the profile *security_control*; what happened to a policy on a host is
an *Application Lifecycle* (class 6002). What the framework has no place for is under ``unmapped``.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from builder.logs.parts import part

VERSION = "1.5.0"
APPLICATION, LIFECYCLE, API_ACTIVITY = 6, 6002, 6003
OTHER = 99
DEPTH = 6
"""Of objects in objects: authorizations, policy, group, name."""

_ALLOWED, _DENIED, _OBSERVED, _MODIFIED = 1, 2, 3, 4
_ACTIONS = {"allow": _ALLOWED, "allow_with_constraints": _MODIFIED}
_DISPOSITIONS = {"allow": 1, "allow_with_constraints": 1, "deny": 2, "throttle": 14, "require_approval": 23}
_APPROVED, _ERROR, _UNKNOWN = 8, 27, 0
_ACTIVITIES = {"started": 3, "stopped": 4, "activated": 8, "held": 8}
_INFORMATIONAL, _MEDIUM = 1, 3
_SUCCESS, _FAILURE = 1, 2
_NOTICED = frozenset({"rejected", "rollback", "revoked", "fallback", "clock_back", "dropped", "unlogged", "withheld"})


def to_ocsf(host: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event that a record of a host is; fields that would be empty are left out.

    Nothing is left out of what is unmapped: an empty allow-list among constraints is the strictest of all.
    """
    event = _decision(record) if record["type"] == "decision" else _happening(record)
    unmapped = {name: value for name, value in event.pop("unmapped").items() if value is not None}
    at = datetime.fromisoformat(record["ts"])
    event |= {
        "category_uid": APPLICATION,
        "type_uid": event["class_uid"] * 100 + event["activity_id"],
        "time": round(at.timestamp() * 1000),
        "src_endpoint": {"name": host},
    }
    event["metadata"] |= {
        "version": VERSION,
        "product": {"name": "Writ", "vendor_name": "Writ"},
        "log_name": "decision-log",
        "log_provider": host,
        "sequence": record["seq"],
    }
    return {**_filled_parts(event), "unmapped": unmapped}


def _decision(record: Mapping[str, Any]) -> dict[str, Any]:
    answer, asked = part(record, "answer"), part(record, "input")
    word, action = str(answer.get("decision", "")), part(asked, "action")
    policy = _policy(answer)
    return {
        "class_uid": API_ACTIVITY,
        "activity_id": OTHER,
        "activity_name": action.get("name", "unknown"),
        "severity_id": _INFORMATIONAL,
        "status_id": _SUCCESS if answer.get("allowed") else _FAILURE,
        "status_code": answer.get("reason_code"),
        "status_detail": answer.get("reason"),
        "action_id": _OBSERVED if record.get("trial") else _ACTIONS.get(word, _DENIED),
        "disposition_id": _disposition(word, answer),
        "actor": _actor(record, part(asked, "subject")),
        "api": {"operation": action.get("name", "unknown"), "request": {"uid": answer.get("decision_id")}},
        "resources": _resources(part(asked, "resource")),
        "authorizations": [{"decision": word, "policy": policy}],
        "policy": policy,
        "metadata": {
            "uid": answer.get("decision_id"),
            "correlation_uid": record.get("correlation_id"),
            "trace_uid": record.get("trace_id"),
            "profiles": ["security_control"],
        },
        "unmapped": {
            "caller": record.get("caller"),
            "tenant": part(asked, "context").get("tenant"),
            "applied_rules": answer.get("applied_rules"),
            "constraints": answer.get("constraints"),
            "exception": answer.get("exception"),
            "gates": answer.get("gates"),
            "erased": record.get("erased"),
            "record_hash": record.get("record_hash"),
        },
    }


def _happening(record: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(record["type"])
    told = {name: value for name, value in record.items() if name not in {"type", "seq", "ts"}}
    return {
        "class_uid": LIFECYCLE,
        "activity_id": _ACTIVITIES.get(kind, OTHER),
        "activity_name": kind,
        "severity_id": _MEDIUM if kind in _NOTICED else _INFORMATIONAL,
        "status_detail": record.get("reason"),
        "actor": {"user": {"name": record.get("by")}, "app_name": "writ-sidecar"},
        "app": {
            "name": f"policy of channel {record['channel']}" if record.get("channel") else "decision log",
            "uid": record.get("bundle_digest"),
            "version": str(record["release"]) if record.get("release") else None,
        },
        "metadata": {},
        "unmapped": told,
    }


def _disposition(word: str, answer: Mapping[str, Any]) -> int:
    code = answer.get("reason_code")
    if code == "evaluation_error":
        return _ERROR
    return _APPROVED if code == "approved" else _DISPOSITIONS.get(word, _UNKNOWN)


def _actor(record: Mapping[str, Any], subject: Mapping[str, Any]) -> dict[str, Any]:
    user = {"uid": subject.get("id"), "type": subject.get("type"), "type_id": OTHER}
    return {"user": user if subject else None, "invoked_by": record.get("caller", "unknown")}


def _resources(resource: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"uid": resource.get("id"), "type": resource.get("type")}] if resource else []


def _policy(answer: Mapping[str, Any]) -> dict[str, Any]:
    policy = part(answer, "policy")
    return {
        "name": answer.get("matched_rule") or "none",
        "uid": policy.get("bundle"),
        "version": policy.get("revision"),
        "group": {"name": policy["channel"]} if policy.get("channel") else None,
        "is_applied": bool(answer.get("matched_rule")),
        "data": {"release": policy["release"]} if policy.get("release") else None,
    }


def _filled_parts(parts: Mapping[str, Any], depth: int = DEPTH) -> dict[str, Any]:
    """Return the parts that are neither absent nor empty, as deep as the framework's own lie."""
    kept = {name: _filled(part, depth - 1) for name, part in parts.items()}
    return {name: part for name, part in kept.items() if part not in (None, "", [], {})}


def _filled(value: Any, depth: int) -> Any:
    if isinstance(value, dict) and depth:
        return _filled_parts(value, depth)
    return [_filled(each, depth - 1) for each in value] if isinstance(value, list) and depth else value
