"""One host of a fleet: its newest report on each channel, signed by a key that is enrolled for it."""

from collections.abc import Iterable
from typing import Any

import msgspec

from builder.fleet.listing import report_of
from builder.fleet.overview import ChannelView, host_record_of
from bundle_store.port import RecordsStore
from policy_core.errors import UsageError
from policy_core.fleet.names import spelled


def host_record(store: RecordsStore, views: Iterable[ChannelView], host: str) -> dict[str, Any]:
    """Return what a host says on each channel it reports on. Raises UsageError if on none, ReportError, RemoteError."""
    found = {}
    for each in views:
        for line in each.hosts:
            if line.state.host in (host, spelled(host)):
                report = report_of(store, line.state)
                status = msgspec.json.decode(report.status)
                signed = {"keyid": report.keyid, "features": report.features, "status": status}
                found[each.live.channel] = host_record_of(line, each.live) | signed
    if not found:
        raise UsageError(
            f"host {host}: does not report", hint="writ fleet lists those that do; --days looks further back"
        )
    return {"host": host, "channels": found}


def host_text(shown: dict[str, Any]) -> list[str]:
    """Return the same for people."""
    lines = []
    for channel, host in shown["channels"].items():
        status = host["status"]
        lines += [
            f"{shown['host']} in {channel}: {host['standing']}, release {host['release']}, {host['freshness']}",
            f"  reported  {host['reported_at']}, signed by key {host['keyid'][:12]}",
            f"  version   {host['version']}, can evaluate {', '.join(host['features'])}",
            f"  timestamp {host['timestamp']}, signed {host['signed_at']}",
        ]
        lines += [f"  marked    {', '.join(host['marks'])}"] if host["marks"] else []
        for name, what in (("rejected", "rejection"), ("failing", "failure")):
            told = status.get(what) or {}
            lines += [f"  {name:9} {_plain(told.get('reason') or told.get('message'))}"] if told else []
    return lines


def _plain(text: object) -> str:
    """Return a text of a host with control characters escaped: it must not steer a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(text))
