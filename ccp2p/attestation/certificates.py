"""X.509 as attestation needs it: parsing that refuses with PeerFault, links, pins and dates.

What a certificate says, and whether another signed it, never changes, so both are remembered
(bounded); dates are checked on every use, at the time that the caller gives.
"""

import binascii
import warnings
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtensionOID, NameOID

from ccp2p.attestation.verdict import Findings
from ccp2p.model import limits
from ccp2p.model.errors import PeerFault

_REMEMBERED: Final = 256  # a genuine chain has five links, so this holds dozens of vendors' chains
_BIT_STRING, _SEQUENCE = 0x03, 0x30
_PEM_START: Final = b"-----BEGIN"
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_END: Final = b"-----END CERTIFICATE-----"
_KNOWN_CRITICAL: Final = (ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE)

_MALFORMED: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)

# Every AMD chip certificate has serial number zero.
warnings.filterwarnings(
    "ignore", message="Parsed a serial number", category=CryptographyDeprecationWarning
)
# What strangers write into names is theirs to get wrong, and nothing to print.
warnings.filterwarnings("ignore", message="Attribute's length must be", category=UserWarning)


def parse(der: bytes) -> x509.Certificate:
    """One DER certificate, whole; PeerFault (code `certificate` or `oversized`) otherwise."""
    if len(der) > limits.MAX_CERTIFICATE_BYTES:
        raise PeerFault("oversized", f"a certificate of {len(der)} bytes is over the limit")
    return parse_one(der)


@lru_cache(maxsize=_REMEMBERED)
def parse_one(der: bytes) -> x509.Certificate:
    """`parse` without its limit of size."""
    try:
        certificate = _read_whole(x509.load_der_x509_certificate(der))
    except _MALFORMED:
        raise PeerFault("certificate", "a certificate is malformed") from None
    if not _is_plain(certificate, der):
        raise PeerFault("certificate", "a certificate is not in its one encoding")
    return certificate


def parse_pem(pem: bytes) -> list[x509.Certificate]:
    """The certificates of a PEM text, in order; PeerFault (`certificate` or `oversized`) otherwise.

    Text round the blocks is ignored.
    """
    if pem.count(_PEM_START) > limits.MAX_CERTIFICATES:
        raise PeerFault("oversized", "more certificates than any genuine chain has")
    blocks = [part.partition(_END) for part in pem.split(_BEGIN)[1:]]
    if not all(end for _, end, _ in blocks):
        raise PeerFault("certificate", "a PEM certificate has no end")
    try:
        ders = [
            binascii.a2b_base64(b"".join(body.split()), strict_mode=True) for body, _, _ in blocks
        ]
    except binascii.Error:
        raise PeerFault("certificate", "a PEM certificate is not base64") from None
    if not ders:
        raise PeerFault("certificate", "a PEM text without a certificate")
    return [parse(der) for der in ders]


def _read_whole(certificate: x509.Certificate) -> x509.Certificate:
    """Read every part that is used later: the library parses, and refuses, on first use."""
    _ = (certificate.subject, certificate.issuer, certificate.extensions)
    _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    return certificate


def _is_plain(certificate: x509.Certificate, der: bytes) -> bool:
    """Whether what the signature does not cover is as it must be, to the last bit.

    That is the outer algorithm, which must repeat the inner one, and how the signature is wrapped.
    """
    signed = certificate.tbs_certificate_bytes
    wrapped = _element(_BIT_STRING, b"\x00" + certificate.signature)
    algorithm = der[der.find(signed) + len(signed) : len(der) - len(wrapped)]
    return algorithm in signed and der == _element(_SEQUENCE, signed + algorithm + wrapped)


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def parse_revocation_list(data: bytes) -> x509.CertificateRevocationList:
    """A DER or PEM revocation list; PeerFault (code `certificate`) otherwise."""
    is_pem = data.startswith(_PEM_START)
    try:
        found = x509.load_pem_x509_crl(data) if is_pem else x509.load_der_x509_crl(data)
        _ = (found.issuer, found.last_update_utc, found.next_update_utc)
    except _MALFORMED:
        raise PeerFault("certificate", "a revocation list is malformed") from None
    return found


@lru_cache(maxsize=_REMEMBERED)
def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `issuer` is named in `certificate` and its key signed it."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (*_MALFORMED, InvalidSignature):
        return False
    return True


@lru_cache(maxsize=_REMEMBERED)
def spki_digest(certificate: x509.Certificate) -> bytes:
    """SHA-256 of the public key structure, as pins are written; PeerFault for an unknown key."""
    return sha256(
        _public_key(certificate).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).digest()


def pinned(certificate: x509.Certificate, pins: Mapping[bytes, str]) -> str | None:
    """What a pin says of this certificate, or None. A pinned key must also have signed it."""
    name = pins.get(spki_digest(certificate))
    return name if name is not None and is_issued_by(certificate, certificate) else None


def p256_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """The certificate's P-256 key; PeerFault when it has another kind."""
    return _elliptic_key(certificate, ec.SECP256R1)


def p384_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """The certificate's P-384 key; PeerFault when it has another kind."""
    return _elliptic_key(certificate, ec.SECP384R1)


def _elliptic_key(
    certificate: x509.Certificate, curve: type[ec.EllipticCurve]
) -> ec.EllipticCurvePublicKey:
    key = _public_key(certificate)
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, curve):
        return key
    raise PeerFault("certificate", f"a certificate's key is not on {curve.name}")


def _public_key(certificate: x509.Certificate) -> CertificatePublicKeyTypes:
    try:
        return certificate.public_key()
    except _MALFORMED:
        raise PeerFault("certificate", "a certificate's key is malformed") from None


def ecdsa_holds(key: ec.EllipticCurvePublicKey, r: int, s: int, message: bytes) -> bool:
    """Whether (r, s) signs `message`; with SHA-256 on P-256, with SHA-384 on P-384."""
    digest = SHA256() if key.key_size == 256 else SHA384()
    try:
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(digest))
    except InvalidSignature:
        return False
    return True


def check_dates(certificate: x509.Certificate, at: int, name: str, findings: Findings) -> None:
    """Narrow the verdict's window to the certificate's, and reject if `at` is outside."""
    start = int(certificate.not_valid_before_utc.timestamp())
    end = int(certificate.not_valid_after_utc.timestamp())
    findings.narrow(start, end)
    findings.expect(start <= at, f"the {name} certificate is not valid yet", "reject")
    findings.expect(at <= end, f"the {name} certificate has expired", "reject")


def extensions(certificate: x509.Certificate) -> x509.Extensions:
    """The extensions; PeerFault when one is critical and unknown here."""
    found = certificate.extensions
    if any(extension.critical and extension.oid not in _KNOWN_CRITICAL for extension in found):
        raise PeerFault("certificate", "a certificate has an unknown critical extension")
    return found


def raw_extensions(certificate: x509.Certificate) -> dict[str, bytes]:
    """Vendors' extensions as raw bytes, by dotted object identifier."""
    return {
        extension.oid.dotted_string: extension.value.value
        for extension in extensions(certificate)
        if isinstance(extension.value, x509.UnrecognizedExtension)
    }


def may_issue(certificate: x509.Certificate, below: int) -> bool:
    """Whether this is a certificate authority that allows `below` authorities under it."""
    try:
        found = extensions(certificate)
        basic = found.get_extension_for_class(x509.BasicConstraints).value
        usage = found.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return False
    deep_enough = basic.path_length is None or basic.path_length >= below
    return basic.ca and deep_enough and usage.key_cert_sign


def common_name(certificate: x509.Certificate) -> str:
    """The subject's common name, or an empty string. Trust it no more than its signature."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""


def check_revocation(
    chain: tuple[x509.Certificate, ...],
    revocations: x509.CertificateRevocationList,
    issuer: x509.Certificate,
    at: int,
    findings: Findings,
) -> None:
    """Reject a chain that a list of `issuer` revokes, and a list that is false or not current.

    A list speaks only of certificates by its own issuer: serial numbers of others may coincide.
    """
    if not _is_list_by(revocations, issuer):
        findings.fail("reject", "a revocation list is not signed by the root")
        return
    until = revocations.next_update_utc
    end = int(until.timestamp()) if until is not None else 0
    start = int(revocations.last_update_utc.timestamp())
    findings.narrow(start, end)
    findings.expect(start <= at <= end, "a revocation list is not current", "reject")
    for certificate in chain:
        listed = revocations.get_revoked_certificate_by_serial_number(certificate.serial_number)
        revoked = certificate.issuer == issuer.subject and listed is not None
        findings.expect(
            not revoked, f"the {common_name(certificate)} certificate is revoked", "reject"
        )


def _is_list_by(revocations: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    key = _public_key(issuer)
    if revocations.issuer != issuer.subject or not isinstance(key, rsa.RSAPublicKey):
        return False
    try:
        return revocations.is_signature_valid(key)
    except _MALFORMED:
        return False
