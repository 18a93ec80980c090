"""What to do next about a sidecar, from its status document: one line for each state that is not as it should be. Pure.

The order is that of urgency: what denies everything first, what will deny something one day last.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Document = Mapping[str, Any]


def advice_of(status: Document) -> list[str]:
    """Return the next steps, the most urgent first; none if all is as it should be."""
    return [step for part in (_policy, _store, _people, _host) for step in part(status)]


def _policy(status: Document) -> Iterator[str]:
    """What is, or is not, enforced."""
    enforced, rejection, published = status["enforced"], status["rejection"], status["published"]
    if rejection:
        yield f"refused: {rejection.get('hint') or 'read the reason before anything else'}"
    if not enforced and not rejection and not status["failure"]:
        yield "no policy: publish to this channel (writ publish), or see with writ live whether it is the right one"
    if enforced and not status["ready"]:
        yield "all is denied: sign the metadata anew (writ refresh; writ maintain for roles of people)"
    if pin := status["pinned"]:
        yield f"rolled back: writ-sidecar resume, once the reason is gone; by itself at {pin['until']}"
    elif enforced and published and enforced["release"] < published["release"] and not rejection:
        yield f"release {published['release']} is not enforced: see writ-sidecar history, and the log"
    for name in ("current", "previous"):
        if status[name] and status[name].get("unusable"):
            yield f"{name} snapshot: check the disk; the next poll fetches the current one again"


def _store(status: Document) -> Iterator[str]:
    """What comes from the store, and how old it is."""
    if failure := status["failure"]:
        yield f"store: {failure['hint'] or 'see why it does not answer'}"
    elif status["state"] == "stale" and status["enforced"] and status["ready"]:
        yield "stale: sign the metadata anew (writ refresh; writ maintain for roles of people)"
    elif status["state"] == "aging":
        yield "aging: find out why nobody refreshes the timestamp (writ refresh)"


def _people(status: Document) -> Iterator[str]:
    """What people have to sign, or have ordered."""
    due = sorted(found["expires_at"] for found in status["metadata"].values() if found["expiring"])
    if due:
        yield f"expiring: have it signed anew by {due[0]} (writ maintain)"
    for entry in status["emergency"]:
        if entry.get("names_nothing"):
            yield f"emergency {entry['id']}: names nothing in this policy; see whether it is the right id"
        else:
            yield f"emergency {entry['id']}: put it into the policy by {entry['until']}, or lift it (writ emergency)"


def _host(status: Document) -> Iterator[str]:
    """What is wrong on this host."""
    log, memory = status["log"], status["memory"]
    if log.get("problem"):
        yield "decision log: make room, or mend the disk; what cannot be logged is denied"
    if (log.get("shipping") or {}).get("problem"):
        yield "decision log: mend the shipping before the disk is full"
    if (status.get("reports") or {}).get("problem"):
        yield "reports: mend them; the fleet takes this host for silent"
    if memory["forgot_at"]:
        yield "memory: check the disk; rates are in error for their window, and older grants are refused"
    if memory["fleet"] and memory["fleet"].get("error"):
        yield "fleet store: mend it; rules that count over the fleet deny until it answers"
    if status["clock_behind_s"]:
        yield "clock: correct it"
    for problem in (status.get("access") or {}).get("problems", ()):
        yield f"access: {problem}"
    if any(not worker["ready"] for worker in status.get("workers", ())):
        yield "workers: some do not answer yet; the log says why if that lasts"
