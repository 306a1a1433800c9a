"""Vendor roots, pinned by the SHA-256 of their public key (SPKI).

Certificates come with the evidence; a root among them counts only if its key is pinned here.
Names in certificates are worthless: imitations with the right names are in public samples. Each
pin was found, byte for byte the same, in several independent public repositories. Arm publishes
no root: for CCA the policy itself names the platform keys that it trusts.
"""

from typing import Final

# ARK-Milan, ARK-Genoa and ARK-Turin; the value is the product line that the root vouches for.
AMD: Final = {
    bytes.fromhex("9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9"): "milan",
    bytes.fromhex("429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831"): "genoa",
    bytes.fromhex("4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08"): "turin",
}

INTEL: Final = {
    bytes.fromhex("a0af031289f5d5d4132f9186068a7fc13628633ba235777472e29b6b6c67a49e"): "sgx-root",
}

AWS_NITRO: Final = {
    bytes.fromhex("f2caf5ecc6190b4a8399b78bc58a2bbcd0382375db8a1bfd78a82743874fd225"): "nitro-g1",
}
