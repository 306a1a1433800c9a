"""Whether this node hosts a group that somebody wants to place on it, by its operator's word.

Rules: a consent is bound to who asked, one for each; it ends after a minute and counts as a network
till then; what is placed must be what was consented to. Nothing is written before that.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
import trio

from ccp2p.attestation.policy import parse_policy
from ccp2p.model import limits
from ccp2p.model.errors import AttestationFault, Denied, Fault, MemberFault
from ccp2p.model.genesis import Genesis, Parameters, network_id, parse_genesis
from ccp2p.model.host_commands import invite_digest
from ccp2p.model.hosting import AskConsent, HostingAnswer, Place
from ccp2p.model.ticket import Ticket
from ccp2p.node import setup as setups
from ccp2p.node.config import ANYBODY, Hosting
from ccp2p.node.home import NodeHome
from ccp2p.node.quota import hosted_quota
from ccp2p.node.setup import NodeSetup, Wanted
from ccp2p.sealing.hosting import Opened

_TOKEN_BYTES: Final = 16
_LONGEST_COIN: Final = 1 << 22  # walking it takes a second or two
_USUAL: Final = Parameters()


@dataclass(frozen=True, slots=True)
class _Consent:
    founder: bytes
    asked: AskConsent
    until_s: float


class Landlord:
    """Answers for one node of the mesh in `setup`, one question at a time (`turn`).

    `addresses()` are where the node listens for nodes; `clock_ms` is Unix time, `now_s` never goes
    back. Answering may take a quote and writes to the disk.
    """

    def __init__(
        self,
        hosting: Hosting,
        wanted: Wanted,
        setup: NodeSetup,
        addresses: Callable[[], tuple[str, ...]],
        clock_ms: Callable[[], int],
        now_s: Callable[[], float],
    ) -> None:
        self._hosting = hosting
        self._wanted = wanted
        self._setup = setup
        self._home = NodeHome(wanted.directory)
        self._addresses = addresses
        self._clock_ms = clock_ms
        self._now_s = now_s
        self._consents: dict[bytes, _Consent] = {}
        self.turn = trio.Lock()

    def answer(self, sealed: bytes) -> bytes:
        """The sealed answer to a sealed question; MemberFault for what is none."""
        identity = self._setup.identity
        opened = Opened(sealed, identity.sealing, self._setup.network, identity.node)
        try:
            if isinstance(opened.asked, AskConsent):
                token = self._consent(opened.founder, opened.asked)
                answer = HostingAnswer("", "", token, self._addresses())
            else:
                self._place(opened.founder, opened.asked)
                answer = HostingAnswer("", "", b"", self._addresses())
        except Fault as fault:
            answer = HostingAnswer(fault.code[:64], str(fault)[:512])
        return opened.seal(answer)

    def _consent(self, founder: bytes, asked: AskConsent) -> bytes:
        hosting = self._hosting
        now_s = self._now_s()
        self._consents = {
            token: one
            for token, one in self._consents.items()
            if one.until_s > now_s and one.founder != founder
        }
        if not hosting.networks:
            raise Denied("this node hosts no groups of others", "no-hosting")
        if ANYBODY not in hosting.founders and founder.hex() not in hosting.founders:
            raise Denied("this node hosts groups of others than you", "founder")
        if asked.storage_mb > hosting.storage_mb or asked.events_per_s > hosting.events_per_s:
            raise Denied(
                f"at most {hosting.storage_mb} MB and {hosting.events_per_s} events/s a group",
                "size",
            )
        if self._taken() >= hosting.networks:
            raise Denied(f"this node hosts {hosting.networks} group(s) already", "full")
        policy = parse_policy(asked.policy)
        if self._setup.platform.tee not in policy.sections():
            raise AttestationFault("this node's TEE does not satisfy the policy", ("policy",))
        token = os.urandom(_TOKEN_BYTES)
        self._consents[token] = _Consent(founder, asked, now_s + limits.CONSENT_MS / 1000)
        return token

    def _taken(self) -> int:
        known = {*self._home.networks(), *self._home.prepared()}
        return len(known.intersection(self._home.hosted())) + len(self._consents)

    def _place(self, founder: bytes, asked: Place) -> None:
        consent = self._consents.get(asked.token)
        if consent is None or consent.founder != founder or consent.until_s <= self._now_s():
            raise Denied("there is no such consent, or it is over: ask again", "consent")
        genesis = parse_genesis(asked.genesis)
        _check_genesis(genesis, consent)
        digest = invite_digest(asked.founder_invite) if asked.founder_invite else b""
        if digest != genesis.founder_invite:
            raise MemberFault("invite", "the invite is not the genesis's")
        setups.require_accepted(self._wanted, asked.genesis, "", self._clock_ms())
        is_first = genesis.first_node == self._setup.identity.node
        if is_first == bool(asked.first_addresses):
            raise MemberFault("first-node", "the first node, and no other, needs no address of it")
        terms = consent.asked
        network = network_id(asked.genesis)
        if network in self._home.networks() or network in self._home.prepared():
            raise MemberFault("network", "this node has that network already")
        self._home.keep_quota(network, hosted_quota(terms.storage_mb, terms.events_per_s))
        setups.host(self._wanted, asked.genesis, asked.founder_invite, self._ticket(network, asked))
        del self._consents[asked.token]

    def _ticket(self, network: bytes, asked: Place) -> Ticket | None:
        genesis = parse_genesis(asked.genesis)
        if not asked.first_addresses:
            return None
        simulated = parse_policy(genesis.policy).is_simulated
        return Ticket(
            network,
            genesis.name,
            "node",
            simulated,
            b"",
            asked.first_addresses,
            asked.founder_invite,
        )


def _check_genesis(genesis: Genesis, consent: _Consent) -> None:
    """It is a group of the size and policy consented to, and no dearer to run than others."""
    if (genesis.kind, genesis.founders, genesis.policy) != (
        "group",
        consent.asked.nodes,
        consent.asked.policy,
    ):
        raise MemberFault("genesis", "this is not the group that was consented to")
    rules = genesis.parameters
    usual = msgspec.structs.replace(
        _USUAL,
        coin_length=rules.coin_length,
        aead=rules.aead,
        at_rest=rules.at_rest,
        resume=rules.resume,
    )
    if rules != usual or rules.coin_length > _LONGEST_COIN:
        raise MemberFault("genesis", "hosted groups run by the usual parameters")
