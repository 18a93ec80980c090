"""A host as far as a drill needs one: it follows the copy, keeps bundles on disk, and decides."""

from pathlib import Path

from builder.drilling.copying import Copy
from builder.publishing.publisher import system_clock
from builder.publishing.staging import check_bundle
from bundle_store.client import TrustedClient
from policy_core.bundle import MATCHER
from policy_core.decision import PolicyRef
from policy_core.emergency import in_force, overlay_of
from policy_core.matcher import Matcher, load
from policy_core.matcher.tightening import tighten
from policy_core.request import normalise
from policy_core.trust.chain import VerifiedRelease
from policy_core.trust.release import Release


class Host:
    """Follows the copy as a real host does, with the same client and the same matcher."""

    def __init__(self, copy: Copy, folder: Path) -> None:
        publisher = copy.publisher
        self._client = TrustedClient(
            copy.store, trusted_root=publisher.trusted_root, channel=publisher.channel, cache=folder / "metadata"
        )
        self._disk = folder / "bundles"
        self._matcher: Matcher | None = None

    def poll(self) -> VerifiedRelease:
        """Return what is live, verified; raises TrustError, RemoteError."""
        return self._client.refresh()[1]

    def activate(self, release: Release) -> None:
        """Load a release, whose bundle is fetched if it is not on disk.

        Raises InvalidError, TrustError, RemoteError.
        """
        file = self._disk / f"{release.sha256}.tar.gz"
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(self._client.download(release))
        bundle = check_bundle(release, file.read_bytes())
        policy = PolicyRef(f"sha256:{release.sha256}", release.revision, release.channel, release.release)
        self._matcher = load(bundle.files[MATCHER], policy=policy, provisions=bundle.provisions)

    def reason_code(self, state: VerifiedRelease, request: object) -> str:
        """Return why a request is answered as it is, under the entries in force; empty before anything was activated.

        Raises EmergencyError.
        """
        if self._matcher is None:
            return ""
        now = system_clock().timestamp()
        matcher = tighten(self._matcher, overlay_of(in_force(state.emergency, now)))
        return matcher.decide(normalise(request, now=now, host={})).reason_code
