"""Entry point of ``writ``: finds commands lazily, turns expected errors into ``error:``, ``hint:`` and exit codes."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from policy_core import __version__
from policy_core.errors import KnownError, report

# name -> (module of builder.cli, attribute); a module is imported only when its command runs or shows its help
COMMANDS = {
    "init": ("init", "init"),
    "keys": ("keys", "keys"),
    "lint": ("lint", "lint"),
    "test": ("test", "test"),
    "explain": ("explain", "explain"),
    "build": ("build", "build"),
    "publish": ("publish", "publish"),
    "rollback": ("publish", "rollback"),
    "refresh": ("publish", "refresh"),
    "live": ("live", "live"),
    "verify": ("verify", "verify"),
    "ledger": ("ledger", "ledger"),
    "demo": ("demo", "demo"),
}


class LazyGroup(click.Group):
    """A group whose commands are imported on first use, so that ``writ --help`` loads no git, S3 or CEL library."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's name
        """Return the command names in the order a new user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's name
        """Import the module that holds the command and return it, None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"builder.cli.{module}"), attribute)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "-C", "directory", type=click.Path(path_type=Path, file_okay=False, exists=True), default=Path(), metavar="DIR",
    help="Run as if started in DIR, like git.",
)  # fmt: skip
@click.version_option(__version__, prog_name="writ")
@click.pass_context
def writ(context: click.Context, directory: Path) -> None:
    """GitOps for runtime policy: test, sign and publish what agents and people may do right now.

    \b
    Example:
      writ init my-policies && cd my-policies
      writ keys init --dev && writ publish
    """
    context.obj = directory.resolve()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``writ`` and return its exit code (docs/reference/exit-codes.md)."""
    try:
        return writ.main(arguments, prog_name="writ", standalone_mode=False) or 0
    except KnownError as error:
        for line in report(error):
            click.echo(line, err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130


if __name__ == "__main__":
    sys.exit(main())
