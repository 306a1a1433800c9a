"""Each wish of a policy, on genuine evidence: met and not met."""

import pytest

from ccp2p.attestation.policy import Policy, parse_policy, trusting_platform_keys
from tests.attestation.evidence import (
    CCA,
    MILAN,
    NITRO,
    SGX,
    TDX_V4,
    TURIN,
    VLEK,
    case,
    needs_samples,
)

pytestmark = needs_samples

SNP_WISHES = [
    (MILAN, "vmpls = [1]", "VMPL 0"),
    (MILAN, 'products = ["turin"]', "product milan"),
    (MILAN, 'required_platform_flags = ["alias_check"]', "alias_check"),
    (MILAN, "minimum_reported_tcb.milan = { snp = 9 }", "reported TCB snp is 8"),
    (MILAN, "minimum_committed_tcb.milan = { ucode = 200 }", "committed TCB ucode is 115"),
    (TURIN, "minimum_reported_tcb.turin = { fmc = 2 }", "reported TCB fmc is 1"),
    (MILAN, "minimum_guest_svn = 5", "guest SVN 4"),
    (MILAN, "allow_smt = false", "SMT"),
    (MILAN, "require_single_socket = true", "socket"),
    (MILAN, f'host_data = ["{"ab" * 32}"]', "host data"),
    (MILAN, f'id_key_digests = ["{"ab" * 48}"]', "id key"),
    (MILAN, f'author_key_digests = ["{"ab" * 48}"]', "author key"),
    (MILAN, 'signing_keys = ["vlek"]', "vcek"),
    (VLEK, 'vmpls = [1]\nsigning_keys = ["vcek"]', "vlek"),
    (VLEK, 'vmpls = [1]\ncloud_ids = ["CN=elsewhere"]', "cloud"),
    (VLEK, "vmpls = [1]\nrequire_hardware_id = true", "no hardware id"),
    (NITRO, "require_hardware_id = true", "no hardware id"),
    (NITRO, f'pcr4 = ["{"ab" * 48}"]', "PCR4"),
    (TDX_V4, f'rtmr2 = ["{"ab" * 48}"]', "rtmr2"),
    (TDX_V4, f'mr_seam = ["{"ab" * 48}"]', "mr_seam"),
    (TDX_V4, "minimum_evaluation_number = 18", "evaluation number 17"),
    (TDX_V4, "allow_smt = false", "SMT"),
    (TDX_V4, "allow_dynamic_platform = false", "dynamic"),
    (TDX_V4, "allow_cached_keys = false", "cached"),
    (CCA, f'rem1 = ["{"ab" * 64}"]', "rem1"),
    (CCA, f'implementation_ids = ["{"ab" * 32}"]', "implementation id"),
]

MET = [
    (MILAN, "minimum_reported_tcb.milan = { snp = 8, ucode = 115 }\nvmpls = [0, 1]"),
    (MILAN, "minimum_reported_tcb.turin = { snp = 99 }"),
    (TURIN, 'required_platform_flags = ["alias_check", "ecc", "smt"]'),
    (VLEK, 'vmpls = [1]\ncloud_ids = ["CN=cc-us-east-2.amazonaws.com"]'),
    (TDX_V4, "minimum_evaluation_number = 17"),
    (TDX_V4, "require_hardware_id = true"),
]


def policy_for(sample: tuple[str, str], wishes: str) -> Policy:
    policy = parse_policy(f"[{sample[0]}]\nany_measurement = true\n{wishes}\n")
    trusted = case(*sample).policy.arm_cca
    keys = trusted.platform_keys if trusted is not None else ()
    return trusting_platform_keys(policy, keys) if sample[0] == "arm-cca" else policy


@pytest.mark.parametrize(("sample", "wishes", "reason"), SNP_WISHES, ids=lambda value: str(value))
def test_a_wish_that_is_not_met_is_the_only_reason(
    sample: tuple[str, str], wishes: str, reason: str
) -> None:
    verdict = case(*sample).verify(policy=policy_for(sample, wishes))
    assert verdict.status == "policy-reject"
    assert len(verdict.reasons) == 1
    assert reason in verdict.reasons[0]


@pytest.mark.parametrize(("sample", "wishes"), MET, ids=lambda value: str(value))
def test_wishes_that_are_met(sample: tuple[str, str], wishes: str) -> None:
    assert case(*sample).verify(policy=policy_for(sample, wishes)).status == "ok"


@pytest.mark.parametrize("sample", [MILAN, TDX_V4, NITRO, CCA], ids=lambda sample: sample[1])
def test_a_named_measurement_is_required(sample: tuple[str, str]) -> None:
    measured = case(*sample).verify().measurement.hex()
    keys = policy_for(sample, "").arm_cca.platform_keys if sample == CCA else ()

    def status(measurement: str) -> str:
        policy = parse_policy(f'[{sample[0]}]\nmeasurements = ["{measurement}"]')
        if keys:
            policy = trusting_platform_keys(policy, keys)
        verdict = case(*sample).verify(policy=policy)
        assert "any program" not in " ".join(verdict.notes)
        return verdict.status

    assert status(measured) == "ok"
    assert status("00" * (len(measured) // 2)) == "policy-reject"


def test_tcb_statuses_and_advisories_are_allowed_by_name() -> None:
    status = 'statuses = ["UpToDate", "ConfigurationAndSWHardeningNeeded"]\n'

    def verdict(wishes: str) -> tuple[str, tuple[str, ...]]:
        found = case(*SGX).verify(policy=policy_for(SGX, wishes))
        return found.status, found.reasons

    both = 'advisories = ["INTEL-SA-00289", "INTEL-SA-00615"]'
    assert verdict(status + both) == ("ok", ())
    assert verdict(status + 'advisories = ["INTEL-SA-00289"]') == (
        "tcb-status",
        ("advisory INTEL-SA-00615 is not one that the policy allows",),
    )
    assert verdict(both) == ("tcb-status", ("TCB status ConfigurationAndSWHardeningNeeded",))


def test_an_sgx_signer_with_its_product_stands_for_measurements() -> None:
    status = (
        'statuses = ["UpToDate", "ConfigurationAndSWHardeningNeeded"]\n'
        'advisories = ["INTEL-SA-00289", "INTEL-SA-00615"]\n'
    )
    signer = "815f42f11cf64430c30bab7816ba596a1da0130c3b028b673133a66cf9a3e0e6"

    def reasons(wishes: str) -> tuple[str, ...]:
        return case(*SGX).verify(policy=parse_policy(f"[sgx]\n{status}{wishes}")).reasons

    assert reasons(f'signers = ["{signer}"]\nproduct_id = 0') == ()
    assert reasons(f'signers = ["{"00" * 32}"]\nproduct_id = 0') == (
        "signer is not one that the policy accepts",
    )
    assert reasons(f'signers = ["{signer}"]\nproduct_id = 1') == ("product 0; the policy wants 1",)
    assert reasons(f'signers = ["{signer}"]\nproduct_id = 0\nminimum_svn = 1') == (
        "SVN 0 is below 1",
    )


@pytest.mark.parametrize(
    ("tee", "file", "allowed"),
    [
        ("sev-snp", "milan_v2_vcek_debug.bin", True),
        ("aws-nitro", "nitro_2024_blocky_debug.cbor", True),
        ("tdx", "tdx_v4_coco_debug.bin", False),
        ("sgx", "sgx_v3_occlum_debug.bin", False),
    ],
)
def test_debug_can_be_allowed_only_where_the_platform_s_word_is_enough(
    tee: str, file: str, allowed: bool
) -> None:
    assert "debug" in case(tee, file).verify().reasons[0]
    if allowed:
        policy = parse_policy(f"[{tee}]\nany_measurement = true\nallow_debug = true")
        assert case(tee, file).verify(policy=policy).accepted


def test_a_tee_without_a_section_is_refused_and_still_judged() -> None:
    hardware = parse_policy("[sgx]\nany_measurement = true")
    verdict = case(*MILAN).verify(policy=hardware)
    assert verdict.status == "policy-reject"
    assert "the policy accepts no sev-snp evidence" in verdict.reasons
    changed = bytearray(case(*MILAN).evidence)
    changed[0x95] ^= 1
    assert case(*MILAN).verify(bytes(changed), policy=hardware).status == "reject"


def test_no_platform_key_is_trusted_by_default() -> None:
    policy = parse_policy("[arm-cca]\nany_measurement = true")
    verdict = case(*CCA).verify(policy=policy)
    assert verdict.status == "reject"
    assert "a key that the policy trusts" in verdict.reasons[0]
