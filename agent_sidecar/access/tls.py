"""TLS on the TCP socket: its certificate, and who may come with a certificate of their own.

The files are read again when they change. A new pair that does not fit, has expired or cannot be read leaves the old
one in use, and says so; connections that are open keep what they began with.
"""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakSet

from agent_sidecar import logs
from agent_sidecar.access.binding import Binds
from agent_sidecar.access.watching import Watched
from agent_sidecar.server.caller import Caller, CallerKind
from agent_sidecar.setting_parsers import file_content, one_of, path, table

MAX_PEM_BYTES = 1 << 20
MAX_NAME_CHARS = 512
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_KINDS = (("uri:", "URI"), ("dns:", "DNS"))


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Files in PEM form: `certificate` with its chain, its `key`, and the CAs of callers' certificates (None: none)."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    min_version: str = "1.2"


class Tls:
    """What a connection begins with: `context` is the newest that works, `problem` why a newer one does not."""

    def __init__(self, settings: TlsSettings, *, wants_certificate: bool, now: Callable[[], float]) -> None:
        """Raise ValueError if the files cannot be used. With `wants_certificate` nobody comes in without one."""
        self._settings = settings
        self._wants_certificate = wants_certificate
        self._now = now
        files = (settings.certificate, settings.key, settings.client_ca)
        self._watched = Watched(each for each in files if each)
        self._watched.changed()
        self.problem = ""
        self.expires, self.context = self._load()
        self._authorities = self._read_authorities()
        self._vouching = WeakSet([self.context])  # those made under the present authorities

    def refresh(self) -> bool:
        """Read the files again if one of them has changed; return whether other authorities vouch for callers now."""
        return self._watched.changed() and self.reload()

    def reload(self) -> bool:
        """Read the files again, and keep what there is if they cannot be used; return as `refresh`."""
        before = self._authorities
        try:
            authorities = self._read_authorities()
            expires, context = self._load()
            if authorities != self._authorities:
                self._authorities, self._vouching = authorities, WeakSet()
            self._vouching.add(context)
            self.expires, self.context = expires, context
        except (OSError, ValueError) as error:
            self.problem = str(error)
            logs.warning("certificate_unusable", reason=self.problem, hint="the one before stays in use")
        else:
            self.problem = ""
            logs.info("certificate_loaded", expires=self.expires)
        return self._authorities != before

    def vouches_for(self, encrypted: ssl.SSLObject) -> bool:
        """Tell whether a connection began under the authorities of now, if there are any."""
        return self._settings.client_ca is not None and encrypted.context in self._vouching

    def _read_authorities(self) -> bytes:
        file = self._settings.client_ca
        return file_content(file, max_bytes=MAX_PEM_BYTES) if file else b""

    def _load(self) -> tuple[float, ssl.SSLContext]:
        expires = _check_pair(self._settings, now=self._now())
        return expires, _context(self._settings, wants_certificate=self._wants_certificate)


def _check_pair(settings: TlsSettings, *, now: float) -> float:
    """Return when the certificate expires (seconds since 1970). Raises ValueError for one that is of no use."""
    from cryptography import x509

    file_content(settings.key, max_bytes=MAX_PEM_BYTES)
    if settings.key.stat().st_mode & 0o007:
        raise ValueError(f"{settings.key} is open to every user of this machine (expected mode 0600)")
    certificates = x509.load_pem_x509_certificates(file_content(settings.certificate, max_bytes=MAX_PEM_BYTES))
    expires = certificates[0].not_valid_after_utc.timestamp()
    if expires <= now:
        raise ValueError(f"{settings.certificate} expired at {certificates[0].not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}")
    return expires


def _context(settings: TlsSettings, *, wants_certificate: bool) -> ssl.SSLContext:
    """Return a context with Python's own choice of ciphers. Raises ValueError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.min_version]
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET  # each connection shows its certificate anew
    context.num_tickets = 0
    try:
        context.load_cert_chain(settings.certificate, settings.key, password=_no_password)
        if settings.client_ca:
            context.load_verify_locations(settings.client_ca)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(each) for each in (settings.certificate, settings.key, settings.client_ca) if each)
        raise ValueError(f"cannot be used together: {files}: {_why(error)}") from error
    if settings.client_ca:
        context.verify_mode = ssl.CERT_REQUIRED if wants_certificate else ssl.CERT_OPTIONAL
    return context


def _no_password() -> str:
    """Keep OpenSSL from asking the terminal."""
    raise ValueError("the key is encrypted (expected one without a password, in a file of mode 0600)")


def _why(error: OSError) -> str:
    return str(getattr(error, "reason", None) or error.strerror or "not PEM")


def certificate_name(certificate: Mapping[str, Any] | None) -> str:
    """Return who a verified client certificate is of, empty if it does not say.

    The first of: a URI (as SPIFFE has it) or a DNS name in its subjectAltName, its subject's common name. The kind is
    part of the name, so that a free text in one field is never taken for another.
    """
    if not certificate:
        return ""
    alternatives = certificate.get("subjectAltName", ())
    names = [prefix + value for prefix, kind in _KINDS for key, value in alternatives if key == kind]
    names += ["cn:" + value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    name = names[0] if names else ""
    return name if len(name) <= MAX_NAME_CHARS and name.isprintable() else ""


def certificate_caller(certificate: Mapping[str, Any] | None, binds: Binds) -> Caller | None:
    """Return the caller of a verified client certificate, None if there is none or it names nobody."""
    name = certificate_name(certificate)
    if not name:
        return None
    return Caller(
        CallerKind.CERTIFICATE,
        f"certificate {name}",
        bounds=binds.of(CallerKind.CERTIFICATE, name),
        expires=ssl.cert_time_to_seconds(certificate["notAfter"]) if certificate else 0.0,
    )


def tls(value: object) -> TlsSettings:
    """Return the settings of a table ``[tls]`` whose files can be used. Raises ValueError."""
    settings = TlsSettings(**_TABLE(value))
    _context(settings, wants_certificate=False)
    return settings


_TABLE = table(
    {"certificate": path, "key": path, "client_ca": path, "min_version": one_of(*_VERSIONS)},
    required=("certificate", "key"),
)
