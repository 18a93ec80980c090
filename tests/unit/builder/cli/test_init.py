import subprocess
from pathlib import Path

import pytest

from builder.cli.main import main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without any git identity."""
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def git(directory: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(directory), *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.usefixtures("home")
def test_the_first_commit_is_on_main_and_leaves_a_clean_tree(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path / "policies")]) == 0

    assert git(tmp_path / "policies", "log", "--format=%s", "main") == "Start policy repository policies"
    assert git(tmp_path / "policies", "status", "--porcelain") == ""


@pytest.mark.usefixtures("home")
def test_a_global_ignore_file_drops_nothing(tmp_path: Path, home: Path) -> None:
    (home / ".config" / "git").mkdir(parents=True)
    (home / ".config" / "git" / "ignore").write_text("data/\n*.yaml\n")

    main(["init", str(tmp_path / "policies")])

    assert {"data/services.yaml", "writ.yaml"} <= set(git(tmp_path / "policies", "ls-files").splitlines())


@pytest.mark.usefixtures("home")
def test_the_default_store_is_an_absolute_folder_of_the_user(tmp_path: Path, home: Path) -> None:
    main(["init", str(tmp_path / "policies")])

    store = (home / ".local/share/writ/stores/policies").as_uri()
    assert f'store: "{store}"' in (tmp_path / "policies/writ.yaml").read_text()


@pytest.mark.usefixtures("home")
def test_xdg_data_home_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    main(["init", str(tmp_path / "policies")])

    assert (tmp_path / "data/writ/stores/policies").as_uri() in (tmp_path / "policies/writ.yaml").read_text()


@pytest.mark.usefixtures("home")
def test_name_and_store_are_taken_over(tmp_path: Path) -> None:
    assert main(["-C", str(tmp_path), "init", "here", "--name", "agents", "--store", "s3://bucket/policies"]) == 0

    text = (tmp_path / "here/writ.yaml").read_text()
    assert 'name: "agents"' in text
    assert 'store: "s3://bucket/policies"' in text


@pytest.mark.usefixtures("home")
def test_a_directory_with_something_in_it_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    assert main(["init", str(tmp_path)]) == 2

    assert "is not empty" in capsys.readouterr().err
    assert not (tmp_path / "writ.yaml").exists()


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--name", "Two Words"], "name 'Two Words': not a name"),
        (["--name", "../up"], "not a name"),
        (["--store", "ftp://host/dir"], "unknown scheme"),
        (["--store", "https://host/dir"], "read-only"),
        (["--store", "s3://user:secret@bucket/x"], "credentials"),
    ],
)
def test_what_could_never_be_published_is_refused_before_anything_is_written(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path / "policies"), *arguments]) == 2

    captured = capsys.readouterr().err
    assert message in captured
    assert "hint: " in captured
    assert "secret" not in captured
    assert not (tmp_path / "policies").exists()


@pytest.mark.usefixtures("home")
def test_a_place_that_cannot_be_written_is_an_error_with_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")

    assert main(["init", str(tmp_path / "file" / "policies")]) == 2

    assert "cannot be written" in capsys.readouterr().err
