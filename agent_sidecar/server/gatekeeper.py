"""Who may come in by which socket: put together from the configuration, and anew while the sidecar runs.

Contents of files (tokens, certificates) take effect when the files change; the settings named in `LIVE` with a reload.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from agent_sidecar import logs
from agent_sidecar.access.binding import Binds
from agent_sidecar.access.entrance import TcpEntrance, UnixEntrance
from agent_sidecar.access.hosts import as_host, host_of_url
from agent_sidecar.access.peers import Peers
from agent_sidecar.access.tls import Tls, TlsSettings
from agent_sidecar.access.tokens import Tokens
from agent_sidecar.configuration import Configuration, ConfigurationError
from agent_sidecar.history import moment
from agent_sidecar.server.listening import connection_limit
from agent_sidecar.server.service import Service
from agent_sidecar.status import AccessStatus
from policy_core.errors import Problem

LIVE = ("default_token", "tokens", "binds", "allow_uids", "allow_gids")
ADMIN_CONNECTIONS = 32


class Gatekeeper:
    """Holds the entrances of all sockets; `services` are those behind them."""

    def __init__(self, configuration: Configuration, *, now: Callable[[], float]) -> None:
        """Raise ConfigurationError for a certificate that cannot be used."""
        self._configuration = configuration
        self.services: list[Service] = []
        wanted = configuration.limits
        self.limits = replace(wanted, connections=connection_limit(wanted.connections, services=2))
        self.admin_limits = replace(wanted, connections=ADMIN_CONNECTIONS, connections_per_caller=ADMIN_CONNECTIONS)
        self.tls = self._tls(configuration.tls, now) if configuration.tls else None
        self._tokens, self._binds = self._read_tokens(), Binds(configuration.binds)
        self.admin = UnixEntrance(
            Peers(uids=frozenset({0, os.geteuid()})), rule="the user that the sidecar runs as may, and root"
        )
        self.decision = UnixEntrance(self._peers(), self._binds)
        self.tcp = TcpEntrance(
            self._tokens,
            tls=self.tls,
            is_open=configuration.listen_unauthenticated,
            binds=self._binds,
            hosts=self._hosts(),
            origins=configuration.origins,
        )

    @property
    def appliers(self) -> Mapping[str, Callable[[Any], None]]:
        """Return how a new value of each live setting takes effect."""
        return {field: partial(self._change, field) for field in LIVE}

    def refresh(self) -> None:
        """Read files again that have changed; waits for disks."""
        if self._tokens.refresh():
            self._forget()
        if self.tls and self.tls.refresh():
            self._doubt()

    def reload(self) -> None:
        """Read all files again; waits for disks."""
        self._tokens.reload()
        self._forget()
        if self.tls and self.tls.reload():
            self._doubt()

    def _doubt(self) -> None:
        """Take no certificate for good that others have vouched for: its connection has to begin anew."""
        for service in self.services:
            if service.entrance is self.tcp:
                for connection in list(service.connections):
                    connection.doubt()

    def _forget(self) -> None:
        """Keep no heads with tokens that may be gone; they open nothing, as each is compared anew."""
        for service in self.services:
            service.heads.forget()

    def announce(self) -> None:
        """Say loudly what is open to everybody."""
        if self._configuration.listen_unauthenticated:
            logs.warning(
                "listening_unauthenticated",
                address=self._configuration.listen,
                hint="every user of this host can ask; tokens or client certificates change that",
            )

    @property
    def refused(self) -> int:
        """Return how often somebody came who is on no list, or asked without credentials that are known."""
        return self.decision.refused + self.admin.refused + self.tcp.refused

    @property
    def turned_away(self) -> int:
        """Return how many connections were beyond a limit."""
        return sum(service.turned_away for service in self.services)

    def status(self, *, refused: int = 0, turned_away: int = 0) -> AccessStatus:
        """Return what the status document says of this; the counts given are those of other processes."""
        problems = [*self._tokens.problems.values(), self.tls.problem if self.tls else ""]
        return AccessStatus(
            tcp=self._tcp_mode(),
            bound=bool(self._binds),
            refused=self.refused + refused,
            turned_away=self.turned_away + turned_away,
            certificate_expires_at=moment(self.tls.expires) if self.tls else "",
            problems=tuple(filter(None, problems)),
        )

    def _tcp_mode(self) -> str:
        configuration = self._configuration
        if not configuration.listen:
            return ""
        if configuration.listen_unauthenticated:
            return "unauthenticated"
        modes = ["token"] if self._tokens else []
        modes += ["certificate"] if configuration.tls and configuration.tls.client_ca else []
        return " or ".join(modes)

    def _change(self, field: str, value: Any) -> None:
        self._configuration = replace(self._configuration, **{field: value})
        self._binds = Binds(self._configuration.binds)
        self._tokens = self._read_tokens()
        self.decision.become(self._peers(), self._binds)
        self.tcp.become(self._tokens, self._binds)
        self._forget()
        for service in self.services:
            for connection in list(service.connections):
                connection.admit_again()

    def _read_tokens(self) -> Tokens:
        configuration = self._configuration
        default = (configuration.default_token,) if configuration.default_token else ()
        return Tokens((*default, *configuration.tokens), Binds(configuration.binds))

    def _peers(self) -> Peers | None:
        configuration = self._configuration
        if configuration.allow_uids or configuration.allow_gids:
            return Peers(configuration.allow_uids, configuration.allow_gids)
        return None

    def _tls(self, settings: TlsSettings, now: Callable[[], float]) -> Tls:
        has_tokens = bool(self._configuration.default_token or self._configuration.tokens)
        try:
            return Tls(settings, wants_certificate=not has_tokens, now=now)
        except ValueError as error:
            raise ConfigurationError([Problem("run", 0, 0, f"tls: {error}")]) from error

    def _hosts(self) -> frozenset[bytes]:
        configuration = self._configuration
        own = {as_host(configuration.listen[0])} if configuration.listen else set()
        if configuration.authzen_url:
            own.add(host_of_url(configuration.authzen_url))
        return configuration.hosts | own
