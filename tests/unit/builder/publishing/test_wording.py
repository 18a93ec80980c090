import getpass
from pathlib import Path

import pygit2
import pytest

from builder.publishing.wording import check_reason, find_actor
from policy_core.errors import UsageError


@pytest.fixture
def git(tmp_path: Path) -> pygit2.Repository:
    return pygit2.init_repository(tmp_path)


def test_a_reason_is_stripped() -> None:
    assert check_reason("  too strict ") == "too strict"


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("a\nb", r"character 2 is '\\n'"),
        ("a\u2028b", r"character 2 is '\\u2028'"),
        ("x" * 501, "limit 500"),
        (" ", "empty"),
    ],
)
def test_a_bad_reason_is_told_apart_and_shown_harmlessly(reason: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_reason(reason)


def test_a_given_actor_comes_first(git: pygit2.Repository) -> None:
    git.config["user.name"], git.config["user.email"] = "Ada", "ada@example.com"

    assert find_actor(git, {"WRIT_ACTOR": "bot"}) == "bot"
    assert find_actor(git, {"WRIT_ACTOR": " "}) == "Ada <ada@example.com>"


def test_without_a_git_identity_it_is_the_login_name(git: pygit2.Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pygit2.Repository, "default_signature", property(lambda _: {}["user.name"]))
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    assert find_actor(git, {}) == "ada"

    monkeypatch.setattr(getpass, "getuser", lambda: {}["uid 1234"])
    assert find_actor(git, {}) == "unknown"
