"""Which settings make TCP as open as somebody meant, and which are refused because nobody can have meant them."""

from pathlib import Path

import pytest
from authority import Authority

from agent_sidecar.configuration import Configuration, ConfigurationError, read_configuration

LOCAL, NETWORK = 'listen = "127.0.0.1:0"', 'listen = "0.0.0.0:8443"'
TOKEN_FILE = 'token_file = "token"'
NAMED = '[[token]]\nname = "ci"\nfile = "token"'
OPEN = "listen_unauthenticated = true"
TLS = '[tls]\ncertificate = "server.pem"\nkey = "server.key"'
MUTUAL = f'{TLS}\nclient_ca = "authority.pem"'


def bind(caller: str) -> str:
    return f'[[bind]]\n{caller}\nsubjects = ["agent/*"]'


ENVOY = '[envoy]\nsubject_header = "x-user"'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("settings")
    Authority(made).server()
    (made / "root.json").write_text("root")
    (made / "token").touch(mode=0o600)
    (made / "token").write_text("a-token-of-enough-length")
    return made


def read(folder: Path, *settings: str) -> Configuration:
    file = folder / "sidecar.toml"
    file.write_text("\n".join(('store = "file:///x"\nchannel = "prod"\nroot = "root.json"\nstate = "s"', *settings)))
    return read_configuration(file, {}, {})


@pytest.mark.parametrize(
    "settings",
    [
        (LOCAL, TOKEN_FILE),
        (LOCAL, NAMED),
        (LOCAL, TOKEN_FILE, NAMED),
        (LOCAL, TOKEN_FILE, TLS),
        (LOCAL, MUTUAL),
        (LOCAL, OPEN),
        (LOCAL, OPEN, TLS),
        ('listen = "[::1]:0"', OPEN),
        (NETWORK, TOKEN_FILE, TLS),
        (NETWORK, NAMED, MUTUAL),
        (NETWORK, MUTUAL),
        ('listen = "[::]:8443"', MUTUAL),
        (bind("uid = 7"),),
        (LOCAL, NAMED, bind('token = "ci"')),
        (LOCAL, TOKEN_FILE, bind('token = "default"')),
        (LOCAL, MUTUAL, bind('certificate = "dns:*"')),
    ],
)
def test_what_goes_together_is_read(folder: Path, settings: tuple[str, ...]) -> None:
    assert read(folder, *settings).store == "file:///x"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((LOCAL,), "listen: needs token_file, [[token]], or client_ca in [tls]"),
        ((LOCAL, TLS), "listen: needs token_file, [[token]], or client_ca in [tls]"),
        ((LOCAL, "listen_unauthenticated = false"), "listen: needs token_file"),
        ((LOCAL, 'listen_unauthenticated = "true"'), "listen_unauthenticated: is neither true nor false"),
        ((NETWORK, TOKEN_FILE), "listen: 0.0.0.0 is no loopback address: needs [tls]"),
        ((NETWORK, OPEN), "listen: 0.0.0.0 is no loopback address: needs [tls]"),
        ((NETWORK, OPEN, TLS), "listen_unauthenticated: is for loopback addresses alone (found 0.0.0.0)"),
        (('listen = "192.168.1.5:80"', OPEN, TLS), "listen_unauthenticated: is for loopback addresses alone"),
        ((LOCAL, OPEN, TOKEN_FILE), "listen_unauthenticated: contradicts tokens and client certificates"),
        ((LOCAL, OPEN, MUTUAL), "listen_unauthenticated: contradicts tokens and client certificates"),
        ((LOCAL, OPEN, bind("uid = 7")), "listen_unauthenticated: lets in callers that no [[bind]] can name"),
        ((LOCAL, OPEN, ENVOY), "listen_unauthenticated: lets anybody send the headers that [envoy] believes"),
        ((OPEN,), "listen_unauthenticated: opens nothing"),
        ((TOKEN_FILE,), "token_file: guards nothing without listen"),
        ((NAMED,), "token: guards nothing without listen"),
        ((TLS,), "tls: guards nothing without listen"),
        (('hosts = ["a.example"]',), "hosts: guards nothing without listen"),
        ((LOCAL, NAMED, bind('token = "web"')), "bind: 1: there is no token 'web'"),
        ((bind('token = "ci"'),), "bind: 1: there is no token 'ci'"),
        ((LOCAL, NAMED, bind('certificate = "dns:*"')), "bind: 1: nobody comes with a certificate without client_ca"),
    ],
)
def test_what_would_open_more_than_is_meant_or_guard_nothing_is_refused(
    folder: Path, settings: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, *settings)

    assert any(message in mistake for mistake in caught.value.mistakes)


def test_a_token_that_cannot_be_read_is_no_reason_to_ask_for_one(folder: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, LOCAL, '[[token]]\nname = "ci"\nfile = "none"', bind('token = "ci"'))

    (mistake,) = caught.value.mistakes
    assert "cannot be read" in mistake


def test_paths_in_tables_start_from_the_file(folder: Path) -> None:
    found = read(folder, NETWORK, NAMED, MUTUAL)

    assert [each.path for each in found.tokens] == [folder / "token"]
    assert found.tls
    assert found.tls.client_ca == folder / "authority.pem"
