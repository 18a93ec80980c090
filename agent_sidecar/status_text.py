"""The status document for people: what is enforced, since when and by whom, how fresh it is, and what to do next.

Pure: a terminal's colours are codes in the text, which the command takes out where there is no terminal.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from agent_sidecar.advice import advice_of
from agent_sidecar.texts import counted, place_of
from policy_core.printable import printable

Document = Mapping[str, Any]
GREEN, YELLOW, RED, BOLD = 32, 33, 31, 1
_TONES = {"fresh": GREEN, "aging": YELLOW, "unreachable": YELLOW, "stale": RED}


def status_text(status: Document, *, now: float | None = None, coloured: bool = False) -> str:
    """Return a status document as lines; `now` (seconds since the epoch) is what ages are counted from."""
    moment = datetime.now(UTC) if now is None else datetime.fromtimestamp(now, UTC)
    text = "\n".join(_lines(status, moment))
    return text if coloured else _without_colours(text)


def _lines(status: Document, now: datetime) -> Iterator[str]:
    yield f"channel    {status['channel']} of {status['store']}"
    yield from _policy(status, now)
    yield from (line for entry in status["emergency"] for line in _entry(entry))
    yield f"rollback   {_limits(status['limits'])}"
    yield from _published(status["published"])
    for name in ("current", "previous"):
        if status[name]:
            unusable = status[name].get("unusable", "")
            why = _painted(RED, f" UNUSABLE: {printable(unusable)}") if unusable else ""
            yield f"{name:10} {place_of(status[name])}{why}"
    yield from _freshness(status, now)
    yield from _log_lines(status["log"])
    yield from _reports_lines(status.get("reports") or {})
    yield from _access(status.get("access", {}))
    yield from _workers(status.get("workers", ()), replaced=status.get("workers_replaced", 0))
    yield from _memory(status["memory"])
    if status["clock_behind_s"]:
        yield f"clock      {status['clock_behind_s']:.0f} s behind the latest time this host has seen"
    advice = advice_of(status)
    if not advice:
        yield f"next       {_painted(GREEN, 'nothing to do')}"
    for number, step in enumerate(advice):
        yield f"{'' if number else 'next':10} {_painted(BOLD, printable(step))}"


def _policy(status: Document, now: datetime) -> Iterator[str]:
    enforced, pinned = status["enforced"], status["pinned"]
    if enforced:
        yield f"enforced   {place_of(enforced)}, {counted(enforced['rules'], 'rule')}"
        yield f"           activated {_ago(enforced['activated_at'], now)}"
    else:
        yield f"enforced   {_painted(RED, 'nothing: all denied')}"
    if status["reason"]:
        yield f"           {_painted(RED, printable(status['reason']))}"
    if pinned:
        until = _painted(YELLOW, f"until {pinned['until']}")
        yield f"pinned     {until} by {pinned['by']}: {printable(pinned['reason'])}"


def _published(published: Document | None) -> Iterator[str]:
    if not published:
        return
    signers = published.get("signed_by", ())
    signed = f", signed by {', '.join(map(printable, signers))}" if signers else ""
    why = f": {printable(published['reason'])}" if published.get("reason") else ""
    place = f"release {published['release']}, revision {published['revision'][:12]}"
    yield f"published  {place}, {printable(published['action'])} by {printable(published['actor'])}{signed}{why}"


def _freshness(status: Document, now: datetime) -> Iterator[str]:
    state = status["state"]
    signed = f"signed {_ago(status['signed_at'], now)}" if status["signed_at"] else "signed never"
    expires = f", expires {_ahead(status['expires_at'], now)}" if status["expires_at"] else ""
    yield f"state      {_painted(_TONES[state], state)}, {signed}{expires}"
    due: dict[str, list[str]] = {}
    for role, found in status["metadata"].items():
        if found["expiring"]:
            due.setdefault(found["expires_at"], []).append(role)
    for number, at in enumerate(sorted(due)):
        when = _painted(YELLOW, _ahead(at, now))
        yield f"{'' if number else 'expiring':10} {', '.join(due[at])} {when}"
    for name, what, when in (("failure", "message", "since"), ("rejection", "reason", "at")):
        if found := status[name]:
            yield f"{name:10} {_painted(RED, printable(found[what]))} ({when} {found[when]})"


def _workers(workers: Sequence[Document], *, replaced: int) -> Iterator[str]:
    if workers:
        ready = sum(worker["ready"] for worker in workers)
        how = f"{ready} of {len(workers)} answer"
        since = f", {replaced} replaced so far" if replaced else ""
        yield f"workers    {how if ready == len(workers) else _painted(YELLOW, how)}{since}"


def _memory(memory: Document) -> Iterator[str]:
    remembered = f"{counted(memory['counted_keys'], 'counted key')}, {counted(memory['spent_grants'], 'spent grant')}"
    yield f"memory     {remembered}, host id {printable(memory['host_id'])}"
    if memory["forgot_at"]:
        forgot = f"found damaged at {memory['forgot_at']}: what was before is not known"
        yield f"           {_painted(RED, forgot)}"
    if fleet := memory["fleet"]:
        error = fleet.get("error")
        yield f"fleet      {printable(fleet['store'])} {_painted(RED, printable(error)) if error else 'answers'}"


def _access(access: Document) -> Iterator[str]:
    tcp, expires = access.get("tcp"), access.get("certificate_expires_at")
    if tcp == "unauthenticated":
        yield f"tcp        {_painted(RED, 'UNAUTHENTICATED: every user of this host can ask, as anybody')}"
    elif tcp:
        yield f"tcp        for callers with {tcp}{f', certificate until {expires}' if expires else ''}"
    for problem in access.get("problems", ()):
        yield f"           {_painted(RED, printable(problem))}"


def _entry(entry: Document) -> Iterator[str]:
    what = printable(entry.get("target") or json.dumps(entry.get("rule", {})))
    nothing = ", names nothing here" if entry.get("names_nothing") else ""
    yield f"emergency  {_painted(YELLOW, entry['id'])}: {entry['kind']} {what} until {entry['until']}"
    yield f"           by {printable(entry['actor'])}: {printable(entry['reason'])}{nothing}"


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
        yield f"           {printable(log['problem'])}"
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
    yield f"ships to   {printable(shipping['to'])}, {', '.join(filter(None, facts))}"
    if shipping.get("problem"):
        yield f"           {printable(shipping['problem'])}"


def _reports_lines(reports: Mapping[str, Any]) -> Iterator[str]:
    if not reports:
        return
    last = f"last {reports['reported_at']}" if reports.get("reported_at") else "not yet"
    enrolled = "" if reports.get("enrolled") else ", its key is NOT ENROLLED"
    yield f"reports to {printable(reports['to'])}, {last}{enrolled}"
    if reports.get("problem"):
        yield f"           {_painted(RED, printable(reports['problem']))}"


def _limits(limits: Mapping[str, Any]) -> str:
    floor = f", not below release {limits['min_release']}" if limits["min_release"] else ""
    return f"holds {_span(limits['max_pin_s'])} at most{floor}"


def _span(seconds: float) -> str:
    """Return a duration in the largest unit it is a whole number of."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


def _ago(moment: str, now: datetime) -> str:
    return f"{_about((now - datetime.fromisoformat(moment)).total_seconds())} ago ({moment})"


def _ahead(moment: str, now: datetime) -> str:
    seconds = (datetime.fromisoformat(moment) - now).total_seconds()
    return f"in {_about(seconds)} ({moment})" if seconds > 0 else f"{_about(-seconds)} ago ({moment})"


def _about(seconds: float) -> str:
    """Return a duration to about two digits, as people say it."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _painted(code: int, text: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m"


def _without_colours(text: str) -> str:
    for code in (GREEN, YELLOW, RED, BOLD, 0):
        text = text.replace(f"\x1b[{code}m", "")
    return text
