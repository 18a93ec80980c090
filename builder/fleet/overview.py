"""A fleet beside what is live: every host with its standing, as a record and as text for people. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from builder.fleet.judging import Live, Standing, standing_of
from builder.fleet.listing import Fleet
from policy_core.fleet.names import HostState, Mark
from policy_core.trust.layout import format_time

SHOWN_HOSTS = 20
WELL = frozenset({Standing.CURRENT, Standing.UPDATING})
ALARMING = frozenset({Mark.CLOCK_BEHIND, Mark.LOG_UNWRITABLE})
"""Marks of hosts that need a look whatever their standing."""


@dataclass(frozen=True, slots=True)
class HostLine:
    """One host, and how it stands."""

    state: HostState
    standing: Standing


@dataclass(frozen=True, slots=True)
class ChannelView:
    """The hosts of a channel, those that need a look first."""

    live: Live
    hosts: tuple[HostLine, ...]

    @property
    def to_look_at(self) -> tuple[HostLine, ...]:
        """Return the hosts that are not well, or marked."""
        return tuple(line for line in self.hosts if line.standing not in WELL or line.state.marks & ALARMING)


def view(fleet: Fleet, lives: Iterable[Live], *, now: float) -> tuple[ChannelView, ...]:
    """Return the hosts of each channel, worst standing first, then by name."""
    order = {standing: number for number, standing in enumerate(Standing)}
    views = []
    for live in lives:
        states = fleet.states.get(live.channel, {}).values()
        lines = [HostLine(state, standing_of(state, live, now=now)) for state in states]
        views.append(ChannelView(live, tuple(sorted(lines, key=lambda line: (order[line.standing], line.state.host)))))
    return tuple(views)


def record(views: Iterable[ChannelView], fleet: Fleet) -> dict[str, Any]:
    """Return everything for machines."""
    return {
        "channels": {each.live.channel: _channel_record(each) for each in views},
        "silent": sorted(fleet.silent),
        "unread": fleet.unread,
    }


def text(views: Iterable[ChannelView], fleet: Fleet, *, now: float, show_all: bool) -> list[str]:
    """Return the lines for people: counts by standing, release and version, then the hosts to look at."""
    lines: list[str] = []
    for each in views:
        lines += [""] if lines else []
        lines += _channel_lines(each, now=now, most=len(each.hosts) if show_all else SHOWN_HOSTS)
    if fleet.silent:
        shown = sorted(fleet.silent)[: None if show_all else SHOWN_HOSTS]
        lines += ["", f"{_hosts(len(fleet.silent))} enrolled, and reporting nothing:", *(f"  {host}" for host in shown)]
        lines += _left_out(len(fleet.silent) - len(shown))
    if fleet.unread:
        lines += ["", f"{fleet.unread} objects have names that this version of writ does not understand"]
    return lines


def _channel_lines(each: ChannelView, *, now: float, most: int) -> list[str]:
    live, looked_at = each.live, each.to_look_at
    reporting, looked = _hosts(len(each.hosts)), len(looked_at) or "none"
    lines = [f"{live.channel}: release {live.release} is live, {reporting} reporting, {looked} to look at"]
    lines += _counts("standing", Counter(str(line.standing) for line in each.hosts))
    lines += _counts("release", Counter(str(line.state.enforced) for line in each.hosts))
    lines += _counts("version", Counter(line.state.version for line in each.hosts))
    lines += _counts("marked", Counter(mark.words for line in each.hosts for mark in line.state.marks))
    width = max((len(line.state.host) for line in looked_at[:most]), default=0)
    lines += [_host_line(line, live, width, now) for line in looked_at[:most]]
    return [*lines, *_left_out(len(looked_at) - most)]


def _counts(name: str, counted: Mapping[str, int]) -> list[str]:
    parts = (f"{value}: {count}" for value, count in sorted(counted.items(), key=lambda each: (-each[1], each[0])))
    return [f"  {name:9} {', '.join(parts)}"] if counted else []


def _host_line(line: HostLine, live: Live, width: int, now: float) -> str:
    state = line.state
    lag = f", {live.release - state.enforced} behind" if state.enforced < live.release else ""
    marked = "".join(f", {mark.words}" for mark in sorted(state.marks))
    return (
        f"  {state.host:{width}}  {line.standing:12} release {state.enforced}{lag}, timestamp {state.timestamp} of "
        f"{live.timestamp}, {state.freshness}{marked}, reported {_ago(now - state.at)}, {state.version}"
    )


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"


def _hosts(count: int) -> str:
    return f"{count} host{'' if count == 1 else 's'}"


def _left_out(count: int) -> list[str]:
    return [f"  and {count} more: --all shows them"] if count > 0 else []


def _channel_record(each: ChannelView) -> dict[str, Any]:
    live = each.live
    return {
        "release": live.release,
        "timestamp": live.timestamp,
        "signed_at": _time(live.signed_at),
        "standing": dict(Counter(str(line.standing) for line in each.hosts)),
        "hosts": [host_record_of(line, live) for line in each.hosts],
    }


def host_record_of(line: HostLine, live: Live) -> dict[str, Any]:
    """Return a host as machines read it."""
    state = line.state
    return {
        "host": state.host,
        "standing": line.standing,
        "release": state.enforced,
        "lag": max(0, live.release - state.enforced),
        "listed": state.listed,
        "timestamp": state.timestamp,
        "signed_at": _time(state.signed_at),
        "freshness": state.freshness,
        "marks": sorted(mark.name.lower() for mark in state.marks),
        "version": state.version,
        "features": state.features,
        "reported_at": _time(state.at),
    }


def _time(seconds: float) -> str:
    return format_time(datetime.fromtimestamp(int(seconds), UTC)) if seconds > 0 else ""
