"""AWS Nitro enclaves: attestation documents of the Nitro Security Module.

An untagged COSE_Sign1 (ES384) whose payload holds the PCRs and its own certificate chain, root
first. Its leaf lives for hours, so a document proves something about one moment only. The report
data is `user_data`; a document has no hardware id, only the name of a virtual machine.
"""

from typing import Any, Final

import msgspec
from cryptography import x509

from ccp2p.attestation import certificates, roots
from ccp2p.attestation.cose import ES384, Sign1, decode, parse_sign1
from ccp2p.attestation.policy import NitroSection
from ccp2p.attestation.verdict import Findings
from ccp2p.model import limits
from ccp2p.model.errors import PeerFault

_PCR_BYTES: Final = 48
_MAX_PCRS: Final = 32
_MAX_FIELD_BYTES: Final = 1024  # genuine documents do use all of it
_ZERO_PCR: Final = bytes(_PCR_BYTES)
_POLICY_PCRS: Final = (1, 2, 3, 4, 8)


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed payload, not yet verified. Absent fields are empty."""

    module_id: str
    timestamp_ms: int
    pcrs: dict[int, bytes]
    certificate: bytes
    cabundle: tuple[bytes, ...]
    user_data: bytes


def appraise(
    evidence: bytes,
    endorsements: tuple[bytes, ...],
    section: NitroSection,
    at: int,
    findings: Findings,
) -> None:
    """Check an attestation document; PeerFault where it cannot be read."""
    findings.vendor = "aws"
    if endorsements:
        raise PeerFault("endorsements", "a Nitro document carries its own chain, and needs no more")
    sign1 = parse_sign1(evidence, tagged=False)
    if sign1.algorithm != ES384:
        raise PeerFault("malformed", "a Nitro document is signed with ES384")
    document = parse_document(sign1.payload)
    findings.measurement = document.pcrs[0]
    findings.report_data = document.user_data
    findings.registers = tuple(
        (f"pcr{index}", value) for index, value in sorted(document.pcrs.items()) if any(value)
    )
    findings.tcb = (("module_id", document.module_id), ("timestamp_ms", document.timestamp_ms))
    _check_signatures(sign1, document, at, findings)
    _apply(document, section, findings)


def parse_document(payload: bytes) -> Document:
    """Read a payload; PeerFault (code `malformed`) when a field is missing or out of bounds."""
    value = decode(payload)
    if not isinstance(value, dict) or value.get("digest") != "SHA384":
        raise PeerFault("malformed", "the Nitro document is not a map of SHA384 registers")
    module_id, timestamp_ms = value.get("module_id"), value.get("timestamp")
    cabundle = value.get("cabundle")
    if not isinstance(module_id, str) or not 1 <= len(module_id) <= _MAX_FIELD_BYTES:
        raise PeerFault("malformed", "the Nitro document has no module id")
    if not isinstance(timestamp_ms, int) or not 0 < timestamp_ms < 1 << 63:
        raise PeerFault("malformed", "the Nitro document has no time")
    if not isinstance(cabundle, list | tuple) or not (
        1 <= len(cabundle) <= limits.MAX_CERTIFICATES - 1
    ):
        raise PeerFault("malformed", "the Nitro document has no usable certificate chain")
    for name in ("public_key", "nonce"):
        _optional(value, name)
    return Document(
        module_id=module_id,
        timestamp_ms=timestamp_ms,
        pcrs=_pcrs(value.get("pcrs")),
        certificate=_bytes(value.get("certificate")),
        cabundle=tuple(_bytes(der) for der in cabundle),
        user_data=_optional(value, "user_data"),
    )


def _pcrs(value: Any) -> dict[int, bytes]:
    if not isinstance(value, dict) or not 1 <= len(value) <= _MAX_PCRS or 0 not in value:
        raise PeerFault("malformed", "the Nitro document has no PCR0")
    for index, digest in value.items():
        if not isinstance(index, int) or not 0 <= index < _MAX_PCRS:
            raise PeerFault("malformed", "a PCR has a wrong index")
        if not isinstance(digest, bytes) or len(digest) != _PCR_BYTES:
            raise PeerFault("malformed", "a PCR has a wrong size")
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes) or not value:
        raise PeerFault("malformed", "a certificate of the Nitro document is not there")
    return value


def _optional(value: dict[Any, Any], name: str) -> bytes:
    field = value.get(name)
    if field is None:
        return b""
    if not isinstance(field, bytes) or len(field) > _MAX_FIELD_BYTES:
        raise PeerFault("malformed", f"{name} of the Nitro document is out of bounds")
    return field


def _check_signatures(sign1: Sign1, document: Document, at: int, findings: Findings) -> None:
    leaf = certificates.parse(document.certificate)
    authorities = [certificates.parse(der) for der in document.cabundle]
    _check_chain(authorities, leaf, findings)
    for certificate in (*authorities, leaf):
        certificates.check_dates(certificate, at, certificates.common_name(certificate), findings)
    findings.expect(
        sign1.holds(certificates.p384_key(leaf)), "the document's signature is wrong", "reject"
    )


def _check_chain(
    authorities: list[x509.Certificate], leaf: x509.Certificate, findings: Findings
) -> None:
    if certificates.pinned(authorities[0], roots.AWS_NITRO) is None:
        findings.fail("reject", "the chain does not start at the pinned AWS Nitro root")
        # Links below an unknown root prove nothing, and checking them is a stranger's work.
        return
    links = zip(authorities, [*authorities[1:], leaf], strict=True)
    for depth, (issuer, subject) in enumerate(links):
        name = certificates.common_name(subject)
        below = len(authorities) - depth - 1
        if not certificates.may_issue(issuer, below) or not certificates.is_issued_by(
            subject, issuer
        ):
            findings.fail("reject", f"the certificate {name!r} is not issued by the one above it")
            return
    if certificates.may_issue(leaf, 0):
        findings.fail("reject", "the leaf certificate is an authority")


def _apply(document: Document, section: NitroSection, findings: Findings) -> None:
    pcr0 = document.pcrs[0]
    findings.expect(
        section.any_measurement or pcr0.hex() in section.measurements,
        "measurement is not one that the policy accepts",
    )
    findings.expect(section.allow_debug or pcr0 != _ZERO_PCR, "debug enclave: PCR0 is all zero")
    for index in _POLICY_PCRS:
        accepted = getattr(section, f"pcr{index}")
        value = document.pcrs.get(index, _ZERO_PCR).hex()
        findings.expect(
            not accepted or value in accepted, f"PCR{index} is not one that the policy accepts"
        )
