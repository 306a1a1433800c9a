"""What `ccp2p platform check` looks at: is this machine ready to run a confidential node?"""

from pathlib import Path
from typing import Final, NamedTuple

from ccp2p.attestation.platforms.detection import open_platform, present
from ccp2p.attestation.platforms.interface import Platform
from ccp2p.attestation.platforms.volume import swap_in_use, volume_of
from ccp2p.attestation.policy import Policy
from ccp2p.attestation.verify import verify_bundle
from ccp2p.model.errors import Fault

_PROBE: Final = b"ccp2p platform check".ljust(64, b"\x00")


class Check(NamedTuple):
    """One thing looked at. `fix` says what to do where it is not `good`."""

    name: str
    good: bool
    found: str
    fix: str


def check_platform(
    data: Path,
    policy: Policy,
    at: int,
    root: Path = Path("/"),
    endorsements: tuple[bytes, ...] = (),
) -> list[Check]:
    """Look at the TEE, its evidence under `policy`, its keys, the volume of `data` and swap."""
    checks = [_interface(root)]
    if checks[0].good:
        try:
            checks += _tee(open_platform(root, endorsements), policy, at)
        except Fault as fault:
            checks.append(Check("evidence", False, str(fault), "check the kernel and permissions"))
    return [*checks, _volume(data, root), _swap(root)]


def _interface(root: Path) -> Check:
    found = present(root)
    return Check(
        "interface",
        bool(found),
        ", ".join(found) or "none",
        "start this inside a confidential VM (SEV-SNP, TDX, Arm CCA: Linux 6.7 or later with "
        "configfs mounted), a Nitro enclave, or under Gramine",
    )


def _tee(platform: Platform, policy: Policy, at: int) -> list[Check]:
    bundle = platform.bundle(_PROBE)
    verdict = verify_bundle(bundle, policy, at, report_data=_PROBE)
    sealing = platform.sealing_key(b"platform check") is not None
    return [
        Check(
            "evidence",
            verdict.accepted,
            f"{bundle.tee}: {verdict.status}" + "".join(f"; {r}" for r in verdict.reasons),
            "give the endorsements that are missing (--endorsement), or mend what the reasons name",
        ),
        Check(
            "sealing key",
            sealing,
            "this program on this chip has one" if sealing else "none",
            "nothing to mend where the TEE has none (TDX, Nitro): keys live in memory, and a "
            "restarted node takes its seat again at the next epoch",
        ),
    ]


def _volume(data: Path, root: Path) -> Check:
    if "gramine" in present(root):
        found = f"{data}: protected if the enclave's manifest, which is measured, encrypts it"
        return Check("volume", True, found, "")
    volume = volume_of(data, root)
    words = [
        word
        for word, holds in zip(("encrypted", "authenticated", "in memory"), volume, strict=True)
        if holds
    ]
    return Check(
        "volume",
        volume.authenticated or volume.memory,
        f"{data}: {', '.join(words) or 'plain'}",
        "put the data folder on dm-crypt with integrity (cryptsetup luksFormat --integrity), or "
        "on Gramine protected files: pages that a host crafts then reach no parser",
    )


def _swap(root: Path) -> Check:
    used = swap_in_use(root)
    return Check(
        "swap", not used, "in use" if used else "off", "turn swap off: it writes memory to the host"
    )
