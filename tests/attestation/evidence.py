"""Published samples of evidence, from the folder beside the project."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from ccp2p.attestation.platform_key import read_platform_key
from ccp2p.attestation.policy import Policy, default_policy, trusting_platform_keys
from ccp2p.attestation.samples import Sample, parse_time, read_manifest
from ccp2p.attestation.verdict import Verdict
from ccp2p.attestation.verify import UNJUDGED, verify

EVIDENCE = Path(__file__).resolve().parents[2] / ".." / "shared" / "evidence"

needs_samples = pytest.mark.skipif(
    not EVIDENCE.is_dir(), reason="the published samples (../shared/evidence) are not here"
)


@dataclass(frozen=True)
class Case:
    """One sample with all that a verifier needs."""

    tee: str
    evidence: bytes
    endorsements: tuple[bytes, ...]
    policy: Policy
    at: int

    def verify(
        self,
        evidence: bytes | None = None,
        *,
        policy: Policy | None = None,
        at: int | None = None,
        endorsements: tuple[bytes, ...] | None = None,
        report_data: bytes | None = None,
    ) -> Verdict:
        """The verdict on the sample, or on a variation of it."""
        verdict = verify(
            self.evidence if evidence is None else evidence,
            self.endorsements if endorsements is None else endorsements,
            policy or self.policy,
            self.at if at is None else at,
            tee=self.tee,
            report_data=report_data,
        )
        assert UNJUDGED not in " ".join(verdict.reasons)
        return verdict


@cache
def case(tee: str, file: str) -> Case:
    """The first manifest entry of a file."""
    folder = EVIDENCE / tee
    entry = next(
        sample for sample in read_manifest(folder / "MANIFEST.toml") if sample.file == file
    )
    return Case(
        tee,
        (folder / file).read_bytes(),
        tuple((folder / name).read_bytes() for name in entry.endorsements),
        _policy(folder, entry),
        parse_time(entry.at),
    )


def _policy(folder: Path, entry: Sample) -> Policy:
    if not entry.platform_key_file:
        return default_policy()
    key = read_platform_key((folder / entry.platform_key_file).read_bytes())
    return trusting_platform_keys(default_policy(), (key,))


MILAN = ("sev-snp", "milan_v2_vcek_coco.bin")
TURIN = ("sev-snp", "turin_v5_vcek_azure.bin")
VLEK = ("sev-snp", "milan_v3_vlek_aws_vmpl1.bin")
TDX_V4 = ("tdx", "tdx_v4_phala.bin")
TDX_V5 = ("tdx", "tdx_v5_google.bin")
SGX = ("sgx", "sgx_v3_phala.bin")
NITRO = ("aws-nitro", "nitro_2022_veracruz.cbor")
CCA = ("arm-cca", "cca_coco_fvp.cbor")
CCA_2023 = ("arm-cca", "cca_profile_2023.cbor")
GENUINE = (MILAN, TURIN, TDX_V4, TDX_V5, NITRO, CCA, CCA_2023)
