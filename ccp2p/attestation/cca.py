"""Arm CCA tokens: a platform token that vouches for the key of a realm token.

CBOR tag 399 with two COSE_Sign1 (draft-ffm-rats-cca-token). The platform's challenge is the hash
of the realm's key, which is what joins the two. Arm publishes no root, so a platform key is
trusted only where the policy names it. Tokens have no dates.
"""

from hashlib import sha256, sha384, sha512
from typing import Any, Final

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec

from ccp2p.attestation.cose import Sign1, decode, parse_sign1
from ccp2p.attestation.policy import CcaSection
from ccp2p.attestation.verdict import Findings
from ccp2p.model.errors import PeerFault

_TAG: Final = 399
_PLATFORM, _REALM = 44234, 44241
_PROFILE, _CHALLENGE = 265, 10
_INSTANCE, _IMPLEMENTATION, _LIFECYCLE, _COMPONENTS = 256, 2396, 2395, 2399
_PERSONALIZATION, _RIM, _REM, _REALM_KEY, _KEY_HASH = 44235, 44238, 44239, 44237, 44240
# All that bind the realm's key by the platform's challenge; names of older ones are web addresses.
_PROFILES: Final = {
    _PLATFORM: (
        None,
        "http://arm.com/CCA-SSD/1.0.0",
        "http://arm.com/CCA-SSD/1.1.0",
        "tag:arm.com,2023:cca_platform#1.0.0",
        "tag:arm.com,2024:cca_platform#2.0.0",
    ),
    _REALM: (None, "tag:arm.com,2023:realm#1.0.0", "tag:arm.com,2024:realm#2.0.0"),
}
_HASHES: Final = {"sha-256": sha256, "sha-384": sha384, "sha-512": sha512}
_DIGEST_SIZES: Final = (32, 48, 64)
_REGISTERS: Final = 4
_MAX_COMPONENTS: Final = 64  # genuine tokens name at most a few dozen firmware parts
_SECURED: Final = 0x30  # upper byte of the lifecycle
_CURVES: Final = {65: ec.SECP256R1, 97: ec.SECP384R1}
_COSE_ELLIPTIC: Final = 2
_COSE_CURVES: Final = {1: 32, 2: 48}


def appraise(
    evidence: bytes,
    endorsements: tuple[bytes, ...],
    section: CcaSection,
    at: int,  # noqa: ARG001 - tokens have no dates
    findings: Findings,
) -> None:
    """Check a token; PeerFault where it cannot be read."""
    findings.vendor = "arm"
    if endorsements:
        raise PeerFault("endorsements", "nothing can endorse an Arm CCA token but the policy")
    platform_token, realm_token = _parse_token(evidence)
    platform = _claims(platform_token, _PLATFORM)
    realm = _claims(realm_token, _REALM)
    _read_platform(platform, findings)
    _read_realm(realm, findings)
    _check_signatures(platform_token, realm_token, platform, realm, section, findings)
    _apply(platform, section, findings)


def _parse_token(evidence: bytes) -> tuple[Sign1, Sign1]:
    value = decode(evidence)
    if not isinstance(value, cbor2.CBORTag) or value.tag != _TAG:
        raise PeerFault("malformed", "the evidence is not an Arm CCA token")
    parts = value.value
    if not isinstance(parts, dict | cbor2.frozendict) or set(parts) != {_PLATFORM, _REALM}:
        raise PeerFault("malformed", "the CCA token is not a platform and a realm token")
    if not all(isinstance(part, bytes) for part in parts.values()):
        raise PeerFault("malformed", "the CCA token's parts are not byte strings")
    if cbor2.dumps(cbor2.CBORTag(_TAG, dict(parts))) != evidence:
        raise PeerFault("malformed", "the CCA token is not in its shortest encoding")
    return parse_sign1(parts[_PLATFORM], tagged=True), parse_sign1(parts[_REALM], tagged=True)


def _claims(token: Sign1, kind: int) -> dict[Any, Any]:
    claims = decode(token.payload)
    if not isinstance(claims, dict):
        raise PeerFault("malformed", "the claims of a CCA token are not a map")
    if claims.get(_PROFILE) not in _PROFILES[kind]:
        raise PeerFault("malformed", "the CCA token's profile is not known here")
    return claims


def _read_platform(claims: dict[Any, Any], findings: Findings) -> None:
    instance = _octets(claims, _INSTANCE, (33,))
    if instance[0] != 1:
        raise PeerFault("malformed", "the CCA instance id is of no known type")
    components = claims.get(_COMPONENTS)
    if not isinstance(components, list | tuple) or not 1 <= len(components) <= _MAX_COMPONENTS:
        raise PeerFault("malformed", "the CCA platform token names no firmware")
    lifecycle = claims.get(_LIFECYCLE)
    if not isinstance(lifecycle, int) or not 0 <= lifecycle <= 0xFFFF:
        raise PeerFault("malformed", "the CCA platform token has no lifecycle")
    findings.hardware_id = instance
    findings.tcb = (
        ("implementation_id", _octets(claims, _IMPLEMENTATION, (32,)).hex()),
        ("lifecycle", lifecycle),
        *(_component(index, component) for index, component in enumerate(components)),
    )


def _component(index: int, value: Any) -> tuple[str, str]:
    """A firmware part as (name, version and measurement); the index keeps names apart."""
    if not isinstance(value, dict | cbor2.frozendict):
        raise PeerFault("malformed", "a CCA firmware component is not a map")
    name, version = value.get(1, ""), value.get(4, "")
    if not isinstance(name, str) or not isinstance(version, str):
        raise PeerFault("malformed", "a CCA firmware component has no readable name")
    measurement = _octets(value, 2, _DIGEST_SIZES)
    _octets(value, 5, _DIGEST_SIZES)
    return f"component {index} {name}".strip(), f"{version} {measurement.hex()}".strip()


def _read_realm(claims: dict[Any, Any], findings: Findings) -> None:
    findings.report_data = _octets(claims, _CHALLENGE, (64,))
    findings.measurement = _octets(claims, _RIM, _DIGEST_SIZES)
    _octets(claims, _PERSONALIZATION, (64,))
    extensible = claims.get(_REM)
    if not isinstance(extensible, list | tuple) or len(extensible) != _REGISTERS:
        raise PeerFault("malformed", "a realm has four extensible measurements")
    for value in extensible:
        if not isinstance(value, bytes) or len(value) not in _DIGEST_SIZES:
            raise PeerFault("malformed", "a realm measurement has a wrong size")
    findings.registers = tuple((f"rem{index}", value) for index, value in enumerate(extensible))


def _check_signatures(
    platform_token: Sign1,
    realm_token: Sign1,
    platform: dict[Any, Any],
    realm: dict[Any, Any],
    section: CcaSection,
    findings: Findings,
) -> None:
    keys = [load_point(bytes.fromhex(point)) for point in section.platform_keys]
    findings.expect(
        any(platform_token.holds(key) for key in keys),
        "the platform token is not signed by a key that the policy trusts",
        "reject",
    )
    realm_key = _octets(realm, _REALM_KEY, range(1, 512))
    findings.expect(
        realm_token.holds(load_point(_realm_point(realm_key))),
        "the realm token's signature is wrong",
        "reject",
    )
    algorithm = realm.get(_KEY_HASH)
    if not isinstance(algorithm, str) or algorithm not in _HASHES:
        raise PeerFault("malformed", "the realm key's hash algorithm is not known here")
    findings.expect(
        _HASHES[algorithm](realm_key).digest() == platform.get(_CHALLENGE),
        "the platform token vouches for another realm key",
        "reject",
    )


def _realm_point(key: bytes) -> bytes:
    """The uncompressed point of a realm key: as it is, or in a COSE_Key since the 2023 profile."""
    if len(key) in _CURVES and key[0] == 4:
        return key
    value = decode(key)
    curve = value.get(-1) if isinstance(value, dict) and value.get(1) == _COSE_ELLIPTIC else None
    if not isinstance(curve, int) or curve not in _COSE_CURVES:
        raise PeerFault("malformed", "the realm key is not a known kind of key")
    size = (_COSE_CURVES[curve],)
    return b"\x04" + _octets(value, -2, size) + _octets(value, -3, size)


def load_point(point: bytes) -> ec.EllipticCurvePublicKey:
    """The public key of an uncompressed P-256 or P-384 point; PeerFault when it is none."""
    curve = _CURVES.get(len(point))
    if curve is None:
        raise PeerFault("malformed", "a key of the CCA token is on no known curve")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve(), point)
    except ValueError:
        raise PeerFault("malformed", "a key of the CCA token is not on its curve") from None


def _octets(claims: Any, key: int, sizes: tuple[int, ...] | range) -> bytes:
    value = claims.get(key)
    if not isinstance(value, bytes) or len(value) not in sizes:
        raise PeerFault("malformed", f"claim {key} of the CCA token is missing or of a wrong size")
    return value


def _apply(platform: dict[Any, Any], section: CcaSection, findings: Findings) -> None:
    findings.expect(
        section.any_measurement or findings.measurement.hex() in section.measurements,
        "measurement is not one that the policy accepts",
    )
    findings.expect(
        section.allow_debug or platform[_LIFECYCLE] >> 8 == _SECURED,
        f"platform lifecycle {platform[_LIFECYCLE]:#06x} is not secured: debug is possible",
    )
    implementation = platform[_IMPLEMENTATION].hex()
    findings.expect(
        not section.implementation_ids or implementation in section.implementation_ids,
        "implementation id is not one that the policy accepts",
    )
    for index, (name, value) in enumerate(findings.registers):
        accepted = getattr(section, f"rem{index}")
        findings.expect(
            not accepted or value.hex() in accepted, f"{name} is not one that the policy accepts"
        )
