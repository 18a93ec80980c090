"""TLS files: what is refused, what is read again, and whose name a certificate bears."""

import os
import shutil
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from authority import Authority

from agent_sidecar.access.binding import Binds
from agent_sidecar.access.entrance import TcpEntrance
from agent_sidecar.access.tls import Tls, TlsSettings, certificate_caller, certificate_name, tls
from agent_sidecar.access.tokens import Tokens


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def started(certificate: Path, key: Path, *, client_ca: Path | None = None) -> Tls:
    return Tls(TlsSettings(certificate, key, client_ca), wants_certificate=True, now=time.time)


def test_old_versions_compression_and_renegotiation_are_off(authority: Authority) -> None:
    context = started(*authority.server(), client_ca=authority.file).context

    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    for option in (ssl.OP_NO_COMPRESSION, ssl.OP_NO_RENEGOTIATION, ssl.OP_NO_TICKET):
        assert context.options & option
    assert context.num_tickets == 0


def test_files_that_do_not_fit_are_mistakes_of_the_configuration(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.server()
    _, other_key = authority.server("other")
    (tmp_path / "junk").write_text("-----BEGIN CERTIFICATE-----\njunk\n")
    for table, message in (
        ({"certificate": certificate, "key": other_key}, "cannot be used together"),
        ({"certificate": tmp_path / "none", "key": key}, "cannot be used together"),
        ({"certificate": tmp_path / "junk", "key": key}, "cannot be used together"),
        ({"certificate": certificate, "key": key, "client_ca": tmp_path / "junk"}, "cannot be used together"),
        ({"certificate": certificate, "key": key, "min_version": "1.1"}, "min_version: unknown word"),
        ({"certificate": certificate}, "key is missing"),
    ):
        with pytest.raises(ValueError, match=message):
            tls(table)
    assert tls({"certificate": certificate, "key": key, "min_version": "1.3"}).min_version == "1.3"


def test_a_key_that_is_open_to_others_and_an_expired_certificate_are_refused(authority: Authority) -> None:
    certificate, key = authority.server()
    key.chmod(0o644)
    with pytest.raises(ValueError, match="is open to every user of this machine"):
        started(certificate, key)

    with pytest.raises(ValueError, match="expired at"):
        started(*authority.server("old", days=-1))


def test_an_encrypted_key_is_refused_without_asking_anybody(authority: Authority, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    certificate, key = authority.server()
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = loaded.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    key.write_bytes(locked)

    with pytest.raises(ValueError, match="the key is encrypted"):
        tls({"certificate": certificate, "key": key})


def test_a_new_pair_takes_effect_and_a_broken_one_leaves_the_old(authority: Authority) -> None:
    certificate, key = authority.server()
    made = started(certificate, key)
    first, expires = made.context, made.expires
    made.refresh()
    assert made.context is first

    certificate.write_bytes(authority.server("next", days=50)[0].read_bytes())
    made.refresh()
    assert made.context is first
    assert "cannot be used together" in made.problem

    shutil.copy(key.with_name("next.key"), key)
    made.refresh()
    assert made.context is not first
    assert (made.problem, made.expires > expires) == ("", True)

    os.truncate(certificate, 0)
    made.refresh()
    assert "has a wrong size" in made.problem
    certificate.unlink()
    made.refresh()
    assert "cannot be read" in made.problem
    key.unlink()
    made.refresh()
    assert made.problem
    assert made.expires > expires


@pytest.mark.parametrize(
    ("certificate", "name"),
    [
        (None, ""),
        ({}, ""),
        ({"subject": ((("commonName", "ada"),),)}, "cn:ada"),
        ({"subject": ((("commonName", "uri:spiffe://acme/admin"),),)}, "cn:uri:spiffe://acme/admin"),
        ({"subjectAltName": (("DNS", "web.acme"), ("URI", "spiffe://acme/web"))}, "uri:spiffe://acme/web"),
        ({"subjectAltName": (("DNS", "web.acme"),), "subject": ((("commonName", "ada"),),)}, "dns:web.acme"),
        ({"subjectAltName": (("email", "a@b"), ("IP Address", "::1"))}, ""),
        ({"subject": ((("commonName", "ada\n"),),)}, ""),
        ({"subject": ((("commonName", "a" * 513),),)}, ""),
        ({"subject": ((("organizationName", "acme"),),)}, ""),
    ],
)
def test_a_certificate_is_named_by_its_first_name_of_the_best_kind(certificate: Any, name: str) -> None:
    assert certificate_name(certificate) == name
    caller = certificate_caller(certificate and {**certificate, "notAfter": "Nov 21 00:00:00 2030 GMT"}, Binds())
    assert (caller.name if caller else "") == (f"certificate {name}" if name else "")


class Came:
    """A connection that came with a certificate of ada's while `context` was in use."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context

    def get_extra_info(self, name: str) -> Any:
        return self if name == "ssl_object" else None

    def getpeercert(self) -> Any:
        return {"subject": ((("commonName", "ada"),),), "notAfter": "Jan  1 00:00:00 2100 GMT"}


def test_who_other_authorities_have_vouched_for_is_nobody_however_often_one_asks(
    authority: Authority, tmp_path: Path
) -> None:
    files = authority.server()
    made = started(*files, client_ca=authority.file)
    entrance: Any = TcpEntrance(Tokens(()), tls=made)
    early = Came(made.context)
    assert entrance.admit(early).name == "certificate cn:ada"

    files[0].touch()
    made.reload()
    late = Came(made.context)
    assert [entrance.admit(each).name for each in (early, late)] == ["certificate cn:ada"] * 2

    (tmp_path / "others").mkdir()
    authority.file.write_bytes(Authority(tmp_path / "others", "other").file.read_bytes())
    assert made.reload() is True

    assert [entrance.admit(each) for each in (early, late)] == [None, None]
    assert entrance.admit(Came(made.context)).name == "certificate cn:ada"
