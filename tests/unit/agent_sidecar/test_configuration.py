"""Configuration: file, then environment, then flags; every mistake at once, with where it is."""

import re
import socket
from pathlib import Path
from typing import Any

import pytest

from agent_sidecar.access.tokens import TokenFile
from agent_sidecar.configuration import (
    SETTINGS,
    Configuration,
    ConfigurationError,
    read_configuration,
    state_directory,
)
from agent_sidecar.configuration.settings import Form
from agent_sidecar.ext_authz import TrustedHeaders
from agent_sidecar.setting_parsers import duration_s, toml_value


@pytest.fixture
def flags(tmp_path: Path) -> dict[str, Any]:
    """Return the least a sidecar must be told, as flags."""
    (tmp_path / "root.json").write_text("{}")
    return {"store": "file:///srv/p", "channel": "prod", "root": tmp_path / "root.json", "state": tmp_path / "state"}


def write(tmp_path: Path, text: str) -> Path:
    (tmp_path / "sidecar.toml").write_text(text)
    return tmp_path / "sidecar.toml"


def token(tmp_path: Path, content: str = "a-token-of-enough-length\n", mode: int = 0o600) -> Path:
    (tmp_path / "token").write_text(content)
    (tmp_path / "token").chmod(mode)
    return tmp_path / "token"


def problems(flags: dict[str, Any], file: Path | None = None, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(file, flags, environment)
    return "\n".join(caught.value.mistakes)


def test_the_least_configuration_has_the_documented_defaults(flags: dict[str, Any], tmp_path: Path) -> None:
    assert read_configuration(None, flags) == Configuration(
        store="file:///srv/p",
        channel="prod",
        trusted_root=b"{}",
        state=tmp_path / "state",
        socket=tmp_path / "state/decision.sock",
        socket_mode=0o660,
        poll_s=30.0,
        min_release=0,
        on_stale="keep",
        max_stale_s=None,
        max_pin_s=4 * 3600.0,
        host_id=socket.gethostname(),
        fleet_store="",
    )


def test_a_complete_file_is_read_and_its_paths_are_relative_to_it(tmp_path: Path) -> None:
    token(tmp_path)
    (tmp_path / "trust").mkdir()
    (tmp_path / "trust/root.json").write_text("root")
    file = write(
        tmp_path,
        """
        store = "s3://bucket/prefix"
        channel = "staging"
        root = "trust/root.json"
        state = "state"
        socket = "d.sock"
        socket_mode = "0600"
        listen = "[::1]:8181"
        token_file = "token"
        poll = "1.5m"
        min_release = 7
        on_stale = "deny"
        max_stale = "24h"
        max_pin = "30m"
        aging_after = "3h"
        [host]
        env = "prod"
        """,
    )

    found = read_configuration(file, {})

    assert (found.trusted_root, found.default_token) == (b"root", TokenFile("default", tmp_path / "token"))
    assert (found.state, found.socket, found.socket_mode) == (tmp_path / "state", tmp_path / "d.sock", 0o600)
    assert (found.listen, found.poll_s, found.min_release) == (("::1", 8181), 90.0, 7)
    assert (found.stale_limit_s, found.max_pin_s, found.host) == (86400.0, 1800.0, {"env": "prod"})
    assert found.aging_after_s == 3 * 3600.0


def test_flags_win_over_the_file_and_labels_are_merged(flags: dict[str, Any], tmp_path: Path) -> None:
    file = write(tmp_path, 'channel = "staging"\npoll = "5s"\n[host]\nenv = "prod"\nzone = "a"')

    found = read_configuration(file, {**flags, "host": {"zone": "b"}, "poll": None})

    assert (found.channel, found.poll_s, found.host) == ("prod", 5.0, {"env": "prod", "zone": "b"})


def test_all_mistakes_are_reported_together(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        'channel = "Prod"\nroot = "none.json"\nsocket_mode = "rw"\nlisten = "0.0.0.0:80"\npoll = "30"\n'
        'min_release = -1\non_stale = "maybe"\nmax_pin = "1y"\nchanel = "x"\nhost = 3',
    )

    found = problems({}, file)

    for key in (
        "chanel is not a setting (did you mean channel?)", "store is missing", "state is missing", "channel:", "root:",
        "socket_mode:", "listen:", "poll:", "min_release:", "on_stale:", "max_pin:", "host:",
    ):  # fmt: skip
        assert key in found


@pytest.mark.parametrize("address", ["localhost:81", "127.0.0.1", "127.0.0.1:x", "[fe80::1%eth0]:80", "1.1.1.1:70000"])
def test_tcp_is_at_an_address_and_a_port(flags: dict[str, Any], tmp_path: Path, address: str) -> None:
    assert "is not an address and a port" in problems({**flags, "listen": address, "token_file": token(tmp_path)})


def test_tcp_without_token_is_refused(flags: dict[str, Any]) -> None:
    assert "listen: needs token_file" in problems({**flags, "listen": "127.0.0.1:8181"})


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        ("short", 0o600, "holds no token"),
        ("two words of enough length", 0o600, "holds no token"),
        ("a-token-of-enough-length", 0o644, "open to every user"),
        ("", 0o600, "has a wrong size"),
    ],
)
def test_a_weak_token_file_is_refused(
    flags: dict[str, Any], tmp_path: Path, content: str, mode: int, message: str
) -> None:
    settings = {**flags, "listen": "127.0.0.1:0", "token_file": token(tmp_path, content, mode)}

    assert message in problems(settings)


def test_options_that_would_do_nothing_are_refused(flags: dict[str, Any], tmp_path: Path) -> None:
    found = problems({**flags, "max_stale": "1h", "token_file": token(tmp_path)})

    assert '--max-stale: bounds nothing while on_stale is "keep"' in found
    assert "--token-file: guards nothing without listen" in found


def test_applications_do_not_decide_in_process_where_callers_are_bound(flags: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "sidecar.toml"
    file.write_text('in_process = true\n[[bind]]\nuid = "1000"\nsubjects = ["agent/a"]\n')

    with pytest.raises(ConfigurationError) as caught:
        read_configuration(file, flags)

    assert "in_process: lets applications decide for any subject" in "".join(map(str, caught.value.problems))


def test_on_stale_deny_denies_at_once_unless_given_time(flags: dict[str, Any]) -> None:
    assert read_configuration(None, {**flags, "on_stale": "deny"}).stale_limit_s == 0.0


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("1.5h", 5400), ("2d", 172800)])
def test_durations_have_units(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["30", "s", "-1s", "1e3s", " 1s", "1 s", 30, None])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        duration_s(text)


def test_secrets_are_not_printed(flags: dict[str, Any], tmp_path: Path) -> None:
    found = read_configuration(None, {**flags, "listen": "127.0.0.1:0", "token_file": token(tmp_path)})

    assert "a-token-of-enough-length" not in repr(found)


def test_a_file_that_is_no_toml_is_explained(tmp_path: Path) -> None:
    assert "is not TOML" in problems({}, write(tmp_path, "store: s3://x"))


def test_the_state_directory_of_a_file_is_found_alone(tmp_path: Path) -> None:
    file = write(tmp_path, 'state = "st"')

    assert state_directory(file, {}) == tmp_path / "st"
    assert state_directory(file, {"WRIT_SIDECAR_STATE": "/var/lib/writ"}) == Path("/var/lib/writ")
    assert state_directory(None, {"WRIT_SIDECAR_STATE": "/var/lib/writ"}) == Path("/var/lib/writ")
    with pytest.raises(ConfigurationError, match="state is missing"):
        state_directory(write(tmp_path, 'store = "x"'), {})


@pytest.mark.parametrize("name", ["any", "", "two words", "x" * 254, "bell\a", 3])
def test_what_names_no_single_host_is_refused(flags: dict[str, Any], name: object) -> None:
    assert "--host-id: " in problems({**flags, "host_id": name})


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1", "redis://:secret@redis.local:6380/2", "rediss://u:p@h:1/0?ssl_ca_certs=/etc/ca.pem"]
)
def test_a_redis_database_is_taken_as_fleet_store(flags: dict[str, Any], url: str) -> None:
    assert read_configuration(None, {**flags, "fleet_store": url}).fleet_store == url


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1", "redis:///0", "redis://h/name", "redis://h:x/0", "redis://h:70000/0", "redis://[h/0",
        "redis://h/0#x", "memory://", 7,
        "rediss://:hunter2@h?ssl_cert_reqs=none",
        "rediss://:hunter2@h?ssl_check_hostname=false",
        "redis://:hunter2@h?socket_timeout=3600",
        "redis://:hunter2@h?ssl_ca_certs=/etc/ca.pem",
        "redis://:hunter2@h:x",
    ],
)  # fmt: skip
def test_a_fleet_store_that_is_none_or_less_careful_is_refused_without_its_password(
    flags: dict[str, Any], url: object
) -> None:
    found = problems({**flags, "fleet_store": url})

    assert "fleet_store: " in found
    assert "hunter2" not in found


def test_the_password_of_a_fleet_store_is_not_printed(flags: dict[str, Any]) -> None:
    assert "hunter2" not in repr(read_configuration(None, {**flags, "fleet_store": "redis://:hunter2@h"}))


def test_a_password_in_a_file_that_everybody_reads_is_refused(flags: dict[str, Any], tmp_path: Path) -> None:
    file = write(tmp_path, 'fleet_store = "redis://:hunter2@h"')
    file.chmod(0o644)
    found = problems(flags, file)
    file.chmod(0o600)

    assert "fleet_store: holds a password" in found
    assert "hunter2" not in found
    assert read_configuration(file, flags).fleet_store


def test_protocols_are_configured_in_the_file(flags: dict[str, Any], tmp_path: Path) -> None:
    file = write(tmp_path, 'opa_default = "writ/answer"\n[envoy]\nsubject_header = "x-user"\n')

    found = read_configuration(file, flags)

    assert (found.opa_default, found.envoy) == ("writ/answer", TrustedHeaders(subject="x-user"))


@pytest.mark.parametrize("url", ["https://pdp.example.com", "https://pdp.example.com:8443/", "https://[::1]:8443"])
def test_the_url_of_authzen_is_https_and_a_host(flags: dict[str, Any], tmp_path: Path, url: str) -> None:
    found = read_configuration(write(tmp_path, f'authzen_url = "{url}"\n'), flags)

    assert found.authzen_url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://pdp.example.com", "https://", "https:///", "pdp.example.com", "https://a@pdp.example.com",
        "https://pdp.example.com/x", "https://pdp.example.com?x", "https://pdp.example.com#x",
        "https://pdp.example.com//", "https://pdp.example.com\\n", "https://-x", "https://pdp.example.com:x",
    ],
)  # fmt: skip
def test_any_other_url_of_authzen_is_a_mistake(flags: dict[str, Any], tmp_path: Path, url: str) -> None:
    file = write(tmp_path, f'authzen_url = "{url}"\n')

    assert "authzen_url: is not https and a host" in problems(flags, file)


@pytest.mark.parametrize(
    ("setting", "secret"),
    [
        ("store", "s3://key:SECRET@bucket/x"), ("store", "https://u:SECRET@host/x?token=SECRET"),
        ("store", "https://ho st/x"), ("reports", "s3://key:SECRET@bucket/x"),
        ("authzen_url", "https://u:SECRET@pdp.example.com"), ("fleet_store", "http://:SECRET@host"),
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_used_is_told_with_the_others_and_without_what_is_secret_in_it(
    flags: dict[str, Any], tmp_path: Path, setting: str, secret: str
) -> None:
    flags.pop("store")
    given = {"store": "file:///p", setting: secret}
    file = write(tmp_path, 'poll = "1y"\n' + "".join(f'{key} = "{value}"\n' for key, value in given.items()))

    found = problems(flags, file)

    assert f"{setting}: " in found
    assert "poll: " in found
    assert "SECRET" not in found


def test_a_mistake_about_a_protocol_is_told_with_the_others(flags: dict[str, Any], tmp_path: Path) -> None:
    file = write(tmp_path, 'opa_default = "system/main"\npoll = "1y"\n[envoy]\nroles_header = "x-roles"\n')

    found = problems(flags, file)

    assert "opa_default: unknown word" in found
    assert "envoy: subject_header is missing" in found
    assert "poll: not a duration" in found


def test_what_kubernetes_says_of_a_service_of_this_name_is_no_mistake(flags: dict[str, Any]) -> None:
    address = "tcp://10.96.0.7:8181"
    links = {
        "SERVICE_HOST": "10.96.0.7", "SERVICE_PORT": "8181", "SERVICE_PORT_HTTP": "8181", "PORT": address,
        "PORT_8181_TCP": address, "PORT_8181_TCP_PROTO": "tcp", "PORT_8181_TCP_PORT": "8181",
        "PORT_8181_TCP_ADDR": "10.96.0.7", "PROD_SERVICE_HOST": "10.96.0.7",
    }  # fmt: skip

    found = read_configuration(None, flags, {f"WRIT_SIDECAR_{name}": value for name, value in links.items()})

    assert found.listen is None
    assert "WRIT_SIDECAR_PORT is not a setting" in problems(flags, environment={"WRIT_SIDECAR_PORT": "8181"})


def test_the_environment_wins_over_the_file_and_flags_over_both(flags: dict[str, Any], tmp_path: Path) -> None:
    file = write(tmp_path, 'poll = "5s"\nmin_release = 1\nmax_pin = "1h"\n[host]\nenv = "test"\nzone = "a"\nrack = "1"')
    environment = {
        "WRIT_SIDECAR_POLL": "10s", "WRIT_SIDECAR_MIN_RELEASE": "7", "WRIT_SIDECAR_HOST": '{env = "prod", zone = "b"}',
        "HOME": "/root",
    }  # fmt: skip

    found = read_configuration(file, {**flags, "poll": "20s", "host": {"zone": "c"}}, environment)

    assert (found.poll_s, found.min_release, found.max_pin_s) == (20.0, 7, 3600.0)
    assert found.host == {"env": "prod", "zone": "c", "rack": "1"}


def test_every_mistake_names_the_file_variable_or_flag_it_comes_from(flags: dict[str, Any], tmp_path: Path) -> None:
    file = write(tmp_path, 'opa_default = "x"\npol = "5s"\n[envoy]\nsubject = "x-user"')
    environment = {
        "WRIT_SIDECAR_MIN_RELEASE": "many", "WRIT_SIDECAR_LISTEN": "0.0.0.0:1", "WRIT_SIDECAR_POL": "1s",
    }  # fmt: skip

    found = problems({**flags, "max_pin": "1y"}, file, environment)

    for mistake in (
        f"{file}: opa_default: unknown word",
        f"{file}: pol is not a setting (did you mean poll?)",
        f"{file}: envoy: subject",
        "environment: WRIT_SIDECAR_POL is not a setting (did you mean WRIT_SIDECAR_POLL?)",
        "WRIT_SIDECAR_MIN_RELEASE: is not a TOML value",
        "WRIT_SIDECAR_LISTEN: 0.0.0.0 is no loopback address: needs [tls]",
        "WRIT_SIDECAR_LISTEN: needs token_file",
        "--max-pin: not a duration",
    ):
        assert mistake in found


def test_an_empty_variable_is_a_mistake_and_not_the_default(flags: dict[str, Any]) -> None:
    assert "WRIT_SIDECAR_MIN_RELEASE: " in problems(flags, None, {"WRIT_SIDECAR_MIN_RELEASE": ""})
    assert "WRIT_SIDECAR_HOST_ID: is not a text" in problems(flags, None, {"WRIT_SIDECAR_HOST_ID": ""})


@pytest.mark.parametrize("written", ["1\nx = 2", "", "1, 2", "text", "{a = 1", '"""'])
def test_a_variable_holds_one_value(written: str) -> None:
    with pytest.raises(ValueError, match="is not a TOML value"):
        toml_value(written)


def test_the_password_of_a_variable_is_not_told_even_if_it_is_wrong(flags: dict[str, Any]) -> None:
    assert "hunter2" not in problems(flags, None, {"WRIT_SIDECAR_FLEET_STORE": "http://:hunter2@h"})


SHOWN = [each for each in SETTINGS if re.fullmatch("`[^`]+`", each.shown)]


@pytest.mark.parametrize("setting", SHOWN, ids=lambda setting: setting.key)
def test_the_default_that_is_shown_is_the_default(setting: Any, flags: dict[str, Any]) -> None:
    written = setting.shown.strip("`")
    least = read_configuration(None, flags)

    assert setting.parse(toml_value(written) if setting.form is Form.TOML else written) == (
        getattr(least, setting.field) or 0
    )


@pytest.mark.parametrize("setting", [each for each in SETTINGS if not each.flag], ids=lambda setting: setting.key)
def test_what_has_no_flag_is_a_table_or_may_hold_a_secret(setting: Any) -> None:
    assert setting.form is Form.TOML or setting.key == "fleet_store"
