"""The ``hosts`` of ``writ.yaml``: how far a host may go back by itself, for how long, and to which release."""

from collections.abc import Collection

from builder.language import fields
from builder.language.nodes import MapNode, Node, Report
from policy_core.model import MAX_PIN_S, HostLimits

MAX_RELEASE = 2**53 - 1
_KEYS = ("max_pin", "min_release")


def read_hosts(report: Report, node: Node, channels: Collection[str]) -> HostLimits:
    """Return the limits for hosts, as far as they can be read."""
    found = fields.mapping(report, node, "hosts")
    if found is None:
        return HostLimits()
    fields.check_keys(report, found, "hosts", _KEYS)
    max_pin, min_release = found.get("max_pin"), found.get("min_release")
    releases = min_release and fields.mapping(report, min_release, "hosts.min_release")
    return HostLimits(
        max_pin_s=(max_pin and fields.duration(report, max_pin, "hosts.max_pin", most_s=MAX_PIN_S)) or MAX_PIN_S,
        min_release=_releases(report, releases, channels) if releases else {},
    )


def _releases(report: Report, found: MapNode, channels: Collection[str]) -> dict[str, int]:
    releases = {}
    for channel, (place, value) in sorted(found.entries.items()):
        what = f"hosts.min_release.{channel}"
        if channel not in channels:
            hint = fields.suggestion(channel, channels, "there are")
            report.at(place, f"hosts.min_release: {fields.shown(channel)} is not a channel", hint)
        releases[channel] = fields.integer(report, value, what, least=1, most=MAX_RELEASE) or 1
    return releases
