"""What people are told of who may ask."""

from typing import Any

from agent_sidecar.status_text import _access


def told(**access: Any) -> str:
    return "\n".join(_access({"tcp": "", "certificate_expires_at": "", "problems": [], **access}))


def test_it_is_told_loudly_that_everybody_may_ask() -> None:
    assert "\x1b[31mUNAUTHENTICATED" in told(tcp="unauthenticated")
    assert told(tcp="token", certificate_expires_at="2027-01-01T00:00:00Z").endswith("until 2027-01-01T00:00:00Z")
    assert told() == ""


def test_what_cannot_be_used_is_told_and_steers_no_terminal() -> None:
    assert "\\x1b[2Jtoken holds no token" in told(problems=["/etc/writ/\x1b[2Jtoken holds no token"])
