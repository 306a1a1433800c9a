"""Every published sample gets the verdict that its manifest gives."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ccp2p.attestation.samples import check_samples, parse_time
from ccp2p.model.errors import MemberFault
from tests.attestation.evidence import (
    CCA,
    CCA_2023,
    EVIDENCE,
    GENUINE,
    MILAN,
    NITRO,
    SGX,
    TDX_V4,
    TURIN,
    VLEK,
    case,
    needs_samples,
)

# What manifests say of the fields of genuine samples.
MEASUREMENTS = {
    MILAN: "a1f3930413247bb38cfc171579ea3c12d5fe4901f0c792f63fd75d98f1ef827c"
    "23500644e0e692e6be917f9050d3d38c",
    TDX_V4: "91eb2b44d141d4ece09f0c75c2c53d247a3c68edd7fafe8a3520c942a604a407"
    "de03ae6dc5f87f27428b2538873118b7",
    SGX: "33d8736db756ed4997e04ba358d27833188f1932ff7b1d156904d3f560452fbb",
    NITRO: "22f9e1c949208da55eb01b9b9fc88f87454f77ba133f0d82320b509621c92482"
    "152a99d0a12335b97178c02d6f977d01",
    CCA: "ae87fbf7f105e71a7827cb6f0896889c73d2beaf4830d4f9cb05e3e96c3fc7b4"
    "faa04caf36a26bd094cf9c7b738617e4c189aaee184dedda5d7a03c39dbdac7c",
}
REPORT_DATA = {
    MILAN: "ec6c52d7533cc2c4f45be7849cf112ab82b2009fe7bd43e71ed08c14400ad7e2" + "00" * 32,
    SGX: "48656c6c6f2c20776f726c6421" + "00" * 51,
    NITRO: "7c37108079b3e8a36d8a7970de1d6d4ff1461e0e35d9557c4d789df5e0576620",
    CCA_2023: "41424142" * 16,
}


@needs_samples
@pytest.mark.parametrize("tee", ["sev-snp", "tdx", "sgx", "aws-nitro", "arm-cca"])
def test_every_sample_gets_its_manifest_verdict(tee: str) -> None:
    results = list(check_samples(EVIDENCE / tee))
    assert len(results) >= 10
    different = [
        (result.path.name, result.sample.expect, result.verdict.status, result.verdict.reasons)
        for result in results
        if not result.agrees
    ]
    assert different == []


@needs_samples
@pytest.mark.parametrize(("sample", "expected"), MEASUREMENTS.items(), ids=lambda value: value[1])
def test_the_measurement_is_the_manifest_s(sample: tuple[str, str], expected: str) -> None:
    assert case(*sample).verify().measurement.hex() == expected


@needs_samples
@pytest.mark.parametrize(("sample", "expected"), REPORT_DATA.items(), ids=lambda value: value[1])
def test_the_report_data_is_the_manifest_s(sample: tuple[str, str], expected: str) -> None:
    verdict = case(*sample).verify()
    assert verdict.report_data.hex() == expected
    bound = case(*sample).verify(report_data=bytes.fromhex(expected))
    assert bound.status == verdict.status
    other = case(*sample).verify(report_data=bytes(64))
    assert other.status == "reject"


@needs_samples
@pytest.mark.parametrize("sample", GENUINE, ids=lambda sample: sample[1])
def test_genuine_samples_are_accepted_and_say_what_was_not_required(
    sample: tuple[str, str],
) -> None:
    verdict = case(*sample).verify()
    assert verdict.accepted
    assert verdict.reasons == ()
    assert "no measurement was required: any program is accepted" in verdict.notes


@needs_samples
def test_hardware_ids_are_explicit() -> None:
    assert len(case(*MILAN).verify().platform_id) == 32
    assert len(case(*TDX_V4).verify().platform_id) == 32
    assert len(case(*CCA).verify().platform_id) == 32
    assert case(*VLEK).verify().platform_id == b""
    assert case(*NITRO).verify().platform_id == b""
    assert case(*NITRO).verify().as_json()["platform_id"] is None


@needs_samples
def test_validity_windows_are_the_narrowest_of_all_inputs() -> None:
    quote = case(*TDX_V4).verify()
    assert quote.valid_from == parse_time("2025-06-19T10:32:27Z")
    assert quote.valid_until == parse_time("2025-07-19T10:00:34Z")
    document = case(*NITRO).verify()
    assert document.valid_until == parse_time("2022-11-10T01:52:00Z")
    chip = case(*TURIN).verify()
    assert chip.valid_from == parse_time("2026-02-05T01:04:33Z")
    token = case(*CCA).verify()
    assert (token.valid_from, token.valid_until) == (None, None)


@needs_samples
def test_a_window_ends_where_it_says() -> None:
    for sample in (MILAN, TDX_V4, NITRO):
        verdict = case(*sample).verify()
        assert verdict.valid_from is not None
        assert verdict.valid_until is not None
        for outside in (verdict.valid_from - 1, verdict.valid_until + 1):
            assert case(*sample).verify(at=outside).status == "reject"
        for inside in (verdict.valid_from, verdict.valid_until):
            assert case(*sample).verify(at=inside).status == "ok"


VERDICTS = """
import json, sys
from pathlib import Path
from ccp2p.attestation.samples import check_samples
print(json.dumps([result.verdict.as_json() for result in check_samples(Path(sys.argv[1]))]))
"""


@needs_samples
def test_every_process_gives_the_same_verdicts_to_the_last_field() -> None:
    settings = (
        {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"},
        {"PYTHONHASHSEED": "2", "TZ": "America/New_York", "CCP2P_PURE": "1"},
    )
    first, second = (
        subprocess.run(
            [sys.executable, "-c", VERDICTS, str(EVIDENCE)],
            env={**os.environ, **setting},
            capture_output=True,
            check=True,
        ).stdout
        for setting in settings
    )
    assert first == second
    here = [result.verdict.as_json() for result in check_samples(EVIDENCE)]
    again = [result.verdict.as_json() for result in check_samples(EVIDENCE)]
    assert json.loads(first) == json.loads(json.dumps(here)) == json.loads(json.dumps(again))


def test_a_folder_without_manifests_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MemberFault, match="no MANIFEST"):
        list(check_samples(tmp_path))


def test_a_malformed_manifest_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "MANIFEST.toml").write_text("[[sample]]\nfile = 1\n")
    with pytest.raises(MemberFault, match="cannot be read"):
        list(check_samples(tmp_path))
    (tmp_path / "MANIFEST.toml").write_text(
        '[[sample]]\nfile = "x"\ntee = "tdx"\nat = "2026-01-01T00:00:00Z"\nexpect = "ok"\n'
    )
    with pytest.raises(MemberFault, match="cannot be read"):
        list(check_samples(tmp_path))


def test_times_need_a_zone() -> None:
    assert parse_time("1970-01-01T00:00:10Z") == 10
    assert parse_time("1970-01-01T01:00:10+01:00") == 10
    for wrong in ("1970-01-01T00:00:10", "yesterday", ""):
        with pytest.raises(MemberFault):
            parse_time(wrong)
