"""What a node consents to host, and what it takes in then; through sealed bytes only."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from ccp2p.attestation.measurement import measurement
from ccp2p.attestation.policy import simulated_policy
from ccp2p.crypto import hpke
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import codec, limits
from ccp2p.model.errors import MemberFault, PeerFault
from ccp2p.model.genesis import network_id, parse_genesis
from ccp2p.model.hosting import (
    AskConsent,
    HostingAnswer,
    HostingRequest,
    Place,
    SignedHostingRequest,
    signed_bytes,
)
from ccp2p.node import setup as setups
from ccp2p.node.config import Hosting
from ccp2p.node.home import Listen, NodeHome
from ccp2p.node.landlord import Landlord
from ccp2p.node.quota import hosted_quota
from ccp2p.node.setup import Draft, Founding, Wanted, draft
from ccp2p.sealing.hosting import Question
from tests.node.stage import MIB

ANN, BOB = SigningKey(b"a" * 32), SigningKey(b"b" * 32)
POLICY = simulated_policy(measurement())
NOW_MS = 1_750_000_000_000
ASKED = AskConsent(2, 64, 50, POLICY)
OPEN = Hosting(2, 64, 50, ("mesh",))
FIRST = ("/ip4/192.0.2.1/tcp/4001",)


@dataclass
class Host:
    """A mesh's node with an operator's word, and its clock."""

    landlord: Landlord
    home: NodeHome
    mesh: bytes
    node: bytes
    sealing: bytes
    seconds: list[float]

    def ask(self, asked: AskConsent | Place, who: SigningKey = ANN) -> HostingAnswer:
        question = Question(asked, who, self.mesh, self.node, self.sealing)
        return question.open(self.landlord.answer(question.sealed))

    def consent(self, asked: AskConsent = ASKED, who: SigningKey = ANN) -> bytes:
        answer = self.ask(asked, who)
        assert answer.code == "", answer.reason
        return answer.token

    def place(self, drawn: Draft, token: bytes, **changes: object) -> HostingAnswer:
        """The drawn group with another node as its first one."""
        placed = Place(token, drawn.genesis(b"f" * 32), drawn.node_invite, FIRST)
        return self.ask(msgspec.structs.replace(placed, **changes))


@pytest.fixture
def host_of(tmp_path: Path) -> Callable[..., Host]:
    def build(hosting: Hosting = OPEN) -> Host:
        wanted = Wanted(tmp_path / "node", Listen(), "sim-a", 64 * MIB)
        mesh = setups.found(wanted, Founding("plaza", "kv", 1, USUAL, kind="mesh"), NOW_MS)
        seconds = [100.0]
        landlord = Landlord(
            hosting,
            wanted,
            mesh,
            lambda: ("/ip4/192.0.2.2/tcp/1",),
            lambda: NOW_MS,
            lambda: seconds[-1],
        )
        identity = mesh.identity
        home = NodeHome(wanted.directory)
        return Host(landlord, home, mesh.network, identity.node, identity.sealing.public, seconds)

    return build


USUAL = msgspec.structs.replace(setups.Parameters(), coin_length=1 << 14)


def drawn(**changes: object) -> Draft:
    founding = Founding(
        **(
            {"name": "club", "app": "kv", "founders": 2, "parameters": USUAL}
            | {"policy": POLICY, "standing_invite": False}
            | changes
        )
    )
    return draft(founding, b"", NOW_MS)


def test_by_default_nothing_is_hosted(host_of):
    assert host_of(Hosting()).ask(ASKED).code == "no-hosting"


def test_consent_goes_by_the_operators_word(host_of):
    host = host_of(Hosting(2, 64, 50, (ANN.public.hex(),)))
    assert host.ask(ASKED, BOB).code == "founder"
    for larger in ({"storage_mb": 65}, {"events_per_s": 51}):
        assert host.ask(msgspec.structs.replace(ASKED, **larger)).code == "size"
    other_tee = "[tdx]\nany_measurement = true\n"
    assert host.ask(msgspec.structs.replace(ASKED, policy=other_tee)).code == "attestation"
    assert host.ask(msgspec.structs.replace(ASKED, policy="nonsense")).code == "policy"
    answer = host.ask(ASKED)
    assert (answer.code, len(answer.token), answer.addresses) == ("", 16, ("/ip4/192.0.2.2/tcp/1",))


def test_what_was_consented_to_is_taken_in_within_its_bounds(host_of):
    host, group = host_of(), drawn()
    assert host.place(group, host.consent()).code == ""
    network = network_id(group.genesis(b"f" * 32))
    assert network in host.home.prepared()
    assert host.home.quota(network) == hosted_quota(64, 50)
    setup = setups.reopen(host.landlord._wanted, network)
    assert (setup.quota.storage_bytes, setup.map_bytes) == (64 * MIB, 64 * MIB)
    assert setup.ticket is not None
    assert setup.ticket.secret == group.node_invite
    assert setup.first_addresses == FIRST


def test_a_group_may_keep_its_disks_under_a_key_of_its_own(host_of):
    governors = (ANN.public,)
    shared = msgspec.structs.replace(USUAL, at_rest="group")
    group = drawn(parameters=shared, governors=governors, governor_threshold=1)
    host = host_of()
    assert host.place(group, host.consent()).code == ""


def test_as_the_first_node_it_needs_no_address_of_another(host_of):
    host, group = host_of(), drawn()
    genesis = group.genesis(host.node)
    assert host.place(group, host.consent(), genesis=genesis).code == "first-node"
    again = host.place(group, host.consent(), genesis=genesis, first_addresses=())
    assert again.code == ""
    assert setups.reopen(host.landlord._wanted, network_id(genesis)).is_first


def test_a_consent_is_for_one_founder_once_and_for_a_minute(host_of):
    host, group = host_of(), drawn()
    token = host.consent()
    placed = Place(token, group.genesis(b"f" * 32), group.node_invite, FIRST)
    assert host.ask(placed, BOB).code == "consent"
    host.seconds.append(100.0 + limits.CONSENT_MS / 1000)
    assert host.ask(placed).code == "consent"
    token = host.consent()
    assert host.place(group, token).code == ""
    assert host.place(drawn(), token).code == "consent"


def test_no_more_are_hosted_than_the_operator_said(host_of):
    host = host_of()
    assert host.place(drawn(), host.consent()).code == ""
    host.consent()
    host.consent()  # again: it takes the earlier one's place
    assert host.ask(ASKED, BOB).code == "full"
    host.seconds.append(1000.0)
    assert host.ask(ASKED, BOB).code == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"founders": 3},
        {"kind": "mesh"},
        {"policy": POLICY + "\n"},
        {"parameters": msgspec.structs.replace(USUAL, min_round_delay_ms=0)},
        {"parameters": msgspec.structs.replace(USUAL, coin_length=1 << 23)},
    ],
)
def test_another_group_than_was_consented_to_is_refused(host_of, changes):
    host, group = host_of(), drawn(**changes)
    assert host.place(group, host.consent()).code == "genesis"
    assert host.home.hosted() == []


def test_a_wrong_invite_and_a_policy_that_refuses_this_node_leave_nothing(host_of):
    host, group = host_of(), drawn()
    assert host.place(group, host.consent(), founder_invite=b"x" * 16).code == "invite"
    strict = simulated_policy(b"x" * 32)
    token = host.consent(msgspec.structs.replace(ASKED, policy=strict))
    assert host.place(drawn(policy=strict), token).code == "attestation"
    assert host.place(group, host.consent(), genesis=b"nonsense").code != ""
    assert host.home.hosted() == []


def test_only_what_is_sealed_to_this_node_of_this_mesh_and_signed_is_read(host_of):
    host = host_of()
    for mesh, node in ((b"m" * 32, host.node), (host.mesh, b"n" * 32)):
        with pytest.raises(MemberFault, match="not sealed"):
            host.landlord.answer(Question(ASKED, ANN, mesh, node, host.sealing).sealed)
    for blob in (b"", b"x" * 200, hpke.seal(host.sealing, b"ccp2p.hosting/1", b"x", host.mesh)):
        with pytest.raises(MemberFault):
            host.landlord.answer(blob)
    request = codec.encode(HostingRequest(b"r" * 32, ASKED))
    stolen = BOB.sign(signed_bytes(host.mesh, host.node, request))
    forged = codec.encode(SignedHostingRequest(ANN.public, stolen, request))
    with pytest.raises(MemberFault, match="not signed"):
        host.landlord.answer(
            hpke.seal(host.sealing, b"ccp2p.hosting/1", forged, host.mesh + host.node)
        )


def test_an_answer_opens_for_who_asked_and_for_this_question_only(host_of):
    host = host_of()
    one, other = (Question(ASKED, ANN, host.mesh, host.node, host.sealing) for _ in range(2))
    answer = host.landlord.answer(one.sealed)
    assert one.open(answer).code == ""
    for wrong in (other, one):
        with pytest.raises(PeerFault):
            wrong.open(answer if wrong is other else answer[:-1] + bytes([answer[-1] ^ 1]))


def test_a_placed_group_has_an_invite_for_its_founders_only():
    genesis = parse_genesis(drawn().genesis(b"f" * 32))
    assert (genesis.member_invite, genesis.node_invite) == (b"", b"")
    assert genesis.founder_invite != b""
