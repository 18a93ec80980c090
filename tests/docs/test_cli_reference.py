"""docs/reference/cli.md is what the commands say of themselves. UPDATE=1 rewrites it."""

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from builder.cli.main import writ

PAGE = Path(__file__).parents[2] / "docs/reference/cli.md"
WIDTH = 100
HEAD = """\
# Commands of `writ`

What `--help` says, command by command; a test keeps this page and the commands together. The commands of the host are
in [writ-sidecar](sidecar-cli.md), the exit codes of both in [exit codes](exit-codes.md).

S3 endpoint, region and credentials come from the environment and files every AWS tool reads (`AWS_ENDPOINT_URL`,
`AWS_REGION`, `AWS_PROFILE`, …).
"""


def commands(command: click.Command, parent: click.Context | None, name: str) -> Iterator[tuple[click.Context, str]]:
    """Yield the context and full name of a command and of all below it, in the order of its help."""
    context = click.Context(
        command, parent=parent, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )  # fmt: skip
    yield context, context.command_path
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found, below
            yield from commands(found, context, below)


ALL = list(commands(writ, None, "writ"))


def rendered() -> str:
    parts = [HEAD]
    for context, name in ALL:
        parts.append(f"## {name}\n\n```text\n{context.get_help()}\n```\n")
    return "\n".join(parts)


def test_the_reference_says_what_the_commands_say() -> None:
    if os.environ.get("UPDATE"):
        PAGE.write_text(rendered(), encoding="utf-8")

    assert PAGE.read_text(encoding="utf-8") == rendered()


LEAVES = [(context, name) for context, name in ALL if not isinstance(context.command, click.Group)]


@pytest.mark.parametrize(("context", "name"), LEAVES, ids=[name for _, name in LEAVES])
def test_every_command_has_an_example_of_itself(context: click.Context, name: str) -> None:
    text = context.get_help()

    assert "Example:" in text
    assert f"  {name}" in text.split("Example:")[1]
