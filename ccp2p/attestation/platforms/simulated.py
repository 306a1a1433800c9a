"""A simulated chip in a folder: evidence and sealing keys without hardware, NOT confidential.

The chip is 32 secret bytes in a file that only its owner can read; whoever runs the machine can
read it, which is all that makes it simulated. Copying the file copies the chip.
"""

import os
from pathlib import Path
from typing import Final

from ccp2p.attestation import measurement, simulated
from ccp2p.attestation.bundle import EvidenceBundle
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import hashing
from ccp2p.model.errors import LocalFault

_FILE: Final = "simulated-chip"
_SECRET_BYTES: Final = 32
# Real TEEs can derive sealing keys from who signed a program instead of what it is. All of ccp2p
# has this one simulated signer, so a node finds its sealed data again after an upgrade.
_SIGNER: Final = b"ccp2p"


class SimulatedPlatform:
    """A TEE in name only. `tee` and `vendor` are as verdicts on its evidence show them."""

    tee: Final = simulated.TEE
    interface: Final = "simulated"

    def __init__(self, directory: Path, vendor: str = "sim-a", measured: bytes = b"") -> None:
        """Load the chip in `directory`, or make one. LocalFault when it cannot be read.

        `measured` (32 bytes) is what it claims to measure, instead of the program that runs: a
        simulated chip may say anything, and an upgrade can be tried with one program.
        """
        self.vendor = vendor
        self._measured = measured
        secret = _load_or_create(directory / _FILE)
        self._chip_seed = hashing.keyed(hashing.SIMULATED, secret, b"chip")
        self._sealing_root = hashing.keyed(hashing.SIMULATED, secret, b"sealing", _SIGNER)
        self.chip = SigningKey(self._chip_seed).public
        self.endorsements = (simulated.certify(self.chip, vendor),)

    def evidence(self, report_data: bytes) -> bytes:
        """Evidence of the running code over 64 bytes of report data."""
        measured = self._measured or measurement.measurement()
        return simulated.sign_report(self._chip_seed, measured, report_data)

    def bundle(self, report_data: bytes) -> EvidenceBundle:
        """Evidence with what endorses it, as it travels."""
        return EvidenceBundle(self.tee, self.evidence(report_data), self.endorsements)

    def sealing_key(self, context: bytes) -> bytes:
        """32 bytes for `context`: the same on this chip across restarts and upgrades."""
        return hashing.keyed(hashing.SIMULATED, self._sealing_root, b"context", context)


def _load_or_create(path: Path) -> bytes:
    try:
        if not path.exists():
            _create(path)
        secret = path.read_bytes()
    except OSError as error:
        raise LocalFault("simulated-chip", f"{path} cannot be used: {error.strerror}") from None
    if len(secret) != _SECRET_BYTES:
        raise LocalFault(
            "simulated-chip", f"{path} is damaged; without it this node's sealed data is lost"
        )
    return secret


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(os.urandom(_SECRET_BYTES))
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link never replaces: of two processes that start at once, both load the first's chip.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
