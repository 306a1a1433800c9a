"""`ccp2p net recover`: governors let a network go on that has lost its quorum for good."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ccp2p.cli import console, session
from ccp2p.cli.net_shares import give_shares

if TYPE_CHECKING:
    from ccp2p.client.network import NetworkClient
    from ccp2p.client.profile import Profile
    from ccp2p.client.recovery import Approved, Sighting
    from ccp2p.membership.records import Link
    from ccp2p.model.epoch import EpochRecord, SignedEpochRecord

_SHORT = 16  # characters of a key that people compare


@click.command("recover")
@click.argument("file", required=False, metavar="[FILE|-]")
@click.option(
    "--keep",
    multiple=True,
    metavar="NODE",
    help="Go on with this node (the start of its key); repeat it. [default: all that are furthest]",
)
@click.option("--submit", is_flag=True, help="Hand FILE in as it is, without an approval of yours.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the plan to this file instead of stdout.",
)
@click.option(
    "--replace", is_flag=True, help="Another plan that you approved for this epoch is given up."
)
@click.option(
    "--shares",
    is_flag=True,
    help="Give your recovery share to nodes that wait for it after a power cut everywhere "
    "(`net create --at-rest group`).",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@session.member_options
def net_recover(file: str | None, **options: Any) -> None:
    """Go on with the nodes that are left of a network that lost its quorum for good.

    Without FILE this asks the nodes how far they are and draws up a plan: who goes on, from which
    commit. You approve it and pass it on. With FILE you check such a plan, and approve it too.
    Whoever completes the number that must agree hands it to the nodes, which go on at once.

    Nodes that wait for recovery shares have to be given those first (--shares).

    What was acknowledged after that commit is lost. Only governors can do this, and nodes refuse
    while a quorum lives.
    """
    if file is not None and options["keep"]:
        raise click.UsageError("FILE says already who goes on: --keep is for a new plan")
    if options["shares"]:
        if file is not None or options["keep"] or options["submit"] or options["output"]:
            raise click.UsageError("--shares gives your share and nothing else: pass no plan")
        console.run(lambda: give_shares(options))
        return
    console.run(lambda: _recover(file, options))


async def _recover(file: str | None, options: dict[str, Any]) -> None:
    from ccp2p.client import recovery
    from ccp2p.client.profile import Profile, default_folder
    from ccp2p.model import codec

    given = recovery.parse_plan(_text(file)) if file is not None else None
    async with session.open_network(options, every_node=True) as client:
        link = recovery.newest_link(client)
        sightings = await recovery.survey(client, link.record)
        _show_nodes(link, sightings)
        if given is None:
            chosen = recovery.choose(link.record, sightings, _kept(sightings, options["keep"]))
            given = recovery.Approved(codec.encode(recovery.draw_up(link, chosen)), ())
        plan = recovery.check(given, link)
        _show_plan(plan, given, link)
        if not options["submit"]:
            profile = Profile(default_folder())
            member = profile.held_member(options["member"])
            _approve_once(profile, plan, replaces=options["replace"])
            _ask(options)
            given = recovery.approve(given, link.record, member)
            profile.keep_approved_plan(plan.network, plan.epoch, _digest(plan))
        if not recovery.is_agreed(given, link):
            _pass_on(given, link, options)
            return
        console.say("enough governors agree; the nodes check, promise and sign ...")
        signed = await recovery.hand_in(client, given, link)
        _keep(client, signed, options)
    _report(plan, signed, options)


def _text(file: str) -> str:
    return console.read_stdin() if file == "-" else console.read_text(Path(file))


def _kept(sightings: "list[Sighting]", wanted: tuple[str, ...]) -> list[bytes]:
    """The nodes whose keys begin so; each start has to mean one that answers."""
    found = []
    for start in wanted:
        named = [one.node for one in sightings if one.node.hex().startswith(start.lower())]
        if len(named) != 1:
            raise click.BadParameter(
                f"{start!r} is the start of {len(named)} answering nodes' keys, not of one",
                param_hint="--keep",
            )
        found.extend(named)
    return found


def _show_nodes(link: "Link", sightings: "list[Sighting]") -> None:
    said = {one.node: one.status for one in sightings}
    console.say(
        f"epoch {link.record.epoch} has {len(link.record.seats)} seats, of which "
        f"{link.record.committee().quorum} must work together:"
    )
    for seat in link.record.seats:
        status = said.get(seat.node)
        word = "does not answer"
        if status is not None:
            state = f"waits ({status.waits})" if status.waits else "does not wait"
            root = status.state_root.hex()[:_SHORT]
            word = f"commit {status.commit}, certified {status.certified}, state {root}, {state}"
        console.say(f"  {seat.node.hex()[:_SHORT]}  {word}")


def _show_plan(plan: "EpochRecord", approved: "Approved", link: "Link") -> None:
    recovery = plan.recovery
    certified = recovery.commit if recovery else 0
    console.say(f"the plan: epoch {plan.epoch} begins after commit {plan.close_commit} with")
    for seat in plan.seats:
        console.say(f"  {seat.node.hex()}")
    for seat in recovery.fallen if recovery else ():
        console.say(f"  without {seat.node.hex()}, which may come back and ask for its seat")
    console.say(f"up to commit {certified} a quorum signed the state; from there to commit")
    console.say(f"{plan.close_commit} it rests on the word of these nodes; what came after is lost")
    if len(plan.seats) <= link.record.committee().faulty:
        console.say(
            "BE SURE: the others are as many as a quorum. If they live anywhere, this forks the "
            "network"
        )
    console.say(
        f"{len(approved.approvals)} of {len(link.record.governors)} governors approved so far; "
        f"{link.record.governor_threshold} must"
    )


def _approve_once(profile: "Profile", plan: "EpochRecord", *, replaces: bool) -> None:
    """Two plans of one epoch that are both carried out fork the network: say so, and refuse."""
    from ccp2p.model.errors import MemberFault

    earlier = profile.approved_plan(plan.network, plan.epoch)
    if earlier and earlier != _digest(plan) and not replaces:
        raise MemberFault(
            "two-plans",
            f"you approved another plan for epoch {plan.epoch} before, {earlier.hex()[:_SHORT]}; "
            "this one is "
            f"{_digest(plan).hex()[:_SHORT]}. If both are carried out the network forks. Pass "
            "--replace if that one is given up for good and can reach no node any more",
        )


def _digest(plan: "EpochRecord") -> bytes:
    from ccp2p.model import codec
    from ccp2p.model.epoch import record_digest

    return record_digest(codec.encode(plan))


def _ask(options: dict[str, Any]) -> None:
    if not options["yes"]:
        click.confirm("Approve this plan?", abort=True, err=True)


def _pass_on(approved: "Approved", link: "Link", options: dict[str, Any]) -> None:
    from ccp2p.client.recovery import format_plan

    text = format_plan(approved)
    output: Path | None = options["output"]
    if output is not None:
        _write(output, text)
    lacking = link.record.governor_threshold - len(approved.approvals)
    if options["as_json"]:
        console.emit(
            {
                "schema": "net-recover/1",
                "done": False,
                "approvals": len(approved.approvals),
                "lacking": lacking,
                "plan": None if output is not None else text,
                "file": str(output) if output is not None else None,
            }
        )
        return
    if output is None:
        console.echo(text, nl=False)
    where = str(output) if output is not None else "the plan"
    console.say(f"send {where} to {lacking} more governor(s): ccp2p net recover FILE")


def _write(output: Path, text: str) -> None:
    from ccp2p.model.errors import LocalFault

    try:
        output.write_text(text)
    except OSError as error:
        raise LocalFault("output", f"{output} cannot be written: {error.strerror}") from None


def _keep(client: "NetworkClient", signed: "SignedEpochRecord", options: dict[str, Any]) -> None:
    """From now on this record counts here, and no other of its epoch."""
    from msgspec.structs import replace

    from ccp2p.client.profile import Profile, default_folder
    from ccp2p.model.epoch import record_digest

    profile = Profile(default_folder())
    name, _ = profile.network(options["network"])
    profile.add_network(replace(client.pinned_ticket(), record=record_digest(signed.record)), name)


def _report(plan: "EpochRecord", signed: "SignedEpochRecord", options: dict[str, Any]) -> None:
    from ccp2p.model.epoch import record_digest

    digest = record_digest(signed.record).hex()
    if options["as_json"]:
        certified = plan.recovery.commit if plan.recovery else 0
        console.emit(
            {
                "schema": "net-recover/1",
                "done": True,
                "epoch": plan.epoch,
                "record": digest,
                "close_commit": plan.close_commit,
                "certified": certified,
                "nodes": [seat.node.hex() for seat in plan.seats],
                "approvals": len(signed.approvals),
            }
        )
        return
    console.say(f"the network goes on: epoch record {plan.epoch} is {digest}")
    console.say("nodes that come back follow by themselves; new ones: ccp2p invite create")
