"""``writ-sidecar``: run the daemon, ask it, and intervene on this host."""

import os
from collections.abc import Sequence
from pathlib import Path

import click

from agent_sidecar.cli.decide import decide, explain, simulate
from agent_sidecar.cli.rollback import resume, rollback
from agent_sidecar.cli.run import run
from agent_sidecar.cli.status import history, log_level, snapshots, status
from agent_sidecar.cli.tuf_client import tuf_client
from agent_sidecar.cli.verify import verify
from policy_core import __version__
from policy_core.errors import KnownError, UsageError, report

INTERRUPTED, READER_GONE = 130, 141  # as shells say it: 128 and the number of SIGINT, SIGPIPE


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "-C", "directory", type=click.Path(path_type=Path, file_okay=False, exists=True), metavar="DIR",
    help="Run as if started in DIR, like git.",
)  # fmt: skip
@click.version_option(__version__, prog_name="writ-sidecar")
def writ_sidecar(directory: Path | None) -> None:
    """Enforce signed policy on this host: poll, verify, hot-swap, decide.

    \b
    Example:
      writ-sidecar run --config /etc/writ/sidecar.toml
      writ-sidecar status --state /var/lib/writ
      writ-sidecar rollback --state /var/lib/writ --reason "restarts refused since 14:02"
    """
    if directory:
        os.chdir(directory)


for _command in (
    run, decide, explain, simulate, snapshots, status, log_level, history, rollback, resume, verify, tuf_client,
):  # fmt: skip
    writ_sidecar.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``writ-sidecar`` and return its exit code (docs/reference/exit-codes.md)."""
    try:
        return writ_sidecar.main(arguments, prog_name="writ-sidecar", standalone_mode=False) or 0
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
    except SystemExit as stop:  # click's own way out: stdout has no reader any more
        return READER_GONE if stop.code else 0


def _refuse(error: KnownError) -> int:
    for line in report(error):
        click.echo(line, err=True)
    return error.exit_code


def _usage_error(error: click.ClickException) -> UsageError:
    """Say what click says of a wrong command line in the form of all other errors."""
    message = error.format_message().rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    command = context.command_path if context else "writ-sidecar"
    return UsageError(message[:1].lower() + message[1:], hint=f"see `{command} --help`")
