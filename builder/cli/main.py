"""Entry point of ``writ``: finds commands lazily, turns expected errors into ``error:``, ``hint:`` and exit codes."""

import gc
import importlib
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import click

from policy_core import __version__
from policy_core.errors import KnownError, UsageError, report

INTERRUPTED, READER_GONE = 130, 141  # what shells say of a process that SIGINT or SIGPIPE ended

YOUNG_OBJECTS = 20_000  # between two looks for garbage: a command builds much and ends soon; a third faster

# name -> (module of builder.cli, attribute); a module is imported only when its command runs or shows its help
COMMANDS = {
    "init": ("init", "init"),
    "library": ("library", "library"),
    "keys": ("keys", "keys"),
    "lint": ("lint", "lint"),
    "schema": ("schema", "schema"),
    "test": ("test", "test"),
    "explain": ("explain", "explain"),
    "simulate": ("simulate", "simulate"),
    "import": ("import_", "import_"),
    "build": ("build", "build"),
    "publish": ("publish", "publish"),
    "promote": ("approve", "promote"),
    "approve": ("approve", "approve"),
    "rollback": ("publish", "rollback"),
    "emergency": ("emergency", "emergency"),
    "drill": ("drill", "drill"),
    "refresh": ("refresh", "refresh"),
    "maintain": ("publish", "maintain"),
    "live": ("live", "live"),
    "verify": ("verify", "verify"),
    "ledger": ("ledger", "ledger"),
    "logs": ("logs", "logs"),
    "fleet": ("fleet", "fleet"),
    "grant": ("grant", "grant"),
    "render": ("render", "render"),
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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of a command line; a near miss is named, which click does for imported commands alone."""
        unknown = args[0] not in COMMANDS and not ctx.resilient_parsing  # the latter: a shell completes words
        if unknown and (near := get_close_matches(args[0], COMMANDS, n=1)):
            raise UsageError(f"no such command {args[0][:40]!r}", hint=f"did you mean `writ {near[0]}`?")
        return super().resolve_command(ctx, args)


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
    gc.set_threshold(YOUNG_OBJECTS)
    colours = False if os.environ.get("NO_COLOR") else None  # None: on a terminal
    try:
        return writ.main(arguments, prog_name="writ", standalone_mode=False, color=colours) or 0
    except KnownError as error:
        return _refuse(error)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return _refuse(_usage_error(error))
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except SystemExit as stop:  # click's own way out: a shell got its completions, or stdout has no reader any more
        return READER_GONE if stop.code else 0


def _refuse(error: KnownError) -> int:
    for line in report(error):
        click.echo(line, err=True)
    return error.exit_code


def _usage_error(error: click.ClickException) -> UsageError:
    """Say what click says of a wrong command line in the form of all other errors."""
    message = error.format_message().rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    command = context.command_path if context else "writ"
    return UsageError(message[:1].lower() + message[1:], hint=f"see `{command} --help`")


if __name__ == "__main__":
    sys.exit(main())
