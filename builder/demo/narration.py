"""How the demo talks: numbered acts, the commands as one would type them, facts, and a table."""

from collections.abc import Iterable, Sequence

import click

_WORDS = {
    "allow": "green",
    "allow_with_constraints": "green",
    "require_approval": "yellow",
    "throttle": "yellow",
    "deny": "red",
}


class Narrator:
    """Writes to stdout; colours are dropped where that is no terminal."""

    def __init__(self) -> None:
        self._acts = 0

    def opening(self, line: str) -> None:
        """Say where the demo takes place."""
        click.echo(line)

    def act(self, title: str, *lines: str) -> None:
        """Begin an act, with a line or two about what is going to happen and why."""
        self._acts += 1
        click.secho(f"\n{self._acts:2}  {title}", bold=True)
        for line in lines:
            click.echo(f"    {line}")

    def command(self, line: str) -> None:
        """Show a command as a person would type it."""
        click.secho(f"    $ {line}", fg="cyan")

    def output(self, lines: Iterable[str]) -> None:
        """Show what a command printed."""
        for line in lines:
            click.secho(f"      {line}", dim=True)

    def fact(self, line: str) -> None:
        """Say what was observed and checked."""
        click.echo(click.style("    ✓ ", fg="green") + line)

    def decision(self, what: str, word: str, why: str) -> None:
        """Show one decision."""
        click.echo(f"      {what:<46} {click.style(f'{word:<22}', fg=_WORDS.get(word, 'red'))} {why}")

    def table(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """Show decisions below one another."""
        click.secho(f"      {'request':<46} {'decision':<22} rule", bold=True)
        for row in rows:
            self.decision(*row)

    def summary(self, lines: Iterable[str]) -> None:
        """End the demo."""
        click.secho("\n    Summary", bold=True)
        for line in lines:
            click.echo(f"    {line}")
