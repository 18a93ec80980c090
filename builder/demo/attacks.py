"""What somebody with write access to the bucket, but without keys, can try: plain HTTP against the S3 server."""

import http.client
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Timestamp

from builder.demo.stage import DemoError

TIMEOUT_S = 5.0
# the S3 server of the demo wants to be told a name, and checks no signature
_SCOPE = "demo/20260101/us-east-1/s3/aws4_request"
_NAMED = {"Authorization": f"AWS4-HMAC-SHA256 Credential={_SCOPE}, SignedHeaders=host, Signature=0"}


class Bucket:
    """The bucket as an attacker sees it: any object can be read and overwritten, no condition is asked for."""

    def __init__(self, endpoint: str, name: str) -> None:
        self._address = urlsplit(endpoint).netloc
        self._name = name

    def create(self) -> None:
        """Make the bucket."""
        self._request("PUT", "")

    def get(self, key: str) -> bytes:
        """Return the bytes of an object."""
        return self._request("GET", f"/{key}")

    def put(self, key: str, body: bytes) -> None:
        """Overwrite an object."""
        self._request("PUT", f"/{key}", body)

    def _request(self, method: str, path: str, body: bytes = b"") -> bytes:
        connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT_S)
        try:
            connection.request(method, f"/{self._name}{path}", body, _NAMED)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise DemoError(f"S3 server: no answer to {method} {path} ({error})") from error
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise DemoError(f"S3 server: {method} {path} answered {response.status}")
        return content


def altered(bundle: bytes) -> bytes:
    """Return the bundle with one bit flipped in its middle; the length stays."""
    middle = len(bundle) // 2
    return bundle[:middle] + bytes([bundle[middle] ^ 1]) + bundle[middle + 1 :]


def forged_timestamp(genuine: bytes) -> bytes:
    """Return timestamp metadata one version on, correctly signed, by a key that nobody trusts."""
    metadata = Metadata[Timestamp].from_bytes(genuine)
    metadata.signed.version += 1
    metadata.signed.expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
    metadata.sign(CryptoSigner.generate_ed25519())
    return metadata.to_bytes()
