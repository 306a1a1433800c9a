"""`ccp2p net policy|propose|proposals|approve|evict`: what governors may change, and did change."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ccp2p.cli import console, session
from ccp2p.cli.net_create import MemberKey

if TYPE_CHECKING:
    from ccp2p.client.governance import Proposed
    from ccp2p.client.network import NetworkClient
    from ccp2p.client.verification import VerifiedNode
    from ccp2p.model.amendment import Amendment

_LEAST_PREFIX = 6  # hexadecimal digits that name a node or an amendment
_YES = click.option("--yes", is_flag=True, help="Do not ask.")


@click.command("policy")
@session.network_options
def net_policy(**options: Any) -> None:
    """The policy in force, who may change it, and how it came about.

    Every change is checked: enough governors of the epoch before must have signed it.
    """
    console.run(lambda: _policy(options))


async def _policy(options: dict[str, Any]) -> None:
    from ccp2p.client.governance import history
    from ccp2p.membership.records import policy_in_force

    async with session.open_network(options, whole_chain=True) as client:
        verified = client.verified
    text = policy_in_force(verified.genesis, verified.records)
    changes = history(verified.records)
    record = verified.record
    if options["as_json"]:
        console.emit(
            {
                "schema": "net-policy/1",
                "id": verified.network.hex(),
                "epoch": record.epoch,
                "policy_digest": record.policy_digest.hex(),
                "policy": text,
                "governors": [key.hex() for key in record.governors],
                "governors_needed": record.governor_threshold,
                "history": [shown(one) for one in changes],
            }
        )
        return
    console.say(f"policy {record.policy_digest.hex()}, in force in epoch {record.epoch}:")
    console.echo(console.printable(text.rstrip(), "\t\n"))
    console.say(f"{record.governor_threshold} of {len(record.governors)} governors may change it:")
    for key in record.governors:
        console.say(f"  {key.hex()}")
    say_history(changes)


@click.command("propose")
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The attestation policy (TOML) to come, whole.",
)
@click.option(
    "--governor",
    "governors",
    multiple=True,
    type=MemberKey(),
    help="A governor's member key; name all that there will be.",
)
@click.option(
    "--governors-needed",
    type=click.IntRange(1),
    help="How many of them must agree. [default: more than half]",
)
@click.option("--evict", multiple=True, metavar="NODE", help="A node that loses its place.")
@session.member_options
def net_propose(**options: Any) -> None:
    """Propose an amendment, as a governor, and approve it.

    Once enough governors approved (`ccp2p net approve`), it comes into force with the next epoch,
    which begins within a minute or two. A proposal counts in the epoch in which it is made.
    """
    if options["governors_needed"] and not options["governors"]:
        raise click.UsageError("--governors-needed goes with --governor: name all of them")
    if not (options["policy_file"] or options["governors"] or options["evict"]):
        raise click.UsageError("propose what? Give --policy, --governor or --evict")
    console.run(lambda: _propose(options))


@click.command("evict")
@click.argument("node")
@session.member_options
def net_evict(node: str, **options: Any) -> None:
    """Propose to evict NODE (its key, or how that begins), as a governor.

    Where one governor is enough it is decided at once. An evicted node needs a new invite to come
    back.
    """
    changes = {"policy_file": None, "governors": (), "governors_needed": None, "evict": (node,)}
    console.run(lambda: _propose({**options, **changes}))


async def _propose(options: dict[str, Any]) -> None:
    from ccp2p.attestation.policy import check_amended
    from ccp2p.client import governance
    from ccp2p.model.amendment import Amendment, parse_amendment
    from ccp2p.model.codec import encode
    from ccp2p.model.errors import MemberFault

    governors = options["governors"]
    policy = console.read_text(options["policy_file"]) if options["policy_file"] else ""
    async with session.open_network(options) as client:
        verified = client.verified
        if policy:
            check_amended(verified.policy, policy)
        amendment = Amendment(
            verified.network,
            verified.record.epoch,
            policy,
            governors,
            options["governors_needed"] or (len(governors) // 2 + 1 if governors else 0),
            await _nodes(client, options["evict"]),
        )
        parse_amendment(encode(amendment), MemberFault)
        member = await session.introduce(client, options)
        state = await governance.propose(member, amendment, session.timeout_ms(options))
        record = member.verified.record
    approved_by = tuple(record.governors[place] for place in state.approved_by)
    proposed = governance.Proposed(
        state.digest, amendment, approved_by, state.needed, state.is_adopted
    )
    _tell(proposed, verified, options, "net-propose/1")


async def _nodes(client: "NetworkClient", wanted: tuple[str, ...]) -> tuple[bytes, ...]:
    """The keys of nodes that are named by how these begin."""
    if not wanted:
        return ()
    status = await client.connections[0].status()
    known = [*(seat.node for seat in client.verified.record.seats), *status.observers]
    return tuple(_named(name, known, "node") for name in wanted)


def _named(name: str, known: list[bytes], kind: str) -> bytes:
    from ccp2p.model.errors import MemberFault

    found = [key for key in known if key.hex().startswith(name.lower())]
    if len(name) < _LEAST_PREFIX or len(found) != 1:
        reason = "several fit" if len(found) > 1 else "there is none"
        if len(name) < _LEAST_PREFIX:
            reason = f"give at least {_LEAST_PREFIX} digits"
        listed = "".join(f"\n  {key.hex()}" for key in known)
        raise MemberFault(kind, f"which {kind} is {name!r}? {reason}. Known:{listed}")
    return found[0]


@click.command("proposals")
@session.member_options
def net_proposals(**options: Any) -> None:
    """Amendments that are proposed in this epoch, and who approved them."""
    console.run(lambda: _proposals(options))


async def _proposals(options: dict[str, Any]) -> None:
    from ccp2p.client import governance

    async with session.open_session(options) as member:
        found = await governance.proposals(member)
        verified = member.verified
    if options["as_json"]:
        console.emit(
            {
                "schema": "net-proposals/1",
                "id": verified.network.hex(),
                "epoch": verified.record.epoch,
                "proposals": [shown(one) for one in found],
            }
        )
        return
    if not found:
        console.say(f"nothing is proposed in epoch {verified.record.epoch}")
    for one in found:
        _say(one, verified)


@click.command("approve")
@click.argument("amendment", metavar="ID")
@_YES
@session.member_options
def net_approve(amendment: str, **options: Any) -> None:
    """Approve the amendment ID (or how that begins), as a governor, once you have read it."""
    proposed, verified = console.run(lambda: _find(amendment, options))
    if not options["yes"]:
        _say(proposed, verified)
        click.confirm("Approve it?", abort=True, err=True)
    console.run(lambda: _approve(proposed, options))


async def _find(name: str, options: dict[str, Any]) -> tuple["Proposed", "VerifiedNode"]:
    from ccp2p.client import governance

    async with session.open_session(options) as member:
        found = {one.digest: one for one in await governance.proposals(member)}
        return found[_named(name, list(found), "amendment")], member.verified


async def _approve(proposed: "Proposed", options: dict[str, Any]) -> None:
    from dataclasses import replace

    from ccp2p.client import governance

    async with session.open_session(options) as member:
        timeout_ms = session.timeout_ms(options)
        state = await governance.approve(member, proposed.digest, timeout_ms)
        record = member.verified.record
    approved_by = tuple(record.governors[place] for place in state.approved_by)
    proposed = replace(proposed, approved_by=approved_by, is_adopted=state.is_adopted)
    _tell(proposed, member.verified, options, "net-approve/1")


def _tell(
    proposed: "Proposed", verified: "VerifiedNode", options: dict[str, Any], schema: str
) -> None:
    if options["as_json"]:
        shown_here = {"schema": schema, "id": verified.network.hex(), **shown(proposed)}
        shown_here["warnings"] = _warnings(proposed.amendment, verified)
        console.emit(shown_here)
        return
    _say(proposed, verified)
    if proposed.is_adopted:
        console.say("adopted: it comes into force with the next epoch, which begins soon")
    else:
        missing = proposed.needed - len(proposed.approved_by)
        console.say(f"{missing} more governor(s) must approve it in this epoch:")
        console.say(f"  {console.program()} net approve {proposed.digest.hex()[:16]}")


def shown(proposed: "Proposed") -> dict[str, Any]:
    """An amendment as JSON."""
    from ccp2p.model.genesis import policy_digest

    amendment = proposed.amendment
    return {
        "amendment": proposed.digest.hex(),
        "epoch": amendment.epoch,
        "policy": amendment.policy or None,
        "policy_digest": policy_digest(amendment.policy).hex() if amendment.policy else None,
        "governors": [key.hex() for key in amendment.governors] or None,
        "governors_needed": amendment.governor_threshold or None,
        "evict": [node.hex() for node in amendment.evict],
        "approved_by": [key.hex() for key in proposed.approved_by],
        "approvals_needed": proposed.needed,
        "adopted": proposed.is_adopted,
    }


def say_history(changes: list["Proposed"]) -> None:
    """How policy, governors and committee were changed by governors, in order."""
    if not changes:
        console.say("as at the founding: governors changed nothing")
    for one in changes:
        needed = f"{len(one.approved_by)} governors, of whom {one.needed} were needed"
        console.say(f"epoch {one.amendment.epoch} ended with what {needed}, approved:")
        for line in _changes(one.amendment):
            console.say(f"  {line}")
        for key in one.approved_by:
            console.say(f"  approved by {key.hex()}")


def _say(proposed: "Proposed", verified: "VerifiedNode") -> None:
    console.say(f"amendment {proposed.digest.hex()} at the end of epoch {proposed.amendment.epoch}")
    for line in _changes(proposed.amendment):
        console.say(f"  {line}")
    if proposed.amendment.policy:
        console.say("the policy:")
        console.say(proposed.amendment.policy.rstrip())
    for warning in _warnings(proposed.amendment, verified):
        console.say(f"WARNING: {warning}")
    for key in proposed.approved_by:
        console.say(f"approved by {key.hex()}")


def _changes(amendment: "Amendment") -> list[str]:
    from ccp2p.model.genesis import policy_digest

    lines = [f"evicts node {node.hex()}" for node in amendment.evict]
    if amendment.policy:
        lines.append(f"policy {policy_digest(amendment.policy).hex()}")
    if amendment.governors:
        count = len(amendment.governors)
        lines.append(f"governors, of whom {amendment.governor_threshold} of {count} must agree:")
        lines.extend(f"  {key.hex()}" for key in amendment.governors)
    return lines


def _warnings(amendment: "Amendment", verified: "VerifiedNode") -> list[str]:
    """What evictions cost: governors may, and should know."""
    from ccp2p.attestation.policy import parse_policy
    from ccp2p.membership.founding import vendors_fit
    from ccp2p.membership.roster import faulty_of

    seats = verified.record.seats
    staying = [seat for seat in seats if seat.node not in amendment.evict]
    warnings = []
    if not staying:
        return ["nobody would be left, unless others join first: then it changes nothing"]
    before, after = faulty_of(len(seats)), faulty_of(len(staying))
    if after < before:
        warnings.append(
            f"of {len(staying)} nodes that stay {after} may fail or lie; of {len(seats)} today it "
            f"is {before}"
        )
    policy = parse_policy(amendment.policy) if amendment.policy else verified.policy
    held = Counter(seat.vendor for seat in staying)
    if len(staying) < len(seats) and not vendors_fit(held, policy.caps.vendor):
        warnings.append(
            f"one vendor has more of the {len(staying)} seats that stay than the policy's cap "
            f"{policy.caps.vendor!r} allows"
        )
    return warnings
