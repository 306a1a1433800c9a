"""Evidence through Linux's configfs-tsm (6.7 and later): SEV-SNP, TDX and Arm CCA guests.

A report is an entry in a shared folder: make it, write the input, read the output. Another process
may write to the same entry in between, so the entry's generation must be exactly the number of our
writes; otherwise the output may belong to another input. ABI: configfs-tsm-report.
"""

import errno
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ccp2p.attestation.binding import REPORT_DATA_BYTES
from ccp2p.attestation.bundle import EvidenceBundle
from ccp2p.attestation.quote import trim_quote
from ccp2p.model.errors import LocalFault

FOLDER: Final = Path("sys/kernel/config/tsm/report")

_PROVIDERS: Final = {"sev_guest": "sev-snp", "tdx_guest": "tdx", "arm_cca_guest": "arm-cca"}
_ATTEMPTS: Final = 10  # the slowest provider needs about a second under contention
_PAUSE_S: Final = 0.1
_BUSY: Final = (errno.EBUSY, errno.EAGAIN, errno.ETIMEDOUT)
_TSM_MODE: Final = 0o700


class ConfigfsTsm:
    """A guest whose kernel has configfs-tsm.

    `endorsements` are files that the host does not hand out with the report: TDX collateral, or
    AMD certificates where the host's table is empty.
    """

    interface: Final = "configfs-tsm"

    def __init__(
        self,
        root: Path = Path("/"),
        endorsements: tuple[bytes, ...] = (),
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Open the interface below `root`, and learn from one report what TEE this is."""
        self._folder = root / FOLDER
        self._endorsements = endorsements
        self._pause = pause
        self._names = (f"ccp2p-{os.getpid()}-{number}" for number in itertools.count())
        self.tee, _, _ = self._report(bytes(REPORT_DATA_BYTES))

    def bundle(self, report_data: bytes) -> EvidenceBundle:
        """Fresh evidence; the host's certificates come along where it offers any."""
        tee, evidence, auxiliary = self._report(report_data)
        endorsements = self._endorsements + ((auxiliary,) if auxiliary else ())
        return EvidenceBundle(tee, evidence, endorsements)

    def sealing_key(self, context: bytes) -> bytes | None:  # noqa: ARG002
        """None: this interface gives no keys."""
        return None

    def _report(self, report_data: bytes) -> tuple[str, bytes, bytes]:
        if len(report_data) != REPORT_DATA_BYTES:
            raise LocalFault("platform", f"report data has {REPORT_DATA_BYTES} bytes")
        for _ in range(_ATTEMPTS):
            try:
                report = self._attempt(report_data)
            except OSError as error:
                if error.errno not in _BUSY:
                    raise LocalFault(
                        "platform", f"{self._folder} cannot be used: {error.strerror}"
                    ) from None
                report = None
            if report is not None:
                return report
            self._pause(_PAUSE_S)
        raise LocalFault("platform", "the kernel's report interface stays busy; try again")

    def _attempt(self, report_data: bytes) -> tuple[str, bytes, bytes] | None:
        """One report, or None when somebody else wrote to our entry."""
        entry = self._folder / next(self._names)
        entry.mkdir(mode=_TSM_MODE)
        try:
            (entry / "inblob").write_bytes(report_data)
            evidence = (entry / "outblob").read_bytes()
            auxiliary = _read_optional(entry / "auxblob")
            provider = (entry / "provider").read_text().strip()
            generation = int((entry / "generation").read_text())
        except ValueError:
            raise LocalFault("platform", f"{entry} holds what no kernel writes") from None
        finally:
            entry.rmdir()
        if generation != 1:
            return None
        tee = _PROVIDERS.get(provider)
        if tee is None:
            raise LocalFault("platform", f"evidence by {provider!r} is not known here")
        return tee, trim_quote(evidence) if tee == "tdx" else evidence, auxiliary


def _read_optional(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""
