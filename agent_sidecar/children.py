"""Processes a sidecar starts of its own code: found where this process found it, and told nothing else of the world."""

import os
import sys
from pathlib import Path

_KEPT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONTZPATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "TZ")


def child_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module; the working directory is no place to look for it."""
    return [sys.executable, "-P", "-m", module, *arguments]


def child_environment() -> dict[str, str]:
    """Return its environment: where modules are, and no credentials, sockets or watchdogs of this process."""
    places = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | {"PYTHONPATH": places}
