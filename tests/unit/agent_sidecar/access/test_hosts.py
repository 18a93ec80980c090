"""Names in ``Host`` headers, and what settings name them."""

import pytest

from agent_sidecar.access.hosts import as_host, host_names, host_of, host_of_url, origins


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b"localhost", b"localhost"), (b"LOCALHOST:8181", b"localhost"), (b"localhost.", b"localhost"),
        (b"[::1]:80", b"[::1]"), (b"127.0.0.1:1", b"127.0.0.1"), (b"", None), (b":80", None), (b"a b", None),
        (b"localhost:", None), (b"localhost:123456", None), (b"localhost@evil.example", None), (b"[::1", None),
        (b"localhost/evil", None), (b"localhost,evil.example", None), (b"\xe2\x80\xa9", None), (b"::1", None),
    ],
)  # fmt: skip
def test_a_host_header_is_a_name_and_perhaps_a_port_and_nothing_else(header: bytes, name: bytes | None) -> None:
    assert host_of(header) == name


def test_addresses_and_urls_are_compared_as_headers_have_them() -> None:
    assert (as_host("::1"), as_host("10.0.0.1")) == (b"[::1]", b"10.0.0.1")
    assert (as_host("::ffff:10.0.0.1"), as_host("FE80::1%eth0")) == (b"10.0.0.1", b"[fe80::1]")
    assert host_of_url("https://PDP.example.com:8443") == b"pdp.example.com"


def test_settings_name_hosts_and_origins() -> None:
    assert host_names(["pdp.example.com", "[fd00::1]"]) == {b"pdp.example.com", b"[fd00::1]"}
    assert origins(["https://console.example.com:8443"]) == {b"https://console.example.com:8443"}
    for value in ("x", [], [1], ["PDP.example.com"], ["https://x"], ["*"], ["a:80"]):
        with pytest.raises(ValueError, match=r"expected|is not a"):
            host_names(value)
    for value in (["*"], ["null"], ["console.example.com"], ["https://x/y"]):
        with pytest.raises(ValueError, match="expected"):
            origins(value)
