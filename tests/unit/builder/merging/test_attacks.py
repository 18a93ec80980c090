"""Ways to get a change past the teams that must approve it; each is refused, and nothing else is missing."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from policy_core.errors import UsageError

Desk = Any  # of conftest.py

POLICY = "version: v1\nrules: [{id: reads, match: {actions: [read]}, decision: allow, reason: %s}]\n"
SECURITY = "security (ana or bo)"


def lacks(path: str, commit: str, teams: str = SECURITY) -> str:
    return f"{path}: commit {commit[:12]} lacks an approval of {teams}"


def claim_parent(graph: Path, child: str, parent: str) -> None:
    """Have a commit-graph file say that one commit comes right after another."""
    content = bytearray(graph.read_bytes())
    rows = [content[8 + 12 * index :][:12] for index in range(content[6])]
    at = {bytes(row[:4]): int.from_bytes(row[4:], "big") for row in rows}
    ids = [bytes(content[place : place + 20]).hex() for place in range(at[b"OIDL"], at[b"CDAT"], 20)]
    place = at[b"CDAT"] + 36 * ids.index(child) + 20
    content[place : place + 4] = ids.index(parent).to_bytes(4, "big")
    content[-20:] = hashlib.sha1(content[:-20]).digest()  # noqa: S324  git's own
    graph.chmod(0o600)
    graph.write_bytes(content)


class TestSigners:
    def test_a_commit_cannot_add_its_own_signer(self, desk: Desk) -> None:
        signers = (desk.folder.path / "trust/signers").read_text()
        settings = (desk.folder.path / "writ.yaml").read_text()
        first = desk.commit(
            {
                "trust/signers": signers + desk.signer("eve"),
                "writ.yaml": settings.replace("[ana, bo]", "[ana, bo, eve]"),
            },
            signed="eve",
        )
        second = desk.policy("evil", signed="eve")

        assert desk.missing() == [
            lacks("policies/evil.yaml", second),
            lacks("trust/signers", first),
            lacks("writ.yaml", first),
        ]

    def test_a_good_signature_by_a_key_nobody_listed_does_not_count(self, desk: Desk) -> None:
        commit = desk.policy("evil", signed="eve")

        assert desk.missing() == [lacks("policies/evil.yaml", commit)]
        assert desk.refusal().problems[0].hint == "the commit is signed with a key that is not listed"

    def test_a_listed_signer_of_another_team_does_not_count(self, desk: Desk) -> None:
        commit = desk.policy("evil", signed="cy")

        assert desk.missing() == [lacks("policies/evil.yaml", commit)]

    def test_a_key_that_signed_for_another_purpose_does_not_count(self, desk: Desk, tmp_path: Path) -> None:
        desk.policy("evil")

        def sign(raw: bytes) -> bytes:
            (tmp_path / "payload").write_bytes(raw)
            command = ["ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", desk.keys / "ana", tmp_path / "payload"]
            subprocess.run(command, check=True, capture_output=True)
            lines = (tmp_path / "payload.sig").read_bytes().rstrip().replace(b"\n", b"\n ")
            head, _, message = raw.partition(b"\n\n")
            return head + b"\ngpgsig " + lines + b"\n\n" + message

        commit = desk.replace_head(sign)

        assert desk.missing() == [lacks("policies/evil.yaml", commit)]
        assert desk.refusal().problems[0].hint == "the commit is signed in a way that does not verify"

    @pytest.mark.parametrize(
        ("before", "after"),
        [(b"author Eve", b"author Ana"), (b"\n\nChange", b"\n\nChange what"), (b"committer", b"committer A")],
    )
    def test_a_signed_commit_cannot_be_altered(self, desk: Desk, before: bytes, after: bytes) -> None:
        desk.policy("good", signed="ana")
        commit = desk.replace_head(lambda raw: raw.replace(before, after, 1))

        assert desk.missing() == [lacks("policies/good.yaml", commit)]

    def test_a_signature_of_one_commit_does_not_fit_another(self, desk: Desk) -> None:
        desk.commit(message="Nothing", signed="ana")
        header = desk.git("cat-file", "commit", "HEAD").partition("gpgsig ")[2].partition("\n\n")[0]
        desk.policy("evil")
        commit = desk.replace_head(lambda raw: raw.replace(b"\n\n", f"\ngpgsig {header}\n\n".encode(), 1))

        assert desk.missing() == [lacks("policies/evil.yaml", commit)]

    def test_a_revoked_signer_cannot_backdate(self, desk: Desk) -> None:
        signers = (desk.folder.path / "trust/signers").read_text()
        desk.live = desk.commit({"trust/signers": signers.replace(desk.signer("ana"), "")}, signed="bo")
        dates = {"GIT_AUTHOR_DATE": "2020-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z"}
        (desk.folder.path / "policies/evil.yaml").write_text(POLICY % "evil")
        desk.git("add", "--all")
        desk.git(*desk.as_("ana", "ana"), "commit", "--quiet", "-S", "-m", "Old", environment=dates)

        assert desk.missing() == [lacks("policies/evil.yaml", desk.head)]

    def test_what_git_is_told_to_put_in_place_of_a_commit_is_not_looked_at(self, desk: Desk) -> None:
        good = desk.policy("good", signed="ana")
        desk.git("reset", "--quiet", "--hard", desk.live)
        evil = desk.policy("evil", signed="eve")
        desk.git("replace", evil, good)

        assert desk.missing() == [lacks("policies/evil.yaml", evil)]

    def test_what_a_commit_graph_makes_up_is_not_believed(self, desk: Desk) -> None:
        """By a cache that git keeps, what was replaced on the main branch came after it, and may be merged back."""
        desk.branch("old")
        first, old = (desk.commit({"README.md": text}) for text in ("one", "two"))
        desk.checkout("main")
        new = desk.commit({"policies/a.yaml": POLICY % "stricter"}, signed="ana")
        merge = desk.tree_commit(old, new, old)
        desk.git("commit-graph", "write", "--reachable")
        claim_parent(desk.folder.path / ".git/objects/info/commit-graph", first, new)
        assert desk.git("merge-base", old, new) == new

        assert desk.missing() == [lacks("policies/a.yaml", merge)]

    def test_signers_that_git_is_configured_with_do_not_count(self, desk: Desk, tmp_path: Path) -> None:
        commit = desk.policy("evil", signed="eve")
        (tmp_path / "mine").write_text(desk.signer("eve").replace("eve", "ana"))
        desk.git("config", "--global", "gpg.ssh.allowedSignersFile", str(tmp_path / "mine"))
        desk.git("config", "gpg.ssh.allowedSignersFile", str(tmp_path / "mine"))
        desk.git("config", "gpg.ssh.program", "true")
        desk.git("config", "log.showSignature", "true")

        assert desk.missing() == [lacks("policies/evil.yaml", commit)]

    def test_no_program_that_the_repository_is_configured_with_is_run(self, desk: Desk, tmp_path: Path) -> None:
        desk.policy("good", signed="ana")
        program, ran = tmp_path / "program", tmp_path / "ran"
        program.write_text(f"#!/bin/sh\necho $0 >> {ran}\ncat\n")
        program.chmod(0o755)
        for name in (
            "core.fsmonitor", "core.pager", "pager.log", "core.sshCommand", "diff.external", "diff.x.textconv",
            "filter.x.smudge", "gpg.program", "gpg.ssh.program", "gpg.ssh.defaultKeyCommand", "alias.log",
        ):  # fmt: skip
            desk.git("config", name, f"!{program}" if name == "alias.log" else str(program))
        (desk.folder.path / ".git/info").mkdir(exist_ok=True)
        (desk.folder.path / ".git/info/attributes").write_text("* filter=x diff=x\n")

        assert desk.judge().names == ("ana",)
        assert not ran.exists()

    def test_a_key_ring_of_the_machine_vouches_for_nobody(self, desk: Desk, tmp_path: Path) -> None:
        (tmp_path / "gpg").write_text("#!/bin/sh\necho '[GNUPG:] GOODSIG 0 ana' \necho '[GNUPG:] TRUST_ULTIMATE 0'\n")
        (tmp_path / "gpg").chmod(0o755)
        desk.git("config", "gpg.program", str(tmp_path / "gpg"))
        desk.policy("evil")
        signature = b"\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n abc\n -----END PGP SIGNATURE-----\n\n"
        commit = desk.replace_head(lambda raw: raw.replace(b"\n\n", signature, 1))

        assert desk.missing() == [lacks("policies/evil.yaml", commit)]


class TestTrailers:
    @pytest.mark.parametrize(
        ("signed", "why"),
        [("", "not signed"), ("eve", "signed with a key that is not listed"), ("cy", "signed by cy")],
    )
    def test_a_trailer_that_the_named_member_did_not_sign_does_not_count(
        self, desk: Desk, signed: str, why: str
    ) -> None:
        commit = desk.policy("evil", message="Change\n\nApproved-by: ana", signed=signed)

        assert desk.missing() == [lacks("policies/evil.yaml", commit)]
        assert (
            f"its trailer `Approved-by: ana` does not count, as that commit is {why}" in desk.refusal().problems[0].hint
        )

    def test_nor_does_that_of_a_merge(self, desk: Desk) -> None:
        desk.branch("feature")
        commit = desk.policy("evil")
        desk.checkout("main")
        merge = desk.merge("feature", message="Merge\n\nApproved-by: ana", signed="cy")

        assert desk.missing() == [lacks("policies/evil.yaml", commit)]
        assert desk.refusal().problems[0].hint == (
            f"the trailer of merge {merge[:12]} `Approved-by: ana` does not count, as that commit is signed by cy"
        )

    def test_an_update_of_a_branch_approves_nothing_of_what_it_brings(self, desk: Desk) -> None:
        """Eve pushes to the main branch, and lets Ana's signed update of her own branch vouch for it."""
        evil = desk.policy("evil")
        desk.branch("feature", desk.live)
        desk.policy("good", by="ana", signed="ana")
        desk.merge("main", by="ana", signed="ana", message="Merge branch 'main' into feature")

        assert desk.missing() == [lacks("policies/evil.yaml", evil)]

    def test_a_merge_approves_nothing_that_was_there_before(self, desk: Desk) -> None:
        evil = desk.policy("evil")
        desk.branch("feature", desk.live)
        desk.policy("good")
        desk.checkout("main")
        desk.merge("feature", message="Merge\n\nApproved-by: ana", signed="ana")

        assert desk.missing() == [lacks("policies/evil.yaml", evil)]

    @pytest.mark.parametrize(
        "name", ["Ana", "ANA", "\N{CYRILLIC SMALL LETTER A}na", "ana\N{ZERO WIDTH SPACE}", "security"]
    )
    def test_no_other_spelling_of_a_name_is_that_member(self, desk: Desk, name: str) -> None:
        desk.branch("feature")
        commit = desk.policy("evil")
        desk.checkout("main")
        desk.merge("feature", message=f"Merge\n\nApproved-by: {name}", signed="ana")
        desk.review(commit, name)

        assert desk.missing() == [lacks("policies/evil.yaml", commit)]


class TestMerges:
    def test_what_is_slipped_into_a_merge_needs_approval(self, desk: Desk) -> None:
        desk.branch("feature")
        desk.policy("good", signed="ana")
        desk.checkout("main")
        desk.merge("feature", options=["--no-commit"])
        merge = desk.policy("evil")

        assert desk.missing() == [lacks("policies/evil.yaml", merge)]

    def test_a_merge_cannot_bring_back_what_was_replaced(self, desk: Desk) -> None:
        """All of the result stood in one of the parents, and an empty commit on an old one makes it mergeable."""
        old = desk.live
        newest = desk.live = desk.commit({"policies/a.yaml": POLICY % "stricter"}, signed="ana")
        desk.branch("old", old)
        side = desk.commit(message="Nothing")
        merge = desk.tree_commit(old, newest, side)

        assert desk.missing() == [lacks("policies/a.yaml", merge)]

    def test_a_merge_cannot_drop_what_it_merges(self, desk: Desk) -> None:
        desk.branch("feature")
        desk.commit({"policies/a.yaml": POLICY % "stricter"}, signed="ana")
        desk.checkout("main")
        merge = desk.merge("feature", options=["--strategy=ours"])

        assert desk.missing() == [lacks("policies/a.yaml", merge)]

    def test_a_merge_of_branches_merged_crosswise_cannot_either(self, desk: Desk) -> None:
        """Of the two places where they parted one would make the old content look untouched."""
        desk.branch("left")
        left = desk.commit({"policies/a.yaml": POLICY % "stricter"}, signed="ana")
        desk.branch("right", desk.live)
        right = desk.commit({"data/a.yaml": "a: 1\n"})
        desk.checkout("left")
        crossed = desk.merge("right")
        desk.checkout("right")
        back = desk.tree_commit(right, right, left, signed="ana")
        merge = desk.tree_commit(back, crossed, back)

        assert desk.missing() == [lacks("policies/a.yaml", merge)]

    def test_an_octopus_hides_nothing(self, desk: Desk) -> None:
        for name in ("one", "two", "three"):
            desk.branch(name, desk.live)
            desk.policy(name, signed="ana")
        desk.checkout("main")
        octopus = desk.merge("one", "two", "three")
        with_evil = desk.folder.path / "policies/evil.yaml"
        with_evil.write_text(POLICY % "evil")
        desk.git("add", "--all")
        desk.git("commit", "--quiet", "--amend", "--no-edit")

        assert desk.judge(octopus).commits == 3
        assert desk.missing() == [lacks("policies/evil.yaml", desk.head)]

    def test_unrelated_history_is_judged_from_its_root(self, desk: Desk) -> None:
        desk.git("checkout", "--quiet", "--orphan", "other")
        desk.git("rm", "-rfq", ".")
        root = desk.commit({"policies/evil.yaml": POLICY % "evil"})
        desk.checkout("main")
        desk.merge("other", options=["--allow-unrelated-histories"])

        assert desk.missing() == [lacks("policies/evil.yaml", root)]

    def test_unrelated_history_cannot_replace_a_file(self, desk: Desk) -> None:
        desk.git("checkout", "--quiet", "--orphan", "other")
        root = desk.commit({"policies/a.yaml": POLICY % "evil"}, "Start\n\nApproved-by: ana", signed="ana")
        merge = desk.tree_commit(root, desk.live, root)

        assert desk.missing() == [lacks("policies/a.yaml", merge)]

    def test_a_squash_is_a_new_commit(self, desk: Desk) -> None:
        desk.branch("feature")
        reviewed = desk.policy("good")
        desk.review(reviewed, "ana")
        desk.checkout("main")
        desk.git("merge", "--quiet", "--squash", "feature")
        squashed = desk.commit(message="Squashed")

        assert desk.missing() == [lacks("policies/good.yaml", squashed)]

    def test_what_a_later_commit_undoes_is_judged_all_the_same(self, desk: Desk) -> None:
        evil = desk.policy("evil")
        undone = desk.commit({"policies/evil.yaml": None}, signed="ana")

        assert undone == desk.head
        assert desk.missing() == [lacks("policies/evil.yaml", evil)]


class TestPaths:
    def test_moving_a_file_away_touches_it(self, desk: Desk) -> None:
        (desk.folder.path / "elsewhere").mkdir()
        desk.git("mv", "policies/a.yaml", "elsewhere/a.yaml")
        commit = desk.commit()

        assert desk.missing() == [lacks("policies/a.yaml", commit)]

    def test_so_do_a_new_mode_and_a_link(self, desk: Desk) -> None:
        (desk.folder.path / "policies/a.yaml").chmod(0o755)
        mode = desk.commit()
        (desk.folder.path / "policies/a.yaml").unlink()
        (desk.folder.path / "policies/a.yaml").symlink_to("/etc/passwd")
        link = desk.commit()

        assert desk.missing() == [lacks("policies/a.yaml", link), lacks("policies/a.yaml", mode)]

    @pytest.mark.parametrize("mode", ["120000", "160000", "100644"])
    def test_a_link_submodule_or_file_in_place_of_a_folder_is_about_what_lies_below(
        self, desk: Desk, mode: str
    ) -> None:
        target = desk.live if mode == "160000" else desk.git("hash-object", "-w", "writ.yaml")
        desk.git("update-index", "--add", "--cacheinfo", f"{mode},{target},exceptions")
        desk.git("commit", "--quiet", "-m", "Link")

        assert desk.missing() == [lacks("exceptions", desk.head, f"{SECURITY}, sre (cy or ana)")]

    def test_a_name_that_would_move_the_cursor_is_shown_as_what_it_is(self, desk: Desk) -> None:
        commit = desk.commit({"policies/a\x1b[2J\n.yaml": "x"})

        assert desk.missing() == [lacks("policies/a\\x1b[2J\\x0a.yaml", commit)]

    def test_the_demand_cannot_go_with_the_change(self, desk: Desk) -> None:
        settings = (desk.folder.path / "writ.yaml").read_text().partition("governance:")[0]
        commit = desk.commit({"writ.yaml": settings, "policies/evil.yaml": POLICY % "evil"})

        assert desk.missing() == [lacks("policies/evil.yaml", commit), lacks("writ.yaml", commit)]


class TestReviews:
    def test_of_an_older_head_do_not_cover_what_was_pushed_after_it(self, desk: Desk) -> None:
        desk.branch("feature")
        reviewed = desk.policy("good")
        later = desk.policy("evil")
        desk.review(reviewed, "ana", reviewed, later)
        desk.checkout("main")
        desk.merge("feature")

        assert desk.missing() == [lacks("policies/evil.yaml", later)]

    def test_do_not_cover_what_was_on_the_main_branch_before(self, desk: Desk) -> None:
        """Eve pushes to the main branch and lets the review of a branch that starts there vouch for it."""
        evil = desk.policy("evil")
        desk.branch("feature", "main")
        head = desk.policy("good")
        desk.review(head, "ana", head)

        assert desk.missing() == [lacks("policies/evil.yaml", evil)]

    def test_of_a_head_that_is_no_part_of_the_release_say_nothing(self, desk: Desk) -> None:
        """The head undoes what its first commit does; only that one is published."""
        first = desk.policy("evil")
        head = desk.commit({"policies/evil.yaml": None})
        desk.review(head, "ana", first, head)

        assert desk.missing(first) == [lacks("policies/evil.yaml", first)]

    def test_by_the_author_do_not_count(self, desk: Desk) -> None:
        commit = desk.policy("own", by="ana")
        desk.review(commit, "ana")

        assert desk.missing() == [lacks("policies/own.yaml", commit)]
        assert desk.refusal().problems[0].hint == "ana wrote it, and nobody reviews their own"

    @pytest.mark.parametrize("email", ["ANA@example.com", "1234+ana@users.noreply.example.com", "ana"])
    def test_by_the_author_under_another_address_do_not_count(self, desk: Desk, email: str) -> None:
        desk.policy("own", by="ana")
        desk.git("commit", "--quiet", "--amend", "--no-edit", "--author", f"Somebody <{email}>")
        desk.review(desk.head, "ana")

        assert desk.missing() == [lacks("policies/own.yaml", desk.head)]

    def test_by_somebody_of_no_such_team_do_not_count(self, desk: Desk) -> None:
        commit = desk.policy("evil")
        for name in ("eve", "cy", "mallory"):
            desk.review(commit, name)

        assert desk.missing() == [lacks("policies/evil.yaml", commit)]

    @pytest.mark.parametrize("state", ["changes_requested", "dismissed"])
    def test_that_were_taken_back_do_not_count(self, desk: Desk, state: str) -> None:
        commit = desk.policy("evil")
        desk.review(commit, "ana")
        desk.review(commit, "ana", state=state)

        assert desk.missing() == [lacks("policies/evil.yaml", commit)]

    def test_that_were_taken_back_at_a_later_head_do_not_count(self, desk: Desk) -> None:
        first, head = desk.policy("evil"), desk.policy("more", signed="ana")
        desk.review(first, "bo", first)
        desk.review(head, "bo", first, head, state="changes_requested")

        assert desk.missing() == [lacks("policies/evil.yaml", first)]

    @pytest.mark.parametrize("state", ["changes_requested", "dismissed"])
    def test_that_were_taken_back_at_a_head_that_is_gone_do_not_count(self, desk: Desk, state: str) -> None:
        """Eve puts the branch back to what was approved, and with it the head where the reviewer objected."""
        first = desk.policy("evil")
        desk.review(first, "ana", first)
        head = desk.policy("more")
        desk.review(head, "ana", first, state=state)
        desk.review("0" * 40, "bo", first)

        assert desk.missing(first) == [lacks("policies/evil.yaml", first)]


def test_one_person_does_not_count_for_two_teams(desk: Desk) -> None:
    commit = desk.commit({"exceptions/e.yaml": "x"}, signed="ana")

    assert desk.missing() == [lacks("exceptions/e.yaml", commit, "sre (cy or ana)")]


def test_everything_that_is_missing_is_told_at_once(desk: Desk) -> None:
    first = desk.commit({"policies/a.yaml": "x", "exceptions/e.yaml": "x", "README.md": "x"})
    second = desk.policy("b")

    assert desk.missing() == [
        lacks("policies/b.yaml", second),
        lacks("exceptions/e.yaml", first, f"{SECURITY}, sre (cy or ana)"),
        lacks("policies/a.yaml", first),
    ]
    assert desk.refusal().message == "writ.yaml of release 1: 3 approvals missing"


def test_the_verdict_is_never_reached_without_ssh_keygen(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    desk.policy("good", signed="ana")
    git = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").symlink_to(git)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    with pytest.raises(UsageError, match=r"^ssh-keygen: not found, and 1 signed commits must be verified$"):
        desk.judge()


def test_nor_without_what_a_commit_on_the_way_holds(desk: Desk) -> None:
    desk.policy("evil")
    tree = desk.git("rev-parse", "HEAD^{tree}")
    desk.policy("good", signed="ana")
    (desk.folder.path / ".git/objects" / tree[:2] / tree[2:]).unlink()

    with pytest.raises(UsageError, match="an object of its history is missing or damaged"):
        desk.judge()
