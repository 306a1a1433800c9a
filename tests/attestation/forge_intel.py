"""An Intel of our own making: quotes, PCK chains and collateral of any TCB, for SGX and TDX.

The forged root counts only where a test pins it and hands it to the quote library.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from tests.attestation.forge import END, START, Authority, key_usage

AT = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp())
ISSUED, NEXT = "2026-05-20T00:00:00Z", "2026-06-19T00:00:00Z"
FMSPC = "00806f050000"
PPID = bytes(range(16))
QE_SIGNER = b"\x51" * 32
_SGX_EXTENSION = "1.2.840.113741.1.13.1"
_Key = ec.EllipticCurvePrivateKey


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _oid(suffix: str) -> bytes:
    base = bytes.fromhex("2a864886f84d010d01")
    return _der(0x06, base + bytes(int(part) for part in suffix.split(".")))


def _entry(suffix: str, value: bytes) -> bytes:
    return _der(0x30, _oid(suffix) + value)


def _number(value: int) -> bytes:
    return _der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


@dataclass(frozen=True)
class Platform:
    """What a PCK certificate says of its platform."""

    fmspc: str = FMSPC
    components: tuple[int, ...] = (5,) * 16
    pce_svn: int = 13
    smt: bool = True

    def extension(self) -> bytes:
        tcb = b"".join(_entry(f"2.{n + 1}", _number(v)) for n, v in enumerate(self.components))
        tcb += _entry("2.17", _number(self.pce_svn))
        tcb += _entry("2.18", _der(0x04, bytes(self.components)))
        flags = [_entry(f"7.{n}", _der(0x01, b"\xff" if on else b"\x00")) for n, on in self._on()]
        parts = (
            _entry("1", _der(0x04, PPID)),
            _entry("2", _der(0x30, tcb)),
            _entry("3", _der(0x04, b"\x00\x00")),
            _entry("4", _der(0x04, bytes.fromhex(self.fmspc))),
            _entry("5", _der(0x0A, b"\x01")),
            _entry("6", _der(0x04, b"\x77" * 16)),
            _entry("7", _der(0x30, b"".join(flags))),
        )
        return _der(0x30, b"".join(parts))

    def _on(self) -> tuple[tuple[int, bool], ...]:
        return ((1, False), (2, False), (3, self.smt))


def _issue(name: str, issuer: Authority | None, key: _Key, extension: bytes = b"") -> Authority:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    authority = name.endswith("CA")
    signer = issuer.key if issuer else key
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(START)
        .not_valid_after(END)
        .add_extension(identifier, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(key_usage(authority), critical=True)
    )
    if extension:
        unrecognised = x509.UnrecognizedExtension(x509.ObjectIdentifier(_SGX_EXTENSION), extension)
        builder = builder.add_extension(unrecognised, critical=False)
    return Authority(key, builder.sign(signer, hashes.SHA256()))


@cache
def _key(name: str) -> _Key:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def root() -> Authority:
    return _issue("Intel SGX Root CA", None, _key("root"))


@cache
def pck_authority() -> Authority:
    return _issue("Intel SGX PCK Platform CA", root(), _key("pck authority"))


@cache
def tcb_signer() -> Authority:
    return _issue("Intel SGX TCB Signing", root(), _key("tcb signer"))


@cache
def pck(platform: Platform = Platform()) -> Authority:
    return _issue("Intel SGX PCK Certificate", pck_authority(), _key("pck"), platform.extension())


def _raw_signature(key: Any, message: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _point(key: _Key) -> bytes:
    encoded = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return encoded[1:]


def _pem(*chain: Authority) -> bytes:
    return b"".join(link.certificate.public_bytes(Encoding.PEM) for link in chain)


@dataclass(frozen=True)
class Quote:
    """A TDX quote (version 4 or 5) or an SGX quote (version 3) of the forged platform."""

    version: int = 4
    platform: Platform = Platform()
    tee_tcb_svn: bytes = bytes((7, 1, 6)) + bytes(13)
    tee_tcb_svn2: bytes = bytes((7, 1, 6)) + bytes(13)
    td_attributes: int = 1 << 28
    sgx_attributes: int = 0x05
    service_td: bytes = bytes(48)
    report_data: bytes = b"d" * 64
    seam_signer: bytes = bytes(48)
    qe_svn: int = 8
    qe_attributes: int = 0x11

    @property
    def tee(self) -> str:
        return "sgx" if self.version == 3 else "tdx"

    def encoded(self) -> bytes:
        attestation, leaf = _key("attestation"), pck(self.platform)
        kind = 0 if self.tee == "sgx" else 0x81
        header = self.version.to_bytes(2, "little") + b"\x02\x00" + kind.to_bytes(4, "little")
        header += bytes(4) + bytes.fromhex("939a7233f79c4ca9940a0db3957f0607") + bytes(20)
        signed = header + self._body()
        auth = b"a" * 32
        qe_report = self._qe_report(sha256(_point(attestation) + auth).digest())
        chain = _pem(leaf, pck_authority(), root()) + b"\x00"
        certified = b"\x05\x00" + len(chain).to_bytes(4, "little") + chain
        vouched = qe_report + _raw_signature(leaf.key, qe_report) + b"\x20\x00" + auth + certified
        if self.version != 3:
            vouched = b"\x06\x00" + len(vouched).to_bytes(4, "little") + vouched
        tail = _raw_signature(attestation, signed) + _point(attestation) + vouched
        return signed + len(tail).to_bytes(4, "little") + tail

    def _body(self) -> bytes:
        if self.version == 3:
            return _enclave(self.sgx_attributes, b"e" * 32, b"s" * 32, 1, 2, self.report_data)
        body = bytearray(584)
        parts = {
            0: self.tee_tcb_svn,
            16: b"\x16" * 48,
            64: self.seam_signer,
            120: self.td_attributes.to_bytes(8, "little"),
            128: bytes.fromhex("e702060000000000"),
            136: b"t" * 48,
            520: self.report_data,
        }
        for offset, value in parts.items():
            body[offset : offset + len(value)] = value
        if self.version == 4:
            return bytes(body)
        longer = bytes(body) + self.tee_tcb_svn2 + self.service_td
        return b"\x03\x00" + len(longer).to_bytes(4, "little") + longer

    def _qe_report(self, committed: bytes) -> bytes:
        product = 1 if self.tee == "sgx" else 2
        data = committed + bytes(32)
        return _enclave(self.qe_attributes, b"q" * 32, QE_SIGNER, product, self.qe_svn, data)


def _enclave(
    attributes: int, enclave: bytes, signer: bytes, product: int, svn: int, data: bytes
) -> bytes:
    report = bytearray(384)
    parts = {
        48: attributes.to_bytes(16, "little"),
        64: enclave,
        128: signer,
        256: product.to_bytes(2, "little"),
        258: svn.to_bytes(2, "little"),
        320: data,
    }
    for offset, value in parts.items():
        report[offset : offset + len(value)] = value
    return bytes(report)


@dataclass(frozen=True)
class Level:
    """A TCB level: the lowest SVN of every part that it asks for, and what Intel says of it."""

    svn: int
    status: str
    advisories: tuple[str, ...] = ()
    tdx: tuple[int, ...] = (5, 0, 6)

    def as_json(self, tee: str) -> dict[str, Any]:
        tcb: dict[str, Any] = {
            "sgxtcbcomponents": [{"svn": self.svn}] * 16,
            "pcesvn": 11,
        }
        if tee == "tdx":
            padded = (*self.tdx, *(0,) * (16 - len(self.tdx)))
            tcb["tdxtcbcomponents"] = [{"svn": svn} for svn in padded]
        return _dated(tcb, self.status, self.advisories)


def _dated(tcb: dict[str, Any], status: str, advisories: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "tcb": tcb,
        "tcbDate": "2026-01-01T00:00:00Z",
        "tcbStatus": status,
        "advisoryIDs": list(advisories),
    }


@dataclass(frozen=True)
class Collateral:
    """Collateral for the forged platform; lists, levels and identities can be changed."""

    tee: str = "tdx"
    levels: tuple[Level, ...] = (Level(5, "UpToDate"),)
    module: tuple[tuple[int, str], ...] = ((6, "UpToDate"),)
    qe_levels: tuple[tuple[int, str], ...] = ((6, "UpToDate"),)
    fmspc: str = FMSPC
    evaluation_number: int = 18
    issued: str = ISSUED
    next_update: str = NEXT
    revoked: tuple[int, ...] = ()
    changes: dict[str, Any] = field(default_factory=dict)

    def encoded(self) -> bytes:
        return json.dumps(self.fields()).encode()

    def fields(self) -> dict[str, Any]:
        tcb_info, identity = json.dumps(self._tcb_info()), json.dumps(self._identity())
        chain = _pem(tcb_signer(), root()).decode()
        return {
            "pck_crl_issuer_chain": _pem(pck_authority(), root()).decode(),
            "root_ca_crl": _list(root(), ()).hex(),
            "pck_crl": _list(pck_authority(), self.revoked).hex(),
            "tcb_info_issuer_chain": chain,
            "tcb_info": tcb_info,
            "tcb_info_signature": _raw_signature(tcb_signer().key, tcb_info.encode()).hex(),
            "qe_identity_issuer_chain": chain,
            "qe_identity": identity,
            "qe_identity_signature": _raw_signature(tcb_signer().key, identity.encode()).hex(),
            **self.changes,
        }

    def _tcb_info(self) -> dict[str, Any]:
        found = {
            "id": self.tee.upper(),
            "version": 3,
            **self._dates(),
            "fmspc": self.fmspc.upper(),
            "pceId": "0000",
            "tcbType": 0,
            "tcbLevels": [level.as_json(self.tee) for level in self.levels],
        }
        if self.tee == "tdx":
            signed_by_intel = {
                "mrsigner": "00" * 48,
                "attributes": "00" * 8,
                "attributesMask": "FF" * 8,
            }
            levels = [_dated({"isvsvn": svn}, status) for svn, status in self.module]
            found["tdxModule"] = signed_by_intel
            found["tdxModuleIdentities"] = [
                {"id": "TDX_01", **signed_by_intel, "tcbLevels": levels}
            ]
        return found

    def _identity(self) -> dict[str, Any]:
        return {
            "id": "QE" if self.tee == "sgx" else "TD_QE",
            "version": 2,
            **self._dates(),
            "miscselect": "00000000",
            "miscselectMask": "FFFFFFFF",
            "attributes": "11" + "00" * 15,
            "attributesMask": "FBFFFFFFFFFFFFFF" + "00" * 8,
            "mrsigner": QE_SIGNER.hex().upper(),
            "isvprodid": 1 if self.tee == "sgx" else 2,
            "tcbLevels": [_dated({"isvsvn": svn}, status) for svn, status in self.qe_levels],
        }

    def _dates(self) -> dict[str, Any]:
        return {
            "issueDate": self.issued,
            "nextUpdate": self.next_update,
            "tcbEvaluationDataNumber": self.evaluation_number,
        }


def _list(issuer: Authority, revoked: tuple[int, ...]) -> bytes:
    made = datetime.fromisoformat(ISSUED)
    key = issuer.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(made)
        .next_update(made + timedelta(days=30))
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
    )
    for serial in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(made)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
