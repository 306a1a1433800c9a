"""What an epoch begins with: the state in memory, if it is the one that its record names."""

from types import SimpleNamespace
from typing import Any

import pytest

from ccp2p.execution.apps.kv_protocol import Put, Request
from ccp2p.execution.machine import StateMachine
from ccp2p.model import codec
from ccp2p.model.errors import LocalFault
from ccp2p.node.recovery import recovered_state
from tests.execution.ledger import NETWORK, Ledger, event

SECRETS: Any = SimpleNamespace(salt_key=b"t" * 32, epoch_key=None)
GENESIS: Any = SimpleNamespace(
    app="kv",
    member_invite=b"",
    node_invite=b"",
    is_open=False,
    parameters=SimpleNamespace(aead="aegis-256"),
)


def written() -> Ledger:
    ledger = Ledger("kv")
    ledger.apply([event("ann", 1, codec.encode(Request(Put(b"key", b"value"))))])
    return ledger


def begun(ledger: Ledger, before: StateMachine | None, root: bytes = b"") -> StateMachine:
    """What epoch 1 begins with on the ledger's disk."""
    store: Any = SimpleNamespace(
        newest_commit=lambda epoch: 0, bucket=ledger.disk.get, buckets=ledger.disk.items
    )
    record: Any = SimpleNamespace(
        epoch=1,
        protocol=1,
        governors=(),
        governor_threshold=0,
        state_root=root or ledger.machine.state_root,
    )
    machine, _ = recovered_state(NETWORK, GENESIS, SECRETS, store, record, str, 1 << 20, before)
    return machine


def after_more(machine: StateMachine, ledger: Ledger) -> bytes:
    """The root after the next epoch's first commit."""
    ledger.machine, ledger.epoch, ledger.index = machine, 1, 0
    applied = ledger.apply([event("ann", 2, codec.encode(Request(Put(b"more", b"of it"))))])
    return applied.state_root


def test_it_goes_on_in_memory_as_it_does_from_the_disk() -> None:
    steady, restarted = written(), written()
    machine, other = begun(steady, steady.machine), begun(restarted, None)
    assert machine is steady.machine
    assert other is not restarted.machine
    assert after_more(machine, steady) == after_more(other, restarted)
    assert steady.disk == restarted.disk


def test_another_state_than_the_records_is_not_gone_on_with() -> None:
    ledger, behind = written(), Ledger("kv")
    assert begun(ledger, behind.machine) is not behind.machine
    with pytest.raises(LocalFault, match="does not match its root"):
        begun(behind, ledger.machine, root=b"r" * 32)


def test_a_state_that_the_disk_lacks_is_not_gone_on_with() -> None:
    ledger = Ledger("kv")
    ledger.store = lambda applied: None  # type: ignore[method-assign]
    ledger.apply([event("ann", 1, codec.encode(Request(Put(b"key", b"value"))))])
    assert not ledger.machine.is_stored
    with pytest.raises(LocalFault, match="does not match its root"):
        begun(ledger, ledger.machine)
