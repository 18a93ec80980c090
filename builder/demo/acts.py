"""The acts of the demo, in order. Each checks what it shows: the first surprise ends the demo with an error."""

import hashlib

from builder.demo.asking import DEVELOPER_RESTARTS, QUESTIONS, ask
from builder.demo.attacks import altered, forged_timestamp
from builder.demo.scene import CHANNEL, NAME, PREFIX, Host, Scene
from builder.demo.stage import DemoError
from policy_core.trust.layout import TIMESTAMP, target_object

SHOWN_LINES = 8
OTHER_PEOPLE = """  - name: other people do not, not even of the team that runs it
    subject: linus
    action: service.restart
    resource: web
    expect: {decision: deny, reason_code: no_matching_rule}
"""
DEVELOPERS_TOO = """  - name: developers restart a service
    subject: linus
    action: service.restart
    resource: web
    expect: {decision: allow, rule: agents.restarts/sre-may-restart}
"""


def start_repository(scene: Scene) -> None:
    """Init, keys, first release."""
    tell = scene.tell
    tell.act("A policy repository", "Policies for agents, their tests, and a first commit, in git like any code.")
    directory = scene.stage.directory
    scene.writ("init", NAME, "--store", scene.store, cwd=directory)
    tell.output(scene.writ("test")[-1:])
    tell.act("Keys, and the first release", "Signed TUF metadata and a reproducible bundle go to the S3 bucket.")
    tell.output(scene.writ("keys", "init", "--dev")[:SHOWN_LINES])
    tell.output(scene.writ("publish")[:SHOWN_LINES])


def start_host(scene: Scene) -> Host:
    """Bring a sidecar up and ask it ten things."""
    tell = scene.tell
    tell.act("A host", "All it is given is the address of the store and trust/root.json; it polls every second here.")
    host = scene.start_host("host-a")
    seconds = scene.watch(host, "first activation", lambda: host.release() == 1)
    tell.fact(f"release 1 fetched, verified and active after {seconds:.1f} s")
    tell.act("Ten requests", "Asked over the Unix socket of the sidecar: AuthZEN evaluations, and jobs.")
    answers = [(question, ask(host.socket, question)) for question in QUESTIONS]
    tell.table(
        [(question.words, answer["decision"], answer.get("matched_rule", "(no rule)")) for question, answer in answers]
    )
    for question, answer in answers:
        if answer["decision"] != question.expected:
            raise DemoError(f"{question.words}: {answer['decision']} (expected {question.expected}): {answer}")
    scene.note_moment()
    return host


def refuse_a_bad_change(scene: Scene) -> None:
    """Try to publish a commit whose policy tests fail."""
    tell = scene.tell
    tell.act("A hasty change", "Somebody in a hurry lets agents write to production. The policy tests disagree.")
    scene.edit("policies/production-writes.yaml", "decision: require_approval", "decision: allow")
    scene.git("commit", "--quiet", "--all", "--message", "Agents write to production")
    shown = ("  ✗ ", "      decision: expected")
    tell.output([line for line in scene.writ("test", code=4) if line.startswith(shown) or " passed, " in line])
    tell.output(scene.writ("publish", code=4)[:SHOWN_LINES])
    tell.fact("refused with exit code 4; nothing was built, signed or uploaded")
    scene.git("revert", "--no-edit", "HEAD")


def publish_a_change(scene: Scene, host: Host) -> None:
    """Publish a reviewed change and watch one decision flip."""
    tell = scene.tell
    tell.act("A considered change", "Developers may restart services too. The test that said no changes with it.")
    scene.edit("policies/restarts.yaml", "roles: [sre]", "roles: [sre, developer]")
    scene.edit("tests/restarts.yaml", OTHER_PEOPLE, DEVELOPERS_TOO)
    scene.git("commit", "--quiet", "--all", "--message", "Developers may restart services")
    scene.expect(host, DEVELOPER_RESTARTS, "deny")
    tell.output(scene.writ("publish")[:SHOWN_LINES])
    seconds = scene.watch(host, "swap to release 2", lambda: host.release() == 2)
    tell.fact(f"the host swapped to release 2 after {seconds:.1f} s")
    scene.expect(host, DEVELOPER_RESTARTS, "allow")
    scene.note_moment()


def roll_back(scene: Scene, host: Host) -> None:
    """Roll one host back and resume, then roll the fleet back."""
    tell = scene.tell
    tell.act("Back, on one host", "The policy before is still in memory: no network, effective with the next decision.")
    scene.sidecar(host, "rollback", "--reason", "restart storm")
    scene.expect(host, DEVELOPER_RESTARTS, "deny")
    scene.sidecar(host, "resume", "--reason", "storm is over")
    scene.expect(host, DEVELOPER_RESTARTS, "allow")
    tell.act("Back, everywhere", "A fleet rollback is a new, higher release that lists the older bundle.")
    tell.output(scene.writ("rollback", "--channel", CHANNEL, "--reason", "restart storm")[:SHOWN_LINES])
    seconds = scene.watch(host, "swap to release 3", lambda: host.release() == 3)
    tell.fact(f"the host swapped to release 3 after {seconds:.1f} s")
    scene.expect(host, DEVELOPER_RESTARTS, "deny")
    tell.output(scene.writ("publish", code=7)[-2:])
    tell.fact("a re-run of the job that published release 2 is refused with exit code 7: it cannot undo the rollback")
    scene.note_moment()


def attack(scene: Scene, host: Host, first_timestamp: bytes) -> None:
    """Try three things with write access to the bucket, but without keys."""
    tell, bucket = scene.tell, scene.bucket
    tell.act("Three attacks", "Somebody can write to the bucket, past every condition, but holds no key.")
    genuine = bucket.get(f"{PREFIX}/{TIMESTAMP}")

    _replace_timestamp(scene, host, "a replayed timestamp: the one of release 1", first_timestamp, genuine)

    digest = ask(host.socket, DEVELOPER_RESTARTS)["policy"]["bundle"].removeprefix("sha256:")
    key = f"{PREFIX}/{target_object(CHANNEL, NAME, digest)}"
    bundle = bucket.get(key)
    if hashlib.sha256(bundle).hexdigest() != digest:
        raise DemoError(f"{key}: is not the bundle the host reports")
    bucket.put(key, altered(bundle))
    tell.output(["an altered bundle: one bit, met by a host that starts for the first time"])
    newcomer = scene.start_host("host-b")
    scene.watch(newcomer, "refusal of the altered bundle", newcomer.refusal)
    tell.fact(f"refused, says its status: {newcomer.refusal()}")
    _insist(newcomer.release() == 0, "the new host enforces an altered bundle")
    answer = ask(newcomer.socket, QUESTIONS[0])
    tell.decision(QUESTIONS[0].words, answer["decision"], answer["reason_code"])
    _insist(answer["reason_code"] == "policy_unavailable", "the new host does not deny for want of a policy")
    bucket.put(key, bundle)

    forged = forged_timestamp(genuine)
    _replace_timestamp(scene, host, "a foreign key: a newer timestamp, signed by a key of no role", forged, genuine)
    scene.expect(host, DEVELOPER_RESTARTS, "deny")


def ask_git(scene: Scene) -> None:
    """Find out from git, and from writ, what was live when."""
    tell = scene.tell
    tell.act("What was live, and when?", "Every release is a commit on live/prod: plain git answers.")
    tell.output(scene.git("log", "--first-parent", "--format=%cI  %s", f"live/{CHANNEL}"))
    for number, moment in enumerate(scene.moments, start=1):
        lines = scene.writ("live", "--channel", CHANNEL, "--at", moment)
        tell.output(lines[:3])
        _insist(f"release {number}" in "\n".join(lines), f"writ live --at {moment} does not say release {number}")
    moment = scene.moments[1]
    (commit,) = scene.git("log", "-1", "--first-parent", f"--before={moment}", "--format=%H", f"live/{CHANNEL}")
    lines = [line for line in scene.git("show", f"{commit}:policies/restarts.yaml") if "service.restart" in line]
    tell.output(lines[:1])
    _insist("developer" in lines[0], f"git does not show the policy of {moment}")


def _replace_timestamp(scene: Scene, host: Host, what: str, forged: bytes, genuine: bytes) -> None:
    scene.tell.output([what])
    scene.bucket.put(f"{PREFIX}/{TIMESTAMP}", forged)
    scene.watch(host, f"refusal of {what}", host.refusal)
    scene.tell.fact(f"refused, says its status: {host.refusal()}")
    _insist(host.release() == 3, "the host has left release 3")
    scene.bucket.put(f"{PREFIX}/{TIMESTAMP}", genuine)
    scene.watch(host, "the genuine timestamp", lambda: not host.refusal())


def _insist(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DemoError(otherwise)
