"""The policy: what it takes, and that every mistake is an error that names the key."""

import re
from pathlib import Path

import pytest

from ccp2p.attestation.policy import default_policy, parse_policy, simulated_policy
from ccp2p.model import hashing
from ccp2p.model.errors import MemberFault

FULL = f"""
[caps]
vendor = "no-fork"
platform = 1

[sev-snp]
measurements = ["{"ab" * 48}"]
vmpls = [0, 1]
products = ["milan"]
required_platform_flags = ["alias_check"]
minimum_reported_tcb.milan = {{ snp = 24, ucode = 219 }}
minimum_committed_tcb.milan = {{ snp = 24 }}

[tdx]
measurements = ["{"cd" * 48}"]
rtmr3 = ["{"00" * 48}"]
statuses = ["UpToDate", "SWHardeningNeeded"]
advisories = ["INTEL-SA-00615"]

[sgx]
signers = ["{"ef" * 32}"]
product_id = 0

[aws-nitro]
any_measurement = true

[arm-cca]
measurements = ["{"01" * 64}"]
platform_keys = ["04{"02" * 96}"]
"""


def test_a_full_policy_is_read() -> None:
    policy = parse_policy(FULL)
    assert policy.sev_snp is not None
    assert policy.sev_snp.minimum_reported_tcb["milan"].ucode == 219
    assert set(policy.sections()) == {"sev-snp", "tdx", "sgx", "aws-nitro", "arm-cca"}
    assert not policy.is_simulated
    assert policy.digest == hashing.digest(hashing.POLICY, FULL.encode())


def test_the_digest_covers_the_text() -> None:
    assert parse_policy(FULL + "\n").digest != parse_policy(FULL).digest


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[tdx]\nany_measurement = true\nmesurements = []", "mesurements"),
        ("[tdxx]\nany_measurement = true", "tdxx"),
        ("digest = 'x'\n[tdx]\nany_measurement = true", "digest"),
        ("[sev-snp]\nany_measurement = true\nminimum_reported_tcb.rome = {}", "rome"),
        ("[sev-snp]\nany_measurement = true\nminimum_reported_tcb.milan.foo = 1", "foo"),
        ("[sev-snp]\nany_measurement = true\nminimum_reported_tcb.milan.fmc = 1", "fmc"),
        ("[sev-snp]\nany_measurement = true\nminimum_committed_tcb.genoa.fmc = 1", "genoa"),
        ("[sev-snp]\nany_measurement = true\nvmpls = [4]", "vmpls"),
        ("[tdx]\nmeasurements = ['ab']", "measurements"),
        ("[tdx]\nmeasurements = ['" + "AB" * 48 + "']", "measurements"),
        ("[tdx]\nany_measurement = true\nstatuses = ['Revoked']", "statuses"),
        ("[caps]\nvendor = 'most'\n[tdx]\nany_measurement = true", "vendor"),
        ("[caps]\nplatform = 0\n[tdx]\nany_measurement = true", "platform"),
        ("[caps]\nplatform = 2\n[tdx]\nany_measurement = true", "platform"),
        ("[tdx]", "measurements"),
        ("[sgx]\nsigners = ['" + "ef" * 32 + "']", "any_measurement"),
        ("[tdx", "TOML"),
        ("", "no TEE"),
    ],
)
def test_a_mistake_is_named(text: str, named: str) -> None:
    with pytest.raises(MemberFault, match=named) as caught:
        parse_policy(text)
    assert caught.value.code == "policy"


def test_simulated_and_hardware_do_not_mix() -> None:
    with pytest.raises(MemberFault, match="cannot stand beside"):
        parse_policy(simulated_policy(bytes(32)) + "[tdx]\nany_measurement = true\n")
    assert parse_policy(simulated_policy(bytes(32))).is_simulated


def test_naming_measurements_and_taking_any_contradict() -> None:
    with pytest.raises(MemberFault, match="either"):
        parse_policy(f'[tdx]\nany_measurement = true\nmeasurements = ["{"ab" * 48}"]')


def test_the_default_policy_is_for_hardware() -> None:
    assert not default_policy().is_simulated


def test_an_oversized_policy_is_refused() -> None:
    with pytest.raises(MemberFault, match="at most"):
        parse_policy("#" * 70_000)


def test_the_policy_in_the_documentation_is_one() -> None:
    guide = Path(__file__).resolve().parents[2] / "docs" / "attestation.md"
    text = guide.read_text(encoding="utf-8").split("```toml")[1].split("```")[0]
    policy = parse_policy(re.sub('"…[^"]*"', f'"{"ab" * 48}"', text))
    assert set(policy.sections()) == {"sev-snp", "tdx"}
    assert policy.sev_snp is not None
    assert policy.sev_snp.minimum_committed_tcb["milan"].snp == 24
