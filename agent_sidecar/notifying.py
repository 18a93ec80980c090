"""Tells the service manager what this process is doing: the protocol of ``sd_notify(3)``, in datagrams.

Nothing here can fail a sidecar: a manager that does not listen is reported once, and served without.
"""

import os
import socket
import time
from collections.abc import MutableMapping

from agent_sidecar import logs
from policy_core.errors import UsageError

MAX_STATUS_CHARS = 200


class Notifier:
    """Sends to one socket of a manager, or to nobody if there is none.

    `watchdog_s` is how long the manager waits between two signs of life before it ends this process; None: for ever.
    """

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._status = ""
        self._has_failed = False

    @classmethod
    def taken_from(cls, environment: MutableMapping[str, str]) -> "Notifier":
        """Return the notifier that an environment asks for, and take it out: processes started later are not meant.

        Raises UsageError for an address that is neither a path nor abstract.
        """
        address = environment.pop("NOTIFY_SOCKET", "")
        usec, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        if address and (address[0] not in "/@" or len(address) < 2):
            raise UsageError(f"NOTIFY_SOCKET: is no socket (expected a path, or @name, found {address!r})")
        is_meant = usec.isdecimal() and int(usec) > 0 and pid in ("", str(os.getpid()))
        return cls(address, int(usec) / 1e6 if is_meant and address else None)

    def ready(self) -> None:
        """Tell that requests are answered, or that a reload is over."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Tell that a reload begins; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Tell that no more requests are accepted."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Give a sign of life."""
        self._send("WATCHDOG=1")

    def status(self, line: str) -> None:
        """Tell people how it goes, in one line, if that has changed."""
        if line != self._status:
            self._status = line
            self._send("STATUS=" + " ".join(line.split())[:MAX_STATUS_CHARS])

    def _send(self, state: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)  # a manager that does not read must not stop the event loop
                sock.sendto(state.encode(), self._address)
        except OSError as error:
            if not self._has_failed:
                logs.warning("notify_failed", reason=str(error))
            self._has_failed = True
