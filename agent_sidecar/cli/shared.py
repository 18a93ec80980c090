"""What several commands share: their options, which sidecar is meant, what is read and printed."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from policy_core.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])
MAX_REQUEST_BYTES = 1 << 20
STATE_VARIABLE = "WRIT_SIDECAR_STATE"

PATH = click.Path(path_type=Path)
DIRECTORY = click.Path(path_type=Path, file_okay=False, readable=False)  # what is asked there says it better
format_option: Callable[[Command], Command] = click.option(
    "--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="Print for people or for machines.",
)  # fmt: skip
config_option: Callable[[Command], Command] = click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False, exists=True), metavar="FILE",
    help="Configuration of the sidecar (TOML).",
)  # fmt: skip
state_option: Callable[[Command], Command] = click.option(
    "--state", type=DIRECTORY, metavar="DIR", help="State directory of the sidecar."
)


def admin(state: Path | None, config: Path | None, method: str, target: str, body: bytes | None = None) -> Any:
    """Return the reply of the sidecar that is meant, over its admin socket. Raises KnownError."""
    from agent_sidecar.calling import ADMIN_SOCKET, call

    return call(state_directory(state, config) / ADMIN_SOCKET, method, target, body)


def request_in(file: Any) -> bytes:
    """Return the request in a file. Raises UsageError."""
    body: bytes = file.read(MAX_REQUEST_BYTES + 1)
    if len(body) > MAX_REQUEST_BYTES:
        raise UsageError(f"request: too large (expected at most {MAX_REQUEST_BYTES} bytes)")
    return body


def state_directory(state: Path | None, config: Path | None) -> Path:
    """Return the state directory of the sidecar that is meant. Raises UsageError."""
    if state and config:
        raise UsageError("expected either --state or --config", hint="they say which sidecar is meant")
    if state:
        return state
    if not config and STATE_VARIABLE not in os.environ:
        raise UsageError(
            "expected either --state or --config", hint=f"they, or {STATE_VARIABLE}, say which sidecar is meant"
        )
    from agent_sidecar.configuration import state_directory as configured

    return configured(config, os.environ)


def print_json(value: object) -> None:
    """Print what machines read."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_status(document: Any, output_format: str) -> None:
    """Print a status, coloured on a terminal."""
    if output_format == "json":
        print_json(document)
    else:
        from agent_sidecar.status_text import status_text

        click.echo(status_text(document, coloured=sys.stdout.isatty() and "NO_COLOR" not in os.environ))
