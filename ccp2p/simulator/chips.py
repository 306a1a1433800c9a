"""The TEE of a simulated machine: `attestation.platforms.simulated` without its folder."""

from typing import Final

from ccp2p.attestation import simulated
from ccp2p.attestation.bundle import EvidenceBundle
from ccp2p.attestation.verify import platform_id
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import hashing

MEASUREMENT: Final = hashing.digest(hashing.SIMULATED, b"the program of simulated machines")


class Chip:
    """One machine's, from 32 bytes of seed. See `attestation.platforms.interface.Platform`."""

    tee: Final = simulated.TEE
    interface: Final = "simulator"

    def __init__(self, seed: bytes, vendor: str) -> None:
        self.seed = seed
        self.vendor = vendor
        self._chip = SigningKey(seed).public
        self._endorsements = (simulated.certify(self._chip, vendor),)

    def bundle(self, report_data: bytes) -> EvidenceBundle:
        """Evidence over 64 bytes of report data, and what endorses it."""
        evidence = simulated.sign_report(self.seed, MEASUREMENT, report_data)
        return EvidenceBundle(self.tee, evidence, self._endorsements)

    def sealing_key(self, _context: bytes) -> bytes | None:
        """None: a simulated disk holds its node's keys."""
        return None

    def platform_id(self, network: bytes) -> bytes:
        """The id under which verdicts in `network` know this chip."""
        return platform_id(self.vendor, self._chip, network)
