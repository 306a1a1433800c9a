"""Evidence through /dev/nsm: AWS Nitro enclaves.

One ioctl that carries a CBOR request and a CBOR response, as in aws-nitro-enclaves-nsm-api. A
Nitro enclave has no sealing key.
"""

import ctypes
import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

import cbor2

from ccp2p.attestation.binding import REPORT_DATA_BYTES
from ccp2p.attestation.bundle import EvidenceBundle
from ccp2p.model.errors import LocalFault

DEVICE: Final = Path("dev/nsm")
REQUEST: Final = 0xC0200A00

_MESSAGE: Final = struct.Struct("<QQQQ")  # address and length of the request, of the response
_RESPONSE_BYTES: Final = 0x3000

Ioctl = Callable[[int, int, bytearray], int]


class NitroModule:
    """An enclave with the Nitro Security Module."""

    tee: Final = "aws-nitro"
    interface: Final = "nsm"

    def __init__(self, root: Path = Path("/"), ioctl: Ioctl = fcntl.ioctl) -> None:
        self._device = root / DEVICE
        self._ioctl = ioctl

    def bundle(self, report_data: bytes) -> EvidenceBundle:
        """A fresh document with the report data as its user data; it carries its own chain."""
        if len(report_data) != REPORT_DATA_BYTES:
            raise LocalFault("platform", f"report data has {REPORT_DATA_BYTES} bytes")
        fields = {"user_data": report_data, "nonce": None, "public_key": None}
        answer = self._call({"Attestation": fields})
        found = answer.get("Attestation") if isinstance(answer, dict) else None
        document = found.get("document") if isinstance(found, dict) else None
        if not isinstance(document, bytes):
            raise LocalFault("platform", "the Nitro Security Module gives no document")
        return EvidenceBundle(self.tee, document, ())

    def sealing_key(self, context: bytes) -> bytes | None:  # noqa: ARG002
        """None: a Nitro enclave keeps nothing over a restart."""
        return None

    def _call(self, request: object) -> object:
        asked = cbor2.dumps(request)
        sent = ctypes.create_string_buffer(asked, len(asked))
        answered = ctypes.create_string_buffer(_RESPONSE_BYTES)
        message = bytearray(
            _MESSAGE.pack(
                ctypes.addressof(sent), len(asked), ctypes.addressof(answered), _RESPONSE_BYTES
            )
        )
        try:
            descriptor = os.open(self._device, os.O_RDWR | os.O_CLOEXEC)
            try:
                self._ioctl(descriptor, REQUEST, message)
            finally:
                os.close(descriptor)
            size = min(_MESSAGE.unpack(message)[3], _RESPONSE_BYTES)
            return cbor2.loads(answered.raw[:size])
        except OSError as error:
            raise LocalFault(
                "platform", f"{self._device} cannot be used: {error.strerror}"
            ) from None
        except cbor2.CBORError:
            raise LocalFault("platform", "the Nitro Security Module answers no CBOR") from None
