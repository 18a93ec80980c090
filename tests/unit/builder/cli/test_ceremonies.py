"""Keys that change hands, as people at their terminals do it: ``writ keys add``, ``sign``, ``apply`` and the others."""

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from builder.cli.main import main


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def writ(policy_repository: Callable[..., Any], file_url: str, capsys: pytest.CaptureFixture[str]) -> Run:
    folder = policy_repository(file_url)

    def run(*arguments: str) -> Ran:
        code = main(["-C", str(folder.path), *arguments])
        return Ran(code, *capsys.readouterr())

    assert run("keys", "init", "--dev").code == 0
    assert run("publish").code == 0
    return run


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Return a folder with the keys of Ana, Bo and Cy, as OpenSSH makes them."""
    folder = tmp_path / "people"
    folder.mkdir()
    for name in ("ana", "bo", "cy"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    return folder


@pytest.fixture
def three(people: Path) -> list[str]:
    """Return the options that add the three."""
    return [word for name in ("ana", "bo", "cy") for word in ("--key", str(people / f"{name}.pub"), "--owner", name)]


@pytest.fixture
def ceremony(writ: Run, three: list[str], people: Path) -> Path:
    """Return the file of a ceremony that gives prod to the three; one signature of prod is missing."""
    file = people / "prod.ceremony"
    assert writ("keys", "add", "prod", *three, "--threshold", "2", "-o", str(file)).code == 0
    return file


def objects(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "store").rglob("*"))


class TestAdd:
    def test_is_live_at_once_where_all_keys_are_here(self, writ: Run, three: list[str]) -> None:
        added = writ("keys", "add", "prod", *three)

        assert (added.code, added.out) == (0, "live: targets 2\n")
        assert "keys       prod: adds ana (" in added.err
        assert "signed by  targets: 1 of " in added.err
        assert "; here: " in added.err
        shown = {role["role"]: role for role in writ("keys", "show", "--format", "json").json["roles"]}
        assert [key["owner"] for key in shown["prod"]["keys"]] == ["", "ana", "bo", "cy"]

    def test_that_finds_another_change_cut_short_completes_that_and_says_so(
        self, writ: Run, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        roles = {role["role"]: role for role in writ("keys", "show", "--format", "json").json["roles"]}
        begun, old = people / "targets.ceremony", roles["targets"]["keys"][0]["id"]
        writ("keys", "add", "targets", "--key", str(people / "ana.pub"), "--remove", old, "-o", str(begun))
        root = json.loads(begun.read_text())["roles"]["root"]
        (tmp_path / "store/metadata/2.root.json").write_text(
            json.dumps(root)
        )  # whoever wrote it may spell it otherwise
        monkeypatch.setenv("WRIT_SIGNER_TARGETS", f"file:{people / 'ana'}")

        added = writ("keys", "add", "prod", "--key", str(people / "bo.pub"), "--owner", "bo")

        assert (added.code, added.out) == (0, "live: root 2, targets 2\n")
        assert added.err.endswith("note: this completes what was cut short; for anything else run the command again\n")
        shown = {role["role"]: role for role in writ("keys", "show", "--format", "json").json["roles"]}
        assert [key["owner"] for key in shown["prod"]["keys"]] == [""]

    def test_is_shown_by_a_dry_run_that_changes_nothing(self, writ: Run, three: list[str], tmp_path: Path) -> None:
        before = objects(tmp_path)

        shown = writ("keys", "add", "prod", *three, "--threshold", "2", "--dry-run", "--format", "json")

        assert objects(tmp_path) == before
        (holders,) = shown.json["holders"]
        assert (holders["was"], holders["threshold"]) == (1, 2)
        assert [key["owner"] for key in holders["added"]] == ["ana", "bo", "cy"]
        assert [(file["role"], file["was"], file["version"]) for file in shown.json["files"]] == [
            ("targets", 1, 2), ("prod", 2, 3),
        ]  # fmt: skip
        assert [(each["role"], each["threshold"], bool(each["here"])) for each in shown.json["signatures"]] == [
            ("targets", 1, True), ("prod", 2, True),
        ]  # fmt: skip
        assert (shown.json["live"], shown.json["written"]) == (False, "")

    def test_names_who_is_missing_and_the_way_out(self, writ: Run, three: list[str], tmp_path: Path) -> None:
        before = objects(tmp_path)

        refused = writ("keys", "add", "prod", *three, "--threshold", "2")

        assert (refused.code, refused.out) == (2, "")
        assert "error: signatures are missing: prod: 1 of ana (" in refused.err
        assert "hint: -o FILE writes a ceremony file for others to sign" in refused.err
        assert objects(tmp_path) == before

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["prod"], "role prod: nothing to change"),
            (["prod", "--key", "none.pub"], "no key at "),
            (["prod", "--key", "{ana}"], "is a private key"),
            (["prod", "--key", "writ.yaml"], "is no public key of a known kind"),
            (["prod", "--key", "{ana}.pub", "--owner", "ana", "--owner", "bo"], "1 keys, but 2 owners"),
            (["prod", "--key", "{ana}.pub", "--owner", ""], "--owner: is empty"),
            (["prod", "--key", "{ana}.pub", "--owner", "Ana Example"], "has no owner of the known form"),
            (["prod", "--key", "gcpkms:projects/p"], "gcpkms: its public keys cannot be asked for"),
            (["nothing", "--key", "{ana}.pub"], "role nothing: there is no such channel"),
            (["prod", "--key", "{ana}.pub", "--threshold", "3"], "role prod: threshold 3 with 2 keys"),
        ],
    )
    def test_refuses_by_name(self, writ: Run, people: Path, arguments: list[str], message: str) -> None:
        refused = writ("keys", "add", *(word.format(ana=people / "ana") for word in arguments))

        assert (refused.code, refused.out) == (2, "")
        assert message in refused.err

    def test_twice_is_refused(self, writ: Run, people: Path) -> None:
        assert writ("keys", "add", "prod", "--key", str(people / "ana.pub")).code == 0

        again = writ("keys", "add", "prod", "--key", str(people / "ana.pub"))

        assert again.code == 2
        assert "error: role prod: has that key already" in again.err

    def test_replaces_a_key(self, writ: Run, people: Path) -> None:
        (old,) = writ("keys", "show", "--format", "json").json["roles"][1]["keys"]
        replaced = writ(
            "keys", "add", "targets", "--key", str(people / "ana.pub"), "--owner", "ana", "--remove", old["id"][:12],
            "-o", str(people / "x"),
        )  # fmt: skip

        assert replaced.code == 0
        assert f"keys       targets: adds ana ({replaced.err.split('ana (')[1][:12]}), removes {old['id'][:12]}" in (
            replaced.err
        )


class TestSign:
    def test_shows_what_is_signed_and_adds_a_signature(self, writ: Run, ceremony: Path, people: Path) -> None:
        signed = writ("keys", "sign", str(ceremony), "--signer", f"file:{people / 'ana'}")

        assert signed.code == 0
        assert signed.err.startswith("store      signed at 20")
        assert "keys       prod: adds ana (" in signed.err
        assert "note       prod: keys without an owner count like people's: " in signed.err
        assert "file       prod: version 2 to 3, release 1 as before, expires 20" in signed.err
        assert signed.out.startswith("prod: signed by ana (")
        assert signed.out.endswith(f"all signatures are there: writ keys apply {ceremony}\n")

    def test_tells_machines_the_same(self, writ: Run, ceremony: Path, people: Path) -> None:
        signed = writ("keys", "sign", str(ceremony), "--signer", f"file:{people / 'ana'}", "--format", "json")

        assert signed.json["complete"] is True
        assert [key["owner"] for key in signed.json["signatures"][1]["signed"]] == ["", "ana"]

    def test_takes_the_signer_of_the_role(
        self, writ: Run, ceremony: Path, people: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WRIT_SIGNER_PROD", f"file:{people / 'bo'}")

        assert writ("keys", "sign", str(ceremony)).out.startswith("prod: signed by bo (")

    def test_twice_is_a_conflict_that_leaves_the_file_alone(self, writ: Run, ceremony: Path, people: Path) -> None:
        signer = ("--signer", f"file:{people / 'ana'}")
        writ("keys", "sign", str(ceremony), *signer)
        before = ceremony.read_bytes()

        again = writ("keys", "sign", str(ceremony), *signer)

        assert (again.code, again.out) == (7, "")
        assert "has signed this already" in again.err
        assert ceremony.read_bytes() == before

    @pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"schema": 1, "roles": {"prod": {}}}', b"\xff" * 99])
    def test_what_is_no_ceremony_file_is_refused(self, writ: Run, people: Path, content: bytes) -> None:
        (people / "bad").write_bytes(content)

        refused = writ("keys", "sign", str(people / "bad"))

        assert (refused.code, refused.out) == (5, "")
        assert "is no pending document" in refused.err

    def test_a_file_for_another_store_is_refused(self, writ: Run, ceremony: Path) -> None:
        document = json.loads(ceremony.read_text())
        document["roles"]["prod"]["signed"]["x-base"]["sha256"] = "0" * 64
        ceremony.write_text(json.dumps(document))

        refused = writ("keys", "sign", str(ceremony))

        assert refused.code == 7
        assert "is stale: prod has changed since it was made" in refused.err


class TestQuestions:
    @pytest.fixture
    def answer(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        """Sit at a terminal and answer the next question."""

        def give(text: str) -> None:
            terminal = io.StringIO(text)
            monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
            monkeypatch.setattr("sys.stdin", terminal)

        return give

    def test_no_signs_nothing(self, writ: Run, ceremony: Path, people: Path, answer: Callable[[str], None]) -> None:
        before = ceremony.read_bytes()
        answer("n\n")

        refused = writ("keys", "sign", str(ceremony), "--signer", f"file:{people / 'ana'}")

        assert (refused.code, refused.out) == (130, "")
        assert "Sign it? [y/N]" in refused.err
        assert ceremony.read_bytes() == before

    def test_no_makes_nothing_live(
        self, writ: Run, three: list[str], answer: Callable[[str], None], tmp_path: Path
    ) -> None:
        before = objects(tmp_path)
        answer("\n")

        refused = writ("keys", "add", "prod", *three)

        assert refused.code == 130
        assert "Sign it and make it live? [y/N]" in refused.err
        assert objects(tmp_path) == before

    def test_yes_signs(self, writ: Run, ceremony: Path, people: Path, answer: Callable[[str], None]) -> None:
        answer("y\n")

        assert writ("keys", "sign", str(ceremony), "--signer", f"file:{people / 'ana'}").code == 0

    def test_are_not_asked_with_yes(
        self, writ: Run, ceremony: Path, people: Path, answer: Callable[[str], None]
    ) -> None:
        answer("")

        assert writ("keys", "sign", str(ceremony), "--signer", f"file:{people / 'ana'}", "--yes").code == 0


class TestApply:
    def test_under_signed_names_who_is_missing(self, writ: Run, ceremony: Path, tmp_path: Path) -> None:
        before = objects(tmp_path)

        refused = writ("keys", "apply", str(ceremony))

        assert (refused.code, refused.out) == (7, "")
        assert "error: signatures are missing: prod: 1 of ana (" in refused.err
        assert objects(tmp_path) == before

    def test_makes_it_live_once(self, writ: Run, ceremony: Path, people: Path) -> None:
        writ("keys", "sign", str(ceremony), "--signer", f"file:{people / 'ana'}")
        assert writ("keys", "apply", str(ceremony), "--dry-run").out == "nothing was changed\n"

        applied = writ("keys", "apply", str(ceremony))

        assert (applied.code, applied.out) == (0, "live: targets 2, prod 3\n")
        assert writ("verify", "--channel", "prod").code == 0
        assert writ("keys", "apply", str(ceremony)).code == 7


class TestOthers:
    def test_revoke_names_what_is_left_too_small(self, writ: Run) -> None:
        keyid = writ("keys", "show", "--format", "json").json["roles"][-1]["keys"][0]["id"]

        refused = writ("keys", "revoke", "prod", keyid)

        assert refused.code == 2
        assert "error: role prod: threshold 1 with 0 keys" in refused.err
        assert "hint: add a key first" in refused.err

    def test_rotate_root_is_followed(self, writ: Run, people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        keyid = writ("keys", "show", "--format", "json").json["roles"][0]["keys"][0]["id"]
        file, ana = people / "root.ceremony", people / "ana"
        begun = writ("keys", "rotate-root", "--key", f"{ana}.pub", "--owner", "ana", "--remove", keyid, "-o", str(file))
        assert begun.err.count("signed by  root: ") == 2  # the old keys and the new
        assert writ("keys", "sign", str(file), "--signer", f"file:{ana}").code == 0

        assert writ("keys", "apply", str(file)).out == "live: root 2\n"

        monkeypatch.setenv("WRIT_SIGNER_ROOT", f"file:{ana}")
        assert writ("keys", "renew", "root", "targets").out == "live: root 3, targets 2\n"
        assert writ("verify", "--channel", "prod").code == 0

    @pytest.mark.parametrize("command", [["rotate-root"], ["renew"], ["revoke", "prod"]])
    def test_without_anything_to_do_are_refused(self, writ: Run, command: list[str]) -> None:
        assert writ("keys", *command).code == 2

    def test_a_channel_is_added_by_others_too(self, writ: Run, three: list[str], people: Path) -> None:
        file = people / "staging.ceremony"
        folder = people.parent / "repository"
        settings = (folder / "writ.yaml").read_text().replace("[prod]", "[prod, staging]")
        (folder / "writ.yaml").write_text(settings)
        subprocess.run(["git", "commit", "-qam", "Add staging"], cwd=folder, check=True)

        begun = writ("keys", "add-channel", "staging", "-o", str(file))

        assert begun.code == 0
        assert "keys       staging: new role, adds " in begun.err
        assert writ("keys", "apply", str(file)).out == "live: targets 2, staging 1\n"
