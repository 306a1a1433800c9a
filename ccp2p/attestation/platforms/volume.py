"""What protects the files of a folder: how the volume below it is made, as sysfs tells it.

Everything that a node stores is sealed, but crafted pages would still reach a parser. A volume
that is encrypted with integrity (dm-crypt over dm-integrity) or a TEE's protected files refuse
them first.
"""

import os
from pathlib import Path
from typing import Final, NamedTuple

_MEMORY: Final = ("tmpfs", "ramfs", "rootfs")  # the last is a Nitro enclave's whole disk
_MAX_DEPTH: Final = 8  # device-mapper stacks are three deep


class Volume(NamedTuple):
    """How a folder's volume is made."""

    encrypted: bool
    authenticated: bool
    memory: bool


def volume_of(folder: Path, root: Path = Path("/")) -> Volume:
    """Look up the volume of an existing folder; a kind that sysfs does not know is unprotected."""
    if _filesystem(folder, root) in _MEMORY:
        return Volume(encrypted=False, authenticated=False, memory=True)
    number = os.stat(folder).st_dev
    device = root / "sys" / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}"
    identities = _identities(device, 0)
    return Volume(
        encrypted=any(identity.startswith("CRYPT-") for identity in identities),
        authenticated=any("INTEGRITY" in identity for identity in identities),
        memory=False,
    )


def _identities(device: Path, depth: int) -> list[str]:
    """Device-mapper identities of a block device and of everything below it."""
    try:
        found = [(device / "dm" / "uuid").read_text().strip()]
    except OSError:
        found = []
    slaves = device / "slaves"
    if depth < _MAX_DEPTH and slaves.is_dir():
        for slave in sorted(slaves.iterdir()):
            found += _identities(slave, depth + 1)
    return found


def _filesystem(folder: Path, root: Path) -> str:
    """The type of the file system that holds `folder`, or an empty string."""
    try:
        lines = (root / "proc" / "self" / "mounts").read_text().splitlines()
    except OSError:
        return ""
    best, kind = Path(), ""
    for line in lines:
        fields = line.split()
        if len(fields) < 3:
            continue
        mounted = Path(fields[1])
        if folder.resolve().is_relative_to(mounted) and len(mounted.parts) >= len(best.parts):
            best, kind = mounted, fields[2]
    return kind


def swap_in_use(root: Path = Path("/")) -> bool:
    """Whether memory may be written to a swap device, from where the host could read it."""
    try:
        lines = (root / "proc" / "swaps").read_text().splitlines()
    except OSError:
        return False
    return any(not line.startswith("/dev/zram") for line in lines[1:])
