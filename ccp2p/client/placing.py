"""Placing a group on nodes of a mesh: ask them, found it on those who consent, see that it runs."""

from dataclasses import dataclass, field

from ccp2p.client.connection import NodeConnection
from ccp2p.client.network import NetworkClient
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model.errors import Denied, Fault
from ccp2p.model.hosting import AskConsent, HostingAnswer, Place
from ccp2p.sealing.hosting import Question


@dataclass(slots=True)
class Consents:
    """Who would host the group, and who would not, and why; in the order they were asked."""

    given: list[tuple[NodeConnection, HostingAnswer]] = field(default_factory=list)
    refused: list[tuple[bytes, str]] = field(default_factory=list)


async def ask_consents(client: NetworkClient, asked: AskConsent, founder: SigningKey) -> Consents:
    """Ask one verified node of the mesh after another, until as many as needed consent."""
    consents = Consents()
    for connection in client.live():
        if len(consents.given) == asked.nodes:
            break
        try:
            consents.given.append((connection, await _ask(connection, asked, founder)))
        except Fault as fault:
            consents.refused.append((connection.node.node, str(fault)))
    return consents


async def place(
    consents: Consents, genesis: bytes, founder_invite: bytes, founder: SigningKey
) -> None:
    """Found the group on those who consented, the genesis's first node first; Denied by one."""
    (first, consent), *others = consents.given
    asked = Place(consent.token, genesis, founder_invite, ())
    await _ask(first, asked, founder)
    for connection, other in others:
        await _ask(
            connection, Place(other.token, genesis, founder_invite, consent.addresses), founder
        )


async def _ask(
    connection: NodeConnection, asked: AskConsent | Place, founder: SigningKey
) -> HostingAnswer:
    """What the node says; Denied with its words when that is no."""
    node = connection.node
    question = Question(asked, founder, node.network, node.node, node.sealing)
    answer = question.open(await connection.hosting(question.sealed))
    if answer.code:
        raise Denied(answer.reason, answer.code)
    return answer
