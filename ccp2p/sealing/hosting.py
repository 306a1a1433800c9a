"""Questions to one attested node of a mesh, and its answers, sealed both ways.

A question is sealed to the X25519 key that the node's evidence covers, so its host reads nothing;
the answer goes under the key inside, bound to the very question.
"""

import os

from ccp2p.crypto import aead, hpke
from ccp2p.crypto.signatures import SigningKey, verify
from ccp2p.model import codec, hashing, limits
from ccp2p.model.errors import MemberFault, PeerFault
from ccp2p.model.hosting import (
    AskConsent,
    HostingAnswer,
    HostingRequest,
    Place,
    SignedHostingRequest,
    signed_bytes,
)

_INFO = b"ccp2p.hosting/1"
_ALGORITHM = "xchacha20"
_KEY_BYTES = 32


class Question:
    """Our question to `node`, whose sealing key is known by its evidence."""

    def __init__(
        self,
        asked: AskConsent | Place,
        founder: SigningKey,
        mesh: bytes,
        node: bytes,
        sealing: bytes,
    ) -> None:
        self._reply_key = os.urandom(_KEY_BYTES)
        request = codec.encode(HostingRequest(self._reply_key, asked))
        signature = founder.sign(signed_bytes(mesh, node, request))
        signed = SignedHostingRequest(founder.public, signature, request)
        self.sealed = hpke.seal(sealing, _INFO, codec.encode(signed), mesh + node)

    def open(self, answer: bytes) -> HostingAnswer:
        """The node's answer; PeerFault when it is none."""
        data = aead.open_one(_ALGORITHM, self._reply_key, answer, _bound(self.sealed))
        if data is None:
            raise PeerFault("sealed", "the node's answer does not open")
        return codec.decode(data, HostingAnswer, limits.MAX_HOSTING_BYTES)


class Opened:
    """A question that came to us: `founder` signed what is `asked`."""

    def __init__(self, sealed: bytes, key: hpke.PrivateKey, mesh: bytes, node: bytes) -> None:
        """MemberFault when it is not to us, malformed, or not signed."""
        data = key.open(sealed, _INFO, mesh + node)
        if data is None:
            raise MemberFault("sealed", "this request is not sealed to this node")
        signed = codec.decode(data, SignedHostingRequest, limits.MAX_HOSTING_BYTES, MemberFault)
        if not verify(signed.founder, signed.signature, signed_bytes(mesh, node, signed.request)):
            raise MemberFault("signature", "this request is not signed by who asks")
        request = codec.decode(
            signed.request, HostingRequest, limits.MAX_HOSTING_BYTES, MemberFault
        )
        self.founder = signed.founder
        self.asked = request.asked
        self._reply_key = request.reply_key
        self._bound = _bound(sealed)

    def seal(self, answer: HostingAnswer) -> bytes:
        """Our answer, for whoever asked."""
        return aead.seal(_ALGORITHM, self._reply_key, codec.encode(answer), self._bound)


def _bound(sealed: bytes) -> bytes:
    return hashing.digest(hashing.SEALING, sealed)
