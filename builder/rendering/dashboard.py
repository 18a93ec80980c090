"""The Grafana dashboard of sidecars: one table of panels, in the order in which somebody on call would look. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SOURCE = {"type": "prometheus", "uid": "${source}"}
_HOSTS = '{instance=~"$instance"}'
_COLUMNS = 24
_HEIGHT = 8


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: `queries` are legends and what they show, in which ``@`` stands for the hosts that are looked at.

    `kind` is ``stat`` for one number, ``timeseries`` for its history. From `alarm` on a number is red.
    """

    title: str
    about: str
    queries: Sequence[tuple[str, str]]
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 12
    alarm: float | None = None


_DURATIONS = "sum by (le) (rate(writ_decision_duration_seconds_bucket@[$__rate_interval]))"
PANELS = (
    Panel(
        "Hosts that deny everything", "No verified policy, or one that is too stale to answer from.",
        [("hosts", "count(writ_ready@ == 0) or vector(0)")], kind="stat", width=6, alarm=1,
    ),
    Panel(
        "Hosts that are not fresh", "aging: nobody refreshes the timestamp. stale: nobody has. unreachable: no store.",
        [("{{state}}", 'sum by (state) (writ_freshness{instance=~"$instance",state!="fresh"})')],
        kind="stat", width=6, alarm=1,
    ),
    Panel(
        "Hosts that refuse something", "Something was rejected and nothing good has come since: read why first.",
        [("hosts", "sum(writ_rejected@)")], kind="stat", width=6, alarm=1,
    ),
    Panel(
        "First signature to end", "Until a role expires on some host: people sign it anew, or hosts turn stale.",
        [("{{role}}", "min by (role) (writ_metadata_expiry_timestamp_seconds@) - time()")],
        kind="stat", unit="s", width=6,
    ),
    Panel(
        "Release enforced", "Hosts apart from the others refuse a release, were rolled back, or are held back.",
        [("{{instance}}", "writ_release@"), ("published", "max(writ_published_release@)")],
    ),
    Panel(
        "Rolled back, emergencies", "Hosts somebody rolled back by hand; emergency entries in force on some host.",
        [("rolled back", "sum(writ_pinned@)"), ("emergency entries", "max(writ_emergency_entries@)")],
    ),
    Panel(
        "Decisions", "By their word. A step in deny right after a release is worth a look at that release.",
        [("{{decision}}", "sum by (decision) (rate(writ_decisions_total@[$__rate_interval]))")], unit="reqps",
    ),
    Panel(
        "Time to decide", "Without network and decision log.",
        [
            (f"p{share * 100:g}", f"histogram_quantile({share:g}, {_DURATIONS})") for share in (0.5, 0.99, 0.999)
        ],
        unit="s",
    ),
    Panel(
        "Requests and connections", "On all sockets; the limit is 1 024 connections for each service.",
        [
            ("requests per second", "sum(rate(writ_http_requests_total@[$__rate_interval]))"),
            ("connections", "sum(writ_connections@)"),
        ],
    ),
    Panel(
        "Polls", "By how they ended. unchanged is the rule; unreachable is the network or the store.",
        [("{{outcome}}", "sum by (outcome) (rate(writ_polls_total@[$__rate_interval]))")], unit="reqps",
    ),
    Panel(
        "Swaps and other events", "What hosts activated, refused, rolled back and resumed.",
        [("{{event}}", "sum by (event) (increase(writ_history_events_total@[$__rate_interval]))")],
    ),
    Panel(
        "Age of what is enforced", "Since it was activated.",
        [("{{instance}}", "time() - writ_activation_timestamp_seconds@")], unit="s",
    ),
    Panel(
        "Age of the timestamp", "Since its signature: it should be signed anew every hour.",
        [("{{instance}}", "time() - writ_metadata_signed_timestamp_seconds@")], unit="s",
    ),
    Panel(
        "Decision log", "Bytes on the disk of hosts, and what they may take. Full means deny, or records given up.",
        [
            ("{{instance}}", "writ_decision_log_bytes@"),
            ("limit", "min(writ_decision_log_limit_bytes@)"),
        ],
        unit="bytes",
    ),
    Panel(
        "Denied or given up for the log", "Answers that were deny, as nothing could be logged; records deleted.",
        [
            ("denied", "sum(rate(writ_decision_log_denied_total@[$__rate_interval]))"),
            ("given up", "sum(rate(writ_decision_log_given_up_total@[$__rate_interval]))"),
            ("not writable", "count(writ_decision_log_writable@ == 0) or vector(0)"),
        ],
    ),
    Panel(
        "Log that is only on hosts", "Bytes that wait to be shipped; segments whose place is taken by something else.",
        [
            ("{{instance}}", "writ_decision_log_unshipped_bytes@"),
            ("refused segments", "sum(writ_decision_log_refused_segments@)"),
        ],
    ),
    Panel(
        "Turned away", "Connections of users on no list, and connections beyond a limit.",
        [
            ("refused", "sum(rate(writ_access_refused_total@[$__rate_interval]))"),
            ("beyond a limit", "sum(rate(writ_connections_turned_away_total@[$__rate_interval]))"),
        ],
    ),
    Panel(
        "What is remembered", "Keys that rates count, and grants that were used. A table that is full is an error.",
        [("rate keys", "max(writ_rate_keys@)"), ("spent grants", "max(writ_spent_grants@)")],
    ),
    Panel(
        "Memory", "Resident, of the first process; workers have theirs beside it.",
        [
            ("{{instance}}", "process_resident_memory_bytes@"),
            ("{{instance}} workers", "writ_workers_resident_memory_bytes@"),
        ],
        unit="bytes",
    ),
    Panel(
        "Clocks", "How far clocks are behind the latest time their host has seen.",
        [("{{instance}}", "writ_clock_behind_seconds@")], unit="s",
    ),
    Panel(
        "Versions", "Of sidecars.",
        [("{{version}}", "count by (version) (writ_build_info@)")],
    ),
)  # fmt: skip


def dashboard(name: str) -> Mapping[str, Any]:
    """Return the dashboard of the hosts of a policy repository, as Grafana imports it."""
    return {
        "title": f"Writ: {name}",
        "uid": None,
        "tags": ["writ"],
        "timezone": "utc",
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_source_variable(), _instance_variable()]},
        "panels": _laid_out(),
    }


def _laid_out() -> list[dict[str, Any]]:
    """Return the panels from left to right, in rows."""
    laid, x, y = [], 0, 0
    for number, panel in enumerate(PANELS, start=1):
        if x + panel.width > _COLUMNS:
            x, y = 0, y + _HEIGHT
        laid.append(_panel(panel) | {"id": number, "gridPos": {"x": x, "y": y, "w": panel.width, "h": _HEIGHT}})
        x += panel.width
    return laid


def _panel(panel: Panel) -> dict[str, Any]:
    steps = [{"color": "green", "value": None}] + ([{"color": "red", "value": panel.alarm}] if panel.alarm else [])
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "expr": query.replace("@", _HOSTS),
                "legendFormat": legend,
            }
            for place, (legend, query) in enumerate(panel.queries)
        ],
    }


def _source_variable() -> dict[str, Any]:
    return {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _instance_variable() -> dict[str, Any]:
    return {
        "name": "instance",
        "label": "Host",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": "label_values(writ_ready, instance)", "refId": "instance"},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }
