"""Options and output that several commands share."""

import sys
import warnings
from collections.abc import Callable
from getpass import GetPassWarning
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from policy_core.errors import UsageError

if TYPE_CHECKING:
    from builder.merging.reviews import ReviewRecord

Command = TypeVar("Command", bound=Callable[..., Any])

format_option: Callable[[Command], Command] = click.option(
    "--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="Print for people or for machines.",
)  # fmt: skip
channel_option: Callable[[Command], Command] = click.option(
    "--channel", metavar="NAME", help="Channel (default: the first in writ.yaml)."
)


def _load_reviews(context: click.Context, _option: click.Parameter, file: Path | None) -> "tuple[ReviewRecord, ...]":
    from builder.merging.reviews import load_reviews

    return () if file is None else load_reviews(context.obj / file, name=str(file))


reviews_option: Callable[[Command], Command] = click.option(
    "--reviews", metavar="FILE", type=click.Path(path_type=Path), callback=_load_reviews,
    help="What reviewers said about the commits, as your forge exports it, for governance.approvals in writ.yaml.",
)  # fmt: skip
leave_behind_option: Callable[[Command], Command] = click.option(
    "--leave-hosts-behind", is_flag=True,
    help="Go on although hosts cannot evaluate this policy, or cannot be asked; they keep the one they have.",
)  # fmt: skip


def print_json(value: object) -> None:
    """Print a value as one indented JSON document on stdout."""
    click.echo(as_json(value))


def as_json(value: object) -> str:
    """Return a value as one indented JSON document."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def ask_passphrase(prompt: str, *, hint: str, confirm: bool = False) -> str:
    """Ask for a passphrase on the terminal, twice to `confirm` it. Raises UsageError if there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", GetPassWarning)  # it would be read from stdin, and shown
        try:
            passphrase: str = click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
        except GetPassWarning as error:
            raise UsageError(f"{prompt}: there is no terminal to ask on", hint=hint) from error
    return passphrase


def progress(message: str) -> None:
    """Tell a waiting person what is going on: stderr, and only on a terminal."""
    if sys.stderr.isatty():
        click.echo(message, err=True)
