"""The bytes of an AMD SEV-SNP attestation report (AMD 56860, ATTESTATION_REPORT).

1184 bytes, little-endian; the signature covers the first 0x2A0. The padding round the signature
is outside of it, so it must be zero: a report has one encoding.
"""

from typing import Final

import msgspec

from ccp2p.model.errors import PeerFault

REPORT_BYTES: Final = 1184
SIGNED_BYTES: Final = 0x2A0
VERSIONS: Final = (2, 3, 5)

_R, _S, _END = 0x2A0, 0x2E8, 0x330
_SCALAR_BYTES: Final = 48
_ECDSA_P384_SHA384: Final = 1
_CPUID_SINCE: Final = 3

# Positions of the parts in a TCB version, which moved with Turin. Reports that name no product
# (version 2) are older than Turin.
_TCB_LAYOUT: Final = {
    "": {"bl": 0, "tee": 1, "snp": 6, "ucode": 7},
    "milan": {"bl": 0, "tee": 1, "snp": 6, "ucode": 7},
    "genoa": {"bl": 0, "tee": 1, "snp": 6, "ucode": 7},
    "turin": {"fmc": 0, "bl": 1, "tee": 2, "snp": 3, "ucode": 7},
}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed report, not yet verified. `product` is empty in version 2, which has no CPUID."""

    signed: bytes
    version: int
    guest_svn: int
    policy: int
    vmpl: int
    platform_info: int
    signing_key: int
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    reported_tcb: bytes
    committed_tcb: bytes
    chip_id: bytes
    product: str
    r: int
    s: int


def parse_report(data: bytes) -> Report:
    """Read a report of exactly 1184 bytes; PeerFault (code `malformed`) otherwise."""
    if len(data) != REPORT_BYTES:
        raise PeerFault("malformed", f"an SNP report has {REPORT_BYTES} bytes, not {len(data)}")
    version = _number(data, 0x00, 4)
    if version not in VERSIONS:
        raise PeerFault("malformed", f"SNP report version {version} is not known here")
    if _number(data, 0x34, 4) != _ECDSA_P384_SHA384:
        raise PeerFault("malformed", "the SNP report's signature algorithm is not ECDSA P-384")
    paddings = (data[_R + _SCALAR_BYTES : _S], data[_S + _SCALAR_BYTES : _END], data[_END:])
    if any(any(padding) for padding in paddings):
        raise PeerFault("malformed", "the SNP report's unsigned padding is not zero")
    return Report(
        signed=data[:SIGNED_BYTES],
        version=version,
        guest_svn=_number(data, 0x04, 4),
        policy=_number(data, 0x08, 8),
        vmpl=_number(data, 0x30, 4),
        platform_info=_number(data, 0x40, 8),
        signing_key=_number(data, 0x48, 4) >> 2 & 7,
        report_data=data[0x50:0x90],
        measurement=data[0x90:0xC0],
        host_data=data[0xC0:0xE0],
        id_key_digest=data[0xE0:0x110],
        author_key_digest=data[0x110:0x140],
        reported_tcb=data[0x180:0x188],
        committed_tcb=data[0x1E0:0x1E8],
        chip_id=data[0x1A0:0x1E0],
        product=_product(data[0x188], data[0x189]) if version >= _CPUID_SINCE else "",
        r=_number(data, _R, _SCALAR_BYTES),
        s=_number(data, _S, _SCALAR_BYTES),
    )


def tcb_parts(tcb: bytes, product: str) -> dict[str, int]:
    """Security versions by part (bl, tee, snp, ucode; fmc since Turin) of 8 TCB bytes."""
    return {part: tcb[position] for part, position in _TCB_LAYOUT[product].items()}


def _number(data: bytes, offset: int, size: int) -> int:
    return int.from_bytes(data[offset : offset + size], "little")


def _product(family: int, model: int) -> str:
    if family == 0x19 and model <= 0x0F:
        return "milan"
    # 0xA0 to 0xAF are Bergamo and Siena, which AMD certifies as Genoa.
    if family == 0x19 and (0x10 <= model <= 0x1F or 0xA0 <= model <= 0xAF):
        return "genoa"
    if family == 0x1A and model <= 0x1F:
        return "turin"
    raise PeerFault("malformed", f"processor {family:02x}/{model:02x} is no known SNP product")
