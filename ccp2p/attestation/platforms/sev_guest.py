"""Evidence and sealing keys through /dev/sev-guest: AMD SEV-SNP guests.

Structures are those of linux/sev-guest.h. The derived key mixes guest policy and measurement, so
only the same program on the same chip gets it again.
"""

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ccp2p.attestation.binding import REPORT_DATA_BYTES
from ccp2p.attestation.bundle import EvidenceBundle
from ccp2p.attestation.endorsements import trim_table
from ccp2p.attestation.snp_report import REPORT_BYTES
from ccp2p.model import hashing
from ccp2p.model.errors import LocalFault

DEVICE: Final = Path("dev/sev-guest")

GET_REPORT: Final = 0xC0205300
GET_DERIVED_KEY: Final = 0xC0205301
GET_EXTENDED_REPORT: Final = 0xC0205302

_MESSAGE_VERSION: Final = 1
_ENVELOPE: Final = struct.Struct("<B7xQQQ")  # version, request, response, exit information
_REPORT_REQUEST: Final = struct.Struct("<64sI28x")
_EXTENDED_REQUEST: Final = struct.Struct("<64sI28xQI4x")
_KEY_REQUEST: Final = struct.Struct("<IIQIIQ")
_REPORT_RESPONSE_BYTES: Final = 4000
_REPORT_START: Final = 32
_KEY_RESPONSE_BYTES: Final = 64
_KEY_START: Final = 32
_CERTIFICATES_BYTES: Final = 16 * 1024  # the most that the kernel takes; genuine tables have 7
_FIELDS_POLICY_AND_MEASUREMENT: Final = 1 << 0 | 1 << 3

Ioctl = Callable[[int, int, bytearray], int]


class SevGuest:
    """A guest whose kernel has the SEV guest driver."""

    tee: Final = "sev-snp"
    interface: Final = "sev-guest"

    def __init__(
        self,
        root: Path = Path("/"),
        endorsements: tuple[bytes, ...] = (),
        ioctl: Ioctl = fcntl.ioctl,
    ) -> None:
        self._device = root / DEVICE
        self._endorsements = endorsements
        self._ioctl = ioctl

    def bundle(self, report_data: bytes) -> EvidenceBundle:
        """Fresh evidence, with the host's certificates where it offers any."""
        if len(report_data) != REPORT_DATA_BYTES:
            raise LocalFault("platform", f"report data has {REPORT_DATA_BYTES} bytes")
        table = ctypes.create_string_buffer(_CERTIFICATES_BYTES)
        request = _EXTENDED_REQUEST.pack(
            report_data, 0, ctypes.addressof(table), _CERTIFICATES_BYTES
        )
        try:
            response = self._call(GET_EXTENDED_REPORT, request, _REPORT_RESPONSE_BYTES)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EIO, errno.EINVAL, errno.ENOTTY):
                raise self._fault(error) from None
            # A host without certificates may refuse the extended form altogether.
            return EvidenceBundle(self.tee, self._plain_report(report_data), self._endorsements)
        certificates = trim_table(table.raw)
        endorsements = self._endorsements + ((certificates,) if certificates else ())
        return EvidenceBundle(self.tee, _report(response), endorsements)

    def sealing_key(self, context: bytes) -> bytes | None:
        """A key of this program on this chip, or None where the firmware gives none."""
        request = _KEY_REQUEST.pack(0, 0, _FIELDS_POLICY_AND_MEASUREMENT, 0, 0, 0)
        try:
            response = self._call(GET_DERIVED_KEY, request, _KEY_RESPONSE_BYTES)
        except OSError:
            return None
        status = int.from_bytes(response[:4], "little")
        root = response[_KEY_START:]
        if status != 0 or not any(root):
            return None
        return hashing.keyed(hashing.SEALING, root, context)

    def _plain_report(self, report_data: bytes) -> bytes:
        try:
            request = _REPORT_REQUEST.pack(report_data, 0)
            return _report(self._call(GET_REPORT, request, _REPORT_RESPONSE_BYTES))
        except OSError as error:
            raise self._fault(error) from None

    def _call(self, number: int, request: bytes, response_bytes: int) -> bytes:
        asked = ctypes.create_string_buffer(request, len(request))
        answered = ctypes.create_string_buffer(response_bytes)
        envelope = bytearray(
            _ENVELOPE.pack(_MESSAGE_VERSION, ctypes.addressof(asked), ctypes.addressof(answered), 0)
        )
        descriptor = os.open(self._device, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._ioctl(descriptor, number, envelope)
        finally:
            os.close(descriptor)
        return answered.raw

    def _fault(self, error: OSError) -> LocalFault:
        return LocalFault("platform", f"{self._device} cannot be used: {error.strerror}")


def _report(response: bytes) -> bytes:
    status, size = struct.unpack_from("<II", response)
    if status != 0 or size != REPORT_BYTES:
        raise LocalFault("platform", f"the SEV firmware refused a report: status {status}")
    return response[_REPORT_START : _REPORT_START + REPORT_BYTES]
