"""Sample evidence with expected verdicts, listed in MANIFEST.toml files.

An entry of `[[sample]]` has `file`, `tee`, `endorsements`, `at` (RFC 3339), `expect`, and for Arm
CCA a `platform_key_file`. Paths are relative to the manifest.
"""

import tomllib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from ccp2p.attestation.inputs import read_endorsement, read_evidence, read_file
from ccp2p.attestation.platform_key import read_platform_key
from ccp2p.attestation.policy import Policy, default_policy, trusting_platform_keys
from ccp2p.attestation.verdict import Status, Verdict
from ccp2p.attestation.verify import verify
from ccp2p.model.errors import MemberFault

MANIFEST: Final = "MANIFEST.toml"


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What a manifest says of one sample. Other keys (origins, field values) are for people."""

    file: str
    tee: str
    expect: Status
    endorsements: tuple[str, ...] = ()
    platform_key_file: str = ""
    at: str
    tcb_status: str = ""


class Result(msgspec.Struct, frozen=True):
    """A sample, where it was found, and the verdict on it."""

    sample: Sample
    path: Path
    verdict: Verdict

    @property
    def agrees(self) -> bool:
        """Whether status, and TCB status where the manifest names one, are as expected."""
        named = self.sample.tcb_status
        return self.verdict.status == self.sample.expect and (
            not named or named == self.verdict.tcb_status
        )


def check_samples(directory: Path) -> Iterator[Result]:
    """Verify every sample of every manifest at or below `directory`, in a stable order.

    MemberFault (code `samples`) when there is no manifest, or one of them is malformed.
    """
    manifests = sorted(directory.rglob(MANIFEST))
    if not manifests:
        raise MemberFault("samples", f"there is no {MANIFEST} at or below {directory}")
    for manifest in manifests:
        for sample in read_manifest(manifest):
            yield _check(manifest.parent, sample)


def read_manifest(manifest: Path) -> list[Sample]:
    """The samples that a manifest lists; MemberFault (code `samples`) when it is malformed."""
    try:
        entries = tomllib.loads(manifest.read_text())["sample"]
        return msgspec.convert(entries, list[Sample])
    except (OSError, tomllib.TOMLDecodeError, KeyError, msgspec.ValidationError) as error:
        raise MemberFault("samples", f"{manifest} cannot be read: {error}") from None


def _check(folder: Path, sample: Sample) -> Result:
    path = folder / sample.file
    try:
        evidence = read_evidence(read_file(path))
        endorsements = tuple(
            read_endorsement(read_file(folder / name)) for name in sample.endorsements
        )
        policy = _policy(folder, sample)
        at = parse_time(sample.at)
    except OSError as error:
        raise MemberFault("samples", f"{error.filename} cannot be read") from None
    return Result(sample, path, verify(evidence, endorsements, policy, at, tee=sample.tee))


def _policy(folder: Path, sample: Sample) -> Policy:
    if not sample.platform_key_file:
        return default_policy()
    key = read_platform_key(read_file(folder / sample.platform_key_file))
    return trusting_platform_keys(default_policy(), (key,))


def parse_time(text: str) -> int:
    """Unix seconds of an RFC 3339 time; MemberFault (code `time`) when it is none."""
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise MemberFault("time", f"{text!r} is not a time such as 2026-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        raise MemberFault("time", f"{text!r} needs a time zone, such as Z")
    return int(moment.timestamp())
