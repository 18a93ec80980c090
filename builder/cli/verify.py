"""``writ verify``: a real client's view of the store, its history, its provenance and its ledger."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from builder.cli.shared import channel_option, format_option, print_json, progress

if TYPE_CHECKING:
    from builder.auditing import Verified
    from builder.publishing.provenance import Provenance


@click.command()
@channel_option
@click.option(
    "--rebuild", is_flag=False, flag_value="live", metavar="[RELEASE]",
    help="Build a release again from its commit and compare (without a number: the live one).",
)  # fmt: skip
@format_option
@click.pass_context
def verify(context: click.Context, channel: str | None, rebuild: str | None, output_format: str) -> None:
    """Verify a channel from trust/root.json down: signatures, expiry, live bundle, provenance, history, and ledger.

    A release that does not hold what its commit gives is exit code 5. Warns on stderr before something expires.

    \b
    Example:
      writ verify
      writ verify --channel prod --rebuild
      writ verify --channel prod --rebuild 12 --format json
    """
    from builder.auditing import verify_channel
    from builder.publishing.workspace import Workspace

    workspace = Workspace.open(context.obj)
    progress("verifying the store, its history and the ledger …")
    verified = verify_channel(workspace, workspace.channel(channel), rebuild=rebuild)
    for warning in verified.warnings:
        click.echo(f"warning: {warning}", err=True)
    if output_format == "json":
        print_json(_record(verified))
    else:
        _describe(verified)


def _record(verified: "Verified") -> dict[str, Any]:
    from builder.publishing.describing import provenance_record, release_record, standing_record
    from policy_core.trust.layout import format_time

    record = {
        "channel": verified.channel,
        "signed_at": format_time(verified.state.signed_at),
        "expires": {role: format_time(time) for role, time in verified.state.expires.items()},
        "versions": verified.state.versions,
        "releases": [
            {"from": format_time(found.start), **release_record(found.release), "approved_by": found.approved_by}
            for found in verified.intervals
            if found.release
        ],
        **standing_record(verified.standing),
        "provenance": provenance_record(verified.provenance) if verified.provenance else None,
        "ledger": verified.ledger,
    }
    rebuilt = verified.rebuilt
    return record | ({"rebuilt": release_record(rebuilt)} if rebuilt else {})


def _describe(verified: "Verified") -> None:
    from builder.publishing.describing import count, describe_standing
    from policy_core.trust.layout import format_time

    for found in verified.intervals:
        if found.release:
            release = found.release
            click.echo(
                f"{format_time(found.start)}  release {release.release}  {release.action}  {release.revision[:12]}"
                f"  {release.actor}"
                + (f"  from {release.origin}" if release.origin else "")
                + (f"  approved by {', '.join(found.approved_by)}" if found.approved_by else "")
                + (f"  ({release.reason})" if release.reason else "")
            )
    for role, time in verified.state.expires.items():
        click.echo(f"{role} version {verified.state.versions[role]} expires {format_time(time)}")
    for line in describe_standing(verified.channel, verified.standing):
        click.echo(line)
    live, rebuilt = verified.state.release, verified.rebuilt
    if verified.provenance:
        for line in _provenance_lines(verified.provenance):
            click.echo(line)
    elif live:
        click.echo(f"provenance  none: release {live.release} was published by a version that made none")
    if rebuilt:
        click.echo(
            f"rebuilt     release {rebuilt.release}: commit {rebuilt.revision[:12]} gives its content, "
            f"sha256:{rebuilt.content_sha256}"
        )
    ledger = verified.ledger
    click.echo(f"{verified.channel}: verified, {count(ledger.releases, 'release')}, ledger at {ledger.tip}")


def _provenance_lines(provenance: "Provenance") -> Iterator[str]:
    from builder.publishing.describing import count

    source, tests, gates = provenance.source or "a repository without an address", provenance.tests, provenance.gates
    yield f"provenance  sha256:{provenance.sha256}, signed by key {provenance.key[:12]}"
    yield f"  source    {source} at {provenance.revision}"
    yield f"  builder   {provenance.builder}, version {provenance.version}"
    yield f"  tests     {tests.passed} passed, {tests.skipped} skipped"
    if gates.passed:
        yield f"  gates     {', '.join(gates.passed)} (of release {gates.of_release})"
    if gates.approvals:
        commits = count(gates.approvals.commits, "commit")
        teams = (f"{team}: {', '.join(names)}" for team, names in gates.approvals.teams.items())
        yield f"  approvals {'; '.join((commits, *teams))}"
