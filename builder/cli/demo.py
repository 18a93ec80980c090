"""``writ demo``: watch a policy travel."""

from importlib.util import find_spec

import click

from policy_core.errors import UsageError


@click.command()
@click.option("--keep", is_flag=True, help="Leave the temporary directory in place, to look around in it.")
def demo(keep: bool) -> None:
    """Show the whole product in about a minute, with real processes on this machine and nothing left behind.

    An S3 server and sidecars run on loopback and Unix sockets; policies are published, enforced, rolled back, attacked.

    \b
    Example:
      writ demo
    """
    missing = [
        name for name in ("agent_sidecar", "flask", "flask_cors", "httptools", "moto", "uvloop") if not find_spec(name)
    ]
    if missing:
        raise UsageError(f"demo: not installed: {', '.join(missing)}", hint='pip install "writ-policy[demo]"')
    from builder.demo.play import play

    play(keep=keep)
