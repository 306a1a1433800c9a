"""EAR tokens: signed by the node's key, and saying no more than the verdict."""

import base64
import json
from pathlib import Path

import pytest

from ccp2p.attestation.ear import PROFILE, attestation_result
from ccp2p.attestation.measurement import measurement
from ccp2p.attestation.platforms.simulated import SimulatedPlatform
from ccp2p.attestation.policy import parse_policy, simulated_policy
from ccp2p.attestation.verdict import Verdict
from ccp2p.attestation.verify import verify
from ccp2p.crypto.signatures import SigningKey
from ccp2p.crypto.signatures import verify as signature_holds
from tests.attestation.evidence import MILAN, NITRO, SGX, TDX_V4, case, needs_samples

KEY = SigningKey(b"k" * 32)
DIGEST = b"d" * 32


def decode(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def claims_of(verdict: Verdict) -> dict[str, object]:
    token = attestation_result(verdict, KEY, DIGEST, 1_800_000_000)
    header, body, signature = token.split(".")
    assert json.loads(decode(header)) == {"alg": "EdDSA", "typ": "JWT"}
    assert signature_holds(KEY.public, decode(signature), f"{header}.{body}".encode())
    claims = json.loads(decode(body))
    assert claims["eat_profile"] == PROFILE
    assert claims["iat"] == 1_800_000_000
    submodule: dict[str, object] = claims["submods"][verdict.tee]
    assert submodule["ear.appraisal-policy-id"] == "ccp2p:" + DIGEST.hex()
    assert submodule["ccp2p.verdict"] == json.loads(json.dumps(verdict.as_json()))
    return submodule


@needs_samples
def test_a_known_program_on_a_genuine_chip_is_affirmed() -> None:
    measured = case(*TDX_V4).verify().measurement.hex()
    policy = parse_policy(f'[tdx]\nmeasurements = ["{measured}"]')
    claims = claims_of(case(*TDX_V4).verify(policy=policy))
    assert claims["ear.status"] == "affirming"
    assert claims["ear.trustworthiness-vector"] == {
        "instance-identity": 2,
        "configuration": 2,
        "executables": 2,
        "hardware": 2,
    }


@needs_samples
@pytest.mark.parametrize(
    ("sample", "changes", "status"),
    [
        (TDX_V4, {}, "warning"),
        (NITRO, {}, "warning"),
        (SGX, {}, "warning"),
        (TDX_V4, {"endorsements": ()}, "warning"),
        (MILAN, {"at": 0}, "contraindicated"),
    ],
)
def test_whatever_is_short_of_that_is_not(
    sample: tuple[str, str], changes: dict[str, object], status: str
) -> None:
    assert claims_of(case(*sample).verify(**changes))["ear.status"] == status  # type: ignore[arg-type]


def test_a_simulated_chip_is_contraindicated_however_known_its_program(tmp_path: Path) -> None:
    chip = SimulatedPlatform(tmp_path)
    policy = parse_policy(simulated_policy(measurement()))
    verdict = verify(chip.evidence(bytes(64)), chip.endorsements, policy, 0)
    assert verdict.accepted
    assert claims_of(verdict)["ear.status"] == "contraindicated"
