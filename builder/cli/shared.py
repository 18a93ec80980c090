"""Options and output that several commands share."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec

Command = TypeVar("Command", bound=Callable[..., Any])

format_option: Callable[[Command], Command] = click.option(
    "--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="Print for people or for machines.",
)  # fmt: skip
channel_option: Callable[[Command], Command] = click.option(
    "--channel", metavar="NAME", help="Channel (default: the first in writ.yaml)."
)


def print_json(value: object) -> None:
    """Print a value as one indented JSON document on stdout."""
    click.echo(as_json(value))


def as_json(value: object) -> str:
    """Return a value as one indented JSON document."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def progress(message: str) -> None:
    """Tell a waiting person what is going on: stderr, and only on a terminal."""
    if sys.stderr.isatty():
        click.echo(message, err=True)
