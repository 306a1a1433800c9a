"""A verdict as an EAT Attestation Result (EAR), for other systems' policies.

The claims are those of draft-fv-rats-ear with the trustworthiness vector of AR4SI
(draft-ietf-rats-ar4si), as a JSON Web Token (RFC 7519) signed with the node's Ed25519 key
(RFC 8037). ccp2p itself never reads one: its verdicts are recomputed, not believed.
"""

import base64
from typing import Final

import msgspec

from ccp2p import __version__
from ccp2p.attestation.verdict import ANY_PROGRAM, Verdict
from ccp2p.crypto.signatures import SigningKey

PROFILE: Final = "tag:github.com,2023:veraison/ear"

# AR4SI, section 2.3: trustworthiness claims.
_NONE: Final = 0
_AFFIRMING: Final = 2
_UNSAFE: Final = 32
_UNRECOGNISED: Final = 33
_CONTRAINDICATED: Final = 96
_UNVERIFIED: Final = 97


def attestation_result(verdict: Verdict, key: SigningKey, policy_digest: bytes, at: int) -> str:
    """The signed token (JWS compact form). `at` is when it is issued, in Unix seconds."""
    vector = _vector(verdict)
    claims = {
        "eat_profile": PROFILE,
        "iat": at,
        "ear.verifier-id": {"developer": "ccp2p", "build": f"ccp2p {__version__}"},
        "submods": {
            verdict.tee: {
                "ear.status": _tier(vector),
                "ear.trustworthiness-vector": vector,
                "ear.appraisal-policy-id": f"ccp2p:{policy_digest.hex()}",
                "ccp2p.verdict": verdict.as_json(),
            }
        },
    }
    header = {"alg": "EdDSA", "typ": "JWT"}
    signed = b".".join(_segment(msgspec.json.encode(part)) for part in (header, claims))
    return (signed + b"." + _segment(key.sign(signed))).decode()


def _vector(verdict: Verdict) -> dict[str, int]:
    """What each status says of the hardware, the program and how both are set up."""
    if verdict.tee == "simulated":
        # A simulated chip is no hardware, however well its program is known.
        hardware = _CONTRAINDICATED
    elif verdict.status == "reject":
        hardware = _UNVERIFIED
    elif verdict.status == "signature-only":
        hardware = _NONE
    elif verdict.tcb_status not in ("", "UpToDate"):
        hardware = _UNSAFE
    else:
        hardware = _AFFIRMING
    known = verdict.accepted and ANY_PROGRAM not in verdict.notes
    return {
        "instance-identity": _AFFIRMING if verdict.platform_id and verdict.accepted else _NONE,
        "configuration": _AFFIRMING if verdict.accepted else _UNSAFE,
        "executables": _AFFIRMING if known else _UNRECOGNISED,
        "hardware": hardware,
    }


def _tier(vector: dict[str, int]) -> str:
    worst = max(vector.values())
    if worst >= _CONTRAINDICATED:
        return "contraindicated"
    return "warning" if worst >= _UNSAFE else "affirming"


def _segment(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
