"""``writ-sidecar run``: the daemon, with a flag for each setting that may have one."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent_sidecar.cli.shared import config_option
from policy_core.errors import UsageError

if TYPE_CHECKING:
    from agent_sidecar.configuration.settings import Setting

PAIR = "KEY=VALUE"
"""What a flag takes that may be given several times."""


class _Run(click.Command):
    """``run``, with a flag for each setting that may have one."""

    def get_params(self, context: click.Context) -> list[click.Parameter]:
        """Return --config, and the flags of all settings: only now, as no other command needs to load them."""
        from agent_sidecar.configuration import SETTINGS

        config, *others = super().get_params(context)
        return [config, *(_flag(each) for each in SETTINGS if each.flag), *others]


def _flag(setting: "Setting") -> click.Option:
    default = "" if setting.is_required else f"  [default: {setting.shown.replace('`', '')}]"
    return click.Option(
        [setting.flag, setting.key], metavar=setting.metavar, help=setting.help + default,
        multiple=setting.metavar == PAIR,
    )  # fmt: skip


@click.command(cls=_Run)
@config_option
def run(config: Path | None, **flags: Any) -> None:
    """Run the sidecar until SIGTERM.

    Flags win over the environment (WRIT_SIDECAR_POLL and so on), which wins over the configuration file. Tables, and
    what may hold a password, have no flag.

    \b
    Example:
      writ-sidecar run --store s3://policies/acme --channel prod --root root.json \\
          --state /var/lib/writ --socket /run/writ/decision.sock
    """
    from agent_sidecar.configuration import read_configuration

    flags["host"] = _labels(flags["host"]) if flags["host"] else None
    read = partial(read_configuration, config, flags, dict(os.environ))
    try:
        configuration = read()
        from agent_sidecar.daemon import run as run_daemon
    except ModuleNotFoundError as error:
        raise UsageError(
            f"run: {error.name} is not installed", hint='install the sidecar: pip install "writ-policy[sidecar]"'
        ) from error
    run_daemon(configuration, reread=read)


def _labels(pairs: Sequence[str]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise UsageError(f"--host-label: {pair!r} is no label (expected KEY=VALUE)")
        labels[name] = value
    return labels
