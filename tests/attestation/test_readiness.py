"""`ccp2p platform`: what a machine offers, what is missing, and policies from evidence."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ccp2p.attestation.draft import draft_policy, judge
from ccp2p.attestation.platforms import detection
from ccp2p.attestation.platforms.gramine import Gramine
from ccp2p.attestation.platforms.readiness import Check, check_platform
from ccp2p.attestation.platforms.simulated import SimulatedPlatform
from ccp2p.attestation.platforms.volume import swap_in_use, volume_of
from ccp2p.attestation.policy import default_policy, parse_policy, trusting_platform_keys
from ccp2p.cli.platform import platform
from ccp2p.model.errors import LocalFault
from tests.attestation.evidence import (
    CCA,
    EVIDENCE,
    GENUINE,
    SGX,
    TURIN,
    case,
    needs_samples,
)


def checks_by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_a_machine_without_a_tee_is_told_what_to_do(tmp_path: Path) -> None:
    checks = checks_by_name(check_platform(tmp_path, default_policy(), 0, root=tmp_path))
    assert not checks["interface"].good
    assert "Gramine" in checks["interface"].fix
    assert not checks["volume"].good
    assert checks["swap"].good


@needs_samples
def test_evidence_is_judged_under_the_policy_with_its_reasons(tmp_path: Path) -> None:
    folder = tmp_path / "dev" / "attestation"
    (folder / "keys").mkdir(parents=True)
    (folder / "quote").write_bytes(case(*SGX).evidence)
    (folder / "keys" / "_sgx_mrenclave").write_bytes(b"k" * 16)
    checks = checks_by_name(
        check_platform(
            tmp_path,
            default_policy(),
            case(*SGX).at,
            root=tmp_path,
            endorsements=case(*SGX).endorsements,
        )
    )
    assert checks["interface"].good
    assert checks["sealing key"].good
    assert checks["volume"].good
    assert "manifest" in checks["volume"].found
    assert not checks["evidence"].good
    assert "bound to something else" in checks["evidence"].found
    assert "ConfigurationAndSWHardeningNeeded" in checks["evidence"].found


def test_a_broken_interface_is_one_of_the_checks(tmp_path: Path) -> None:
    (tmp_path / "dev" / "attestation").mkdir(parents=True)
    checks = checks_by_name(check_platform(tmp_path, default_policy(), 0, root=tmp_path))
    assert not checks["evidence"].good
    assert "remote_attestation" in checks["evidence"].found


def fake_block_device(root: Path, folder: Path, identities: list[str]) -> None:
    """sysfs of the device below `folder`: a stack of device-mapper targets, the top first."""
    number = os.stat(folder).st_dev
    device = root / "sys" / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}"
    for identity in identities:
        (device / "dm").mkdir(parents=True)
        (device / "dm" / "uuid").write_text(identity + "\n")
        device = device / "slaves" / "dm-1"


@pytest.mark.parametrize(
    ("identities", "encrypted", "authenticated"),
    [
        (["CRYPT-LUKS2-00-data"], True, False),
        (["LVM-00", "CRYPT-LUKS2-00-data"], True, False),
        (["CRYPT-LUKS2-00-data", "CRYPT-SUBDEV-00-data_dif-INTEGRITY"], True, True),
        (["LVM-00"], False, False),
        ([], False, False),
    ],
)
def test_volumes_are_known_by_their_device_mapper_stack(
    tmp_path: Path, identities: list[str], encrypted: bool, authenticated: bool
) -> None:
    fake_block_device(tmp_path, tmp_path, identities)
    volume = volume_of(tmp_path, tmp_path)
    assert (volume.encrypted, volume.authenticated) == (encrypted, authenticated)


def test_memory_needs_no_protection(tmp_path: Path) -> None:
    mounts = tmp_path / "proc" / "self" / "mounts"
    mounts.parent.mkdir(parents=True)
    mounts.write_text(f"/dev/x / ext4 rw 0 0\ntmpfs {tmp_path.resolve()} tmpfs rw 0 0\n")
    assert volume_of(tmp_path, tmp_path).memory
    mounts.write_text(f"tmpfs / tmpfs rw 0 0\n/dev/x {tmp_path.resolve()} ext4 rw 0 0\n")
    assert not volume_of(tmp_path, tmp_path).memory


def test_swap_counts_unless_it_is_in_memory(tmp_path: Path) -> None:
    swaps = tmp_path / "proc" / "swaps"
    swaps.parent.mkdir()
    header = "Filename Type Size Used Priority\n"
    swaps.write_text(header)
    assert not swap_in_use(tmp_path)
    swaps.write_text(header + "/dev/zram0 partition 1 0 100\n")
    assert not swap_in_use(tmp_path)
    swaps.write_text(header + "/dev/sda2 partition 1 0 -2\n")
    assert swap_in_use(tmp_path)


@needs_samples
@pytest.mark.parametrize("sample", GENUINE, ids=lambda sample: sample[1])
def test_a_drafted_policy_accepts_what_it_was_drafted_from(sample: tuple[str, str]) -> None:
    genuine = case(*sample)
    trusted = genuine.policy.arm_cca
    keys = trusted.platform_keys if trusted is not None else ()
    verdict = judge(genuine.evidence, genuine.endorsements, genuine.at, None, keys)
    policy = parse_policy(draft_policy(verdict, keys))
    assert genuine.verify(policy=policy).reasons == ()
    assert genuine.verify(policy=policy).notes == ()


@needs_samples
def test_a_drafted_policy_refuses_another_program_and_an_older_chip() -> None:
    verdict = judge(case(*TURIN).evidence, case(*TURIN).endorsements, case(*TURIN).at)
    policy = parse_policy(draft_policy(verdict))
    other = case("sev-snp", "milan_v3_vcek_azure.bin").verify(policy=policy)
    assert len(other.reasons) >= 2


@needs_samples
def test_a_draft_of_cca_trusts_only_the_keys_that_were_given() -> None:
    trusted = case(*CCA).policy.arm_cca
    assert trusted is not None
    verdict = judge(case(*CCA).evidence, (), case(*CCA).at, None, trusted.platform_keys)
    policy = parse_policy(draft_policy(verdict))
    assert case(*CCA).verify(policy=policy).status == "reject"
    policy = trusting_platform_keys(policy, trusted.platform_keys)
    assert case(*CCA).verify(policy=policy).status == "ok"


def test_a_draft_of_simulated_evidence_is_a_simulated_policy(tmp_path: Path) -> None:
    chip = SimulatedPlatform(tmp_path)
    verdict = judge(chip.evidence(bytes(64)), chip.endorsements, 0)
    policy = parse_policy(draft_policy(verdict))
    assert policy.is_simulated
    assert policy.simulated is not None
    assert policy.simulated.vendors == ("sim-a",)


def test_info_is_one_object() -> None:
    result = CliRunner().invoke(platform, ["info", "--json"])
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["schema"] == "platform/1"
    assert isinstance(found["interfaces"], list)


def test_check_lists_what_is_missing(tmp_path: Path) -> None:
    result = CliRunner().invoke(platform, ["check", "--data", str(tmp_path), "--json"])
    checks = json.loads(result.stdout)["checks"]
    missing = [check for check in checks if not check["good"] and check["name"] != "sealing key"]
    assert result.exit_code == (1 if missing else 0)
    assert all(check["fix"] for check in missing)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[tdx]\nmesurements = []\n"])
def test_check_names_what_is_wrong_with_a_policy(tmp_path: Path, content: bytes) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_bytes(content)
    result = CliRunner().invoke(platform, ["check", "--policy", str(policy)])
    assert result.exit_code == 2
    assert "policy.toml is not text" in result.stderr or "mesurements" in result.stderr


def draft(*arguments: str | Path) -> Result:
    return CliRunner().invoke(platform, ["policy", *(str(argument) for argument in arguments)])


@needs_samples
def test_the_policy_command_prints_a_policy_of_a_document_that_is_no_longer_fresh() -> None:
    folder = EVIDENCE / "aws-nitro"
    result = draft(folder / "nitro_2022_veracruz.cbor")
    assert result.exit_code == 0
    assert parse_policy(result.stdout).aws_nitro is not None
    expired = draft(folder / "nitro_2022_veracruz.cbor", "--at", "2026-11-22T00:00:00Z")
    assert expired.exit_code == 4
    broken = draft(folder / "negative" / "veracruz_pcr0.cbor")
    assert broken.exit_code == 4
    assert broken.stdout == ""
    assert "no policy" in broken.stderr


@needs_samples
def test_without_a_file_the_policy_is_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "dev" / "attestation"
    folder.mkdir(parents=True)
    (folder / "quote").write_bytes(case(*SGX).evidence)
    monkeypatch.setattr(
        detection, "open_platform", lambda endorsements: Gramine(tmp_path, endorsements)
    )
    collateral = EVIDENCE / "sgx" / "collateral" / "sgx_00a067110000_2025-06.json"
    result = draft("--endorsement", collateral, "--at", "2025-07-04T10:28:44Z")
    assert result.exit_code == 0
    section = parse_policy(result.stdout).sgx
    assert section is not None
    assert section.measurements == (case(*SGX).verify().measurement.hex(),)


def test_a_machine_without_a_tee_has_no_policy_to_draft(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(endorsements: tuple[bytes, ...]) -> None:
        raise LocalFault("no-tee", "this machine offers no TEE")

    monkeypatch.setattr(detection, "open_platform", none)
    result = draft()
    assert result.exit_code == 1
    assert "offers no TEE" in result.stderr


@needs_samples
@pytest.mark.parametrize(
    ("tee", "file"),
    [
        ("sev-snp", "milan_v2_vcek_coco.bin"),
        ("sev-snp", "turin_v5_vcek_azure.bin"),
        ("arm-cca", "cca_coco_fvp.cbor"),
    ],
)
def test_a_draft_without_endorsements_is_marked_as_not_verified(tee: str, file: str) -> None:
    result = draft(EVIDENCE / tee / file)
    assert result.exit_code == 0
    assert "# NOT VERIFIED" in result.stdout
    assert "NOT VERIFIED" in result.stderr
    assert tee in parse_policy(result.stdout).sections()


@needs_samples
def test_no_draft_is_made_of_a_false_report() -> None:
    folder = EVIDENCE / "sev-snp"
    leaf = folder / "certs" / "milan_v2_vcek_coco.vcek.der"
    chain = folder / "certs" / "milan_vcek_chain.pem"
    false = folder / "negative" / "milan_v2_measurement.bin"
    result = draft(false, "--endorsement", leaf, "--endorsement", chain)
    assert result.exit_code == 4
    assert result.stdout == ""
