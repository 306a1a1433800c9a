import pytest

from ccp2p.model.errors import LocalFault
from ccp2p.sealing.identity import Identity, storage_key

KEY = b"k" * 32
IDENTITY = Identity(b"1" * 32, b"2" * 32)


def test_an_identity_comes_back_from_its_seal():
    again = Identity.unseal(KEY, IDENTITY.seal(KEY))
    assert (again.node, again.sealing.public) == (IDENTITY.node, IDENTITY.sealing.public)
    assert again.signing.sign(b"x") == IDENTITY.signing.sign(b"x")


def test_another_tee_cannot_unseal_it():
    with pytest.raises(LocalFault, match="another TEE") as caught:
        Identity.unseal(b"x" * 32, IDENTITY.seal(KEY))
    assert caught.value.code == "wrong-key"


def test_an_altered_or_cut_seal_is_refused():
    sealed = IDENTITY.seal(KEY)
    for at in range(len(sealed)):
        altered = bytes([*sealed[:at], sealed[at] ^ 1, *sealed[at + 1 :]])
        for bad in (altered, sealed[:at]):
            with pytest.raises(LocalFault):
                Identity.unseal(KEY, bad)


def test_the_seal_shows_neither_seeds_nor_keys():
    sealed = IDENTITY.seal(KEY)
    for secret in (b"1" * 32, b"2" * 32, IDENTITY.node, IDENTITY.sealing.public):
        assert secret not in sealed


def test_every_network_and_chip_has_its_own_storage_key():
    keys = {
        storage_key(chip * 32, network * 32) for chip in (b"a", b"b") for network in (b"c", b"d")
    }
    assert len(keys) == 4
