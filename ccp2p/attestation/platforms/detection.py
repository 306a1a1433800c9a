"""Which TEE interfaces this machine has, and opening the best of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from ccp2p.attestation.platforms import configfs_tsm, gramine, nsm, sev_guest
from ccp2p.attestation.platforms.interface import Platform
from ccp2p.model.errors import LocalFault

_Opener = Callable[[Path, tuple[bytes, ...]], Platform]

# The best first: inside an enclave nothing else is real, and the SEV driver also gives keys,
# which configfs-tsm does not.
_INTERFACES: Final[dict[str, tuple[Path, _Opener]]] = {
    "gramine": (gramine.FOLDER, gramine.Gramine),
    "nsm": (nsm.DEVICE, lambda root, _: nsm.NitroModule(root)),
    "sev-guest": (sev_guest.DEVICE, sev_guest.SevGuest),
    "configfs-tsm": (
        configfs_tsm.FOLDER,
        lambda root, endorsements: configfs_tsm.ConfigfsTsm(
            configfs_tsm.ReportFolder(root), endorsements
        ),
    ),
}


def present(root: Path = Path("/")) -> tuple[str, ...]:
    """Names of the interfaces that exist below `root`, the best first."""
    return tuple(name for name, (path, _) in _INTERFACES.items() if (root / path).exists())


def open_platform(root: Path = Path("/"), endorsements: tuple[bytes, ...] = ()) -> Platform:
    """The best interface present, opened; LocalFault (code `no-tee`) when there is none."""
    for name in present(root):
        return _INTERFACES[name][1](root, endorsements)
    raise LocalFault(
        "no-tee",
        "this machine offers no TEE: none of "
        + ", ".join(str(Path("/") / path) for path, _ in _INTERFACES.values())
        + " exists. Run the node inside a confidential VM or enclave (see docs/attestation.md)",
    )
