"""The configuration of a sidecar, and with each field the setting it comes from: add a field, and there is a setting.

An area with a table of its own parses it in its own module; its field here holds what that returns.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from socket import gethostname

from agent_sidecar.access.binding import Bind, binds
from agent_sidecar.access.hosts import host_names, origins
from agent_sidecar.access.limits import STANDARD, Limits, limits
from agent_sidecar.access.peers import gids, uids
from agent_sidecar.access.tls import TlsSettings, tls
from agent_sidecar.access.tokens import TokenFile, token_file, token_files
from agent_sidecar.configuration import values
from agent_sidecar.configuration.settings import Form, setting, settings_of
from agent_sidecar.decision_log.settings import LogSettings, log_settings
from agent_sidecar.ext_authz import TrustedHeaders, trusted_headers
from agent_sidecar.logs import LEVELS
from agent_sidecar.setting_parsers import (
    between,
    count,
    duration_s,
    file_mode,
    one_of,
    path,
    records_url,
    store_url,
    switch,
    whole,
)
from agent_sidecar.traces.settings import TraceSettings, trace_settings
from policy_core.model import MAX_PIN_S

MIN_POLL_S, MAX_POLL_S = 0.1, 3600.0
MAX_AGING_S = 365 * 86_400.0
MAX_WORKERS = 64
SOCKET = "decision.sock"
"""Name of the decision socket in the state directory, where no path is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What ``writ-sidecar run`` needs to know; each field is documented by its setting.

    `trusted_root` is what the file holds; `aging_after_s` None means three quarters of the timestamp's
    life.
    """

    store: str = field(
        metadata=setting(
            "store", store_url, "s3://bucket/prefix, file:///dir or https://host/path.", metavar="URL",
            more="The last reads through a CDN or any other cache",
        )
    )  # fmt: skip
    channel: str = field(
        metadata=setting("channel", values.channel, "Channel to follow, such as prod.", metavar="NAME")
    )
    trusted_root: bytes = field(
        repr=False,
        metadata=setting(
            "root", values.root, "Trust root: the first TUF root, given to this host by hand.", metavar="FILE",
            form=Form.PATH,
            more="`trust/root.json` of the policy repository",
        ),
    )  # fmt: skip
    state: Path = field(
        metadata=setting(
            "state", path, "Directory this sidecar keeps its state in, alone.", metavar="DIR", form=Form.PATH,
            more="Its mode is 0700",
        )
    )  # fmt: skip
    socket: Path = field(
        metadata=setting(
            "socket", path, "Decision socket.", metavar="PATH", form=Form.PATH, shown="`decision.sock` in `state`",
            more="A path of at most 107 bytes",
        )
    )  # fmt: skip
    socket_mode: int = field(
        default=0o660,
        metadata=setting("socket_mode", file_mode, "File mode of the decision socket.", metavar="MODE", shown="`0660`"),
    )
    allow_uids: frozenset[int] = field(
        default=frozenset(),
        metadata=setting(
            "allow_uids", uids, "Users who may connect to the decision socket.", form=Form.TOML, shown="everyone",
            live=True,
            more="List of ids and names, beside what `socket_mode` says; neither root nor the owner is on it unasked",
        ),
    )  # fmt: skip
    allow_gids: frozenset[int] = field(
        default=frozenset(),
        metadata=setting(
            "allow_gids", gids, "Groups whose members may connect to it.", form=Form.TOML, shown="everyone",
            live=True,
            more="With `allow_uids`: who is in either list",
        ),
    )  # fmt: skip
    listen: tuple[str, int] | None = field(
        default=None,
        metadata=setting(
            "listen", values.listen_address, "Decide on TCP too; needs tokens or client certificates.",
            metavar="ADDRESS:PORT", shown="off",
            more="Such as `127.0.0.1:8181`; beyond loopback with `[tls]` only",
        ),
    )  # fmt: skip
    default_token: TokenFile | None = field(
        default=None,
        metadata=setting(
            "token_file", token_file, "Bearer token TCP callers must send.", metavar="FILE", form=Form.PATH,
            shown="none", live=True,
            more="One a line, of at least 16 ASCII characters, in a file that is closed to others and read again when"
            " it changes; its name is `default`",
        ),
    )  # fmt: skip
    tokens: tuple[TokenFile, ...] = field(
        default=(),
        metadata=setting(
            "token", token_files, "More tokens, by name.", form=Form.TOML, shown="none", paths=("file",),
            live=True,
            more="Tables `[[token]]` with `name` and `file`: [let a network service "
            "ask](../how-to/let-a-network-service-ask.md)",
        ),
    )  # fmt: skip
    tls: TlsSettings | None = field(
        default=None,
        metadata=setting(
            "tls", tls, "TLS on the TCP socket.", form=Form.TOML, shown="off",
            paths=("certificate", "key", "client_ca"),
            more="Table: `certificate` and `key` (PEM), `client_ca` for callers with certificates, `min_version` (`1.2`"
            " or `1.3`). The files are read again when they change",
        ),
    )  # fmt: skip
    listen_unauthenticated: bool = field(
        default=False,
        metadata=setting(
            "listen_unauthenticated", switch, "Let anybody ask on loopback TCP.", form=Form.TOML, shown="`false`",
            more="A mode for a machine of one user; [what it means](sidecar-api.md#who-may-ask)",
        ),
    )  # fmt: skip
    hosts: frozenset[bytes] = field(
        default=frozenset(),
        metadata=setting(
            "hosts", host_names, "Names that requests on TCP may be for.", form=Form.TOML, shown="none",
            more="List; loopback, the address of `listen` and the host of `authzen_url` may always",
        ),
    )  # fmt: skip
    origins: frozenset[bytes] = field(
        default=frozenset(),
        metadata=setting(
            "origins", origins, "Web pages that may ask on TCP.", form=Form.TOML, shown="none",
            more="List of `Origin` headers such as `https://console.example.com`; any other is refused",
        ),
    )  # fmt: skip
    binds: tuple[Bind, ...] = field(
        default=(),
        metadata=setting(
            "bind", binds, "As whom a caller may speak.", form=Form.TOML, shown="none", live=True,
            more="Tables `[[bind]]`: one of `uid`, `token`, `certificate`; `subjects`, `tenants`, `roles`,"
            " `on_behalf_of`: [binds](sidecar-api.md#binds). Who is in none then speaks for nobody",
        ),
    )  # fmt: skip
    limits: Limits = field(
        default=STANDARD,
        metadata=setting(
            "limits", limits, "How much callers may take.", form=Form.TOML, shown="[limits](sidecar-api.md#limits)",
            more="Table",
        ),
    )  # fmt: skip
    workers: int = field(
        default=1,
        metadata=setting(
            "workers", whole(1, MAX_WORKERS), "Processes that answer.", metavar="N", form=Form.TOML, shown="`1`",
            more="With more than one, another leads them: [workers](../how-to/run-workers.md)",
        ),
    )  # fmt: skip
    poll_s: float = field(
        default=30.0,
        metadata=setting(
            "poll", between(MIN_POLL_S, MAX_POLL_S), "Interval of polls, such as 30s.", metavar="DURATION",
            shown="`30s`", live=True,
            more="100 ms to 1 h; each is moved by up to 10 % at random",
        ),
    )  # fmt: skip
    min_release: int = field(
        default=0,
        metadata=setting(
            "min_release", count, "Refuse releases below N.", metavar="N", form=Form.TOML, shown="`0`",
            more="Protects a first start from an old copy of the store; a host rollback does not go below it either",
        ),
    )  # fmt: skip
    aging_after_s: float | None = field(
        default=None,
        metadata=setting(
            "aging_after", between(1.0, MAX_AGING_S), "Age of the timestamp that is worth an alarm.",
            metavar="DURATION", shown="three quarters of its lifetime",
            more="From then on the status says `aging`; 1 s to 365 d",
        ),
    )  # fmt: skip
    on_stale: str = field(
        default="keep",
        metadata=setting(
            "on_stale", one_of("keep", "deny"), "Once metadata has expired.", metavar="keep|deny", shown="`keep`",
            more="`keep` enforcing the policy, or `deny` everything",
        ),
    )  # fmt: skip
    max_stale_s: float | None = field(
        default=None,
        metadata=setting(
            "max_stale", duration_s, "With --on-stale deny: deny that long after.", metavar="DURATION", shown="`0s`",
        ),
    )  # fmt: skip
    max_pin_s: float = field(
        default=4 * 3600.0,
        metadata=setting(
            "max_pin", between(1.0, MAX_PIN_S), "How long a host rollback holds at most.", metavar="DURATION",
            shown="`4h`",
            more="1 s to 7 d; the policy may [say less](writ-yaml.md#hosts)",
        ),
    )  # fmt: skip
    host_id: str = field(
        default_factory=gethostname,
        metadata=setting(
            "host_id", values.host_id, "Whom grants for this host name as their audience.", metavar="NAME",
            shown="the host name",
            more="A name no other sidecar has; [grants](../how-to/limit-rates.md#grants) use it",
        ),
    )  # fmt: skip
    fleet_store: str = field(
        default="",
        repr=False,
        metadata=setting(
            "fleet_store", values.fleet_url, "Redis database all hosts of the channel count in.", shown="none",
            more="`redis://[user:password@]host[:port][/database]`, `rediss://` for TLS with `?ssl_ca_certs=FILE` (also"
            " `ssl_certfile`, `ssl_keyfile`). Needs the extra `fleet`. A file with a password must be closed to others",
        ),
    )  # fmt: skip
    reports: str = field(
        default="",
        metadata=setting(
            "reports", records_url, "Where this host enrols its key and reports.", metavar="URL", shown="none",
            more="`s3://bucket/prefix` or `file:///dir`, the same for the whole [fleet](fleet.md)",
        ),
    )  # fmt: skip
    in_process: bool = field(
        default=False,
        metadata=setting(
            "in_process", switch, "Let applications of this host decide in process.", form=Form.TOML, shown="`false`",
            more="Opens state and snapshots to the group of `state`, for [clients](client.md). What they "
            "decide in process is not in the decision log; not with `[[bind]]`",
        ),
    )  # fmt: skip
    authzen_url: str = field(
        default="",
        metadata=setting(
            "authzen_url", values.authzen_url, "Where AuthZEN's clients reach this sidecar.", metavar="URL",
            shown="none",
            more="`https://` and a host: its own, with `tls`, or that of a proxy before it; opens its "
            "[metadata document](authzen.md#metadata)",
        ),
    )  # fmt: skip
    authzen_search: bool = field(
        default=False,
        metadata=setting(
            "authzen_search", switch, "Let callers search for who may do what.", form=Form.TOML, shown="`false`",
            more="Opens [AuthZEN's searches](authzen.md#searches) among the candidates in the bundle's data",
        ),
    )  # fmt: skip
    opa_default: str = field(
        default="writ/allow",
        metadata=setting(
            "opa_default", one_of("writ/allow", "writ/answer"), "Document that OPA's POST / answers with.",
            metavar="PATH", shown="`writ/allow`",
            more="`writ/allow` or `writ/answer`: [OPA](opa.md)",
        ),
    )  # fmt: skip
    envoy: TrustedHeaders | None = field(
        default=None,
        metadata=setting(
            "envoy", trusted_headers, "Headers that checks of Envoy are read from.", form=Form.TOML, shown="off",
            more="Table that opens [`/envoy/`](envoy.md#who-acts): `subject_header` (required), `subject_type`, "
            "`roles_header`, `tenant_header`, `constraints_header`",
        ),
    )  # fmt: skip
    log: LogSettings = field(
        default=LogSettings(),
        metadata=setting(
            "log", log_settings, "The decision log: what it survives, and what it may take.", form=Form.TOML,
            shown="`{}`",
            more="Table: `durability`, `when_full`, `max_bytes`, `ship`, `ship_every`: "
            "[decision log](decision-log.md#settings)",
        ),
    )  # fmt: skip
    traces: TraceSettings = field(
        default=TraceSettings(),
        metadata=setting(
            "traces", trace_settings, "Where spans of decisions are sent.", form=Form.TOML, shown="off",
            more='Table: `endpoint = "http://127.0.0.1:4318/v1/traces"`, a collector that takes OTLP over HTTP; for '
            "requests whose caller [records their trace](sidecar-api.md#traces)",
        ),
    )  # fmt: skip
    log_level: str = field(
        default="info",
        metadata=setting(
            "log_level", one_of(*LEVELS), "Least level that is logged.", metavar="LEVEL", shown="`info`", live=True,
            more="`debug`, `info`, `warning` or `error`; [`log-level`](#writ-sidecar-log-level) changes it for a while",
        ),
    )  # fmt: skip
    host: Mapping[str, str] = field(
        default_factory=dict,
        metadata=setting(
            "host", values.host_labels, "Label of this host, seen as host.KEY.", metavar="KEY=VALUE",
            flag="--host-label", form=Form.TOML, shown="none",
            more="Table; each flag gives one",
        ),
    )  # fmt: skip

    @property
    def stale_limit_s(self) -> float | None:
        """Return how long after the first expiry of its metadata a policy still answers (None: for ever)."""
        return (self.max_stale_s or 0.0) if self.on_stale == "deny" else None


SETTINGS = settings_of(Configuration)
KEYS = tuple(setting.key for setting in SETTINGS)
