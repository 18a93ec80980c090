"""One host of a fleet: its newest report on each channel, signed by a key that is enrolled for it."""

from collections.abc import Iterable
from typing import Any

import msgspec

from builder.fleet.listing import keys_of, report_of
from builder.fleet.overview import ChannelView, host_record_of
from bundle_store.port import RecordsStore
from policy_core.decision_log.names import spelled_host
from policy_core.errors import UsageError
from policy_core.fleet.report import ReportError
from policy_core.printable import printable


class _Rejection(msgspec.Struct):
    reason: str


class _Failure(msgspec.Struct):
    message: str


class _Told(msgspec.Struct):
    """Of a status document, what people are told."""

    rejection: _Rejection | None = None
    failure: _Failure | None = None


def host_record(store: RecordsStore, views: Iterable[ChannelView], host: str) -> dict[str, Any]:
    """Return what a host says on each channel it reports on. Raises UsageError if on none, ReportError, RemoteError."""
    found = {}
    for each in views:
        for line in each.hosts:
            if line.state.host in (host, spelled_host(host)):
                report = report_of(store, line.state)
                _told(report.status, report.name)
                found[each.live.channel] = host_record_of(line, each.live) | {
                    "keyid": report.keyid,
                    "enrolled": keys_of(store, line.state.host),
                    "features": report.features,
                    "status": report.status,
                }
    if not found:
        raise UsageError(
            f"host {host}: does not report", hint="writ fleet lists those that do; --days looks further back"
        )
    return {"host": host, "channels": found}


def host_text(shown: dict[str, Any]) -> list[str]:
    """Return the same for people."""
    lines = []
    for channel, host in shown["channels"].items():
        told = _told(host["status"], channel)
        lines += [
            f"{shown['host']} in {channel}: {host['standing']}, release {host['release']}, {host['freshness']}",
            f"  reported  {host['reported_at']}, signed by key {host['keyid'][:12]}",
            f"  version   {host['version']}, can evaluate {printable(', '.join(host['features']))}",
            f"  timestamp {host['timestamp']}, signed {host['signed_at']}",
        ]
        if len(host["enrolled"]) > 1:
            lines.append(f"  ! {len(host['enrolled'])} keys are enrolled for it: compare with the host.pub of the host")
        lines += [f"  marked    {', '.join(host['marks']).replace('_', ' ')}"] if host["marks"] else []
        lines += [f"  rejected  {printable(told.rejection.reason)}"] if told.rejection else []
        lines += [f"  failing   {printable(told.failure.message)}"] if told.failure else []
    return lines


def _told(status: msgspec.Raw, name: str) -> _Told:
    try:
        msgspec.json.decode(status)  # all of it: machines are given all
        return msgspec.json.decode(status, type=_Told)
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{name}: holds no status of a sidecar: {error}") from error
