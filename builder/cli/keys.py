"""``writ keys``: the keys that sign, and the trust root that hosts are given."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.ceremonies import (
    begin_ceremony,
    dry_run_option,
    keys_add,
    keys_apply,
    keys_renew,
    keys_revoke,
    keys_rotate_root,
    keys_sign,
    output_option,
    yes_option,
)
from builder.cli.shared import ask_passphrase, format_option, print_json, progress

if TYPE_CHECKING:
    from builder.publishing.enrol import Enrolment

_NO_TERMINAL = "run it where somebody can type, or leave the key unencrypted with --no-passphrase"


@click.group()
def keys() -> None:
    """Make signing keys, look after them, and make keys of people who approve."""


@keys.command("init")
@click.option("--dev", is_flag=True, help="File keys of your own, one for each role. The only kind so far: required.")
@format_option
@click.pass_context
def keys_init(context: click.Context, dev: bool, output_format: str) -> None:
    """Make the keys of this policy repository, commit trust/root.json, and write the first metadata to the store.

    The keys go to $XDG_CONFIG_HOME/writ/keys/NAME/ (or ~/.config/writ/keys/NAME/) and never into the repository. Keys
    that exist are not overwritten. A run that was cut short after the commit is completed by the next one.

    \b
    Example:
      writ keys init --dev
    """
    from builder.publishing.initialise import initialise
    from builder.publishing.workspace import Workspace
    from policy_core.errors import UsageError

    if not dev:
        raise UsageError("keys init: say which kind of keys", hint="writ keys init --dev makes key files of your own")
    workspace = Workspace.open(context.obj)
    progress("making keys and the first metadata …")
    made = initialise(workspace)
    if output_format == "json":
        print_json(made)
        return
    if not made.changed:
        click.echo(f"{made.store}: has the metadata of this trust root already, nothing to do")
        return
    click.echo(f"keys        {made.keys}")
    click.echo(f"trust root  trust/root.json  sha256:{made.root_sha256}")
    click.echo(f"store       {made.store}")
    click.echo("Give trust/root.json to each host by hand; everything else is verified from it. Back up the keys.")


@keys.command("show")
@format_option
@click.pass_context
def keys_show(context: click.Context, output_format: str) -> None:
    """Show who may sign for each role, until when, which of the keys are here, and what is due.

    Reads the verified metadata of the store. Signs nothing, asks no service, and asks for no passphrase.

    \b
    Example:
      writ keys show
    """
    from builder.publishing.holdings import find_holdings
    from builder.publishing.workspace import Workspace
    from policy_core.trust.layout import format_time

    workspace = Workspace.open(context.obj)
    progress("reading the store …")
    found = find_holdings(workspace)
    if output_format == "json":
        roles = [{**asdict(role), "expires": format_time(role.expires)} for role in found.roles]
        print_json({"store": found.store, "roles": roles, "missing_channels": found.missing_channels})
        return
    for role in found.roles:
        click.echo(
            f"{role.role}: {role.threshold} of {len(role.keys)}, version {role.version}, "
            f"expires {format_time(role.expires)}" + (", due" if role.due else "")
        )
        for key in role.keys:
            owner = f"  {key.owner}" if key.owner else ""
            click.echo(f"  {key.id}  {key.scheme}{owner}" + (f"  here: {role.source}" if key.here else ""))
        if role.note:
            click.echo(f"  here: {role.source} ({role.note})")
    for role in found.roles:
        if role.warning:
            click.echo(f"warning: {role.warning}", err=True)
    for channel in found.missing_channels:
        click.echo(f"warning: {channel} is not in the store yet: run `writ keys add-channel {channel}`", err=True)


@keys.command("add-channel")
@click.argument("channel", metavar="NAME")
@output_option
@dry_run_option
@yes_option
@format_option
@click.pass_context
def keys_add_channel(
    context: click.Context, channel: str, output: Path | None, dry_run: bool, yes: bool, output_format: str
) -> None:
    """Add the channel NAME, which writ.yaml names already, to the store: its key, its role, and who may sign it.

    Makes a key file for it, unless WRIT_SIGNER_<NAME> names a signer. Publishers of other channels are not disturbed. A
    run that was cut short is completed by the next one. Where others must sign, -o FILE writes a ceremony file.

    \b
    Example:
      writ keys add-channel staging --dry-run
      writ keys add-channel staging
    """
    from builder.publishing.enrol import enrolment, preview_enrolment
    from builder.publishing.workspace import Workspace
    from builder.rekeying import Rekeying
    from builder.releasing import add_channel, enrolling

    progress("reading the store …")
    workspace = Workspace.open(context.obj)
    publishers = enrolling(workspace, channel)
    preview = preview_enrolment(channel, publishers)
    if output and not dry_run:
        wish, rekeying = enrolment(channel, publishers), Rekeying.open(workspace)
        begin_ceremony(rekeying, wish, output=context.obj / output, dry_run=False, yes=yes, output_format=output_format)
        return
    if not preview.there:
        for line in _described(preview):
            click.echo(line, err=True)
        if not dry_run and not yes and sys.stdin.isatty():
            click.confirm("Add it?", err=True, abort=True)
    added = not dry_run and add_channel(channel, publishers)
    if output_format == "json":
        print_json({**asdict(preview), "added": added})
    elif preview.there:
        click.echo(f"{channel}: is in the store already, nothing to do")
    elif added:
        click.echo(f"{channel}: added, its key is {preview.signatories[0].source}")
    else:
        click.echo(f"{channel}: would be added")


for _command in (keys_add, keys_revoke, keys_rotate_root, keys_renew, keys_sign, keys_apply):
    keys.add_command(_command)


@keys.command("approver")
@click.argument("name")
@click.option(
    "--team", "teams", metavar="TEAM", multiple=True, required=True, help="A team of theirs; may be repeated."
)
@click.option(
    "--subject", "subjects", metavar="ID", multiple=True,
    help="A subject id that is this person in requests, who never approves their own; may be repeated (default: NAME).",
)  # fmt: skip
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Where to put the private key (default: $XDG_CONFIG_HOME/writ/approvers/NAME.pem).",
)  # fmt: skip
@click.option("--no-passphrase", is_flag=True, help="Leave the key file unencrypted: whoever can read it can approve.")
@format_option
@click.pass_context
def keys_approver(
    context: click.Context,
    name: str,
    teams: tuple[str, ...],
    subjects: tuple[str, ...],
    output: Path | None,
    no_passphrase: bool,
    output_format: str,
) -> None:
    """Make the key NAME approves requests with (see writ grant), and print the entry for approvers in writ.yaml.

    The private key is encrypted with a passphrase, which is asked for. It never lies in a repository; only the public
    key goes into writ.yaml.

    \b
    Example:
      writ keys approver ana --team security
    """
    from builder.granting.keys import create_key, default_path, public_hex
    from builder.language.approvers import NAME, NAME_ALLOWED
    from policy_core.errors import UsageError

    for word in (name, *teams):
        if not NAME.fullmatch(word):
            raise UsageError(f"{word!a}: is no name", hint=f"use {NAME_ALLOWED}")
    path = context.obj / output if output else default_path(name, os.environ)
    passphrase = "" if no_passphrase else ask_passphrase("Passphrase", hint=_NO_TERMINAL, confirm=True)
    key = create_key(path, passphrase=passphrase)
    entry = {"key": public_hex(key), "teams": list(teams), "subjects": list(subjects or (name,))}
    if output_format == "json":
        print_json({"approver": name, **entry, "file": str(path)})
        return
    click.echo(f"private key in {path}; put this into writ.yaml:", err=True)
    click.echo(f"approvers:\n  {name}: {json.dumps(entry)}")


def _described(preview: "Enrolment") -> list[str]:
    """Return what adding a channel changes and who must sign that, as lines."""
    targets = preview.targets_version
    lines = [
        f"targets    version {targets} to {targets + 1}: delegates {preview.channel}/* to one new role",
        f"{preview.channel:<10} first version, without a release",
    ]
    for one in preview.signatories:
        where = (f"new key file {one.source}" if one.new_key else one.source) or "not here"
        lines.append(f"signed by  {one.role}: {one.threshold} of {one.keys} ({where})")
    return lines
