"""`ccp2p verify evidence` and `ccp2p verify samples`, as a person and as a script use them."""

import base64
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ccp2p.attestation import inputs
from ccp2p.attestation.platforms.simulated import SimulatedPlatform
from ccp2p.attestation.policy import default_policy
from ccp2p.cli.verify_evidence import evidence_command, samples_command
from ccp2p.crypto.signatures import verify as signature_holds
from ccp2p.node.home import NodeHome
from tests.attestation.evidence import EVIDENCE, case, needs_samples

pytestmark = needs_samples

TDX = EVIDENCE / "tdx" / "tdx_v4_phala.bin"
TDX_ARGUMENTS = (
    "--endorsement",
    str(EVIDENCE / "tdx" / "collateral" / "tdx_b0c06f000000_2025-06.json"),
    "--at",
    "2025-07-04T10:16:31Z",
)


def judge(*arguments: str | Path) -> Result:
    return CliRunner().invoke(evidence_command, [str(argument) for argument in arguments])


def test_accepted_evidence_exits_0_and_says_so() -> None:
    result = judge(TDX, *TDX_ARGUMENTS)
    assert result.exit_code == 0
    assert "accepted" in result.stdout
    assert "any program is accepted" in result.stdout
    assert "tdx" in result.stdout


def test_json_is_one_object_on_one_line() -> None:
    result = judge(TDX, *TDX_ARGUMENTS, "--json")
    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1
    verdict = json.loads(result.stdout)
    assert verdict["schema"] == "verdict/1"
    assert verdict["tee"] == "tdx"
    assert verdict["accepted"] is True
    assert verdict["status"] == "ok"
    assert verdict["tcb_status"] == "UpToDate"
    assert verdict["reasons"] == []
    assert verdict["measurement"].startswith("91eb2b44")
    assert len(verdict["report_data"]) == 128
    assert len(verdict["platform_id"]) == 64
    assert verdict["tcb"]["tee_tcb_svn"].startswith("060103")


def test_refused_evidence_exits_4_with_every_reason() -> None:
    result = judge(TDX, *TDX_ARGUMENTS, "--json", "--report-data", "00" * 64)
    assert result.exit_code == 4
    assert json.loads(result.stdout)["status"] == "reject"
    table = judge(TDX, *TDX_ARGUMENTS, "--report-data", "00" * 64)
    assert table.exit_code == 4
    assert "REFUSED" in table.stdout


def test_signature_only_exits_4() -> None:
    result = judge(TDX, "--at", "2025-07-04T10:16:31Z", "--json")
    assert result.exit_code == 4
    assert json.loads(result.stdout)["status"] == "signature-only"


@pytest.mark.parametrize("form", ["hex", "base64", "base64url", "pem"])
def test_evidence_in_text_is_read(tmp_path: Path, form: str) -> None:
    raw = (EVIDENCE / "arm-cca" / "cca_coco_fvp.cbor").read_bytes()
    texts = {
        "hex": raw.hex(),
        "base64": base64.encodebytes(raw).decode(),
        "base64url": base64.urlsafe_b64encode(raw).decode().rstrip("="),
        "pem": "-----BEGIN CCA TOKEN-----\n"
        + base64.encodebytes(raw).decode()
        + "-----END CCA TOKEN-----\n",
    }
    file = tmp_path / "token"
    file.write_text(texts[form])
    key = EVIDENCE / "arm-cca" / "keys" / "tfa_cpak_p384.jwk.json"
    result = judge(file, "--platform-key", key, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["tee"] == "arm-cca"


def test_endorsements_in_text_are_read(tmp_path: Path) -> None:
    folder = EVIDENCE / "sev-snp"
    leaf = (folder / "certs" / "milan_v2_vcek_coco.vcek.der").read_bytes()
    file = tmp_path / "leaf"
    chain = folder / "certs" / "milan_vcek_chain.pem"
    for text in (leaf.hex(), base64.b64encode(leaf).decode()):
        file.write_text(text + "\n")
        report = folder / "milan_v2_vcek_coco.bin"
        result = judge(report, "--endorsement", file, "--endorsement", chain)
        assert result.exit_code == 0


def test_the_tee_of_every_sample_is_detected(tmp_path: Path) -> None:
    for tee, file in (
        ("sev-snp", "turin_v5_vcek_azure.bin"),
        ("tdx", "tdx_v5_google.bin"),
        ("sgx", "sgx_v3_phala.bin"),
        ("aws-nitro", "nitro_2025_dstack.cbor"),
        ("arm-cca", "cca_profile_2023.cbor"),
    ):
        result = judge(EVIDENCE / tee / file, "--json")
        assert json.loads(result.stdout)["tee"] == tee


def test_a_policy_file_decides(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    measurement = case("tdx", "tdx_v4_phala.bin").verify().measurement.hex()
    policy.write_text(f'[tdx]\nmeasurements = ["{measurement}"]\n')
    result = judge(TDX, *TDX_ARGUMENTS, "--policy", policy, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["notes"] == []
    policy.write_text(f'[tdx]\nmeasurements = ["{"00" * 48}"]\n')
    result = judge(TDX, *TDX_ARGUMENTS, "--policy", policy, "--json")
    assert result.exit_code == 4
    assert json.loads(result.stdout)["status"] == "policy-reject"


def test_mistakes_of_usage_exit_2_and_name_the_mistake(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[tdx]\nmesurements = []\n")
    wrong = judge(TDX, "--policy", policy)
    assert wrong.exit_code == 2
    assert "mesurements" in wrong.stderr
    assert judge(TDX, "--at", "noon").exit_code == 2
    assert judge(TDX, "--report-data", "xyz").exit_code == 2
    assert judge(TDX, "--platform-key", policy).exit_code == 2
    assert judge(tmp_path / "nothing").exit_code == 2
    assert judge(TDX, "--tee", "abacus").exit_code == 2


@pytest.mark.parametrize("content", [b"", b"hello\n", b"\x00" * 1184, b"\xff" * 90_000])
def test_garbage_is_refused_evidence(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "garbage"
    file.write_bytes(content)
    result = judge(file, "--json")
    assert result.exit_code == 4
    assert json.loads(result.stdout)["status"] == "reject"


def test_a_node_signs_the_result_for_others(tmp_path: Path) -> None:
    home = NodeHome(tmp_path / "node")
    node = home.identity(SimulatedPlatform(home.platform_directory)).node
    result = judge(TDX, *TDX_ARGUMENTS, "--ear", home.directory)
    assert result.exit_code == 0
    header, body, signature = result.stdout.strip().split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    assert signature_holds(node, raw, f"{header}.{body}".encode())
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    assert claims["submods"]["tdx"]["ear.appraisal-policy-id"].endswith(
        default_policy().digest.hex()
    )
    refused = judge(TDX, "--at", "2025-07-04T10:16:31Z", "--ear", home.directory, "--json")
    assert refused.exit_code == 4
    assert json.loads(refused.stdout)["ear"].count(".") == 2


def test_a_folder_without_a_node_signs_nothing_and_stays_as_it_was(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    result = judge(TDX, *TDX_ARGUMENTS, "--ear", tmp_path)
    assert result.exit_code == 1
    assert "holds no node" in result.stderr
    assert list(tmp_path.iterdir()) == []
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_a_file_over_the_limit_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(data: bytes) -> bytes:
        raise AssertionError(f"{len(data)} bytes were decoded")

    monkeypatch.setattr(inputs, "_decode", decode)
    file = tmp_path / "large"
    file.write_bytes(b"ab" * 5_000_000)
    result = judge(file, "--json")
    assert result.exit_code == 4
    assert "over the limit" in json.loads(result.stdout)["reasons"][0]
    key = judge(EVIDENCE / "arm-cca" / "cca_coco_fvp.cbor", "--platform-key", file)
    assert key.exit_code == 2
    endorsed = judge(TDX, "--endorsement", file, "--json")
    assert "over the limit" in json.loads(endorsed.stdout)["reasons"][0]


def test_samples_are_read_in_every_form_that_evidence_has(tmp_path: Path) -> None:
    folder = EVIDENCE / "sev-snp"
    report = (folder / "milan_v2_vcek_coco.bin").read_bytes()
    leaf = (folder / "certs" / "milan_v2_vcek_coco.vcek.der").read_bytes()
    (tmp_path / "report.hex").write_text(report.hex() + "\n")
    (tmp_path / "leaf.b64").write_bytes(base64.encodebytes(leaf))
    shutil.copy(folder / "certs" / "milan_vcek_chain.pem", tmp_path / "chain.pem")
    (tmp_path / "MANIFEST.toml").write_text(
        '[[sample]]\nfile = "report.hex"\ntee = "sev-snp"\nexpect = "ok"\n'
        'at = "2026-11-22T00:00:00Z"\nendorsements = ["leaf.b64", "chain.pem"]\n'
    )
    assert CliRunner().invoke(samples_command, [str(tmp_path)]).exit_code == 0


def test_the_samples_command_agrees_with_the_manifests() -> None:
    result = CliRunner().invoke(samples_command, [str(EVIDENCE)])
    assert result.exit_code == 0
    assert " 0 different" in result.stdout
    listed = CliRunner().invoke(samples_command, [str(EVIDENCE), "--json"])
    assert json.loads(listed.stdout)["different"] == 0
    assert json.loads(listed.stdout)["total"] >= 90


def test_a_tcb_status_that_is_not_the_manifest_s_is_shown(tmp_path: Path) -> None:
    shutil.copy(TDX, tmp_path / "quote.bin")
    shutil.copy(TDX_ARGUMENTS[1], tmp_path / "collateral.json")
    (tmp_path / "MANIFEST.toml").write_text(
        '[[sample]]\nfile = "quote.bin"\ntee = "tdx"\nexpect = "ok"\n'
        'tcb_status = "OutOfDate"\nat = "2025-07-04T10:16:31Z"\n'
        'endorsements = ["collateral.json"]\n'
    )
    result = CliRunner().invoke(samples_command, [str(tmp_path)])
    assert result.exit_code == 1
    assert "OutOfDate" in result.stdout
    assert "UpToDate" in result.stdout


def test_the_samples_command_exits_1_on_a_difference(tmp_path: Path) -> None:
    shutil.copy(TDX, tmp_path / "quote.bin")
    (tmp_path / "MANIFEST.toml").write_text(
        '[[sample]]\nfile = "quote.bin"\ntee = "tdx"\nexpect = "ok"\n'
        'at = "2025-07-04T10:16:31Z"\nendorsements = []\n'
    )
    result = CliRunner().invoke(samples_command, [str(tmp_path)])
    assert result.exit_code == 1
    assert "DIFFERENT" in result.stdout
    assert CliRunner().invoke(samples_command, [str(tmp_path / "no")]).exit_code == 2
