"""Vendors of our own making, for cases that no published sample shows.

The forged roots count only where a test pins them; everything else is as the vendors do it.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from uuid import UUID

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2099, 1, 1, tzinfo=UTC)
AT = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp())
AMD_OID = "1.3.6.1.4.1.3704.1."
Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Authority:
    """A key and its certificate."""

    key: Private
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pin(self) -> bytes:
        """As `roots` pins it."""
        spki = self.certificate.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        return sha256(spki).digest()


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """One key for each name: making them is slow."""
    return rsa.generate_private_key(65537, 2048)


def issue(
    name: str,
    key: Private,
    issuer: Authority | None = None,
    *,
    extensions: dict[str, bytes] | None = None,
    critical: bool = False,
    authority: bool = True,
    path_length: int | None = None,
    end: datetime = END,
) -> Authority:
    """A certificate for `key`, signed by `issuer` or by itself."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(START)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(authority, path_length), critical=True)
        .add_extension(key_usage(authority), critical=True)
    )
    for oid, value in (extensions or {}).items():
        unrecognised = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
        builder = builder.add_extension(unrecognised, critical=critical)
    signer = issuer.key if issuer else key
    if isinstance(signer, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(hashes.SHA384()), 48)
        return Authority(key, builder.sign(signer, hashes.SHA384(), rsa_padding=pss))
    return Authority(key, builder.sign(signer, hashes.SHA384()))


def key_usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def revocation_list(issuer: Authority, revoked: tuple[int, ...], days: int = 700) -> bytes:
    """A list of `issuer` that was made at the start, and is good for some days."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(START)
        .next_update(START + timedelta(days=days))
    )
    for serial in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(START)
        builder = builder.add_revoked_certificate(entry.build())
    assert isinstance(issuer.key, rsa.RSAPrivateKey)
    return builder.sign(issuer.key, hashes.SHA384()).public_bytes(Encoding.DER)


CHIP = bytes(range(1, 65))
TCB = bytes((4, 0, 0, 0, 0, 0, 24, 219))


def chip_extensions(
    hardware_id: bytes | None = CHIP, product: bytes = b"Genoa"
) -> dict[str, bytes]:
    """The extensions of a VCEK for TCB `TCB`, or of a VLEK when there is no hardware id."""
    found = {
        AMD_OID + "2": b"\x16" + bytes([len(product)]) + product,
        AMD_OID + "3.1": b"\x02\x01\x04",
        AMD_OID + "3.2": b"\x02\x01\x00",
        AMD_OID + "3.3": b"\x02\x01\x18",
        AMD_OID + "3.8": b"\x02\x02\x00\xdb",
    }
    if hardware_id is None:
        return {**found, AMD_OID + "5": b"\x16\x05cloud"}
    return {**found, AMD_OID + "4": hardware_id}


@cache
def amd_root() -> Authority:
    return issue("ARK-Genoa", rsa_key("ark"))


@cache
def amd_issuer(name: str = "SEV-Genoa") -> Authority:
    return issue(name, rsa_key(name), amd_root(), path_length=0)


def chip(extensions: dict[str, bytes], issuer: Authority, name: str = "SEV-VCEK") -> Authority:
    key = ec.generate_private_key(ec.SECP384R1())
    return issue(name, key, issuer, extensions=extensions, authority=False)


_TABLE_ENTRIES = (
    "63da758d-e664-4564-adc5-f4b93be8accd",  # VCEK
    "4ab7b379-bbac-4fe4-a02f-05aef327c782",  # ASK
    "c0b406a4-a803-4952-9743-3fb6014cd0ae",  # ARK
    "a8074bc2-a25a-483e-aae6-39c045a0b8a1",  # VLEK
)


def certificate_table(*parts: bytes) -> bytes:
    """The table in which Linux hands a guest VCEK, ASK, ARK and VLEK, as many as are given."""
    offset = 24 * (len(parts) + 1)
    entries = b""
    for identity, part in zip(_TABLE_ENTRIES, parts, strict=False):
        place = offset.to_bytes(4, "little") + len(part).to_bytes(4, "little")
        entries += UUID(identity).bytes + place
        offset += len(part)
    return entries + bytes(24) + b"".join(parts)


@dataclass
class Report:
    """The fields of a Genoa report, version 3."""

    policy: int = 0x30000
    vmpl: int = 0
    signing_key: int = 0
    chip_id: bytes = CHIP
    family_model: bytes = b"\x19\x11"
    reported_tcb: bytes = TCB
    values: dict[int, bytes] = field(default_factory=dict)

    def signed_by(self, leaf: Authority) -> bytes:
        data = bytearray(1184)
        parts = {
            0x00: (3).to_bytes(4, "little"),
            0x08: self.policy.to_bytes(8, "little"),
            0x30: self.vmpl.to_bytes(4, "little"),
            0x34: (1).to_bytes(4, "little"),
            0x48: (self.signing_key << 2).to_bytes(4, "little"),
            0x180: self.reported_tcb,
            0x188: self.family_model,
            0x1A0: self.chip_id,
            0x1E0: self.reported_tcb,
            **self.values,
        }
        for offset, value in parts.items():
            data[offset : offset + len(value)] = value
        assert isinstance(leaf.key, ec.EllipticCurvePrivateKey)
        signature = leaf.key.sign(bytes(data[:0x2A0]), ec.ECDSA(hashes.SHA384()))
        r, s = decode_dss_signature(signature)
        data[0x2A0 : 0x2A0 + 48] = r.to_bytes(48, "little")
        data[0x2E8 : 0x2E8 + 48] = s.to_bytes(48, "little")
        return bytes(data)


def sign1(key: ec.EllipticCurvePrivateKey, payload: bytes, tagged: bool) -> bytes:
    """A COSE_Sign1 with the algorithm of the key's curve."""
    size = key.key_size // 8
    protected = bytes.fromhex("a10126" if size == 32 else "a1013822")
    algorithm = ec.ECDSA(hashes.SHA256() if size == 32 else hashes.SHA384())
    message = cbor2.dumps(["Signature1", protected, b"", payload])
    r, s = decode_dss_signature(key.sign(message, algorithm))
    signature = r.to_bytes(size, "big") + s.to_bytes(size, "big")
    parts = [protected, {}, payload, signature]
    return cbor2.dumps(cbor2.CBORTag(18, parts) if tagged else parts)


def document(authorities: list[Authority], leaf: Authority, **changes: object) -> bytes:
    """A Nitro document signed by `leaf`; `changes` replace fields of its payload."""
    payload = {
        "module_id": "i-0123-enc4567",
        "digest": "SHA384",
        "timestamp": 1000 * AT,
        "pcrs": {index: bytes([index + 1]) * 48 for index in range(16)},
        "certificate": leaf.der,
        "cabundle": [authority.der for authority in authorities],
        "public_key": None,
        "user_data": b"bound",
        "nonce": None,
        **changes,
    }
    assert isinstance(leaf.key, ec.EllipticCurvePrivateKey)
    return sign1(leaf.key, cbor2.dumps(payload), tagged=False)


@dataclass(frozen=True)
class Token:
    """A CCA token: two keys, and claims that a test may change."""

    platform_key: ec.EllipticCurvePrivateKey
    realm_key: ec.EllipticCurvePrivateKey
    platform: dict[int, object]
    realm: dict[int, object]

    @classmethod
    def honest(cls, curve: ec.EllipticCurve) -> "Token":
        platform_key = ec.generate_private_key(curve)
        realm_key = ec.generate_private_key(curve)
        point = uncompressed(realm_key)
        platform = {
            265: "tag:arm.com,2023:cca_platform#1.0.0",
            10: sha256(point).digest(),
            256: b"\x01" + b"i" * 32,
            2396: b"p" * 32,
            2395: 0x3000,
            2399: [{1: "BL", 2: b"m" * 32, 4: "1.0", 5: b"s" * 32}],
        }
        realm = {
            265: "tag:arm.com,2023:realm#1.0.0",
            10: b"c" * 64,
            44235: bytes(64),
            44236: "sha-256",
            44237: point,
            44238: b"r" * 32,
            44239: [bytes(32)] * 4,
            44240: "sha-256",
        }
        return cls(platform_key, realm_key, platform, realm)

    def changed(self, platform: dict[int, object] | None = None, **realm: object) -> "Token":
        """With claims replaced; realm claims as `claim_44239=...`, a None removes one."""
        changes = {int(name.removeprefix("claim_")): value for name, value in realm.items()}
        return replace(
            self,
            platform=_merged(self.platform, platform or {}),
            realm=_merged(self.realm, changes),
        )

    def encoded(self) -> bytes:
        halves = {
            44234: sign1(self.platform_key, cbor2.dumps(self.platform), tagged=True),
            44241: sign1(self.realm_key, cbor2.dumps(self.realm), tagged=True),
        }
        return cbor2.dumps(cbor2.CBORTag(399, halves))


def _merged(claims: dict[int, object], changes: dict[int, object]) -> dict[int, object]:
    merged = {**claims, **changes}
    return {key: value for key, value in merged.items() if value is not None}


def uncompressed(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
