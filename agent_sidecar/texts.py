"""Replies of a sidecar as text for people. Terminal control characters in them are shown, not obeyed."""

from collections.abc import Mapping
from typing import Any

from policy_core.printable import printable

_ANSWER_KEYS = (
    "matched_rule", "reason_code", "reason", "retry_after_s", "approval", "exception", "remediations", "constraints",
    "gates", "dry_run", "applied_rules", "errors",
)  # fmt: skip


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where there is not exactly one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def answer_text(answer: Mapping[str, Any]) -> str:
    """Return an answer: the decision first, then what it rests on."""
    lines = [answer["decision"]]
    for key in _ANSWER_KEYS:
        if not (value := answer.get(key)):
            continue
        if key == "approval":
            from policy_core.explaining.text import describe_ask

            asked = map(printable, describe_ask(value))
            lines += [f"  {'' if number else key:13} {line}" for number, line in enumerate(asked)]
        else:
            lines.append(f"  {key:13} {f'{value:.1f}' if type(value) is float else _value(value)}")
    if answer.get("policy"):
        lines.append(f"  {'policy':13} {place_of(answer['policy'])}")
    return "\n".join(lines)


def simulation_text(found: Mapping[str, Any]) -> str:
    """Return what would be answered, and what was supposed for that."""
    supposed = found["simulated"]
    answer = {**found, "decision": str(found["decision"]).lower()}
    return f"{answer_text(answer)}\n  {'supposed':13} snapshot {supposed['snapshot']}, at {supposed['now']}"


def snapshot_text(snapshot: Mapping[str, Any]) -> str:
    """Return one line about a snapshot: which it is, and what may be done with it."""
    state = "enforced" if snapshot["enforced"] else "loaded" if snapshot["loaded"] else "not loaded yet"
    facts = [
        f"UNUSABLE: {printable(snapshot['problem'])}" if snapshot["problem"] else state,
        "pinned by a rollback" if snapshot["pinned"] else "",
        counted(snapshot["rules"], "rule") if snapshot["rules"] is not None else "",
    ]
    return f"{snapshot['role']:9} {place_of(snapshot)}  {', '.join(filter(None, facts))}"


def explanation_text(record: Mapping[str, Any]) -> str:
    """Return an explanation: the answer, the rules near the request, and what would lead to another decision."""
    from policy_core.explaining.text import describe_explanation

    policy = record["answer"].get("policy")
    lines = describe_explanation(record, source=place_of(policy) if policy else "none is loaded")
    return "\n".join(map(printable, lines))


def event_text(event: Mapping[str, Any]) -> str:
    """Return one line of the history."""
    release = f"release {event['release']}" if event.get("release") else ""
    by = f"by {event['by']}" if event.get("by") else ""
    facts = (
        release,
        event.get("entry", ""),
        event.get("bundle_digest", "")[:19],
        event.get("revision", "")[:12],
        by,
        printable(event.get("reason", "")),
    )
    return "  ".join([event["at"], f"{event['event']:10}", *filter(None, facts)])


def place_of(policy: Mapping[str, Any]) -> str:
    """Return release, bundle and revision of a policy, shortened."""
    return f"release {policy.get('release', 0)}, {policy['bundle'][:19]}, revision {policy['revision'][:12]}"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{printable(key)}={_value(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return printable(value)
