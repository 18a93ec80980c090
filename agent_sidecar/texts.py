"""Replies of a sidecar as text for people. Terminal control characters in them are shown, not obeyed."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from policy_core.explaining.text import describe_ask, describe_explanation

_ANSWER_KEYS = (
    "matched_rule", "reason_code", "reason", "retry_after_s", "approval", "exception", "remediations", "constraints",
    "gates", "dry_run", "applied_rules", "errors",
)  # fmt: skip


def plain(text: object) -> str:
    """Return a text with control characters escaped: requests and policies must not steer a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(text))


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
            asked = map(plain, describe_ask(value))
            lines += [f"  {'' if number else key:13} {line}" for number, line in enumerate(asked)]
        else:
            lines.append(f"  {key:13} {f'{value:.1f}' if type(value) is float else _value(value)}")
    if answer.get("policy"):
        lines.append(f"  {'policy':13} {_place(answer['policy'])}")
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
        f"UNUSABLE: {plain(snapshot['problem'])}" if snapshot["problem"] else state,
        "pinned by a rollback" if snapshot["pinned"] else "",
        counted(snapshot["rules"], "rule") if snapshot["rules"] is not None else "",
    ]
    return f"{snapshot['role']:9} {_place(snapshot)}  {', '.join(filter(None, facts))}"


def _log_lines(log: Mapping[str, Any]) -> Iterator[str]:
    if log["durability"] == "off":
        yield "log        off: no decision is recorded"
        return
    used = f"{log.get('bytes', 0) >> 20} of {log['max_bytes'] >> 20} MiB"
    facts = [
        log["durability"],
        counted(log.get("records", 0), "record"),
        used,
        f"{log['given_up']} given up" if log.get("given_up") else "",
        f"{log['denied']} answers denied" if log.get("denied") else "",
    ]
    yield f"log        {', '.join(filter(None, facts))}"
    if log.get("problem"):
        yield f"           {plain(log['problem'])}"
    yield from _shipping_lines(log.get("shipping") or {})


def _shipping_lines(shipping: Mapping[str, Any]) -> Iterator[str]:
    if not shipping.get("to"):
        return
    waiting = shipping.get("waiting", {})
    since = waiting.get("oldest_at")
    facts = [
        f"{waiting.get('bytes', 0)} bytes wait since {since}" if since else "nothing waits",
        f"{shipping['refused']} REFUSED" if shipping.get("refused") else "",
    ]
    yield f"ships to   {plain(shipping['to'])}, {', '.join(filter(None, facts))}"
    if shipping.get("problem"):
        yield f"           {plain(shipping['problem'])}"


def explanation_text(record: Mapping[str, Any]) -> str:
    """Return an explanation: the answer, the rules near the request, and what would lead to another decision."""
    policy = record["answer"].get("policy")
    lines = describe_explanation(record, source=_place(policy) if policy else "none is loaded")
    return "\n".join(map(plain, lines))


def status_text(status: Mapping[str, Any]) -> str:
    """Return a status document: what is enforced, why not something else, and how fresh it is."""
    lines = [f"channel    {status['channel']} of {status['store']}"]
    enforced, pinned = status["enforced"], status["pinned"]
    in_force = f"{_place(enforced)}, {counted(enforced['rules'], 'rule')}" if enforced else "nothing: all denied"
    lines.append(f"enforced   {in_force}")
    if status["reason"]:
        lines.append(f"           {plain(status['reason'])}")
    if pinned:
        lines.append(f"pinned     until {pinned['until']} by {pinned['by']}: {plain(pinned['reason'])}")
        lines.append("           end it with writ-sidecar resume")
    lines += [line for entry in status["emergency"] for line in _entry_lines(entry)]
    lines.append(f"rollback   {_limits(status['limits'])}")
    if published := status["published"]:
        why = f": {plain(published['reason'])}" if published.get("reason") else ""
        place = f"release {published['release']}, revision {published['revision'][:12]}"
        lines.append(f"published  {place}, {plain(published['action'])} by {plain(published['actor'])}{why}")
    for name in ("current", "previous"):
        if status[name]:
            unusable = status[name].get("unusable", "")
            lines.append(f"{name:10} {_place(status[name])}{f' UNUSABLE: {plain(unusable)}' if unusable else ''}")
    lines.append(
        f"state      {status['state']}, signed {status['signed_at'] or 'never'}, expires {status['expires_at'] or '-'}"
    )
    lines += _expiring(status["metadata"])
    for name, what, when in (("failure", "message", "since"), ("rejection", "reason", "at")):
        if status[name]:
            lines.append(f"{name:10} {plain(status[name][what])} ({when} {status[name][when]})")
            lines.append(f"           hint: {plain(status[name].get('hint', ''))}")
    lines += _log_lines(status["log"])
    memory = status["memory"]
    remembered = f"{counted(memory['counted_keys'], 'counted key')}, {counted(memory['spent_grants'], 'spent grant')}"
    lines.append(f"memory     {remembered}, host id {plain(memory['host_id'])}")
    if memory["forgot_at"]:
        lines.append(f"           found damaged at {memory['forgot_at']}: what was before is not known")
    if fleet := memory["fleet"]:
        lines.append(f"fleet      {plain(fleet['store'])} {plain(fleet.get('error') or 'answers')}")
    if status["clock_behind_s"]:
        lines.append(f"clock      {status['clock_behind_s']:.0f} s behind the latest time this host has seen")
    return "\n".join(lines)


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
        plain(event.get("reason", "")),
    )
    return "  ".join([event["at"], f"{event['event']:10}", *filter(None, facts)])


def _expiring(metadata: Mapping[str, Any]) -> list[str]:
    due = [f"{role} {found['expires_at']}" for role, found in metadata.items() if found["expiring"]]
    return [f"expiring   {', '.join(due)}: to be signed anew (writ maintain)"] if due else []


def _limits(limits: Mapping[str, Any]) -> str:
    floor = f", not below release {limits['min_release']}" if limits["min_release"] else ""
    return f"holds {_span(limits['max_pin_s'])} at most{floor}"


def _span(seconds: float) -> str:
    """Return a duration in the largest unit it is a whole number of."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


def _entry_lines(entry: Mapping[str, Any]) -> tuple[str, str]:
    what = plain(entry.get("target") or json.dumps(entry.get("rule", {})))
    nothing = ", names nothing here" if entry.get("names_nothing") else ""
    return (
        f"emergency  {entry['id']}: {entry['kind']} {what} until {entry['until']}",
        f"           by {plain(entry['actor'])}: {plain(entry['reason'])}{nothing}",
    )


def _place(policy: Mapping[str, Any]) -> str:
    return f"release {policy.get('release', 0)}, {policy['bundle'][:19]}, revision {policy['revision'][:12]}"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{plain(key)}={_value(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return plain(value)
