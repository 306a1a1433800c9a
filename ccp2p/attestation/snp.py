"""AMD SEV-SNP: is this report of a genuine chip, and does the policy accept it?

A report counts when the chip's certificate (VCEK), or the cloud's (VLEK), signed it, that
certificate chains to a pinned AMD root, and it was issued for exactly the chip and the TCB that
the report names. A VLEK names no chip, so such evidence has no hardware id.
"""

from typing import Final

from cryptography import x509

from ccp2p.attestation import certificates, roots
from ccp2p.attestation.endorsements import Endorsed, collect
from ccp2p.attestation.policy import SnpSection
from ccp2p.attestation.snp_policy import apply
from ccp2p.attestation.snp_report import Report, parse_report, tcb_parts
from ccp2p.attestation.verdict import Findings
from ccp2p.model.errors import PeerFault

_OID: Final = "1.3.6.1.4.1.3704.1."
_PRODUCT_OID: Final = _OID + "2"
_HARDWARE_OID: Final = _OID + "4"
_CLOUD_OID: Final = _OID + "5"
_TCB_OIDS: Final = {
    "fmc": _OID + "3.9",
    "bl": _OID + "3.1",
    "tee": _OID + "3.2",
    "snp": _OID + "3.3",
    "ucode": _OID + "3.8",
}
_INTEGER, _OCTETS, _IA5 = 0x02, 0x04, 0x16
_SIGNING_KEYS: Final = {0: "VCEK", 1: "VLEK"}
_CHIP_ID_BYTES: Final = 64


def appraise(
    evidence: bytes,
    endorsements: tuple[bytes, ...],
    section: SnpSection,
    at: int,
    findings: Findings,
) -> None:
    """Check a report; PeerFault where report or endorsements cannot be read."""
    findings.vendor = "amd"
    report = parse_report(evidence)
    findings.measurement = report.measurement
    findings.report_data = report.report_data
    product, cloud = _check_endorsed(report, collect(endorsements), at, findings)
    apply(report, product, cloud, section, findings)


def _check_endorsed(
    report: Report, endorsed: Endorsed, at: int, findings: Findings
) -> tuple[str, str]:
    """The product and, under a VLEK, the cloud; as the report claims where nothing proves them."""
    leaf = _leaf(report, endorsed, findings)
    if leaf is None:
        return report.product, ""
    product = _check_chain(leaf, report, endorsed, at, findings)
    findings.expect(_is_signed_by(leaf, report), "the report's signature is wrong", "reject")
    extensions = certificates.raw_extensions(leaf)
    _check_binding(report, product, extensions, findings)
    return product, _text(extensions.get(_CLOUD_OID, b""))


def _leaf(report: Report, endorsed: Endorsed, findings: Findings) -> x509.Certificate | None:
    kind = _SIGNING_KEYS.get(report.signing_key)
    if kind is None:
        raise PeerFault("malformed", "the report is not signed: the chip's key is masked")
    named = [
        certificate
        for certificate in endorsed.certificates
        if certificates.common_name(certificate) == f"SEV-{kind}"
    ]
    if not named:
        findings.fail("reject", f"no {kind} certificate was given")
        return None
    if len(named) == 1:
        return named[0]
    # A host may hand out those of several TCB versions.
    return next((leaf for leaf in named if _is_signed_by(leaf, report)), named[0])


def _is_signed_by(leaf: x509.Certificate, report: Report) -> bool:
    return certificates.ecdsa_holds(certificates.p384_key(leaf), report.r, report.s, report.signed)


def _check_chain(
    leaf: x509.Certificate, report: Report, endorsed: Endorsed, at: int, findings: Findings
) -> str:
    """The product line that the chain proves, or that the report claims where it proves none."""
    kind = _SIGNING_KEYS[report.signing_key]
    for root in endorsed.certificates:
        product = certificates.pinned(root, roots.AMD) if _is_root(root) else None
        if product is None:
            continue
        name = f"SEV-{product.title()}" if kind == "VCEK" else f"SEV-VLEK-{product.title()}"
        for issuer in endorsed.certificates:
            if (
                certificates.common_name(issuer) == name
                and certificates.is_issued_by(issuer, root)
                and certificates.is_issued_by(leaf, issuer)
            ):
                for certificate, label in ((root, "ARK"), (issuer, "ASK"), (leaf, kind)):
                    certificates.check_dates(certificate, at, label, findings)
                _check_revocation((issuer, leaf), root, endorsed, at, findings)
                return product
    findings.fail("reject", f"the {kind} certificate does not chain to a pinned AMD root")
    return report.product


def _is_root(certificate: x509.Certificate) -> bool:
    return certificates.common_name(certificate).startswith("ARK-")


def _check_revocation(
    chain: tuple[x509.Certificate, ...],
    root: x509.Certificate,
    endorsed: Endorsed,
    at: int,
    findings: Findings,
) -> None:
    for revocations in endorsed.revocation_lists:
        certificates.check_revocation(chain, revocations, root, at, findings)


def _check_binding(
    report: Report, product: str, extensions: dict[str, bytes], findings: Findings
) -> None:
    kind = _SIGNING_KEYS[report.signing_key]
    findings.expect(
        not report.product or report.product == product,
        f"the processor is a {report.product} and its certificate is for {product}",
        "reject",
    )
    # "Milan-B0" in older certificates, "Milan" in newer ones.
    named = _text(extensions.get(_PRODUCT_OID, b"")).split("-")[0].lower()
    findings.expect(named == product, f"the {kind} certificate is for {named!r}", "reject")
    for part, version in tcb_parts(report.reported_tcb, product).items():
        certified = _integer(extensions.get(_TCB_OIDS[part], b""))
        findings.expect(
            certified == version,
            f"reported TCB {part} is {version} and the {kind} certificate is for {certified}",
            "reject",
        )
    if kind == "VCEK" and any(report.chip_id):
        hardware_id = _hardware_id(extensions.get(_HARDWARE_OID, b""))
        findings.expect(
            hardware_id == report.chip_id, "the VCEK certificate is for another chip", "reject"
        )
        findings.hardware_id = report.chip_id


def _hardware_id(value: bytes) -> bytes:
    """64 bytes of a hardware id extension: bare or an octet string; Turin's 8 are padded."""
    if len(value) in (10, 66) and value[0] == _OCTETS and value[1] == len(value) - 2:
        value = value[2:]
    return value.ljust(_CHIP_ID_BYTES, b"\x00") if len(value) in (8, _CHIP_ID_BYTES) else b""


def _integer(value: bytes) -> int | None:
    """A small non-negative DER integer, or None."""
    if len(value) in (3, 4) and value[0] == _INTEGER and value[1] == len(value) - 2:
        return int.from_bytes(value[2:], "big", signed=True)
    return None


def _text(value: bytes) -> str:
    """A DER IA5String, or nothing."""
    if len(value) > 1 and value[0] == _IA5 and value[1] == len(value) - 2 and value.isascii():
        return value[2:].decode()
    return ""
