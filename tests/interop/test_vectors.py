"""The published vectors are what the code makes, and what it accepts."""

import copy
import json

from ccp2p.client.verification import Expectation, verify_welcome
from ccp2p.crypto import envelopes
from ccp2p.crypto.signatures import verify
from ccp2p.execution.receipts import parse_receipt
from ccp2p.model import codec, limits
from ccp2p.model.envelope import parse_envelope, unpad
from ccp2p.model.errors import PeerFault
from ccp2p.model.member_protocol import Question, Welcome, decode_node_message
from ccp2p.model.outcome import Outcome
from ccp2p.model.ticket import parse_ticket
from ccp2p.sealing import session as sessions
from tests.execution.receipt_world import WORLD, check
from tests.interop import make_vectors

VECTORS = json.loads(make_vectors.FILE.read_text())


def data(section: str, name: str) -> bytes:
    return bytes.fromhex(VECTORS[section][name])


def test_the_file_holds_what_the_code_makes():
    assert make_vectors.vectors() == VECTORS, "run: python -m tests.interop.make_vectors"


def test_a_client_accepts_the_welcome_and_learns_its_epoch_key():
    welcome = decode_node_message(data("welcome", "frame"), PeerFault)
    assert isinstance(welcome, Welcome)
    ticket = parse_ticket(VECTORS["ticket"]["text"])
    expected = Expectation(
        ticket.network, ticket.record, data("welcome", "remote"), data("welcome", "nonce"), 0, True
    )
    verified = verify_welcome(welcome, expected)
    assert (verified.seat, verified.record.epoch, verified.signers) == (0, 2, 1)
    assert verified.record.epoch_key == data("welcome", "epoch_key")


def test_the_network_opens_the_opening():
    opened = sessions.open_opening(
        make_vectors.context("aegis256"), make_vectors.EPOCH_KEY, data("session", "opening")
    )
    assert (opened.key, opened.invite) == (data("session", "key"), data("session", "invite"))


def test_the_network_opens_the_envelopes_and_the_member_its_answers():
    keys = sessions.SessionKeys.derive(data("session", "key"))
    for vector in copy.deepcopy(VECTORS)["envelopes"]:
        context = make_vectors.context(vector.pop("aead"))
        number = vector.pop("query_number")
        found = {name: bytes.fromhex(text) for name, text in vector.items()}
        statuses, numbers, bodies, ids, proofs = envelopes.open_events(
            context.aead,
            context.network,
            make_vectors.EPOCH,
            [found["envelope"]],
            [keys.tag],
            [keys.up],
            [data("event", "member")],
        )
        assert (statuses[0], list(numbers)) == (envelopes.GOOD, [2])
        assert (bodies[0], ids) == (data("event", "body"), data("event", "id"))
        assert verify(data("event", "member"), proofs, data("event", "signed_bytes"))
        first = parse_envelope(found["first_envelope"])
        assert first.opening == data("session", "opening")
        outcome = sessions.open_outcome(
            context, keys, found["tag"], found["sealed_outcome"], PeerFault
        )
        assert codec.decode(outcome, Outcome, limits.MAX_OUTCOME_BYTES).event == ids
        session = data("session", "session")
        question = sessions.open_query(context, keys, session, number, found["sealed_question"])
        assert question is not None
        assert codec.decode(unpad(question), Question, limits.MAX_EVENT_BYTES).asked.after == 7
        answer = sessions.open_reply(context, keys, session, number, found["sealed_answer"])
        assert answer == found["answer"]


def test_the_receipt_holds():
    receipt = parse_receipt(VECTORS["receipt"]["text"])
    assert data("receipt", "network") == WORLD.network
    assert check(receipt).passed
