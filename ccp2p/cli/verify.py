"""`ccp2p verify`: check a network's nodes with a fresh nonce, or evidence from anywhere."""

import time
from typing import TYPE_CHECKING, Any

import click

from ccp2p.cli import console, session
from ccp2p.cli.governance import say_history
from ccp2p.cli.governance import shown as shown_amendment
from ccp2p.cli.net_shares import at_rest_words
from ccp2p.cli.verify_evidence import evidence_command, samples_command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ccp2p.client.verification import VerifiedNode
    from ccp2p.model.epoch import SignedEpochRecord


@click.group()
def verify() -> None:
    """Check a network's nodes, or evidence."""


verify.add_command(evidence_command)
verify.add_command(samples_command)


@verify.command("network")
@session.network_options
def verify_network(**options: Any) -> None:
    """Ask every node of a network for fresh evidence, and check it against the policy.

    Checks all epoch records as well, and what governors changed by whose signatures.

    Exit code 0 when every seat of the committee proved itself, 3 when one did not answer or has yet
    to catch up, 4 when one was refused.
    """
    console.run(lambda: _verify(options))


async def _verify(options: dict[str, Any]) -> None:
    from ccp2p.client.governance import history
    from ccp2p.client.network import open_network
    from ccp2p.client.profile import Profile, default_folder

    name, ticket = Profile(default_folder()).network(options["network"])
    started = time.time()
    async with open_network(
        ticket,
        allow_simulated=options["allow_simulated"],
        every_node=True,
        whole_chain=True,
    ) as client:
        verified = client.verified
        statuses = {c.node.node: await c.status() for c in client.live()}
        nodes = {c.node.node: c.node for c in client.connections}
        refused = dict(client.refused)
    changes = history(verified.records)
    rows = [
        _row(seat, node.node.hex(), nodes.get(node.node), statuses.get(node.node))
        for seat, node in enumerate(verified.record.seats)
    ]
    shown = {
        "schema": "verify-network/1",
        "name": name,
        "id": verified.network.hex(),
        "kind": verified.genesis.kind,
        "simulated": verified.policy.is_simulated,
        "policy_digest": verified.policy.digest.hex(),
        "epoch": verified.record.epoch,
        "record": verified.record_digest.hex(),
        "signed_by": verified.signers,
        "at_rest": verified.genesis.parameters.at_rest,
        "resume": verified.genesis.parameters.resume,
        "aead": verified.genesis.parameters.aead,
        "amendments": [shown_amendment(one) for one in changes],
        "recoveries": _recoveries(verified.records),
        "nodes": rows,
        "refused": [{"address": a, "reason": str(f)} for a, f in refused.items()],
        "checked_at": int(started),
    }
    if options["as_json"]:
        console.emit(shown)
    else:
        _print(shown, verified)
        say_history(changes)
    _end(rows, refused)


def _recoveries(records: "Sequence[SignedEpochRecord]") -> list[dict[str, Any]]:
    """Where governors went on from a lost epoch, who they were, and what that cost."""
    from ccp2p.model.epoch import parse_record, record_digest

    shown = []
    governors: tuple[bytes, ...] = ()
    for signed in records:
        record = parse_record(signed.record)
        if record.recovery is not None:
            shown.append(
                {
                    "epoch": record.epoch,
                    "record": record_digest(signed.record).hex(),
                    "certified": record.recovery.commit,
                    "resumed_after": record.close_commit,
                    "governors": [governors[place].hex() for place, _ in signed.approvals],
                    "nodes": [seat.node.hex() for seat in record.seats],
                    "fallen": [seat.node.hex() for seat in record.recovery.fallen],
                }
            )
        governors = record.governors
    return shown


def _row(seat: int, key: str, node: Any, status: Any) -> dict[str, Any]:
    if node is None:
        return {"seat": seat, "node": key, "verified": False}
    return {
        "seat": seat,
        "node": key,
        "verified": True,
        "tee": node.verdict.tee,
        "vendor": node.verdict.vendor,
        "measurement": node.verdict.measurement.hex(),
        "platform_id": node.verdict.platform_id.hex() or None,
        "commit": status.commit if status else None,
        "state_root": status.state_root.hex() if status else None,
        "floor": status.floor if status else None,
    }


def _print(shown: dict[str, Any], verified: "VerifiedNode") -> None:
    from rich.table import Table

    if shown["simulated"]:
        console.warn_simulated(shown["kind"])
    console.say(f"network {shown['name']} {shown['id']}")
    console.say(
        f"epoch record {shown['epoch']} {shown['record'][:32]}..., "
        f"signed by {shown['signed_by']} seat(s)"
    )
    console.say(f"policy {shown['policy_digest'][:32]}..., evidence with a fresh nonce:")
    for one in shown["recoveries"]:
        console.say(
            f"epoch {one['epoch']} began by a recovery: {len(one['governors'])} governors and "
            f"{len(one['nodes'])} nodes went on after commit {one['resumed_after']} of the epoch "
            f"before. A quorum had signed it up to commit {one['certified']}; what came after "
            f"{one['resumed_after']} is lost"
        )
    console.say(f"disks: {at_rest_words(verified.genesis.parameters, verified.record)}")
    if shown["resume"] == "disks":
        console.say(
            "after a power cut everywhere it resumes from disks: that is safe while rolled-"
        )
        console.say("back disks and Byzantine nodes together are at most f")
    table = Table(box=None)
    for column in ("seat", "node", "verified", "tee", "vendor", "measurement", "commit"):
        table.add_column(column)
    for row in shown["nodes"]:
        table.add_row(
            str(row["seat"]),
            row["node"][:16] + "...",
            "yes" if row["verified"] else "NO",
            row.get("tee", ""),
            row.get("vendor", ""),
            row.get("measurement", "")[:16],
            str(row.get("commit", "")),
        )
    console.show_table(table)
    for refusal in shown["refused"]:
        console.say(f"{refusal['address']}: {refusal['reason']}")


def _end(rows: list[dict[str, Any]], refused: dict[str, Any]) -> None:
    from ccp2p.model.errors import AttestationFault, Behind

    faults = [fault for fault in refused.values() if not isinstance(fault, Behind)]
    if any(isinstance(fault, AttestationFault) for fault in faults):
        raise SystemExit(console.EXIT_ATTESTATION)
    if not all(row["verified"] for row in rows):
        raise SystemExit(console.EXIT_UNREACHABLE)
