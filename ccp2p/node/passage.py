"""A node's way from CLOSE to the next epoch, without IO: the record, the secret, and laggards.

It ends when the next epoch can begin here. A node that is not in it goes on answering a while:
those who still replay the end of the old epoch need somebody to ask.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ccp2p.crypto import signatures
from ccp2p.membership.records import check_successor
from ccp2p.membership.roster import Roster
from ccp2p.model.epoch import SignedEpochRecord, parse_record
from ccp2p.model.errors import LocalFault
from ccp2p.node.epoch import link_of
from ccp2p.node.handover import Handover
from ccp2p.node.messages import (
    FetchBlocks,
    FetchedBlocks,
    FollowReply,
    FollowRequest,
    PeerMessage,
    RecordComplete,
    RecordSignature,
    SecretReply,
    SecretRequest,
)
from ccp2p.node.network_record import NetworkRecord, known_addresses
from ccp2p.node.roster_keeper import Closing
from ccp2p.node.seat import serve_blocks
from ccp2p.node.steward import Steward
from ccp2p.sealing.identity import Identity
from ccp2p.sealing.secrets import SECRET_BYTES, EpochSecrets
from ccp2p.storage.store import Store

PassageMessage = (
    RecordSignature | RecordComplete | FollowReply | FetchBlocks | SecretRequest | SecretReply
)
"""What a passage hears; everything else belongs to the next epoch and can wait for it."""


@dataclass(frozen=True, slots=True)
class Crossed:
    """The record of the next epoch, and its secrets unless this node is not in it."""

    record: NetworkRecord
    secrets: EpochSecrets | None


class Passage:
    """One node between the epoch of `record` and the one that `closing` begins."""

    def __init__(
        self,
        identity: Identity,
        coin_length: int,
        record: NetworkRecord,
        closing: Closing,
        steward: Steward,
        store: Store,
    ) -> None:
        self._node = identity.node
        self._record = record
        self._closing = closing
        self._roster = Roster.decode(closing.roster)
        self._steward = steward
        self._store = store
        self._coin_length = coin_length
        self._secret = b""
        # The record of an epoch after the next, which has begun: its state is to be fetched.
        self.overtaken_by: SignedEpochRecord | None = None
        self._previous = previous = link_of(record.signed)
        self._before = [seat.node for seat in previous.record.seats]
        self._after = [one.node for one in (*self._roster.members, *self._roster.observers)]
        self._handover = Handover(previous, closing, self._node, identity.signing.sign)

    @property
    def goes_on(self) -> bool:
        """Whether this node is in the next epoch."""
        return self._node in self._after

    @property
    def is_done(self) -> bool:
        """Whether the record is complete, and its secret here where it is needed."""
        return self._handover.signed is not None and not self._lacks_secret

    @property
    def only_listens(self) -> bool:
        """Whether nothing lacks here but the record, which who signs it shows unasked."""
        return self._handover.word is None and not self._lacks_secret

    def words(self) -> list[tuple[bytes, PeerMessage]]:
        """What to tell whom now, and again until this is done."""
        # Whoever is in the next epoch reminds those that sign its record; others must ask.
        word = self._handover.word or FollowRequest(self._previous.digest)
        everyone = dict.fromkeys((*self._before, *self._after))
        said: list[tuple[bytes, PeerMessage]] = [(node, word) for node in everyone]
        if self._lacks_secret:
            request = SecretRequest(self._closing.record.epoch_key)
            said.extend((node, request) for node in self._after)
            # Nobody keeps the secret of an epoch that is over: then the records show it.
            said.extend((node, FollowRequest(self._previous.digest)) for node in self._after)
        return [(node, message) for node, message in said if node != self._node]

    def hear(self, node: bytes, message: PassageMessage) -> PeerMessage | None:
        """Take a peer's message; the reply, if there is one. PeerFault when it does not hold."""
        if isinstance(message, RecordSignature | RecordComplete):
            self._handover.hear(node, message)
            if isinstance(message, RecordComplete):
                is_later = self._handover.signed is None and self._is_later(message.signed)
                return FollowRequest(self._previous.digest) if is_later else None
            return self._handover.word if self._handover.signed is not None else None
        if isinstance(message, FollowReply):
            self._follow(node, message.records)
            return None
        if isinstance(message, FetchBlocks):
            return self._serve(message) if node in self._before or node in self._after else None
        if isinstance(message, SecretRequest):
            return self._hand_out(node, message)
        if node in self._before or node in self._after:
            self._take_secret(message)
        return None

    def crossed(self) -> Crossed:
        """What the next epoch begins with. May walk a coin chain, which takes seconds."""
        signed = self._handover.signed
        if signed is None:
            raise LocalFault("record", "the crossing ended without a record")
        addresses = known_addresses(self._record, self._roster)
        if not self.goes_on:
            return Crossed(self._record.followed_by(signed, b"", addresses), None)
        ready = self._steward.take_secrets(self._closing.record.epoch_key)
        secrets = ready or EpochSecrets(self._own_secret(), self._coin_length)
        return Crossed(self._record.followed_by(signed, secrets.secret, addresses), secrets)

    def _is_later(self, signed: SignedEpochRecord) -> bool:
        """Whether a peer is further than the record that is wanted, which its chain holds too."""
        return parse_record(signed.record).epoch > self._closing.record.epoch

    def _follow(self, node: bytes, records: Sequence[SignedEpochRecord]) -> None:
        """Take the wanted record out of a chain, and see whether it goes on behind it."""
        link = self._previous
        for signed in records:
            if parse_record(signed.record).epoch > link.record.epoch:
                self._handover.hear(node, RecordComplete(signed))
                link = check_successor(signed, link, signatures.verify_batch)
                if self._is_later(signed):
                    self.overtaken_by = signed

    @property
    def _lacks_secret(self) -> bool:
        return self.goes_on and not self._own_secret()

    def _own_secret(self) -> bytes:
        return self._secret or self._steward.secret_of(self._closing.record.epoch_key) or b""

    def _serve(self, request: FetchBlocks) -> PeerMessage:
        blocks = serve_blocks(
            self._store, request, lambda reference: self._store.block(reference) or b""
        )
        return FetchedBlocks(tuple(blocks))

    def _hand_out(self, node: bytes, request: SecretRequest) -> SecretReply:
        secret = b""
        if node in self._after and request.epoch_key == self._closing.record.epoch_key:
            secret = self._own_secret()
        elif node in self._before and request.epoch_key == self._previous.record.epoch_key:
            secret = self._record.secret  # it restarted, and may be needed to end this epoch
        return SecretReply(request.epoch_key, secret)

    def _take_secret(self, reply: SecretReply) -> None:
        """Keep a secret that is the record's; PeerFault when it is said to be, and is another.

        What was asked for another epoch's key may come late, and is nobody's fault.
        """
        is_asked = reply.epoch_key == self._closing.record.epoch_key
        if self._own_secret() or not is_asked or len(reply.secret) != SECRET_BYTES:
            return
        EpochSecrets.of_record(reply.secret, self._coin_length, self._closing.record)
        self._secret = reply.secret
