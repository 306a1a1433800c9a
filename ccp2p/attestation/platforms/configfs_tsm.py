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


class ReportFolder:
    """The kernel's folder of reports; the only part that touches files."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.path = root / FOLDER

    def make(self, entry: str) -> None:
        """Create a report entry, whose attributes the kernel then offers."""
        (self.path / entry).mkdir(mode=_TSM_MODE)

    def write(self, entry: str, attribute: str, data: bytes) -> None:
        """Write an attribute."""
        (self.path / entry / attribute).write_bytes(data)

    def read(self, entry: str, attribute: str) -> bytes:
        """Read an attribute."""
        return (self.path / entry / attribute).read_bytes()

    def remove(self, entry: str) -> None:
        """Drop an entry with its attributes."""
        (self.path / entry).rmdir()


class ConfigfsTsm:
    """A guest whose kernel has configfs-tsm.

    `endorsements` are files that the host does not hand out with the report: TDX collateral, or
    AMD certificates where the host's table is empty.
    """

    interface: Final = "configfs-tsm"

    def __init__(
        self,
        folder: ReportFolder,
        endorsements: tuple[bytes, ...] = (),
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Open the interface, and learn from one report what TEE this is."""
        self._folder = folder
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
                        "platform", f"{self._folder.path} cannot be used: {error.strerror}"
                    ) from None
                report = None
            if report is not None:
                return report
            self._pause(_PAUSE_S)
        raise LocalFault("platform", "the kernel's report interface stays busy; try again")

    def _attempt(self, report_data: bytes) -> tuple[str, bytes, bytes] | None:
        """One report, or None when somebody else wrote to our entry."""
        folder, entry = self._folder, next(self._names)
        folder.make(entry)
        try:
            folder.write(entry, "inblob", report_data)
            evidence = folder.read(entry, "outblob")
            auxiliary = _read_optional(folder, entry)
            provider = folder.read(entry, "provider").decode().strip()
            generation = int(folder.read(entry, "generation"))
        except ValueError:
            raise LocalFault("platform", f"{folder.path} holds what no kernel writes") from None
        finally:
            folder.remove(entry)
        if generation != 1:
            return None
        tee = _PROVIDERS.get(provider)
        if tee is None:
            raise LocalFault("platform", f"evidence by {provider!r} is not known here")
        return tee, trim_quote(evidence) if tee == "tdx" else evidence, auxiliary


def _read_optional(folder: ReportFolder, entry: str) -> bytes:
    try:
        return folder.read(entry, "auxblob")
    except FileNotFoundError:
        return b""
