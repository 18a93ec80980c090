"""Is a command line one that our programs would take? For what is shown in pages and rendered into files."""

import re

import click

from agent_sidecar.cli.main import writ_sidecar
from builder.cli.main import writ

PROGRAMS: dict[str, click.Command] = {"writ": writ, "writ-sidecar": writ_sidecar}


def check(words: list[str]) -> None:
    """Parse a command line as far as options go. Raises click.UsageError, AssertionError for an unknown command."""
    command, rest, name = PROGRAMS[words[0]], words[1:], words[0]
    context = click.Context(command, info_name=name, help_option_names=["-h", "--help"])  # options are made once
    while isinstance(command, click.Group):
        parser = command.make_parser(context)
        parser.allow_interspersed_args = False
        _, rest, _ = parser.parse_args(rest)
        if not rest:
            return
        found = command.get_command(context, rest[0])
        assert found, f"no command {' '.join(words)}"
        command, context, rest = found, click.Context(found, parent=context, info_name=rest[0]), rest[1:]
    command.make_parser(context).parse_args([word for word in rest if not re.fullmatch(r"[A-Z]+(\|-)?", word)])
