"""``writ logs``: what hosts have decided and enforced, proven from what they shipped."""

import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from builder.cli.shared import format_option, print_json

if TYPE_CHECKING:
    from builder.logs.keys import KeyRing
    from builder.logs.sources import LogSource, Span
    from builder.logs.verifying import HostReport, Verification

Command = TypeVar("Command", bound=Callable[..., Any])


def _span_options(command: Command) -> Command:
    """Add --host, --from and --to."""
    for option in (
        click.option("--to", "last", metavar="WHEN", help="Up to this moment, or the end of a UTC day."),
        click.option("--from", "first", metavar="WHEN", help="From this moment (2026-03-01T14:30:00Z) or UTC day."),
        click.option("--host", metavar="NAME", help="Only this host."),
    ):
        command = option(command)
    return command


_keys_option: Callable[[Command], Command] = click.option(
    "--keys", "keys", metavar="PLACE",
    help="Public keys of hosts: the fleet's records (s3://…, file://…), or a directory of collected host.pub files.",
)  # fmt: skip


_accept_option: Callable[[Command], Command] = click.option(
    "--accept", "accepted", metavar="CHAIN", multiple=True,
    help="This chain may begin anew: somebody has looked into why the host lost the one before.",
)  # fmt: skip


@click.group()
def logs() -> None:
    """Prove, show and evaluate the decision logs of hosts.

    STORE is where hosts ship to (log.ship in their configuration: s3://… or file://…), or the spool of one host: its
    state directory.
    """


@logs.command()
@click.argument("store", metavar="STORE")
@_keys_option
@_span_options
@_accept_option
@format_option
@click.pass_context
def verify(
    context: click.Context, store: str, keys: str | None, host: str | None, first: str | None, last: str | None,
    accepted: tuple[str, ...], output_format: str,
) -> None:  # fmt: skip
    """Prove that what each host logged is complete, unchanged, in order, and signed with the host's enrolled key.

    Nothing but STORE and the keys is believed. Whatever cannot be proven is named, and is exit code 5: gaps, changed,
    moved or repeated segments, records after the last signature, unknown keys, and a log that begins anew.

    \b
    Example:
      writ logs verify s3://acme-logs/decisions --keys s3://acme-policies/fleet
      writ logs verify s3://acme-logs/decisions --keys fleet-keys --host web-1 --from 2026-03-01
      writ logs verify /var/lib/writ
    """
    from builder.logs.verifying import verify_logs

    source, ring, span = _opened(context, store, keys, host, first, last)
    with _Progress() as tick:
        outcome = verify_logs(source, ring, host=host, span=span, accepted=accepted, tick=tick)
    if output_format == "json":
        print_json(_record(outcome))
    else:
        _describe(outcome)
    outcome.check()


@logs.command()
@click.argument("store", metavar="STORE")
@_span_options
@click.option("--type", "types", metavar="TYPE", multiple=True, help="Only records of this type, such as activated.")
@click.option("--decision", "decisions", metavar="WORD", multiple=True, help="Only decisions that said this: deny, …")
@click.option(
    "--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="Print a line for people, or a JSON object, for each record.",
)  # fmt: skip
@click.pass_context
def show(
    context: click.Context, store: str, host: str | None, first: str | None, last: str | None, types: tuple[str, ...],
    decisions: tuple[str, ...], output_format: str,
) -> None:  # fmt: skip
    """Print records, host by host, in the order in which they were written.

    A segment that is not whole ends the list with an error. Whether hosts have signed it, `writ logs verify` tells.

    \b
    Example:
      writ logs show s3://acme-logs/decisions --from 2026-03-01 --to 2026-03-01 --decision deny
      writ logs show /var/lib/writ --type activated --format json
    """
    import msgspec

    from builder.logs.showing import Choice, chosen, describe_record
    from builder.logs.sources import open_source

    choice = Choice(host, _span(first, last), types, decisions)
    for found, content in chosen(open_source(store, base=context.obj), choice):
        if output_format == "json":
            click.echo(msgspec.json.encode({"host": found, "record": content}))
        else:
            click.echo(describe_record(found, content))


@logs.command()
@click.argument("store", metavar="STORE")
@_keys_option
@_span_options
@_accept_option
@format_option
@click.pass_context
def intervals(
    context: click.Context, store: str, keys: str | None, host: str | None, first: str | None, last: str | None,
    accepted: tuple[str, ...], output_format: str,
) -> None:  # fmt: skip
    """List which bundle each host enforced from when to when, from logs that are verified on the way.

    Intervals of a log that is not proven are printed all the same, and the exit code is 5.

    \b
    Example:
      writ logs intervals s3://acme-logs/decisions --keys s3://acme-policies/fleet --host web-1
    """
    from builder.cli.marks import echo_marked
    from builder.logs.enforced import Enforcing, describe_intervals
    from builder.logs.verifying import verify_logs

    source, ring, span = _opened(context, store, keys, host, first, last)
    enforcing: dict[str, Enforcing] = {}
    with _Progress() as tick:
        outcome = verify_logs(
            source, ring, host=host, span=span, accepted=accepted, tick=tick,
            watch=lambda name, record: enforcing.setdefault(name, Enforcing(name)).take(record),
        )  # fmt: skip
    found = [interval for each in enforcing.values() for interval in each.finish()]
    if output_format == "json":
        print_json({"intervals": found, "verification": _record(outcome)})
    else:
        for line in describe_intervals(found):
            click.echo(line)
        for line in _flaw_lines(outcome):
            echo_marked(line, err=True)
    outcome.check()


@logs.command()
@click.argument("store", metavar="STORE")
@click.option(
    "--as", "form", type=click.Choice(["ocsf", "otlp"]), required=True,
    help="OCSF events, or batches of OpenTelemetry log records.",
)  # fmt: skip
@_span_options
@click.pass_context
def export(
    context: click.Context, store: str, form: str, host: str | None, first: str | None, last: str | None
) -> None:
    """Print records in the form of another system, a JSON object a line.

    With `ocsf`, decisions are API Activity (6003), and what happened to policies is Application Lifecycle (6002). With
    `otlp`, each line is a body for POST /v1/logs, and for the collector's otlpjsonfile receiver. Whether hosts have
    signed what is exported, `writ logs verify` tells.

    \b
    Example:
      writ logs export s3://acme-logs/decisions --as ocsf --from 2026-03-01 --to 2026-03-01 > decisions.ocsf.jsonl
      writ logs export /var/lib/writ --as otlp
    """
    import msgspec

    from builder.logs.ocsf import to_ocsf
    from builder.logs.otlp import batches
    from builder.logs.showing import Choice, chosen
    from builder.logs.sources import open_source

    records = chosen(open_source(store, base=context.obj), Choice(host, _span(first, last)))
    lines = batches(records) if form == "otlp" else (to_ocsf(found, record) for found, record in records)
    for line in lines:
        click.echo(msgspec.json.encode(line))


class _Progress:
    """A bar on stderr, if somebody watches it."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __enter__(self) -> Callable[[int, int], None]:
        return self._tick

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.__exit__(None, None, None)

    def _tick(self, _done: int, total: int) -> None:
        if not sys.stderr.isatty():
            return
        if self._bar is None:
            self._bar = click.progressbar(length=total, label="segments", file=sys.stderr, show_pos=True)
            self._bar.__enter__()
        self._bar.update(1)


def _opened(
    context: click.Context, store: str, keys: str | None, host: str | None, first: str | None, last: str | None
) -> "tuple[LogSource, KeyRing, Span]":
    from builder.logs.keys import load_keys
    from builder.logs.sources import Spooled, open_source
    from policy_core.errors import UsageError

    source = open_source(store, base=context.obj)
    if keys is None and isinstance(source, Spooled):
        keys = str(Path(source.url).parent / "host.pub")
        click.echo(f"warning: the key is the one that lies beside the log, {keys}", err=True)
    if keys is None:
        raise UsageError(
            "whose signatures count was not said",
            hint="--keys s3://BUCKET/PREFIX is what hosts have as `reports`; --keys DIR holds copies of their host.pub",
        )
    return source, load_keys(keys, base=context.obj, host=host), _span(first, last)


def _span(first: str | None, last: str | None) -> "Span":
    from builder.ledger.moments import parse_when
    from builder.logs.sources import Span
    from policy_core.errors import UsageError

    begin = parse_when(first).start if first else None
    end: datetime | None = None
    if last:
        when = parse_when(last)
        end = when.end - timedelta(microseconds=1) if when.end else when.start
    if begin and end and end < begin:
        raise UsageError(f"--to {last} is before --from {first}")
    return Span(begin, end)


def _record(outcome: "Verification") -> dict[str, Any]:
    return {
        "source": outcome.source,
        "verified": outcome.is_proven,
        "hosts": [
            {"host": host.host, "proven": not host.findings, "chains": host.chains, "findings": host.findings}
            for host in outcome.hosts
        ],
        "key_problems": outcome.problems,
    }


def _describe(outcome: "Verification") -> None:
    from builder.cli.marks import echo_marked

    for problem in outcome.problems:
        echo_marked(f"✗ key: {problem}")
    for host in outcome.hosts:
        for line in _host_lines(host):
            echo_marked(line)
    if outcome.is_proven:
        segments = sum(chain.segments for host in outcome.hosts for chain in host.chains)
        click.echo(f"{outcome.source}: proven (hosts: {len(outcome.hosts)}, segments: {segments})")


def _host_lines(host: "HostReport") -> list[str]:
    mark = "✗" if host.findings else "✓"
    lines = [f"{mark} {host.host}"]
    for chain in host.chains:
        if not chain.records:
            lines.append(f"  chain {chain.chain}: no record after {chain.last_seq}")
            continue
        signed = f"signed up to {chain.signed_seq} by {chain.keyid[:16]}" if chain.keyid else "not signed"
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(chain.records.items()))
        lines += [
            f"  chain {chain.chain}: {chain.first_seq} to {chain.last_seq}, segments: {chain.segments}, {signed}",
            f"    {chain.opened_at} to {chain.last_at}: {kinds}",
        ]
        if chain.accepted:
            lines.append("    ! begins anew, which is accepted")
        if chain.repeated:
            lines.append(f"    {chain.repeated} segments are there twice, and the same")
        if chain.torn_bytes:
            lines.append(f"    {chain.torn_bytes} bytes of a record that is being written")
    return [*lines, *(f"  ✗ {each}" for each in host.findings)]


def _flaw_lines(outcome: "Verification") -> list[str]:
    """Return what is wrong, for where nothing else is told of a log."""
    found = [f"✗ {host.host}: {each}" for host in outcome.hosts for each in host.findings]
    return [*(f"✗ key: {problem}" for problem in outcome.problems), *found]
