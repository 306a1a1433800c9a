"""`ccp2p platform info|check|policy`: the TEE below this machine, and policies for it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ccp2p.cli.console import EXIT_ATTESTATION, EXIT_FAILED, echo, emit, fail, say
from ccp2p.model.errors import Fault, MemberFault

if TYPE_CHECKING:
    from ccp2p.attestation.platforms.readiness import Check
    from ccp2p.attestation.verdict import Verdict

_PROBE = b"ccp2p platform policy".ljust(64, b"\x00")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_TEES = ("sev-snp", "tdx", "sgx", "aws-nitro", "arm-cca", "simulated")

_endorsement = click.option(
    "--endorsement",
    "endorsements",
    type=_FILE,
    multiple=True,
    help="A certificate, chain, revocation list or collateral. Give it as often as needed.",
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


@click.group()
def platform() -> None:
    """Look at the TEE of this machine."""


@platform.command()
@_json
def info(as_json: bool) -> None:
    """Say which TEE this machine offers, and by which interfaces."""
    from ccp2p.attestation.platforms.detection import open_platform, present

    found = present()
    tee, sealing, problem = None, False, ""
    if found:
        try:
            opened = open_platform()
            tee, sealing = opened.tee, opened.sealing_key(b"platform info") is not None
        except Fault as fault:
            problem = str(fault)
    if as_json:
        emit(
            {
                "schema": "platform/1",
                "tee": tee,
                "interfaces": list(found),
                "sealing_key": sealing,
                "problem": problem or None,
            }
        )
        return
    echo(f"TEE           {tee or 'none'}")
    echo(f"interfaces    {', '.join(found) or 'none'}")
    echo(f"sealing key   {'yes' if sealing else 'no'}")
    if problem:
        say(f"problem: {problem}")
    elif tee is None:
        say("without a TEE a node can only be simulated, which is NOT confidential")


@platform.command()
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="The folder that the node will keep its data in; here when not given.",
)
@click.option("--policy", "policy_file", type=_FILE, help="The network's policy.")
@_endorsement
@_json
def check(
    data: Path, policy_file: Path | None, endorsements: tuple[Path, ...], as_json: bool
) -> None:
    """Check that this machine can run a confidential node; exit 1 when something is missing."""
    import time

    from ccp2p.attestation.inputs import read_endorsement, read_file
    from ccp2p.attestation.platforms.readiness import check_platform
    from ccp2p.cli.verify_evidence import read_policy

    try:
        policy = read_policy(policy_file)
    except MemberFault as fault:
        fail(fault)
    parts = tuple(read_endorsement(read_file(path)) for path in endorsements)
    checks = check_platform(data, policy, int(time.time()), endorsements=parts)
    if as_json:
        emit({"schema": "platform-check/1", "checks": [found._asdict() for found in checks]})
    else:
        _print_checks(checks)
    if not all(found.good for found in checks if found.name != "sealing key"):
        raise SystemExit(EXIT_FAILED)


@platform.command()
@click.argument("evidence", type=_FILE, required=False)
@click.option("--tee", type=click.Choice(_TEES), help="What made it; detected when not given.")
@_endorsement
@click.option("--platform-key", type=_FILE, help="An Arm CCA platform key to trust.")
@click.option("--at", metavar="RFC3339", help="The time to judge for; now when not given.")
def policy(
    evidence: Path | None,
    tee: str | None,
    endorsements: tuple[Path, ...],
    platform_key: Path | None,
    at: str | None,
) -> None:
    """Draft a policy that accepts what EVIDENCE shows, and print it.

    Without EVIDENCE it is taken from the TEE of this machine, so the policy accepts this program.
    """
    import time

    from ccp2p.attestation.draft import draft_policy, judge
    from ccp2p.attestation.inputs import read_endorsement, read_evidence, read_file
    from ccp2p.attestation.platform_key import read_platform_key
    from ccp2p.attestation.platforms.detection import open_platform
    from ccp2p.attestation.samples import parse_time

    try:
        keys = (read_platform_key(read_file(platform_key)),) if platform_key else ()
        moment = parse_time(at) if at else int(time.time())
        parts = tuple(read_endorsement(read_file(path)) for path in endorsements)
        if evidence is not None:
            raw = read_evidence(read_file(evidence))
        else:
            bundle = open_platform(endorsements=parts).bundle(_PROBE)
            tee, raw, parts = bundle.tee, bundle.evidence, bundle.endorsements
    except Fault as fault:
        fail(fault)
    verdict = judge(raw, parts, moment, tee, keys)
    made_ms = dict(verdict.tcb).get("timestamp_ms")
    if at is None and isinstance(made_ms, int):
        # A Nitro document is good for hours; what program it is of does not change after that.
        verdict = judge(raw, parts, made_ms // 1000, tee, keys)
    if verdict.status == "reject":
        _say_unverified(verdict, bool(parts or keys))
    echo(draft_policy(verdict, keys), nl=False)


def _say_unverified(verdict: "Verdict", endorsed: bool) -> None:
    """Warn, or end where the evidence is unreadable or false and not just lacks endorsements."""
    for reason in verdict.reasons:
        say(f"  - {reason}")
    lacking = verdict.tee in ("sev-snp", "arm-cca") and not endorsed
    if not verdict.measurement or not verdict.tcb or not lacking:
        say("no policy can accept this evidence")
        raise SystemExit(EXIT_ATTESTATION)
    say("NOT VERIFIED: give its endorsements (--endorsement, --platform-key) to be sure of it")


def _print_checks(checks: "list[Check]") -> None:
    for found in checks:
        echo(f"{'ok  ' if found.good else 'MISS'}  {found.name:<12} {found.found}")
        if not found.good:
            echo(f"      {'':<12} fix: {found.fix}")
