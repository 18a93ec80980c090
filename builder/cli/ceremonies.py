"""``writ keys add | revoke | rotate-root | renew | sign | apply``: keys change hands, with everybody's signature."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli.shared import Command, format_option, print_json, progress

if TYPE_CHECKING:
    from securesystemslib.signer import Key

    from builder.publishing.ceremony import Ceremony
    from builder.publishing.key_changes import Wish
    from builder.publishing.keys import KeyRing
    from builder.rekeying import Rekeying

dry_run_option: Callable[[Command], Command] = click.option(
    "--dry-run", is_flag=True, help="Show what would change and who must sign; change nothing."
)
yes_option: Callable[[Command], Command] = click.option("--yes", is_flag=True, help="Do not ask once more.")
output_option: Callable[[Command], Command] = click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write a ceremony file for others to sign, instead of making it live.",
)  # fmt: skip
key_option: Callable[[Command], Command] = click.option(
    "--key", "keys", metavar="FILE|URI", multiple=True,
    help="Public key to add: a PEM file, an OpenSSH .pub file, or a signer such as awskms:…; may be repeated.",
)  # fmt: skip
owner_option: Callable[[Command], Command] = click.option(
    "--owner", "owners", metavar="NAME", multiple=True,
    help="Whose key that is, for people; one for each --key, in their order (default: a machine's).",
)  # fmt: skip
remove_option: Callable[[Command], Command] = click.option(
    "--remove", "removed", metavar="KEYID|OWNER", multiple=True,
    help="Key to take away in the same step, by its owner or the beginning of its id; may be repeated.",
)  # fmt: skip
threshold_option: Callable[[Command], Command] = click.option(
    "--threshold", type=click.IntRange(min=1), metavar="N", help="How many of the keys must sign (default: as it is)."
)


@click.command("add")
@click.argument("role")
@key_option
@owner_option
@remove_option
@threshold_option
@output_option
@dry_run_option
@yes_option
@format_option
@click.pass_context
def keys_add(
    context: click.Context,
    /,
    role: str,
    keys: tuple[str, ...],
    owners: tuple[str, ...],
    removed: tuple[str, ...],
    threshold: int | None,
    **options: Any,
) -> None:
    """Add public keys to ROLE: root, targets, snapshot, timestamp, a channel, or CHANNEL.oncall.

    Shows what changes and who must sign. With all these keys here it becomes live at once; else -o FILE writes a
    ceremony file. The first key of CHANNEL.oncall makes that role. With --remove, new keys take the place of old ones.

    \b
    Example:
      writ keys add prod --key ana.pub --owner ana --key bo.pem --owner bo --threshold 2 -o prod.ceremony
      writ keys add timestamp --key awskms:alias/writ-timestamp
    """
    _replace_keys(context, role, keys, owners, removed, threshold, **options)


@click.command("revoke")
@click.argument("role")
@click.argument("names", metavar="KEYID|OWNER...", nargs=-1, required=True)
@threshold_option
@output_option
@dry_run_option
@yes_option
@format_option
@click.pass_context
def keys_revoke(
    context: click.Context, /, role: str, names: tuple[str, ...], threshold: int | None, **options: Any
) -> None:
    """Take keys away from ROLE, by their owners or by the beginning of their ids.

    What is live and has too few signatures without them is signed anew in the same change. A role keeps as many keys as
    its threshold: add another key first, or lower the threshold with it.

    \b
    Example:
      writ keys revoke prod cy --dry-run
      writ keys revoke snapshot 0f3a9c1b2d4e
    """
    _replace_keys(context, role, (), (), names, threshold, **options)


@click.command("rotate-root")
@key_option
@owner_option
@remove_option
@threshold_option
@output_option
@dry_run_option
@yes_option
@format_option
@click.pass_context
def keys_rotate_root(
    context: click.Context,
    /,
    keys: tuple[str, ...],
    owners: tuple[str, ...],
    removed: tuple[str, ...],
    threshold: int | None,
    **options: Any,
) -> None:
    """Replace keys of root in one step: the new root is signed by the threshold of the old and of the new keys.

    Hosts follow from any root they have, over as many rotations as they missed. trust/root.json stays what it is.

    \b
    Example:
      writ keys rotate-root --key dee.pub --owner dee --remove ana -o root.ceremony
    """
    _replace_keys(context, "root", keys, owners, removed, threshold, **options)


@click.command("renew")
@click.argument("roles", metavar="ROLE...", nargs=-1, required=True)
@output_option
@dry_run_option
@yes_option
@format_option
@click.pass_context
def keys_renew(context: click.Context, /, roles: tuple[str, ...], **options: Any) -> None:
    """Sign roles anew as they are, before (or after) they expire: those that people hold.

    writ maintain does so for roles with one signature whose keys are here. Root, targets, channels and on-call roles
    can be renewed; snapshot and timestamp are signed anew with every change.

    \b
    Example:
      writ keys renew root targets -o yearly.ceremony
    """
    from builder.publishing.key_changes import KeyChange

    _change(context, lambda _: KeyChange(renewed=frozenset(roles)), **options)


@click.command("sign")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--signer", metavar="URI", help="Who signs (default: what WRIT_SIGNER_<ROLE> names, or your key files).")
@yes_option
@format_option
@click.pass_context
def keys_sign(context: click.Context, file: Path, signer: str | None, yes: bool, output_format: str) -> None:
    """Add your signature to the ceremony file FILE, after showing what it changes.

    What is shown is computed from the role files in it and the verified store. A file that is stale, that somebody
    changed, or that no writ keys command would have made is refused.

    \b
    Example:
      writ keys sign prod.ceremony --signer file:/media/ana/key.pem
    """
    from builder.cli.writing import replace_file
    from builder.publishing.carrying_out import sign_or_refuse
    from builder.publishing.ceremony_account import account_of

    rekeying, ceremony, content = _checked(context, file)
    key_ring = rekeying.key_ring.with_signer(signer, ceremony.document.roles) if signer else rekeying.key_ring
    _show(ceremony, key_ring)
    _confirm("Sign it?", yes=yes)
    signed = sign_or_refuse(ceremony, key_ring)
    replace_file(context.obj / file, content, signed.ceremony.document.to_bytes())
    if output_format == "json":
        print_json({**asdict(account_of(signed.ceremony, key_ring)), "complete": not signed.ceremony.missing})
        return
    from builder.publishing.holders import name_of

    for role, key in signed.added.items():
        click.echo(f"{role}: signed by {name_of(key)}")
    _tell_missing(signed.ceremony, file)


@click.command("apply")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@dry_run_option
@yes_option
@format_option
@click.pass_context
def keys_apply(context: click.Context, file: Path, dry_run: bool, yes: bool, output_format: str) -> None:
    """Make the ceremony file FILE live, once it has all its signatures; the keys of snapshot and timestamp sign here.

    A run that was cut short is completed by the next one.

    \b
    Example:
      writ keys apply prod.ceremony
    """
    from builder.publishing.pending import Pending

    rekeying, ceremony, content = _checked(context, file)
    _show(ceremony, rekeying.key_ring)
    if not dry_run:
        _confirm("Make it live?", yes=yes)
        ceremony = rekeying.apply(Pending.from_bytes(content, str(file)), str(file))
    _print(ceremony, rekeying.key_ring, output_format, live=not dry_run)


def _replace_keys(
    context: click.Context,
    role: str,
    keys: tuple[str, ...],
    owners: tuple[str, ...],
    removed: tuple[str, ...],
    threshold: int | None,
    **options: Any,
) -> None:
    """Add keys to a role and take others away, in one change."""
    from builder.publishing.key_changes import change_holders
    from policy_core.errors import UsageError

    if not keys and not removed and threshold is None:
        raise UsageError(f"role {role}: nothing to change", hint="give --key, --remove or --threshold")
    added = _public_keys(context.obj, keys, owners)
    _change(
        context,
        lambda before: change_holders(before, role, added=added, removed=removed, threshold=threshold or 0),
        **options,
    )


def _change(
    context: click.Context,
    wish: "Wish",
    *,
    output: Path | None,
    dry_run: bool,
    yes: bool,
    output_format: str,
) -> None:
    """Show a change, ask, and make it live or write its ceremony file."""
    from builder.publishing.workspace import Workspace
    from builder.rekeying import Rekeying

    progress("reading the store …")
    begin_ceremony(
        Rekeying.open(Workspace.open(context.obj)),
        wish,
        output=context.obj / output if output else None,
        dry_run=dry_run,
        yes=yes,
        output_format=output_format,
    )


def begin_ceremony(
    rekeying: "Rekeying", wish: "Wish", *, output: Path | None, dry_run: bool, yes: bool, output_format: str
) -> None:
    """Show what is wished and who must sign, ask, and make it live or write its ceremony file."""
    from builder.cli.writing import write_file
    from builder.publishing.carrying_out import sign

    ceremony = rekeying.propose(wish)
    if ceremony is None:
        if output_format == "json":
            print_json({"live": False, "written": ""})
        else:
            click.echo("nothing to do")
        return
    _show(ceremony, rekeying.key_ring)
    live = False
    if not dry_run:
        _confirm("Sign it?" if output else "Sign it and make it live?", yes=yes)
        if output:
            ceremony = sign(ceremony, rekeying.key_ring).ceremony
            write_file(output, ceremony.document.to_bytes(), option="-o")
        else:
            ceremony, live = rekeying.change(wish) or ceremony, True
    _print(ceremony, rekeying.key_ring, output_format, live=live, written=None if dry_run else output)
    if ceremony.before.begun:
        click.echo("note: this completes what was cut short; for anything else run the command again", err=True)


def _public_keys(directory: Path, places: tuple[str, ...], owners: tuple[str, ...]) -> "tuple[Key, ...]":
    from builder.publishing.public_keys import read_public_key
    from policy_core.errors import UsageError

    if "" in owners:  # a variable of a shell that nobody has set makes no machine's key
        raise UsageError("--owner: is empty", hint="leave it out for machines")
    if owners and len(owners) != len(places):
        raise UsageError(
            f"{len(places)} keys, but {len(owners)} owners",
            hint="give one --owner for each --key, or none for machines",
        )
    named = zip(places, owners or [""] * len(places), strict=True)
    return tuple(read_public_key(place, directory, owner) for place, owner in named)


def _checked(context: click.Context, file: Path) -> "tuple[Rekeying, Ceremony, bytes]":
    from builder.cli.reading import read_input
    from builder.publishing.pending import Pending
    from builder.publishing.workspace import Workspace
    from builder.rekeying import Rekeying

    content = read_input(context.obj, file, "ceremony file")
    document = Pending.from_bytes(content, str(file))
    progress("reading the store …")
    rekeying = Rekeying.open(Workspace.open(context.obj), document)
    return rekeying, rekeying.check(document, str(file)), content


def _show(ceremony: "Ceremony", key_ring: "KeyRing") -> None:
    from builder.publishing.ceremony_account import account_of, describe

    for line in describe(account_of(ceremony, key_ring)):
        click.echo(line, err=True)


def _confirm(question: str, *, yes: bool) -> None:
    if not yes and sys.stdin.isatty():
        click.confirm(question, err=True, abort=True)


def _print(
    ceremony: "Ceremony", key_ring: "KeyRing", output_format: str, *, live: bool, written: Path | None = None
) -> None:
    from builder.publishing.ceremony_account import account_of

    if output_format == "json":
        account = asdict(account_of(ceremony, key_ring))
        print_json({**account, "live": live, "written": str(written) if written else ""})
    elif live:
        files = ", ".join(f"{role} {file.signed.version}" for role, file in ceremony.document.roles.items())
        click.echo(f"live: {files}")
    elif written:
        click.echo(f"{written}: written")
        _tell_missing(ceremony, written)
    else:
        click.echo("nothing was changed")


def _tell_missing(ceremony: "Ceremony", file: Path) -> None:
    from builder.publishing.ceremony import describe_missing

    for missing in ceremony.missing:
        click.echo(f"missing  {describe_missing(missing)}")
    if not ceremony.missing:
        click.echo(f"all signatures are there: writ keys apply {file}")
