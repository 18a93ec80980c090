"""How releases are printed, for people and for machines: one spelling for every command."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from builder.publishing.holders import owner_of
from builder.publishing.pending import Waiting
from builder.publishing.provenance import Provenance
from builder.publishing.standing import Standing
from policy_core.emergency import clauses_of
from policy_core.trust.layout import format_time, pending_object
from policy_core.trust.oncall import Emergency
from policy_core.trust.release import Release


def release_record(release: Release) -> dict[str, Any]:
    """Return a release as JSON output spells it."""
    return {
        "channel": release.channel,
        "release": release.release,
        "action": release.action,
        "revision": release.revision,
        "bundle": f"sha256:{release.sha256}",
        "content": f"sha256:{release.content_sha256}",
        "policy": f"sha256:{release.policy_sha256}",
        "name": release.name,
        "length": release.length,
        "actor": release.actor,
        "reason": release.reason,
    } | {
        name: value
        for name, value in {
            "provenance": f"sha256:{release.provenance_sha256}" if release.provenance_sha256 else "",
            "promoted_from": release.origin,
            "reviewed_by": release.reviewed_by,
        }.items()
        if value
    }


def provenance_record(provenance: Provenance) -> dict[str, Any]:
    """Return provenance as JSON output spells it."""
    return {
        "digest": f"sha256:{provenance.sha256}",
        "key": provenance.key,
        "builder": provenance.builder,
        "version": provenance.version,
        "source": provenance.source,
        "revision": provenance.revision,
        "tests": provenance.tests,
        "gates": provenance.gates,
    }


def describe_release(release: Release) -> Iterator[str]:
    """Yield the lines that tell a person what a release is."""
    yield f"revision  {release.revision}"
    yield f"bundle    sha256:{release.sha256}"
    if release.origin:
        yield f"from      {release.origin}"
    if release.reviewed_by:
        yield f"reviewed  {', '.join(release.reviewed_by)}"
    yield f"actor     {release.actor}"
    if release.reason:
        yield f"reason    {release.reason}"


def standing_record(standing: Standing) -> dict[str, Any]:
    """Return how a channel stands as JSON output spells it."""
    waiting = standing.waiting
    return {
        "on_call": standing.on_call,
        "listed": standing.listed,
        "signatures": standing.signatures,
        "emergency": [entry.custom() for entry in standing.emergency],
        "waiting": waiting_record(waiting) if waiting else None,
    }


def waiting_record(waiting: Waiting) -> dict[str, Any]:
    """Return what waits for signatures as JSON output spells it."""
    return {
        "pending": waiting.version,
        "release": release_record(waiting.release),
        "signed_by": [{"key": key.keyid, "owner": owner_of(key)} for key in waiting.signed],
        "threshold": waiting.threshold,
        "complete": waiting.is_complete,
    }


def describe_standing(channel: str, standing: Standing) -> Iterator[str]:
    """Yield the lines that tell a person how a channel stands."""
    if standing.on_call:
        yield f"on call   made this live; release {standing.listed} is what the channel's own role lists"
    for signed in standing.signatures:
        needed = f"takes {signed.threshold} of {count(signed.keys, 'key')}"
        yield f"signed    {signed.role} by {', '.join(signed.by)} ({needed})"
    for entry in standing.emergency:
        yield f"emergency {describe_emergency(entry)}"
    if waiting := standing.waiting:
        release = waiting.release
        what = f"release {release.release} ({release.action})"
        yield (
            f"waiting   {what} as {pending_object(channel, waiting.version)}, "
            f"{len(waiting.signed)} of {waiting.threshold} signatures"
        )


def describe_emergency(entry: Emergency) -> str:
    """Return an emergency entry as one line."""
    what = entry.target or json.dumps(clauses_of(entry))
    until = format_time(entry.expires)
    return f"{entry.id}  {entry.kind.value}  {what}  until {until}  {entry.actor}  ({entry.reason})"


def count(number: int, noun: str) -> str:
    """Return *1 release*, *2 releases*."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def spell_span(start: datetime, end: datetime | None) -> str:
    """Return *from* and *until* of an interval."""
    return f"from {format_time(start)}" + (f" until {format_time(end)}" if end else " on")
