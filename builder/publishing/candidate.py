"""From a revision to a bundle that may be published: compiled, tested, built from the commit and nothing else."""

import datetime
from dataclasses import dataclass

from builder.compiling import Compiled, bundle_of, compile_tree
from builder.merging.reviews import ReviewRecord
from builder.policytest import TestReport, run_suites
from builder.simulating.thresholds import check_corpus
from builder.source import PolicyRepository
from policy_core.bundle import Bundle
from policy_core.errors import InvalidError, Problem


class DirtyBundleError(InvalidError):
    """The bundle holds uncommitted files; hosts only ever get what a commit says."""

    default_hint = "commit first, then publish the commit"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A bundle file, what it contains, the policies it was compiled from on which day, and how their tests went.

    `reviews` are what a forge knows of the commits that led to it.
    """

    blob: bytes
    bundle: Bundle
    compiled: Compiled
    today: datetime.date
    tests: TestReport
    reviews: tuple[ReviewRecord, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what must never leave the machine it was tried on."""
        if self.bundle.dirty:
            raise DirtyBundleError("bundle: built from uncommitted files")

    def min_release(self, channel: str) -> int:
        """Return the lowest release that its policy lets hosts, and people on call, of a channel go back to."""
        hosts = self.compiled.provisions.hosts
        return hosts.min_release.get(channel, 0) if hosts else 0

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Return what lint has to say about the source."""
        return self.compiled.warnings


def prepare_candidate(
    repository: PolicyRepository, revision: str, *, today: datetime.date, reviews: tuple[ReviewRecord, ...] = ()
) -> Candidate:
    """Check, test and build the committed tree of `revision`.

    Raises InvalidPolicyError, PolicyTestsFailedError, UsageError for an unknown revision or a shallow clone.
    """
    repository.require_history()
    compiled = compile_tree(repository.tree(revision), today=today)
    tests = run_suites(compiled)
    tests.require_passed()
    check_corpus(compiled.tree)
    blob, bundle = bundle_of(compiled)
    return Candidate(blob, bundle, compiled, today, tests, reviews)
