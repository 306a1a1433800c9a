import msgspec
import pytest

from ccp2p.crypto import hpke
from ccp2p.model.epoch import EpochRecord
from ccp2p.model.errors import PeerFault
from ccp2p.sealing import secrets
from ccp2p.sealing.secrets import EpochSecrets, open_from_proposer, seal_to_seat

SECRET = b"s" * 32
NETWORK = b"n" * 32
SECRETS = EpochSecrets(SECRET, 256)
SEAT = hpke.PrivateKey(b"p" * 32)
RECORD = EpochRecord(
    network=NETWORK,
    epoch=0,
    predecessor=bytes(32),
    seats=(),
    policy_digest=bytes(32),
    governors=(),
    governor_threshold=0,
    measurements=(),
    coin_anchor=SECRETS.coin.anchor,
    epoch_key=SECRETS.epoch_key.public,
    close_commit=0,
    close_chain=bytes(32),
    state_root=bytes(32),
    outcomes_root=bytes(32),
    ledger_time_ms=0,
    protocol=1,
)


def test_a_record_of_these_secrets_passes():
    assert EpochSecrets.of_record(SECRET, 256, RECORD).coin.anchor == SECRETS.coin.anchor


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epoch_key": hpke.PrivateKey(b"x" * 32).public}, "epoch key"),
        ({"coin_anchor": SECRETS.coin.reveal(1)}, "coin anchor"),
    ],
)
def test_a_record_of_other_secrets_is_refused(changes, said: str):
    with pytest.raises(PeerFault, match=said) as caught:
        EpochSecrets.of_record(SECRET, 256, msgspec.structs.replace(RECORD, **changes))
    assert caught.value.code == "founding"


def test_garbage_walks_no_chain(monkeypatch: pytest.MonkeyPatch):
    def walk(*_: object) -> None:
        raise AssertionError("a coin chain was walked")

    monkeypatch.setattr(secrets, "CoinChain", walk)
    with pytest.raises(PeerFault, match="epoch key"):
        EpochSecrets.of_record(b"garbage".ljust(32), 256, RECORD)


def test_a_chain_of_another_length_has_another_anchor():
    with pytest.raises(PeerFault, match="coin anchor"):
        EpochSecrets.of_record(SECRET, 257, RECORD)


def test_each_secret_has_a_derivation_of_its_own():
    other = EpochSecrets(b"t" * 32, 256)
    derived = {
        *(SECRETS.coin.anchor, SECRETS.coin.reveal(256), SECRETS.epoch_key.public),
        *(SECRETS.salt_key, other.coin.anchor, other.epoch_key.public, other.salt_key, SECRET),
    }
    assert len(derived) == 8


def test_only_its_seat_opens_a_sealed_secret():
    sealed = seal_to_seat(SECRET, SEAT.public, NETWORK, 0)
    assert open_from_proposer(sealed, SEAT, NETWORK, 0) == SECRET
    with pytest.raises(PeerFault):
        open_from_proposer(sealed, hpke.PrivateKey(b"q" * 32), NETWORK, 0)


@pytest.mark.parametrize(("network", "epoch"), [(b"m" * 32, 0), (NETWORK, 1)])
def test_a_secret_of_another_network_or_epoch_does_not_open(network: bytes, epoch: int):
    with pytest.raises(PeerFault) as caught:
        open_from_proposer(seal_to_seat(SECRET, SEAT.public, network, epoch), SEAT, NETWORK, 0)
    assert caught.value.code == "founding"


@pytest.mark.parametrize("garbage", [b"", b"g" * 32, b"g" * 80, bytes(96)])
def test_garbage_is_refused(garbage: bytes):
    with pytest.raises(PeerFault):
        open_from_proposer(garbage, SEAT, NETWORK, 0)


def test_a_secret_of_another_size_is_refused():
    with pytest.raises(PeerFault):
        open_from_proposer(seal_to_seat(b"short", SEAT.public, NETWORK, 0), SEAT, NETWORK, 0)
