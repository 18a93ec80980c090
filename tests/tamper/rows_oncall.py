"""Attacks with the key of who is on call, which is to go back fast and to tighten, and nothing else."""

from datetime import timedelta
from typing import Any

from tamper.attacking import Attack, Attacker, Seen, accepts, collector, refused, shown_the_past, unchanged
from tamper.editing import Editor, now
from tamper.scene import Scene
from tuf.api.metadata import Targets

from agent_sidecar.updating import Outcome
from policy_core.emergency import encode_deny
from policy_core.model import Clauses
from policy_core.trust.layout import ONCALL, format_time
from policy_core.trust.oncall import OncallDocument

ROWS: list[Attack] = []
attack = collector(ROWS)

ROLE = "prod.oncall"
KEYS = (ROLE, "snapshot", "timestamp")
DAY = timedelta(days=1)


def entry(*, rule: str = "", created: timedelta = -DAY, expires: timedelta = DAY, **changes: str) -> dict[str, str]:
    """Return an emergency entry that denies everything, or has another rule, with `changes`; times are from now."""
    denies = rule or encode_deny("stop", reason="x", match=Clauses(actions=("*",)))
    times = {"created": format_time(now() + created), "expires": format_time(now() + expires)}
    return {"id": "stop", "kind": "deny", "reason": "x", "actor": "x", "rule": denies, **times, **changes}


def in_an_emergency(editor: Editor, *entries: dict[str, str]) -> None:
    """Make entries live, over the bundle that is live."""
    said = selecting(editor, editor.release().sha256, action="emergency", emergency=list(entries))
    serve(editor, said)


def denied_in_an_emergency(scene: Scene) -> None:
    """Let who is on call deny everything."""
    on_call(scene)
    in_an_emergency(scene.owners, entry())


def on_call(scene: Scene) -> None:
    """Delegate the role on call."""
    scene.put_on_call("staging", "prod")


def selecting(attacker: Editor, sha256: str, **changes: Any) -> dict[str, Any]:
    """Return what an on-call document says that goes to a bundle, with `changes`."""
    document = OncallDocument(
        release=attacker.release().release + 1, selected=sha256, action="rollback", reason="x", actor="x"
    )
    return document.signed_field() | changes


def serve(attacker: Editor, said: dict[str, Any], *, by: str = ROLE, **more: Any) -> None:
    """Make an on-call document live, signed with the key `by`."""
    version = attacker.role(ROLE).version + 1
    role = Targets(version, expires=now() + timedelta(days=180), unrecognized_fields={ONCALL: said}, **more)
    attacker.set_live(prod_oncall=attacker.put(ROLE, attacker.sign(role, by)))


def first_release(scene: Scene) -> str:
    """Return the digest of release 1, which lets everybody restart services."""
    return scene.past_release("release-1", "metadata/2.prod.json").sha256


def went_back_twice(scene: Scene) -> None:
    """Go back to release 1 as release 3, then to release 2 as release 4, each by who is on call."""
    on_call(scene)
    owners = scene.owners
    serve(owners, selecting(owners, first_release(scene)))
    serve(owners, selecting(owners, owners.release().sha256, release=4))


@attack(
    "goes back to an earlier release that the channel's keys signed",
    keys=KEYS,
    given=on_call,
    seasoned=accepts(3, "one of the last eight: this is what the key is for, and a later release ends it"),
    stopped_by="the ledger and `verify` show who; a release by the channel's own keys has the higher number",
)
def genuine_rollback(attacker: Attacker) -> None:
    serve(attacker, selecting(attacker, first_release(attacker.scene)))


@attack(
    "selects a bundle of their own",
    keys=KEYS,
    given=on_call,
    seasoned=refused("selects a bundle that the channel does not offer"),
    stopped_by="the channel's own keys sign what may be selected",
)
def bundle_never_signed(attacker: Attacker) -> None:
    serve(attacker, selecting(attacker, attacker.forge().sha256))


@attack(
    "lists a bundle of their own as a target",
    keys=KEYS,
    given=on_call,
    seasoned=refused("on-call role: lists targets, which only a channel may"),
    stopped_by="a role on call lists no targets",
)
def target_on_call(attacker: Attacker) -> None:
    target = attacker.forge().target()
    target.path = f"{ROLE}/acme.tar.gz"
    serve(attacker, selecting(attacker, first_release(attacker.scene)), targets={target.path: target})


@attack(
    "selects under a lower release number",
    keys=KEYS,
    given=on_call,
    seasoned=unchanged("the channel's own release has the higher number"),
    fresh=accepts(2, "the channel's own release has the higher number"),
    stopped_by="what is live is whichever has the higher number",
)
def lower_number_on_call(attacker: Attacker) -> None:
    serve(attacker, selecting(attacker, first_release(attacker.scene), release=1))


@attack(
    "leaps ahead in the release numbers, so that no release of the channel counts any more",
    keys=KEYS,
    given=on_call,
    seasoned=refused("is too far ahead of the channel's 2"),
    stopped_by="at most 1000 ahead of the channel's own",
)
def leap_on_call(attacker: Attacker) -> None:
    serve(attacker, selecting(attacker, first_release(attacker.scene), release=2**50))


@attack(
    "signs the channel role with the key of who is on call",
    keys=KEYS,
    given=on_call,
    seasoned=refused("signed by 0/1 keys"),
    stopped_by="the role on call has no part in the channel's",
)
def channel_role_by_key_on_call(attacker: Attacker) -> None:
    attacker.release_forged(attacker.forge(), by=ROLE)


@attack(
    "signs with the key of who is on call for another channel",
    keys=("staging.oncall", "snapshot", "timestamp"),
    given=on_call,
    seasoned=refused("signed by 0/1 keys"),
    stopped_by="each channel has a role on call of its own",
)
def on_call_for_another_channel(attacker: Attacker) -> None:
    serve(attacker, selecting(attacker, first_release(attacker.scene)), by="staging.oncall")


@attack(
    "puts an older on-call document back, after a newer one",
    keys=("snapshot", "timestamp"),
    given=went_back_twice,
    seasoned=refused("expected prod.oncall.json version 2, got 3"),
    fresh=shown_the_past(3, "the older document is genuine and has not expired"),
    stopped_by="versions pinned never fall; release numbers neither",
)
def replayed_document(attacker: Attacker) -> None:
    old = attacker.read("metadata/2.prod.oncall.json")
    attacker.set_live(prod_oncall=attacker.put(ROLE, old))


@attack(
    "denies everything in an emergency entry",
    keys=KEYS,
    given=on_call,
    seasoned=accepts(3, "and denies everything: who is on call can stop all, for 30 days at most"),
    stopped_by="every answer, the status and the ledger show it; another key on call ends it",
)
def everything_denied(attacker: Attacker) -> None:
    in_an_emergency(attacker, entry())


@attack(
    "lifts an emergency deny that somebody else on call has signed",
    keys=KEYS,
    given=denied_in_an_emergency,
    seasoned=accepts(4, "the policy decides again: one key put the entry there, one key takes it away"),
    stopped_by="ledger, status and history show it; nothing below the policy is gained",
)
def lifted_emergency(attacker: Attacker) -> None:
    serve(attacker, selecting(attacker, attacker.release().sha256, release=4, action="emergency"))


@attack(
    "the same, without a release of its own, for nobody to see",
    keys=KEYS,
    given=denied_in_an_emergency,
    seasoned=Seen(Outcome.UNCHANGED, "the entry is lifted", 3),
    fresh=accepts(3, "the entry is lifted"),
    stopped_by="the host's history shows it, and `writ verify` refuses such a document",
)
def lifted_unseen(attacker: Attacker) -> None:
    serve(attacker, selecting(attacker, attacker.release().sha256, release=3, action="emergency"))


@attack(
    "passes an allow off as an emergency deny",
    keys=KEYS,
    given=on_call,
    seasoned=refused("its rule is no plain deny (decision)"),
    stopped_by="all entries can say is when they deny",
)
def allow_for_a_deny(attacker: Attacker) -> None:
    deny = encode_deny("stop", reason="x", match=Clauses(actions=("*",)))
    in_an_emergency(attacker, entry(rule=deny.replace('"deny"', '"allow"')))


@attack(
    "writes an emergency entry of a kind that would loosen",
    keys=KEYS,
    given=on_call,
    seasoned=refused("unknown kind 'allow'"),
    stopped_by="all kinds there are tighten; what is unknown is refused",
)
def loosening_entry(attacker: Attacker) -> None:
    in_an_emergency(attacker, entry(kind="allow"))


@attack(
    "writes an emergency entry that would hold for years",
    keys=KEYS,
    given=on_call,
    seasoned=refused("emergency entry: bad expires"),
    stopped_by="30 days at most",
)
def endless_entry(attacker: Attacker) -> None:
    in_an_emergency(attacker, entry(expires=3650 * DAY))


@attack(
    "writes an emergency entry that has expired already",
    keys=KEYS,
    given=on_call,
    seasoned=accepts(3, "the bundle that was live; the entry has no effect"),
    stopped_by="entries end by themselves",
)
def expired_entry(attacker: Attacker) -> None:
    in_an_emergency(attacker, entry(created=-2 * DAY, expires=-DAY))


@attack(
    "takes the role on call out of the snapshot role, to undo what it did",
    keys=("snapshot", "timestamp"),
    given=went_back_twice,
    seasoned=refused("missing info for 'prod.oncall.json'"),
    fresh=refused("role prod.oncall was delegated but is not part of snapshot"),
    stopped_by="a role that is delegated must be there",
)
def dropped_role_on_call(attacker: Attacker) -> None:
    snapshot = attacker.next_snapshot()
    del snapshot.meta[f"{ROLE}.json"]
    attacker.sign_snapshot(snapshot)
