"""Keys as attackers and careless people leave them, and every kind of signer with the real thing behind it."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from kms import sign_digests
from securesystemslib.signer import SSlibKey
from tuf.api.metadata import Metadata, Targets

from builder.publishing.enrol import enrol
from builder.publishing.keys import KeyRing, SigningError
from builder.publishing.private_keys import KeyMissingError, KeyUnusableError

World = Any  # of ../conftest.py
PRIVATE = Ed25519PrivateKey.generate()
PUBLIC = SSlibKey.from_crypto(PRIVATE.public_key())
OTHER = SSlibKey.from_crypto(Ed25519PrivateKey.generate().public_key())
PASSPHRASE = "correct horse"


def pem(encryption: KeySerializationEncryption | None = None, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return PRIVATE.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


def unasked(what: str) -> str:
    pytest.fail(f"asked for the passphrase of {what}")


@pytest.fixture
def ring(tmp_path: Path) -> Callable[..., KeyRing]:
    """Make a key ring whose key of ``prod`` is described by its environment."""

    def make(ask: Callable[[str], str] = unasked, **environment: str) -> KeyRing:
        return KeyRing(tmp_path / "keys", environment, tmp_path / "repository", ask)

    return make


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., str]:
    """Write a private file and return its path."""

    def write(content: bytes, name: str = "key", mode: int = 0o600) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        return str(path)

    return write


def signs(ring: KeyRing, *keys: SSlibKey) -> bool:
    """Tell whether the key ring signs for ``prod`` with one of the keys, the test's own by default."""
    keys = keys or (PUBLIC,)
    metadata: Metadata[Targets] = Metadata.from_bytes(ring.sign("prod", Targets(), keys))
    (signature,) = metadata.signatures.values()
    next(key for key in keys if key.keyid == signature.keyid).verify_signature(signature, metadata.signed_bytes)
    return True


class TestFiles:
    @pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.OpenSSH])
    @pytest.mark.parametrize("scheme", ["file:", "file://", "file2:"])
    def test_sign_in_pem_and_in_openssh_form(self, ring: Any, file: Any, scheme: str, form: PrivateFormat) -> None:
        assert signs(ring(WRIT_SIGNER_PROD=scheme + file(pem(form=form))))

    def test_in_the_key_directory_need_no_variable(self, ring: Any, file: Any) -> None:
        file(pem(), "keys/prod.pem")

        assert signs(ring())

    def test_of_ssh_keygen_sign(self, ring: Any, tmp_path: Path) -> None:
        path = tmp_path / "id_ed25519"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
        keys = ring(WRIT_SIGNER_PROD=f"file:{path}")

        assert signs(keys, keys.public_key("prod"))

    def test_sign_with_whichever_key_of_the_role_it_is(self, ring: Any, file: Any) -> None:
        assert signs(ring(WRIT_SIGNER_PROD=f"file:{file(pem())}"), OTHER, PUBLIC)

    def test_of_another_key_are_refused(self, ring: Any, file: Any) -> None:
        with pytest.raises(KeyUnusableError, match="WRIT_SIGNER_PROD gives no key that may sign for it"):
            signs(ring(WRIT_SIGNER_PROD=f"file:{file(pem())}"), OTHER)

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o601])
    def test_that_others_can_use_are_refused(self, ring: Any, file: Any, mode: int) -> None:
        with pytest.raises(KeyUnusableError, match=r"role prod: .*can be read by others"):
            signs(ring(WRIT_SIGNER_PROD=f"file2:{file(pem(), mode=mode)}"))

    def test_in_the_repository_are_refused(self, ring: Any, file: Any) -> None:
        with pytest.raises(KeyUnusableError, match="lies in the policy repository"):
            signs(ring(WRIT_SIGNER_PROD=f"file:{file(pem(), 'repository/key')}"))

    def test_that_are_links_into_the_repository_are_refused(self, ring: Any, file: Any, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(file(pem(), "repository/key"))

        with pytest.raises(KeyUnusableError, match="lies in the policy repository"):
            signs(ring(WRIT_SIGNER_PROD=f"file:{tmp_path / 'link'}"))

    def test_that_are_links_out_of_the_repository_are_no_way_around(self, ring: Any, file: Any, tmp_path: Path) -> None:
        (tmp_path / "keys").symlink_to(Path(file(pem(), "repository/prod.pem")).parent)

        with pytest.raises(KeyUnusableError, match="lies in the policy repository"):
            signs(ring())

    @pytest.mark.parametrize("path", ["key", "~/key", "../key"])
    def test_without_an_absolute_path_are_refused(self, ring: Any, path: str) -> None:
        with pytest.raises(KeyUnusableError, match="is no absolute path"):
            signs(ring(WRIT_SIGNER_PROD=f"file:{path}"))

    def test_that_are_pipes_do_not_hold_the_command(self, ring: Any, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe", mode=0o600)

        with pytest.raises(KeyUnusableError, match="is no regular file"):
            signs(ring(WRIT_SIGNER_PROD=f"file:{tmp_path / 'pipe'}"))

    @pytest.mark.parametrize("path", ["/nowhere/key", "{}/circle", "/a\0b"])
    def test_that_are_not_there_are_missing(self, ring: Any, tmp_path: Path, path: str) -> None:
        (tmp_path / "circle").symlink_to(tmp_path / "circle")

        with pytest.raises(KeyMissingError, match="role prod: no key at "):
            signs(ring(WRIT_SIGNER_PROD=f"file:{path.format(tmp_path)}"))

    @pytest.mark.parametrize("content", [b"", b"\xff", b"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"])
    def test_that_hold_no_key_are_refused(self, ring: Any, file: Any, content: bytes) -> None:
        with pytest.raises(KeyUnusableError, match="WRIT_SIGNER_PROD: not a private key that can be read"):
            signs(ring(WRIT_SIGNER_PROD=f"file:{file(content)}"))


class TestPassphrases:
    @pytest.fixture
    def encrypted(self, file: Any) -> str:
        return f"file:{file(pem(BestAvailableEncryption(PASSPHRASE.encode())))}"

    def test_are_asked_for_once(self, ring: Any, encrypted: str) -> None:
        asked: list[str] = []

        def ask(what: str) -> str:
            asked.append(what)
            return PASSPHRASE

        keys = ring(ask, WRIT_SIGNER_PROD=encrypted)

        assert signs(keys)
        assert signs(keys)
        assert asked == ["WRIT_SIGNER_PROD"]

    def test_may_be_in_a_variable(self, ring: Any, encrypted: str) -> None:
        assert signs(ring(WRIT_SIGNER_PROD=encrypted, WRIT_PASSPHRASE_PROD=PASSPHRASE))

    @pytest.mark.parametrize("end", ["", "\n", "\r\n"])
    def test_may_be_in_a_file(self, ring: Any, file: Any, encrypted: str, end: str) -> None:
        passfile = file((PASSPHRASE + end).encode(), "passphrase")

        assert signs(ring(WRIT_SIGNER_PROD=encrypted, WRIT_PASSFILE_PROD=passfile))

    def test_in_a_file_that_others_can_read_are_refused(self, ring: Any, file: Any, encrypted: str) -> None:
        passfile = file(PASSPHRASE.encode(), "passphrase", mode=0o644)

        with pytest.raises(KeyUnusableError, match="can be read by others"):
            signs(ring(WRIT_SIGNER_PROD=encrypted, WRIT_PASSFILE_PROD=passfile))

    def test_of_another_role_do_not_count(self, ring: Any, encrypted: str) -> None:
        with pytest.raises(KeyUnusableError, match="not a private key that can be read"):
            signs(ring(str, WRIT_SIGNER_PROD=encrypted, WRIT_PASSPHRASE_ROOT=PASSPHRASE))

    @pytest.mark.parametrize("wrong", ["wrong", "x" * 2000, "\ud800"])
    def test_that_are_wrong_are_refused_and_not_repeated(self, ring: Any, encrypted: str, wrong: str) -> None:
        with pytest.raises(KeyUnusableError, match="not a private key that can be read") as refused:
            signs(ring(lambda _: wrong, WRIT_SIGNER_PROD=encrypted))

        assert wrong not in refused.value.message

    def test_of_openssh_keys_work_or_the_missing_package_is_named(self, ring: Any, tmp_path: Path) -> None:
        path = tmp_path / "id_ed25519"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", PASSPHRASE, "-f", str(path)], check=True)
        keys = ring(WRIT_SIGNER_PROD=f"file:{path}", WRIT_PASSPHRASE_PROD=PASSPHRASE)
        try:
            import bcrypt  # noqa: F401
        except ImportError:
            with pytest.raises(KeyUnusableError) as refused:
                keys.public_key("prod")
            assert "pip install bcrypt" in refused.value.hint
        else:
            assert signs(keys, keys.public_key("prod"))

    def test_nobody_can_be_asked_for_are_an_error_with_a_hint(self) -> None:
        script = (
            "from builder.publishing.private_keys import KeyUnusableError, ask_passphrase\n"
            "try:\n    ask_passphrase('key')\nexcept KeyUnusableError as error:\n    print(error, error.hint)"
        )

        done = subprocess.run(
            [sys.executable, "-c", script], start_new_session=True, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip

        assert "nobody is there to be asked" in done.stdout
        assert "WRIT_PASSPHRASE_<ROLE>" in done.stdout


class TestVariables:
    def test_hold_a_key(self, ring: Any) -> None:
        assert signs(ring(WRIT_SIGNER_PROD="env:CI_KEY", CI_KEY=pem().decode()))

    def test_hold_an_encrypted_key(self, ring: Any) -> None:
        content = pem(BestAvailableEncryption(PASSPHRASE.encode())).decode()

        assert signs(ring(WRIT_SIGNER_PROD="env:CI_KEY", CI_KEY=content, WRIT_PASSPHRASE_PROD=PASSPHRASE))

    @pytest.mark.parametrize("value", ["", None])
    def test_that_are_empty_are_missing(self, ring: Any, value: str | None) -> None:
        environment = {} if value is None else {"CI_KEY": value}

        with pytest.raises(KeyMissingError, match="role prod: no key in the variable CI_KEY"):
            signs(ring(WRIT_SIGNER_PROD="env:CI_KEY", **environment))

    def test_with_the_key_in_place_of_the_name_are_refused_without_repeating_it(self, ring: Any) -> None:
        for value in (pem().decode(), f"env:{pem().decode()}", "env:MC4CAQAwBQYDK2VwBCIEIA+/", "hunter2:secret"):
            with pytest.raises(KeyUnusableError) as refused:
                signs(ring(WRIT_SIGNER_PROD=value))

            said = refused.value.message + refused.value.hint
            assert all(part not in said for part in ("MC4CAQ", "PRIVATE", "hunter2", "secret"))

    def test_never_show_in_the_key_ring(self, ring: Any) -> None:
        keys = ring(CI_KEY=pem().decode(), WRIT_PASSPHRASE_PROD=PASSPHRASE)

        assert "PRIVATE" not in repr(keys)
        assert PASSPHRASE not in repr(keys)


class TestServices:
    @pytest.mark.parametrize(
        ("uri", "extra"),
        [
            ("gcpkms:projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1", "gcpkms"),
            ("azurekms://vault.vault.azure.net/keys/k/1", "azurekms"),
            ("hsm:2?label=token", "hsm"),
            ("hv:key/1", "vault"),
        ],
    )
    def test_without_their_library_say_what_to_install(self, ring: Any, uri: str, extra: str) -> None:
        key = SSlibKey("a" * 64, "ecdsa", "ecdsa-sha2-nistp256", {"public": "x"})

        with pytest.raises(KeyUnusableError, match=r"role prod: .*is not installed") as refused:
            ring(WRIT_SIGNER_PROD=uri).signature("prod", b"x", [key])

        assert refused.value.hint == f"pip install 'securesystemslib[{extra}]'"

    @pytest.mark.parametrize("uri", ["http://kms", "gnupg:abc", "tkey:x", "FILE:/x", "awskms:", ":", " file:/x"])
    def test_that_are_unknown_are_refused_with_the_known(self, ring: Any, uri: str) -> None:
        with pytest.raises(KeyUnusableError, match="role prod: WRIT_SIGNER_PROD: is no signer URI") as refused:
            signs(ring(WRIT_SIGNER_PROD=uri))

        assert "awskms:…" in refused.value.hint


class TestOneSigner:
    def test_for_several_roles_is_asked_for_its_passphrase_once(self, ring: Any, file: Any) -> None:
        asked: list[str] = []
        uri = f"file:{file(pem(BestAvailableEncryption(PASSPHRASE.encode())))}"
        keys = ring(lambda what: asked.append(what) or PASSPHRASE).with_signer(uri, ("root", "prod-eu"))

        for role in ("root", "prod-eu"):
            assert keys.signature(role, b"x", [PUBLIC]).keyid == PUBLIC.keyid
        assert asked == [uri]

    def test_takes_the_place_of_what_the_environment_names(self, ring: Any, file: Any) -> None:
        keys = ring(WRIT_SIGNER_PROD="file:/none").with_signer(f"file:{file(pem())}", ("prod",))

        assert signs(keys)


class TestAws:
    """AWS KMS as moto has it, over HTTP."""

    @pytest.fixture(autouse=True)
    def _signs_digests(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sign_digests(monkeypatch)

    @pytest.fixture
    def kms(self, aws: str, monkeypatch: pytest.MonkeyPatch) -> Any:
        import boto3

        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        return boto3.session.Session().client("kms")

    @pytest.fixture
    def make_key(self, kms: Any) -> Callable[..., str]:
        def make(spec: str = "ECC_NIST_P256") -> str:
            made = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec=spec)
            return f"awskms:{made['KeyMetadata']['KeyId']}"

        return make

    @pytest.mark.parametrize("spec", ["ECC_NIST_P256", "ECC_NIST_P384"])
    def test_signs(self, ring: Any, make_key: Any, spec: str) -> None:
        keys = ring(WRIT_SIGNER_PROD=make_key(spec))

        assert signs(keys, keys.public_key("prod"))

    def test_signs_whichever_key_of_the_role_it_has(self, ring: Any, make_key: Any) -> None:
        other, own = ring(WRIT_SIGNER_PROD=make_key()), ring(WRIT_SIGNER_PROD=make_key())

        assert signs(own, other.public_key("prod"), own.public_key("prod"))

    def test_with_another_key_behind_an_alias_is_refused(self, ring: Any, kms: Any, make_key: Any) -> None:
        """Whoever may move the alias makes signatures that no host takes: said here, not by the hosts."""
        alias = f"alias/{os.urandom(4).hex()}"
        for_role, another = make_key(), make_key()
        kms.create_alias(AliasName=alias, TargetKeyId=for_role.partition(":")[2])
        keys = ring(WRIT_SIGNER_PROD=f"awskms:{alias}")
        public = keys.public_key("prod")
        kms.update_alias(AliasName=alias, TargetKeyId=another.partition(":")[2])

        with pytest.raises(KeyUnusableError, match="gives no key that may sign for it"):
            signs(keys, public)

    def test_that_does_not_sign_is_a_failure_of_the_remote(self, ring: Any, make_key: Any) -> None:
        public = ring(WRIT_SIGNER_PROD=make_key()).public_key("prod")

        with pytest.raises(SigningError, match="role prod: the signer failed"):
            signs(ring(WRIT_SIGNER_PROD="awskms:alias/none"), public)

    def test_with_an_unknown_key_says_so(self, ring: Any, kms: Any) -> None:
        with pytest.raises(KeyUnusableError, match="role prod: awskms: "):
            ring(WRIT_SIGNER_PROD="awskms:alias/none").public_key("prod")

    def test_signs_a_channel_that_hosts_follow(self, world: World, make_key: Any) -> None:
        world.keys = replace(world.keys, environment={"WRIT_SIGNER_STAGING": make_key()})

        enrol("staging", {name: world.publisher(name) for name in ("prod", "staging")})
        world.publish(channel="staging")

        assert world.seen("staging").release.release == 1
        (key,) = world.publisher("staging").reader.read().keys("staging")
        assert key.scheme == "ecdsa-sha2-nistp256"
        assert not world.keys.path("staging").exists()


def test_a_publish_is_signed_by_an_encrypted_key(world: World, file: Any) -> None:
    private = world.keys._private_key("prod")
    content = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE.encode()))
    world.keys.path("prod").unlink()
    environment = {"WRIT_SIGNER_PROD": f"file:{file(content)}", "WRIT_PASSPHRASE_PROD": PASSPHRASE}
    world.keys = replace(world.keys, environment=environment)

    world.publish()

    assert world.seen().release.release == 1
