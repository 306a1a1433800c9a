"""Networks under a hardware policy, on AMD chips of our own making.

Whatever single check of a node's evidence fails, other nodes and clients refuse it and show why.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import pytest
import trio

from ccp2p.attestation import roots
from ccp2p.attestation.bundle import EvidenceBundle
from ccp2p.client.network import open_network
from ccp2p.model import hashing
from ccp2p.model.errors import AttestationFault, Fault, LocalFault, fault_in
from ccp2p.network import PeerNetwork
from ccp2p.node import setup as setups
from ccp2p.node.attestor import NodeAttestor
from ccp2p.node.home import NodeHome
from ccp2p.node.node import unix_ms
from ccp2p.node.setup import Founding
from tests.attestation.forge import (
    TCB,
    Authority,
    Report,
    amd_issuer,
    amd_root,
    chip,
    chip_extensions,
    issue,
    revocation_list,
    rsa_key,
)
from tests.node.stage import PARAMETERS, PATIENCE_S, Stage, stage, welcome_of

PROGRAM, HOST_DATA, ID_KEY, AUTHOR_KEY = b"p" * 48, b"h" * 32, b"i" * 48, b"a" * 48
CHIPS = tuple(bytes([number]) * 64 for number in (1, 2))
ALIAS_CHECK = (1 << 5).to_bytes(8, "little")
POLICY = f"""
[sev-snp]
measurements = ["{PROGRAM.hex()}"]
products = ["genoa"]
signing_keys = ["vcek"]
allow_smt = false
require_single_socket = true
require_hardware_id = true
required_platform_flags = ["alias_check"]
minimum_reported_tcb.genoa = {{ snp = 24 }}
minimum_committed_tcb.genoa = {{ snp = 24 }}
minimum_guest_svn = 3
host_data = ["{HOST_DATA.hex()}"]
id_key_digests = ["{ID_KEY.hex()}"]
author_key_digests = ["{AUTHOR_KEY.hex()}"]
"""
SINGLE_SOCKET = 1 << 20 | 1 << 17
VALUES = {
    0x04: b"\x03",
    0x40: ALIAS_CHECK,
    0x90: PROGRAM,
    0xC0: HOST_DATA,
    0xE0: ID_KEY,
    0x110: AUTHOR_KEY,
}


@cache
def vcek(chip_id: bytes) -> Authority:
    return chip(chip_extensions(chip_id), amd_issuer())


@dataclass
class Guest:
    """A confidential VM on a forged chip; its report and endorsements may be changed at any time.

    `tampered` flips a bit after signing; `bound` replaces the report data that is asked for.
    """

    chip_id: bytes
    report: Report = field(default_factory=lambda: Report(policy=SINGLE_SOCKET, values=VALUES))
    leaf: Authority | None = None
    extra: tuple[bytes, ...] = ()
    issuers: tuple[bytes, ...] = ()
    tampered: bool = False
    bound: bytes = b""
    tee: str = "sev-snp"
    interface: str = "forged"
    keeps_keys: bool = True

    def bundle(self, report_data: bytes) -> EvidenceBundle:
        leaf = self.leaf or vcek(self.chip_id)
        report = self.report
        values = {0x50: self.bound or report_data, **report.values}
        chip_id = self.chip_id if report.chip_id == Report().chip_id else report.chip_id
        evidence = bytearray(replace(report, values=values, chip_id=chip_id).signed_by(leaf))
        evidence[0x2A0] ^= self.tampered
        issuers = self.issuers or (amd_issuer().der, amd_root().der)
        return EvidenceBundle(self.tee, bytes(evidence), (leaf.der, *issuers, *self.extra))

    def sealing_key(self, context: bytes) -> bytes | None:
        if not self.keeps_keys:
            return None
        return hashing.keyed(hashing.SEALING, self.chip_id[:32], context)

    def become(self, other: "Guest") -> None:
        """Show what `other` would, on this chip."""
        for name in ("report", "leaf", "extra", "issuers", "tampered", "bound", "tee"):
            setattr(self, name, getattr(other, name))


def showing(values: dict[int, bytes] | None = None, **changes: object) -> Callable[[], Guest]:
    """A guest whose report differs from an honest one in one thing."""
    report = replace(
        Report(policy=SINGLE_SOCKET, values={**VALUES, **(values or {})}),
        **changes,
    )
    return lambda: Guest(CHIPS[0], report)


def of_cloud() -> Guest:
    """Signed by a cloud's key, which names no chip."""
    issuer = amd_issuer("SEV-VLEK-Genoa")
    leaf = chip(chip_extensions(None), issuer, "SEV-VLEK")
    guest = showing(signing_key=1)()
    return replace(guest, leaf=leaf, issuers=(issuer.der, amd_root().der))


def older(snp: int) -> Guest:
    """Genuine, with firmware of an older version."""
    parts = {**chip_extensions(CHIPS[0]), "1.3.6.1.4.1.3704.1.3.3": bytes((2, 1, snp))}
    tcb = TCB[:6] + bytes([snp]) + TCB[7:]
    guest = showing(reported_tcb=tcb, values={0x1E0: TCB})()
    return replace(guest, leaf=chip(parts, amd_issuer()))


def of_another_root() -> Guest:
    root = issue("ARK-Genoa", rsa_key("stranger"))
    issuer = issue("SEV-Genoa", rsa_key("stranger's"), root, path_length=0)
    leaf = chip(chip_extensions(CHIPS[0]), issuer)
    return Guest(CHIPS[0], leaf=leaf, issuers=(issuer.der, root.der))


def revoked() -> Guest:
    serial = amd_issuer().certificate.serial_number
    return Guest(CHIPS[0], extra=(revocation_list(amd_root(), (serial,), days=20_000),))


LIES: dict[str, tuple[Callable[[], Guest], str]] = {
    "program": (showing({0x90: b"q" * 48}), "measurement is not one that the policy accepts"),
    "host-data": (showing({0xC0: b"x" * 32}), "host data is not one that the policy accepts"),
    "id-key": (showing({0xE0: b"x" * 48}), "id key is not one that the policy accepts"),
    "author-key": (showing({0x110: b"x" * 48}), "author key is not one that the policy accepts"),
    "guest-svn": (showing({0x04: b"\x02"}), "guest SVN 2 is below 3"),
    "alias-check": (showing({0x40: bytes(8)}), "platform flag alias_check is off"),
    "debug": (showing(policy=SINGLE_SOCKET | 1 << 19), "debug is on"),
    "migration": (showing(policy=SINGLE_SOCKET | 1 << 18), "a migration agent may be associated"),
    "smt": (showing(policy=SINGLE_SOCKET | 1 << 16), "SMT is allowed"),
    "sockets": (showing(policy=1 << 17), "more than one socket is allowed"),
    "vmpl": (showing(vmpl=1), "VMPL 1; the policy wants 0"),
    "committed": (
        showing({0x1E0: TCB[:6] + b"\x17" + TCB[7:]}),
        "committed TCB snp is 23, below 24",
    ),
    "reported": (lambda: older(23), "reported TCB snp is 23, below 24"),
    "masked-chip": (showing(chip_id=bytes(64)), "no hardware id, and the policy requires one"),
    "cloud-key": (of_cloud, "reports signed by a vlek are not accepted"),
    "other-chip": (showing(chip_id=b"o" * 64), "the VCEK certificate is for another chip"),
    "signature": (lambda: Guest(CHIPS[0], tampered=True), "the report's signature is wrong"),
    "root": (of_another_root, "the VCEK certificate does not chain to a pinned AMD root"),
    "revoked": (revoked, "the SEV-Genoa certificate is revoked"),
    "binding": (
        lambda: Guest(CHIPS[0], bound=b"s" * 64),
        "report data is not what was asked for: the evidence is bound to something else",
    ),
    "tee": (lambda: Guest(CHIPS[0], tee="tdx"), "the policy accepts no tdx evidence"),
}
lies = pytest.mark.parametrize(("make", "reason"), LIES.values(), ids=LIES.keys())


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pin the forged root."""
    monkeypatch.setitem(roots.AMD, amd_root().pin, "genoa")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[Guest]:
    """The guests that the next nodes find themselves in, in order."""
    waiting: list[Guest] = []
    monkeypatch.setattr(setups, "open_platform", lambda endorsements: waiting.pop(0))
    return waiting


def hardware(founders: int) -> Founding:
    return Founding("real", "rooms", founders, PARAMETERS, POLICY)


@asynccontextmanager
async def founded(directory: Path, machine: list[Guest]) -> AsyncIterator[tuple[Stage, Guest]]:
    """A network of one on hardware, and the guest that its node runs in."""
    guest = Guest(CHIPS[0])
    machine.append(guest)
    async with stage(directory) as built:
        setup = setups.found(built.wanted(0), hardware(1), unix_ms())
        built.hosts.append(await built.launch(setup))
        await built.all_vote()
        yield built, guest


async def test_a_network_on_hardware_serves_clients_that_want_no_simulation(
    tmp_path: Path, machine: list[Guest]
):
    async with stage(tmp_path) as built:
        machine += [Guest(chip_id) for chip_id in CHIPS]
        setup = setups.found(built.wanted(0), hardware(2), unix_ms())
        built.hosts.append(await built.launch(setup))
        ticket = built.hosts[0].node.tickets()[1]
        assert ticket is not None
        welcome = await welcome_of(ticket)
        joined = setups.join(built.wanted(1), ticket, welcome)
        built.hosts.append(await built.launch(joined))
        await built.all_vote()
        async with open_network(built.ticket(), allow_simulated=False, every_node=True) as client:
            verdicts = [connection.node.verdict for connection in client.connections]
        assert [verdict.tee for verdict in verdicts] == ["sev-snp", "sev-snp"]
        assert len({verdict.platform_id for verdict in verdicts}) == 2


def test_a_node_on_a_tee_that_the_policy_does_not_name_ends_at_once(
    tmp_path: Path, machine: list[Guest]
):
    machine.append(Guest(CHIPS[0], tee="tdx"))
    with pytest.raises(LocalFault, match="TEE is tdx; the network accepts sev-snp"):
        setups.found(Stage(None, tmp_path).wanted(0), hardware(1), 0)  # type: ignore[arg-type]


async def test_a_node_on_hardware_goes_on_after_a_restart(tmp_path: Path, machine: list[Guest]):
    async with founded(tmp_path, machine) as (built, guest):
        node = built.hosts[0].node.setup.identity.node
        await built.hosts[0].stop()
        machine.append(guest)
        host = await built.reopen(0)
        await host.ready.wait()
        assert host.node.setup.identity.node == node
        await host.stop()
        machine.append(Guest(CHIPS[1]))
        with pytest.raises(LocalFault):
            setups.reopen(built.wanted(0))


async def test_where_the_tee_keeps_no_key_a_node_runs_until_it_stops(
    tmp_path: Path, machine: list[Guest]
):
    guest = Guest(CHIPS[0], keeps_keys=False)
    machine.append(guest)
    async with stage(tmp_path) as built:
        setup = setups.found(built.wanted(0), hardware(1), unix_ms())
        built.hosts.append(await built.launch(setup))
        await built.all_vote()
        async with open_network(built.ticket(), allow_simulated=False) as client:
            assert client.verified.node == setup.identity.node
        await built.hosts[0].stop()
        machine.append(guest)
        with pytest.raises(LocalFault, match="keeps no key over a restart"):
            setups.reopen(built.wanted(0))


def test_keys_of_a_process_that_is_gone_are_made_anew_where_the_tee_kept_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    guest = Guest(CHIPS[0], keeps_keys=False)
    first = NodeHome(tmp_path).identity(guest)
    assert NodeHome(tmp_path).identity(guest).node == first.node
    monkeypatch.setattr("ccp2p.node.home._IN_MEMORY", b"another process".ljust(32))
    second = NodeHome(tmp_path).identity(guest)
    assert second.node != first.node
    assert NodeHome(tmp_path).identity(guest).node == second.node
    with pytest.raises(LocalFault, match="sealed by another TEE"):
        NodeHome(tmp_path).identity(Guest(CHIPS[0]))


@pytest.mark.parametrize("make", [of_cloud, showing(chip_id=bytes(64))], ids=["vlek", "masked"])
async def test_a_founder_without_a_chip_s_identity_gets_no_seat(
    tmp_path: Path, machine: list[Guest], make: Callable[[], Guest]
):
    lenient = POLICY.replace("require_hardware_id = true", "").replace(
        '["vcek"]', '["vlek", "vcek"]'
    )
    machine.append(make())
    async with stage(tmp_path) as built:
        founding = replace(hardware(1), policy=lenient)
        host = await built.launch(setups.found(built.wanted(0), founding, unix_ms()))
        with trio.fail_after(PATIENCE_S):
            await host.ended.wait()
        assert "no hardware id" in str(host.fault)


async def refusal(built: Stage) -> Fault | None:
    """Why a client refuses the network's only node."""
    try:
        async with open_network(built.ticket(), allow_simulated=False):
            return None
    except ExceptionGroup as error:
        return fault_in(error)


async def test_a_client_refuses_a_node_for_any_one_failed_check_and_says_which(
    tmp_path: Path, machine: list[Guest]
):
    async with founded(tmp_path, machine) as (built, guest):
        honest = replace(guest)
        for name, (make, reason) in LIES.items():
            guest.become(make())
            fault = await refusal(built)
            assert isinstance(fault, AttestationFault), name
            assert reason in fault.reasons, name
            assert reason in str(fault), name
        guest.become(honest)
        async with open_network(built.ticket(), allow_simulated=False) as client:
            assert client.verified.verdict.accepted


async def peer(directory: Path, machine: list[Guest], guest: Guest, like: bytes) -> PeerNetwork:
    """The links of a node in `guest`, in the network whose genesis is `like`."""
    directory.mkdir()
    machine.append(Guest(guest.chip_id))
    number = Stage(None, directory).wanted(0)  # type: ignore[arg-type]
    setup = setups.found(number, hardware(2), 0)
    attestor = NodeAttestor(setup.identity, guest, like, setup.policy, unix_ms)
    return PeerNetwork(key_seed=setup.identity.signing_seed, attestor=attestor, network_id=like)


@lies
async def test_nodes_refuse_a_node_for_any_one_failed_check_and_say_which(
    tmp_path: Path, machine: list[Guest], make: Callable[[], Guest], reason: str
):
    network = b"n" * 32
    async with trio.open_nursery() as nursery:
        victim = await peer(tmp_path / "victim", machine, Guest(CHIPS[1]), network)
        liar = await peer(tmp_path / "liar", machine, make(), network)
        for each in (victim, liar):
            await nursery.start(each.run)
        with pytest.raises(AttestationFault, match="the peer refused our evidence") as told:
            await liar.dial(victim.addresses[0])
        assert reason in told.value.reasons
        with pytest.raises(AttestationFault) as found:
            await victim.dial(liar.addresses[0])
        assert reason in found.value.reasons
        assert victim.peers() == {}
        honest = await peer(tmp_path / "honest", machine, Guest(CHIPS[0]), network)
        await nursery.start(honest.run)
        await honest.dial(victim.addresses[0])
        nursery.cancel_scope.cancel()
