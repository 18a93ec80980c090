"""Reloading the configuration (SIGHUP): what may change at run time does, and the log names what needs a restart.

Files, variables and flags are read again as at the start. A configuration with a mistake changes nothing, and all its
mistakes are told.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from agent_sidecar import logs
from agent_sidecar.configuration import SETTINGS, Configuration, ConfigurationError


class Reloader:
    """Holds the configuration in force; `appliers` says of each live setting's field how a new value takes effect."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        read: Callable[[], Configuration],
        appliers: Mapping[str, Callable[[Any], None]],
    ) -> None:
        if appliers.keys() != {each.field for each in SETTINGS if each.live}:
            raise TypeError("reload: every live setting has an applier, and no other")
        self._in_force = configuration
        self._read = read
        self._appliers = appliers

    def read(self) -> Configuration | None:
        """Return the configuration as it is written now; None if it has mistakes, which are logged. Waits for disks."""
        try:
            return self._read()
        except ConfigurationError as error:
            logs.warning("reload_refused", mistakes=error.mistakes, hint="the configuration of before stays in force")
            return None

    def apply(self, wanted: Configuration) -> None:
        """Let what has changed take effect, as far as it may, and log what did and what waits for a restart."""
        changed = [each for each in SETTINGS if getattr(wanted, each.field) != getattr(self._in_force, each.field)]
        live = {each.field: getattr(wanted, each.field) for each in changed if each.live}
        for name, value in live.items():
            self._appliers[name](value)
        self._in_force = replace(self._in_force, **live)
        logs.info("reloaded", changed=[each.key for each in changed if each.live])
        if waiting := [each.key for each in changed if not each.live]:
            logs.warning("restart_needed", settings=waiting, hint="they stay as they were until the sidecar restarts")
