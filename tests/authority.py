"""A certificate authority of the tests: servers and callers with certificates that it, or another one, has signed."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_DAY = datetime.timedelta(days=1)
_PEM = serialization.Encoding.PEM


class Authority:
    """Writes what it signs into a folder; `file` is its own certificate."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        certificate = self._sign(self._name, self._key, [(constraints, True)], days=30)
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(certificate)

    def server(self, name: str = "server", *, also: str = "localhost", days: int = 30) -> tuple[Path, Path]:
        """Write a certificate for 127.0.0.1, localhost and another name, and its key; return both files."""
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        names = [address, x509.DNSName("localhost"), x509.DNSName(also)]
        return self._issue(
            name, [(x509.SubjectAlternativeName(names), False)], x509.ExtendedKeyUsageOID.SERVER_AUTH, days
        )

    def client(
        self, name: str, *alternatives: x509.GeneralName, days: float = 30, common: str = ""
    ) -> tuple[Path, Path]:
        """Write a caller's certificate with these alternative names, and its key; return both files."""
        names = [(x509.SubjectAlternativeName(alternatives), False)] if alternatives else []
        return self._issue(name, names, x509.ExtendedKeyUsageOID.CLIENT_AUTH, days, common)

    def _issue(
        self,
        name: str,
        extensions: list[tuple[x509.ExtensionType, bool]],
        usage: x509.ObjectIdentifier,
        days: float,
        common: str = "",
    ) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _named(common) if common else x509.Name([])
        content = self._sign(subject, key, [*extensions, (x509.ExtendedKeyUsage([usage]), False)], days=days)
        certificate, private = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_bytes(content)
        private.touch(mode=0o600)
        private.write_bytes(key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return certificate, private

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        extensions: list[tuple[x509.ExtensionType, bool]],
        *,
        days: float,
    ) -> bytes:
        end = datetime.datetime.now(datetime.UTC) + days * _DAY
        number = x509.random_serial_number()
        made = x509.CertificateBuilder(self._name, subject, key.public_key(), number, end - 60 * _DAY, end)
        for extension, is_critical in extensions:
            made = made.add_extension(extension, critical=is_critical)
        return made.sign(self._key, hashes.SHA256()).public_bytes(_PEM)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
