"""The bytes of an Intel DCAP quote: SGX version 3, TDX versions 4 and 5.

Stricter than the library that judges quotes: exact lengths, one certification type, and PEM with
one way to write it, because nothing signs the certificates' text. Layout: Intel DCAP ECDSA quote
library reference, appendix A.
"""

import binascii
import re
from functools import lru_cache
from typing import Final

import msgspec

from ccp2p.model.errors import PeerFault

_HEADER_BYTES: Final = 48
_REPORT_BYTES: Final = 384
_TD10_BYTES, _TD15_BYTES = 584, 648
_BODY_PREFIX_BYTES: Final = 6
_SGX, _TDX = 0x00, 0x81
_ECDSA_P256: Final = 2
_INTEL_QE: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_CERTIFICATE_CHAIN, _QE_REPORT_DATA = 5, 6
_CHAIN_LENGTH: Final = 3  # PCK certificate first, then its issuer and Intel's root
_QE_AUTH_BYTES: Final = 32
_REMEMBERED: Final = 64  # chains of chips seen lately, some 6 KiB each

_PEM: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=\r\n]+?)\r?\n-----END CERTIFICATE-----"
)
_PEM_HEAD, _PEM_FOOT = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed quote, not yet verified. `body` is a TD report or an SGX enclave report."""

    tee: str
    signed: bytes
    body: bytes
    signature: bytes
    attestation_key: bytes
    qe_report: bytes
    qe_signature: bytes
    qe_auth: bytes
    certificates: tuple[bytes, ...]

    @property
    def measurement(self) -> bytes:
        """MRTD (48 bytes) or MRENCLAVE (32 bytes)."""
        return self.body[136:184] if self.tee == "tdx" else self.body[64:96]

    @property
    def report_data(self) -> bytes:
        """The 64 bytes that the guest chose."""
        return self.body[520:584] if self.tee == "tdx" else self.body[320:384]


def parse_quote(data: bytes) -> Quote:
    """Read a whole quote; PeerFault (code `malformed`) when any part of it is not as it must be."""
    reader = _Reader(data)
    header = reader.take(_HEADER_BYTES)
    version, key_type = _number(header[0:2]), _number(header[2:4])
    tee = {_SGX: "sgx", _TDX: "tdx"}.get(_number(header[4:8]))
    if (tee, version) not in (("sgx", 3), ("tdx", 4), ("tdx", 5)):
        raise PeerFault("malformed", f"quotes of version {version} and this type are unknown here")
    if key_type != _ECDSA_P256 or header[12:28] != _INTEL_QE:
        raise PeerFault("malformed", "the quote is not by Intel's ECDSA P-256 quoting enclave")
    body = _take_body(reader, version)
    signed = data[: reader.position]
    outer = _Reader(reader.take(reader.number(4)))
    reader.end()
    signature, attestation_key = outer.take(64), outer.take(64)
    inner = outer if version == 3 else _certification(outer, _QE_REPORT_DATA)
    qe_report, qe_signature = inner.take(_REPORT_BYTES), inner.take(64)
    qe_auth = inner.take(inner.number(2))
    if len(qe_auth) != _QE_AUTH_BYTES:
        raise PeerFault("malformed", "the quoting enclave's data has a wrong size")
    chain = _certification(inner, _CERTIFICATE_CHAIN)
    return Quote(
        tee=str(tee),
        signed=signed,
        body=body,
        signature=signature,
        attestation_key=attestation_key,
        qe_report=qe_report,
        qe_signature=qe_signature,
        qe_auth=qe_auth,
        certificates=parse_chain(chain.take(chain.left)),
    )


def trim_quote(data: bytes) -> bytes:
    """A quote as hardware hands it out, without the zeros that pad its buffer.

    Anything else is returned unchanged: whoever verifies it will say what is wrong.
    """
    reader = _Reader(data)
    try:
        version = _number(reader.take(_HEADER_BYTES)[0:2])
        _take_body(reader, version)
        reader.take(reader.number(4))
    except PeerFault:
        return data
    return data if any(data[reader.position :]) else data[: reader.position]


def _take_body(reader: "_Reader", version: int) -> bytes:
    if version == 3:
        return reader.take(_REPORT_BYTES)
    if version == 4:
        return reader.take(_TD10_BYTES)
    kind, size = reader.number(2), reader.number(4)
    if (kind, size) not in ((2, _TD10_BYTES), (3, _TD15_BYTES)):
        raise PeerFault("malformed", "the quote's body is no TD report 1.0 or 1.5")
    return reader.take(size)


def _certification(reader: "_Reader", kind: int) -> "_Reader":
    """The certification data that is the rest of `reader`, which must be of one kind."""
    found, size = reader.number(2), reader.number(4)
    if found != kind:
        raise PeerFault("malformed", f"certification data of type {found} is not used here")
    data = reader.take(size)
    reader.end()
    return _Reader(data)


@lru_cache(maxsize=_REMEMBERED)
def parse_chain(text: bytes) -> tuple[bytes, ...]:
    """The DER certificates of a PEM chain, each of whose texts has lines of one width."""
    bodies = [match.group(1) for match in _PEM.finditer(text)]
    if len(bodies) != _CHAIN_LENGTH:
        raise PeerFault("malformed", f"the quote holds {len(bodies)} certificates, not 3")
    newline = b"\r\n" if b"\r" in text else b"\n"
    try:
        ders = tuple(binascii.a2b_base64(body) for body in bodies)
    except binascii.Error:
        raise PeerFault("malformed", "the quote's certificates are not base64") from None
    texts = (_pem(der, body.find(newline), newline) for der, body in zip(ders, bodies, strict=True))
    written = newline.join(texts)
    if text not in (written, written + newline, written + newline + b"\x00"):
        raise PeerFault("malformed", "the quote's certificate chain is written irregularly")
    return ders


def _pem(der: bytes, width: int, newline: bytes) -> bytes:
    encoded = binascii.b2a_base64(der, newline=False)
    step = width if width > 0 else len(encoded)
    lines = (encoded[start : start + step] for start in range(0, len(encoded), step))
    return newline.join((_PEM_HEAD, *lines, _PEM_FOOT))


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


class _Reader:
    """Takes fields off the front; PeerFault when there is less than asked, or something left."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    @property
    def left(self) -> int:
        return len(self._data) - self.position

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise PeerFault("malformed", "the quote is cut short")
        self.position += size
        return self._data[self.position - size : self.position]

    def number(self, size: int) -> int:
        return _number(self.take(size))

    def end(self) -> None:
        if self.left:
            raise PeerFault("malformed", "there are bytes after the end of the quote")
