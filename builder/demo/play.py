"""The whole demo, from an empty directory to the summary."""

import time

from builder.demo import acts
from builder.demo.attacks import Bucket
from builder.demo.narration import Narrator
from builder.demo.scene import PREFIX, Scene, start_s3
from builder.demo.stage import open_stage
from policy_core.trust.layout import TIMESTAMP

BUCKET = "writ-demo"


def play(*, keep: bool) -> None:
    """Play it. Raises DemoError at the first thing that does not behave as expected."""
    start = time.monotonic()
    tell = Narrator()
    with open_stage(keep=keep) as stage:
        server, address = start_s3(stage)
        scene = Scene(stage, tell, server, Bucket(address, BUCKET), f"s3://{BUCKET}/{PREFIX}")
        scene.bucket.create()
        tell.opening(f"An S3 server listens at {address}; everything else happens in {stage.directory}.")
        acts.start_repository(scene)
        first_timestamp = scene.bucket.get(f"{PREFIX}/{TIMESTAMP}")
        host = acts.start_host(scene)
        acts.refuse_a_bad_change(scene)
        acts.publish_a_change(scene, host)
        acts.roll_back(scene, host)
        acts.attack(scene, host, first_timestamp)
        acts.ask_git(scene)
    tell.summary(
        [
            "3 releases: a publish, a publish, a rollback; each signed, each a commit on live/prod",
            "10 requests decided, 1 decision flipped and back, on one host at once and everywhere within a poll",
            "2 publishes refused (failing tests, superseded) and 3 attacks; the policy in force never changed by them",
            f"{time.monotonic() - start:.0f} s; "
            + (f"left in place: {stage.directory}" if keep else "no process and no file is left behind"),
        ]
    )
