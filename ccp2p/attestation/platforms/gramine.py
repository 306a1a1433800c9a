"""Evidence and sealing keys through Gramine's /dev/attestation: Intel SGX enclaves.

Gramine's library OS makes these files inside the enclave; the host never sees them.
"""

from pathlib import Path
from typing import Final

from ccp2p.attestation.binding import REPORT_DATA_BYTES
from ccp2p.attestation.bundle import EvidenceBundle
from ccp2p.model import hashing
from ccp2p.model.errors import LocalFault

FOLDER: Final = Path("dev/attestation")

_KEY: Final = Path("keys/_sgx_mrenclave")
_KEY_BYTES: Final = 16


class Gramine:
    """A program under Gramine with DCAP attestation. `endorsements` is Intel's collateral."""

    tee: Final = "sgx"
    interface: Final = "gramine"

    def __init__(self, root: Path = Path("/"), endorsements: tuple[bytes, ...] = ()) -> None:
        self._folder = root / FOLDER
        self._endorsements = endorsements

    def bundle(self, report_data: bytes) -> EvidenceBundle:
        """A fresh quote over the report data."""
        if len(report_data) != REPORT_DATA_BYTES:
            raise LocalFault("platform", f"report data has {REPORT_DATA_BYTES} bytes")
        try:
            (self._folder / "user_report_data").write_bytes(report_data)
            quote = (self._folder / "quote").read_bytes()
        except OSError as error:
            raise LocalFault(
                "platform",
                f"Gramine gives no quote ({error.strerror}): its manifest needs "
                'sgx.remote_attestation = "dcap"',
            ) from None
        return EvidenceBundle(self.tee, quote, self._endorsements)

    def sealing_key(self, context: bytes) -> bytes | None:
        """A key of exactly this enclave (MRENCLAVE) on this chip."""
        try:
            root = (self._folder / _KEY).read_bytes()
        except OSError:
            return None
        if len(root) != _KEY_BYTES or not any(root):
            return None
        return hashing.keyed(hashing.SEALING, root, context)
