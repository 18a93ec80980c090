"""Configuration of a running sidecar: built once at start, and again with a reload; passed down explicitly.

`model` lists the settings, `sources` collects their values, `reading` makes the configuration. The reference page is
docs/reference/sidecar-cli.md.
"""

from agent_sidecar.configuration.model import KEYS, SETTINGS, SOCKET, Configuration
from agent_sidecar.configuration.reading import read_configuration, state_directory, trusted_root
from agent_sidecar.configuration.sources import ConfigurationError

__all__ = [
    "KEYS", "SETTINGS", "SOCKET", "Configuration", "ConfigurationError", "read_configuration", "state_directory",
    "trusted_root",
]  # fmt: skip
