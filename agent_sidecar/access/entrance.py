"""The way into a socket: who is let in, and as whom, before anything that a peer sends is read.

On a Unix socket the kernel says who connects, once for each connection. On TCP a certificate says so for a connection,
or a token for each request.
"""

import ipaddress
from asyncio import BaseTransport
from typing import Protocol

from agent_sidecar import logs
from agent_sidecar.access.binding import Binds
from agent_sidecar.access.hosts import LOOPBACK_NAMES
from agent_sidecar.access.peers import Peers
from agent_sidecar.access.tls import Tls, certificate_caller
from agent_sidecar.access.tokens import Tokens
from agent_sidecar.server.caller import UNKNOWN, Caller, CallerKind, peer_credentials

MAX_REMEMBERED = 64
"""How many callers are made ahead, and how many refused ones a log tells of; those after them are only counted."""
_NETWORK_BYTES = 8
"""Of an IPv6 address: what one subscriber has to themselves."""


LISTED = "allow_uids and allow_gids say who may"


class NotAdmittedError(Exception):
    """A peer is not on the list of those who may connect; its text says who is."""


class Entrance(Protocol):
    """Who may come in by one socket.

    `tokens` are those that requests may show. `hosts` are the names that a request may be for beside the address it
    came to (None: it does not matter which), `origins` the web pages that may ask. Before a peer has proved who it is,
    it `must_hurry`. `refused` counts those who did not.
    """

    refused: int

    @property
    def tokens(self) -> Tokens | None: ...
    @property
    def hosts(self) -> frozenset[bytes] | None: ...
    @property
    def origins(self) -> frozenset[bytes]: ...
    @property
    def must_hurry(self) -> bool: ...

    def admit(self, transport: BaseTransport) -> Caller | None:
        """Return who is at the other end, None if each request has to show it. Raises NotAdmittedError."""
        ...

    def place(self, transport: BaseTransport) -> object:
        """Return whose share of the connections a connection is counted in."""
        ...


class UnixEntrance:
    """For a Unix socket: whom the file mode lets in and, if there is a list, only who is on it."""

    tokens = None
    hosts = None
    origins: frozenset[bytes] = frozenset()
    must_hurry = False

    def __init__(self, allowed: Peers | None = None, binds: Binds | None = None, *, rule: str = LISTED) -> None:
        """`rule` is what somebody who is refused is told of who may come in."""
        self._rule = rule
        self._allowed = allowed
        self._binds = binds or Binds()
        self._callers: dict[int, Caller] = {}
        self._told: set[int] = set()
        self.refused = 0

    def admit(self, transport: BaseTransport) -> Caller:
        """Return the user at the other end. Raises NotAdmittedError for one who is not on the list."""
        sock = transport.get_extra_info("socket")
        credentials = peer_credentials(sock)
        if credentials is None:
            if self._allowed:
                raise NotAdmittedError(self._rule)
            return Caller(UNKNOWN.kind, UNKNOWN.name, bounds=self._binds.of(CallerKind.UNKNOWN, ""))
        uid = credentials[0]
        if self._allowed and not self._allowed.admits(sock):
            self._refuse(uid)
            raise NotAdmittedError(self._rule)
        return self._callers.get(uid) or self._caller(uid)

    def place(self, transport: BaseTransport) -> object:
        """Return the user id at the other end."""
        credentials = peer_credentials(transport.get_extra_info("socket"))
        return credentials and credentials[0]

    def become(self, allowed: Peers | None, binds: Binds) -> None:
        """Let in whom a new configuration says."""
        self._allowed, self._binds = allowed, binds
        self._callers.clear()

    def _caller(self, uid: int) -> Caller:
        made = Caller(CallerKind.UNIX, f"uid {uid}", uid, self._binds.of(CallerKind.UNIX, str(uid)))
        if len(self._callers) < MAX_REMEMBERED:
            self._callers[uid] = made
        return made

    def _refuse(self, uid: int) -> None:
        self.refused += 1
        if uid not in self._told and len(self._told) < MAX_REMEMBERED:
            self._told.add(uid)
            logs.warning("caller_refused", uid=uid, hint=self._rule)


class TcpEntrance:
    """For TCP: who shows a token, or has come with a certificate.

    Where `is_open` nobody has to: a mode of its own, for loopback only, which says so at each start.
    """

    must_hurry = True

    def __init__(
        self,
        tokens: Tokens,
        *,
        tls: Tls | None = None,
        is_open: bool = False,
        binds: Binds | None = None,
        hosts: frozenset[bytes] = frozenset(),
        origins: frozenset[bytes] = frozenset(),
    ) -> None:
        self.tokens = tokens
        self.hosts = LOOPBACK_NAMES | hosts
        self.origins = origins
        self.refused = 0
        self._tls = tls
        self._is_open = is_open
        self._binds = binds or Binds()

    def admit(self, transport: BaseTransport) -> Caller | None:
        """Return who the certificate of a connection is of, if the authorities of now vouch for one."""
        if self._is_open:
            return Caller(UNKNOWN.kind, UNKNOWN.name, bounds=self._binds.of(CallerKind.UNKNOWN, ""))
        encrypted = transport.get_extra_info("ssl_object")
        if encrypted is None or self._tls is None or not self._tls.vouches_for(encrypted):
            return None
        return certificate_caller(encrypted.getpeercert(), self._binds)

    def place(self, transport: BaseTransport) -> object:
        """Return the address at the other end."""
        return place_of(transport.get_extra_info("peername"))

    def become(self, tokens: Tokens, binds: Binds) -> None:
        """Let in whom a new configuration says."""
        self.tokens, self._binds = tokens, binds


def place_of(peer: object) -> object:
    """Return whose share of the connections an address is counted in: of IPv6 its /64, as one peer has all of that."""
    if not isinstance(peer, tuple) or not peer:
        return None
    address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return address.packed
    return (address.ipv4_mapped or address).packed[:_NETWORK_BYTES]
