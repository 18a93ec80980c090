"""How releases are printed, for people and for machines: one spelling for every command."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from builder.publishing.provenance import Provenance
from policy_core.trust.layout import format_time
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
            "from": release.origin,
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


def count(number: int, noun: str) -> str:
    """Return *1 release*, *2 releases*."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def spell_span(start: datetime, end: datetime | None) -> str:
    """Return *from* and *until* of an interval."""
    return f"from {format_time(start)}" + (f" until {format_time(end)}" if end else " on")
