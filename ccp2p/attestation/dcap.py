"""Intel TDX and SGX: DCAP quotes.

With collateral, the quote library (dcap-qvl) judges signatures, revocation and TCB level, after
this module has refused what the library would overlook. Without collateral, or to find out how
far a quote that the library refuses does hold, signatures and chain are checked here.
"""

from hashlib import sha256
from typing import Final, NamedTuple

import dcap_qvl
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from ccp2p.attestation import certificates, roots
from ccp2p.attestation.certificates import ecdsa_holds
from ccp2p.attestation.collateral import Collateral, parse_collateral
from ccp2p.attestation.dcap_policy import (
    DEBUG_ON,
    FOREIGN_SERVICE,
    NO_LEVEL,
    SEPT_OFF,
    apply,
    apply_status,
)
from ccp2p.attestation.policy import DcapSection
from ccp2p.attestation.quote import Quote, parse_quote
from ccp2p.attestation.verdict import Findings
from ccp2p.model.errors import PeerFault

_LEAF_NAME: Final = "Intel SGX PCK Certificate"
_ISSUER_NAMES: Final = ("Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA")
_DEBUG_BIT: Final = 0x02
_REVOKED: Final = "TCB status is invalid: Revoked"
_SCALAR_BYTES: Final = 32

# Refusals of the library that say nothing against signatures: the quote is genuine, and not good
# enough. They match by how the message starts; whatever is not here is a rejection.
_POLICY_REFUSALS: Final = {
    "No matching TCB level found": NO_LEVEL,
    "Debug mode is enabled": DEBUG_ON,
    "SEPT_VE_DISABLE is not enabled": SEPT_OFF,
    "Invalid MR service TD": FOREIGN_SERVICE,
    "Reserved bits in TD attributes are set": "reserved TD attributes are set",
    "TD profiling is enabled": "TD profiling is on",
    "TD migration is enabled": "TD migration is on",
    "SERVTD_EXT is enabled": "extended service TD attributes are on",
    "Failed to evaluate the current TDX TCB": NO_LEVEL,
    "TDX module identity": "the TDX module is not one that the collateral accepts",
    "TDX module TCB level": "the TDX module is older than every level of the collateral",
    "QE ISVSVN": "the quoting enclave is older than every level of the collateral",
}


class _Chain(NamedTuple):
    """The three certificates of a quote, in the order of the chain."""

    leaf: x509.Certificate
    issuer: x509.Certificate
    root: x509.Certificate


def appraise(
    evidence: bytes,
    endorsements: tuple[bytes, ...],
    section: DcapSection,
    at: int,
    findings: Findings,
) -> None:
    """Check a quote; PeerFault where quote or collateral cannot be read."""
    findings.vendor = "intel"
    quote = parse_quote(evidence)
    if quote.tee != findings.tee:
        raise PeerFault("malformed", f"this is a quote of {quote.tee}, not of {findings.tee}")
    findings.measurement = quote.measurement
    findings.report_data = quote.report_data
    collateral = parse_collateral(endorsements)
    chain = _order(quote)
    findings.expect(
        certificates.pinned(chain.root, roots.INTEL) is not None,
        "the quote's root certificate is not Intel's",
        "reject",
    )
    if collateral is None:
        _check_signatures(quote, chain, at, findings)
        findings.fail("signature-only", "no collateral was given: the TCB cannot be judged")
        _identify(evidence, findings)
    else:
        _judge(evidence, quote, chain, collateral, section, at, findings)
    apply(evidence, quote, section, findings)


def _judge(
    evidence: bytes,
    quote: Quote,
    chain: _Chain,
    collateral: Collateral,
    section: DcapSection,
    at: int,
    findings: Findings,
) -> None:
    findings.narrow(collateral.valid_from, collateral.valid_until)
    findings.expect(
        collateral.valid_from <= at <= collateral.valid_until,
        "the collateral is not of this time",
        "reject",
    )
    number = collateral.evaluation_number
    findings.tcb = (("evaluation_number", number),)
    findings.expect(
        number >= section.minimum_evaluation_number,
        f"evaluation number {number} is below {section.minimum_evaluation_number}",
    )
    try:
        report = dcap_qvl.verify(evidence, collateral.prepared, at)
    except ValueError as error:
        _check_signatures(quote, chain, at, findings)
        _identify(evidence, findings)
        _check_purpose(evidence, quote, collateral, findings)
        _refused(_message(error), findings)
        return
    findings.hardware_id = report.ppid
    findings.tcb_status = report.status
    findings.advisories = tuple(report.advisory_ids)
    certificates.check_dates(chain.leaf, at, "PCK", findings)
    apply_status(section, findings)


def _check_purpose(
    evidence: bytes, quote: Quote, collateral: Collateral, findings: Findings
) -> None:
    """Whether the collateral is for this TEE and model.

    The library may refuse a quote before it comes to compare these, and then they count too.
    """
    findings.expect(
        collateral.tee == quote.tee, f"the collateral is for {collateral.tee!r}", "reject"
    )
    try:
        fmspc = dcap_qvl.parse_quote(evidence).fmspc().lower()
    except ValueError:
        fmspc = ""
    findings.expect(
        collateral.fmspc == fmspc, "the collateral is for another processor model", "reject"
    )


def _refused(message: str, findings: Findings) -> None:
    """Record why the library refused a quote whose signatures are checked already."""
    if message == _REVOKED:
        findings.tcb_status = "Revoked"
        findings.fail("tcb-status", "TCB status Revoked")
        return
    for start, reason in _POLICY_REFUSALS.items():
        if message.startswith(start):
            findings.fail("policy-reject", reason)
            findings.notes.append("the quote was refused before its TCB status was judged")
            return
    findings.fail("reject", f"the quote library refuses it: {message}")


def _message(error: ValueError) -> str:
    """The library's reason without its preamble, on one line and of bounded length."""
    return " ".join(str(error).removeprefix("Verification failed: ").split())[:200]


def _identify(evidence: bytes, findings: Findings) -> None:
    try:
        extension = dcap_qvl.parse_quote(evidence).pck_extension()
    except ValueError:
        extension = None
    findings.hardware_id = extension.ppid if extension is not None else b""


def _order(quote: Quote) -> _Chain:
    """The leaf comes first; of the other two, some quotes put the root before the issuer."""
    leaf, second, third = (certificates.parse(der) for der in quote.certificates)
    if certificates.pinned(second, roots.INTEL) is not None:
        return _Chain(leaf, third, second)
    return _Chain(leaf, second, third)


def _check_signatures(quote: Quote, chain: _Chain, at: int, findings: Findings) -> None:
    findings.expect(_is_chain(chain), "the PCK certificate chain is wrong", "reject")
    names = ("PCK", "PCK issuer", "Intel root")
    for certificate, name in zip(chain, names, strict=True):
        certificates.check_dates(certificate, at, name, findings)
    findings.expect(
        _signs(certificates.p256_key(chain.leaf), quote.qe_signature, quote.qe_report),
        "the quoting enclave's report is not signed by the PCK",
        "reject",
    )
    findings.expect(
        not quote.qe_report[48] & _DEBUG_BIT, "the quoting enclave is in debug mode", "reject"
    )
    committed = sha256(quote.attestation_key + quote.qe_auth).digest()
    findings.expect(
        quote.qe_report[320:384] == committed + bytes(32),
        "the quoting enclave vouches for another attestation key",
        "reject",
    )
    findings.expect(
        _signs(_attestation_key(quote), quote.signature, quote.signed),
        "the quote's signature is wrong",
        "reject",
    )


def _is_chain(chain: _Chain) -> bool:
    return (
        certificates.common_name(chain.leaf) == _LEAF_NAME
        and certificates.common_name(chain.issuer) in _ISSUER_NAMES
        and certificates.may_issue(chain.issuer, 0)
        and certificates.may_issue(chain.root, 1)
        and certificates.is_issued_by(chain.issuer, chain.root)
        and certificates.is_issued_by(chain.leaf, chain.issuer)
    )


def _attestation_key(quote: Quote) -> ec.EllipticCurvePublicKey:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(
            ec.SECP256R1(), b"\x04" + quote.attestation_key
        )
    except ValueError:
        raise PeerFault("malformed", "the quote's attestation key is not on its curve") from None


def _signs(key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes) -> bool:
    r = int.from_bytes(signature[:_SCALAR_BYTES], "big")
    s = int.from_bytes(signature[_SCALAR_BYTES:], "big")
    return ecdsa_holds(key, r, s, message)
