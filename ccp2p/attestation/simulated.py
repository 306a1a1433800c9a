"""Evidence of the simulated TEE: the shape of the real thing, and NOT confidential.

A simulated chip has an Ed25519 key, certified for a vendor name by a root whose seed is published
right here. Anyone can make such a chip, so the evidence proves nothing to a stranger; it lets the
same code run, admit, refuse and measure without hardware. Chip and vendor stand in for the
hardware id and the manufacturer, so caps and one-chip-one-vote can be exercised.
"""

import re
from typing import Final

from ccp2p.attestation.binding import REPORT_DATA_BYTES
from ccp2p.attestation.policy import SimulatedSection
from ccp2p.attestation.verdict import Findings
from ccp2p.crypto.signatures import SigningKey, verify
from ccp2p.model import codec, hashing, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import PeerFault

TEE: Final = "simulated"
ROOT_SEED: Final = hashing.digest(hashing.SIMULATED, b"published: NOT confidential")
TCB: Final = 1

_ROOT: Final = SigningKey(ROOT_SEED).public
_MAGIC: Final = "ccp2p-simulated"
_KEY_BYTES: Final = 32
_VENDOR: Final = re.compile("[a-z0-9-]{1,32}")
_CERTIFICATE_DOMAIN: Final = hashing.SIMULATED + b".chip"
_REPORT_DOMAIN: Final = hashing.SIMULATED + b".report"


class ChipCertificate(Wire, frozen=True):
    """The root's word for a chip: its public key (32 bytes) and its vendor's name."""

    chip: bytes
    vendor: str


class Report(Wire, frozen=True):
    """What a simulated chip signs. `magic` tells this format from others."""

    magic: str
    chip: bytes
    measurement: bytes
    report_data: bytes
    debug: bool
    tcb: int


class Signed(Wire, frozen=True):
    """A structure's bytes and the Ed25519 signature over domain and bytes."""

    body: bytes
    signature: bytes


def certify(chip: bytes, vendor: str) -> bytes:
    """The endorsement of a simulated chip, signed with the published root key."""
    body = codec.encode(ChipCertificate(chip, vendor))
    return _signed(ROOT_SEED, _CERTIFICATE_DOMAIN, body)


def sign_report(chip_seed: bytes, measurement: bytes, report_data: bytes) -> bytes:
    """Simulated evidence for 64 bytes of report data, signed by the chip."""
    chip = SigningKey(chip_seed).public
    body = codec.encode(Report(_MAGIC, chip, measurement, report_data, False, TCB))
    return _signed(chip_seed, _REPORT_DOMAIN, body)


def is_simulated(evidence: bytes) -> bool:
    """Whether these bytes claim to be simulated evidence."""
    return _MAGIC.encode() in evidence[:64]


def appraise(
    evidence: bytes,
    endorsements: tuple[bytes, ...],
    section: SimulatedSection,
    at: int,  # noqa: ARG001 - simulated chips have no dates
    findings: Findings,
) -> None:
    """Check simulated evidence; PeerFault where it cannot be read."""
    signed = codec.decode_canonical(evidence, Signed, limits.MAX_EVIDENCE_BYTES)
    report = codec.decode_canonical(signed.body, Report, limits.MAX_EVIDENCE_BYTES)
    if (
        report.magic != _MAGIC
        or len(report.chip) != _KEY_BYTES
        or len(report.measurement) != hashing.DIGEST_BYTES
        or len(report.report_data) != REPORT_DATA_BYTES
    ):
        raise PeerFault("malformed", "the simulated report has fields of wrong size")
    findings.measurement = report.measurement
    findings.report_data = report.report_data
    findings.tcb = (("simulated", report.tcb),)
    findings.notes.append("simulated TEE: NOT confidential")
    certificate = _chip_certificate(endorsements)
    findings.vendor = certificate.vendor
    findings.hardware_id = certificate.chip
    findings.expect(
        certificate.chip == report.chip, "the endorsement is of another simulated chip", "reject"
    )
    findings.expect(
        _verifies(certificate.chip, _REPORT_DOMAIN, signed),
        "the simulated chip's signature is wrong",
        "reject",
    )
    _apply(report, certificate, section, findings)


def _apply(
    report: Report, certificate: ChipCertificate, section: SimulatedSection, findings: Findings
) -> None:
    findings.expect(
        section.any_measurement or report.measurement.hex() in section.measurements,
        "measurement is not one that the policy accepts",
    )
    findings.expect(
        not section.vendors or certificate.vendor in section.vendors,
        f"vendor {certificate.vendor!r} is not one that the policy accepts",
    )
    findings.expect(section.allow_debug or not report.debug, "debug is on")
    findings.expect(
        report.tcb >= section.minimum_tcb, f"TCB {report.tcb} is below {section.minimum_tcb}"
    )


def _chip_certificate(endorsements: tuple[bytes, ...]) -> ChipCertificate:
    if len(endorsements) != 1:
        raise PeerFault("endorsements", "simulated evidence needs exactly one endorsement")
    signed = codec.decode_canonical(endorsements[0], Signed, limits.MAX_ENDORSEMENT_BYTES)
    if not _verifies(_ROOT, _CERTIFICATE_DOMAIN, signed):
        raise PeerFault("endorsements", "the endorsement is not signed by the simulated root")
    certificate = codec.decode_canonical(signed.body, ChipCertificate, limits.MAX_ENDORSEMENT_BYTES)
    if len(certificate.chip) != _KEY_BYTES or not _VENDOR.fullmatch(certificate.vendor):
        raise PeerFault("endorsements", "the simulated endorsement has fields of wrong size")
    return certificate


def _signed(seed: bytes, domain: bytes, body: bytes) -> bytes:
    return codec.encode(Signed(body, SigningKey(seed).sign(domain + body)))


def _verifies(key: bytes, domain: bytes, signed: Signed) -> bool:
    return verify(key, signed.signature, domain + signed.body)
