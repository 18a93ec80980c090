"""``writ keys``: the keys that sign, and the trust root that hosts are given."""

import click

from builder.cli.shared import format_option, print_json, progress


@click.group()
def keys() -> None:
    """Make signing keys."""


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
