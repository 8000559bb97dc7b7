"""`python -m tools campaigns`: campaigns in files, from the first draft to another installation."""

import asyncio
import json
import re
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from tessera.promotions.v1 import campaign_pb2, program_pb2

from services.promotions import text
from services.promotions.text import references, scalars
from services.promotions.text.words import Unit
from tools.campaigns import comparing, installation, sources
from tools.campaigns.comparing import Kind
from tools.campaigns.installation import Difference, ProgramDifference

T = TypeVar("T")
app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")

TEMPLATES = Path(text.__file__).parent.parent / "templates"
_TEMPLATES_CURRENCY = "USD"
_SIGNS = {Kind.NEW: "+", Kind.CHANGED: "~", Kind.WAITING: "…", Kind.SAME: "="}

Files = Annotated[
    list[Path],
    typer.Argument(help="Files of campaigns and programs, or folders of them.", exists=True),
]
Comment = Annotated[str, typer.Option(help="Why; kept in the history of each campaign.")]


@app.callback()
def campaigns() -> None:
    """Write campaigns and programs as files, try them, and bring them into an installation.

    Each is known by its name in the file, in every installation.
    """


@app.command()
def validate(files: Files) -> None:
    """Check files as an installation would, without one.

    Prints `file:line:column: place: problem` for each problem, and fails if there is one.
    """
    found = _read(files)
    campaigns, programs = sources.campaigns_of(found), sources.programs_of(found)
    counted = f"{len(campaigns)} campaigns"
    if programs:
        counted += f" and {len(programs)} programs"
    typer.echo(f"{counted} in {len(found)} files are sound")


@app.command()
def test(files: Files) -> None:
    """Run the trials that stand beside campaigns, with the engine that tills get answers from.

    Fails when a cart does not get what its trial expects, and says what it gets instead.
    """
    found = _read(files)
    everything = sources.campaigns_of(found)
    failures = [failure for one in found for failure in sources.run_trials(one, everything)]
    for failure in failures:
        typer.echo(f"{failure.source.path}:{failure.test.line}: {failure.test.trial.name}")
        for difference in failure.differences:
            typer.echo(f"    {difference}")
    count = sum(len(one.document.tests) for one in found)
    typer.echo(f"{count - len(failures)} of {count} trials turned out as expected")
    if failures:
        raise typer.Exit(1)


@app.command()
def diff(
    files: Files,
    gateway: installation.Gateway = "",
    client: installation.Client = "admin",
    secret_file: installation.SecretFile = None,
) -> None:
    """Show what an installation has otherwise than the files.

    Ends with 0 when everything is live there as it is here, with 1 when something is not.
    """
    found = _read(files)
    address = installation.find(gateway, client, secret_file)
    plan = _run(_compare(found, address))
    _show(plan.campaigns, whole=True)
    _show(plan.programs, whole=True)
    for campaign in plan.other_campaigns:
        typer.echo(f"  {campaign.key}: only there, {comparing.show_state(campaign)}")
    for program in plan.other_programs:
        typer.echo(f"  {program.key}: only there, {comparing.show_program(program)}")
    if any(one.kind is not Kind.SAME for one in plan.everything):
        raise typer.Exit(1)


@app.command()
def apply(
    files: Files,
    gateway: installation.Gateway = "",
    client: installation.Client = "admin",
    secret_file: installation.SecretFile = None,
    submit: Annotated[bool, typer.Option(help="Hand drafts in for review.")] = False,  # noqa: FBT002  options of typer
    publish: Annotated[bool, typer.Option(help="Put them live, all in one rule set.")] = False,  # noqa: FBT002
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,  # noqa: FBT002
    comment: Comment = "",
) -> None:
    """Bring an installation to what the files say; doing it again does nothing.

    Writes new campaigns and new versions as drafts. With `--submit` it hands them in for review,
    with `--publish` it puts what is written or approved live. Programs know no drafts, so they are
    written with `--publish`, too, after the campaigns. What is only there stays as it is.
    """
    found = _read(files)
    address = installation.find(gateway, client, secret_file)
    plan = _run(_compare(found, address))
    _show(plan.campaigns, whole=False)
    _show(plan.programs, whole=False)
    work = [one for one in plan.campaigns if one.kind in {Kind.NEW, Kind.CHANGED}]
    waiting = [one for one in plan.campaigns if one.kind is Kind.WAITING]
    promised = [one for one in plan.programs if one.kind is not Kind.SAME]
    if promised and not publish:
        typer.echo("programs work at once: they are written with --publish")
    if not work and not (waiting and (submit or publish)) and not (promised and publish):
        typer.echo("nothing to do")
        return
    if not yes:
        typer.confirm("go on?", abort=True)
    currency = sources.currency_of(found)
    _run(_apply(plan, address, currency, comment, submit=submit, publish=publish))


@app.command()
def export(
    gateway: installation.Gateway = "",
    client: installation.Client = "admin",
    secret_file: installation.SecretFile = None,
    output: Annotated[Path | None, typer.Option(help="The file to write; else print it.")] = None,
    live: Annotated[bool, typer.Option(help="The live versions, not the newest.")] = False,  # noqa: FBT002  options of typer
    key: Annotated[list[str] | None, typer.Option(help="Only campaigns of this name.")] = None,
    currency: Annotated[str, typer.Option(help="Instead of the one of its stores.")] = "",
    programs: Annotated[bool, typer.Option(help="Its live programs, too.")] = True,  # noqa: FBT002
) -> None:
    """Write the campaigns and programs of an installation as a file.

    What has no name and local campaigns are left out: no file could find them again.
    """
    address = installation.find(gateway, client, secret_file)
    written, left_out = _run(_export(address, key or [], currency, live=live, programs=programs))
    if output is None:
        typer.echo(written, nl=False)
    else:
        output.write_text(written, encoding="utf-8")
    if left_out:
        typer.echo(f"{left_out} without a name were left out", err=True)


@app.command()
def new(
    template: Annotated[str, typer.Argument(help="Which one; without it they are listed.")] = "",
    output: Annotated[Path | None, typer.Option(help="The file to write; else print it.")] = None,
    currency: Annotated[str, typer.Option(help="The currency of the program.")] = "USD",
) -> None:
    """Begin a file from a template that comes with the platform, trials included."""
    known = {path.stem: path for path in sorted(TEMPLATES.glob("*.yaml"))}
    if not template:
        for name, path in known.items():
            summary = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
            typer.echo(f"{name:24}{summary}")
        return
    if template not in known:
        raise typer.BadParameter(f"known are {', '.join(known)}", param_hint="TEMPLATE")
    written = _in_currency(known[template].read_text(encoding="utf-8"), currency)
    if output is None:
        typer.echo(written, nl=False)
    elif output.exists():
        raise typer.BadParameter(f"{output} exists", param_hint="--output")
    else:
        output.write_text(written, encoding="utf-8")


def _in_currency(template: str, currency: str) -> str:
    """Return a template with its amounts, as many minor units each, in another currency."""

    def convert(found: re.Match[str]) -> str:
        minor = scalars.read_number(found[0], Unit.MONEY, _TEMPLATES_CURRENCY)
        return scalars.write_number(minor, Unit.MONEY, currency)

    amounts = re.sub(rf"\d+(?:\.\d+)? {_TEMPLATES_CURRENCY}", convert, template)
    return amounts.replace(_TEMPLATES_CURRENCY, currency)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the files, for editors that complete and check while one types."""
    typer.echo(json.dumps(text.make_schema(), indent=2, ensure_ascii=False))


def _read(files: Iterable[Path]) -> list[sources.Source]:
    """Return sound files; else print what is wrong and end."""
    try:
        found = sources.read(files)
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(str(error), param_hint="FILES") from None
    problems = list(sources.find_problems(found))
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(1)
    for warning in sources.find_warnings(found):
        typer.echo(warning, err=True)
    return found


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except installation.Refused as refusal:
        for line in (str(refusal), *getattr(refusal, "__notes__", ())):
            typer.echo(line, err=True)
        raise typer.Exit(1) from None


@contextmanager
def _leaving(left: Sequence[str], state: str) -> Iterator[None]:
    """Add to a refusal what has come no further because of it; what was done before stays."""
    try:
        yield
    except installation.Refused as refusal:
        refusal.add_note(f"{state}: {', '.join(left)}; applying again goes on from here")
        raise


@dataclass(frozen=True)
class _Plan:
    """How files stand to an installation."""

    campaigns: Sequence[Difference]
    programs: Sequence[ProgramDifference]
    other_campaigns: Sequence[campaign_pb2.Campaign]
    other_programs: Sequence[program_pb2.Program]

    @property
    def everything(self) -> list[Difference | ProgramDifference]:
        return [*self.campaigns, *self.programs]


async def _compare(found: Sequence[sources.Source], address: installation.Address) -> _Plan:
    """Return how each campaign and program of the files stands there, and what is only there.

    Whose files have no programs needs no right to read them.
    """
    here, promised = sources.campaigns_of(found), sources.programs_of(found)
    async with installation.connect(address) as there:
        known = comparing.latest(await there.list())
        listed = await there.list_programs() if promised else []
    programs = {one.key: one for one in listed if one.key}
    currency = sources.currency_of(found)
    return _Plan(
        comparing.compare(here, known, currency=currency),
        comparing.compare_programs(promised, programs, known, currency=currency, named=here),
        [one for key, one in sorted(known.items()) if key not in here],
        [one for key, one in sorted(programs.items()) if key not in promised],
    )


def _show(differences: Iterable[Difference | ProgramDifference], *, whole: bool) -> None:
    for one in differences:
        state = f", {one.state}" if one.state else ""
        typer.echo(f"{_SIGNS[one.kind]} {one.key}: {one.kind.value}{state}")
        if one.kind is Kind.CHANGED or (whole and one.kind is Kind.NEW):
            for line in one.lines:
                typer.echo(f"    {line}")


async def _apply(
    plan: _Plan,
    address: installation.Address,
    currency: str,
    comment: str,
    *,
    submit: bool,
    publish: bool,
) -> None:
    draft, differences = campaign_pb2.CAMPAIGN_STATE_DRAFT, plan.campaigns
    async with installation.connect(address) as there:
        wanted = [one for one in differences if one.kind is not Kind.SAME]
        ended = {one.key: one.campaign_id for one in reversed(await there.list())}
        written, order = [], [*_in_order(wanted)]
        ids = {
            references.placeholder(one.key): one.there.campaign_id
            for one in differences
            if one.there is not None
        }
        for place, one in enumerate(order):
            with _leaving(
                [later.key for later in order[place:]], "not written, and nothing was put live"
            ):
                resolved = replace(one, rules=references.replace(one.rules, ids))
                campaign = await there.write(
                    resolved, currency=currency, comment=comment, after=ended.get(one.key, "")
                )
                ids[references.placeholder(one.key)] = campaign.campaign_id
                if one.kind is not Kind.WAITING:
                    typer.echo(f"{one.key}: version {campaign.version} is written")
                if submit and campaign.state == draft:
                    campaign = await there.submit(campaign, comment=comment)
                    typer.echo(f"{one.key}: version {campaign.version} is in review")
                written.append(campaign)
        if publish and written:
            with _leaving([one.key for one in written], "written and not live"):
                version = await there.publish(written, comment=comment)
            typer.echo(f"{len(written)} campaigns are live in rule set {version}")
        promised = [one for one in plan.programs if publish and one.kind is not Kind.SAME]
        for place, promise in enumerate(promised):
            with _leaving([later.key for later in promised[place:]], "not written"):
                ready = replace(promise, rules=references.replace(promise.rules, ids))
                program = await there.write_program(ready, currency=currency, comment=comment)
            typer.echo(f"{promise.key}: {comparing.show_program(program)}")


def _in_order(wanted: Sequence[Difference]) -> Iterator[Difference]:
    """Return campaigns after those that they name: an id is there once a campaign is written."""
    waiting = {references.placeholder(one.key): one for one in wanted}
    while waiting:
        ready = [one for one in waiting.values() if not references.find(one.rules) & set(waiting)]
        # Campaigns that name each other have no order; the installation has the last word.
        for one in ready or list(waiting.values()):
            del waiting[references.placeholder(one.key)]
            yield one


async def _export(
    address: installation.Address,
    keys: Sequence[str],
    currency: str,
    *,
    live: bool,
    programs: bool,
) -> tuple[str, int]:
    async with installation.connect(address) as there:
        found = await there.list(keys)
        known = comparing.latest(found)
        currency = currency or await there.find_currency()
        if not currency:
            raise typer.BadParameter("there is no store yet", param_hint="--currency")
        rules = {}
        for key, one in sorted(known.items()):
            if not live:
                rules[key] = one.rules
            elif one.live_version:
                rules[key] = await there.rules_of(one, one.live_version)
        listed = await there.list_programs() if programs else []
    promised = {one.key: one.rules for one in listed if one.key and (not keys or one.key in keys)}
    ended = campaign_pb2.CAMPAIGN_STATE_ENDED
    unnamed = sum(not one.key and one.state != ended for one in found)
    unnamed += sum(not one.key for one in listed)
    names = {one.campaign_id: key for key, one in known.items()}
    written = text.dump(
        rules, programs=dict(sorted(promised.items())), currency=currency, names=names
    )
    return written, unnamed
