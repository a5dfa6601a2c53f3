"""`meshctl canary`: run a rollout file, plan it, or roll back what one has left."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli.errors import CommandError
from mesh.cli.options import KubeconfigOption, NamespaceOption

if TYPE_CHECKING:
    from loadtests.canary.rollout import Rollout
    from loadtests.canary.verdicts import Result
    from pytest_mesh.mesh import Mesh

app = typer.Typer(
    no_args_is_help=True,
    help="Roll a version out step by step under load, judged at each step. A rollout is a file; examples and "
    "all fields: loadtests/rollouts.",
)
FileOption = Annotated[Path, typer.Option("--filename", "-f", metavar="FILE", help="The rollout file.")]


@app.command()
def run(
    file: FileOption,
    report: Annotated[
        Path, typer.Option("--report", metavar="FOLDER", help="Where to write HTML, JSON and JUnit.")
    ] = Path("canary-report"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check all, show what would be done, change nothing.")
    ] = False,
    url: Annotated[str, typer.Option("--url", help="Where the load goes, in the place of the file's.")] = "",
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Carry out a rollout. Ctrl-C rolls it back.

    Each step is in force before it is judged; only the last one's pass promotes. Everything else rolls back:
    weight 0 in force, shown by traffic, the rule as it was.

    \b
    Exit codes:
      0    promoted
      1    failed, rolled back
      2    wrong usage, such as a file with faults
      3    no cluster
      4    error, rolled back
      5    inconclusive, rolled back
      6    not rolled back: see 'meshctl canary abort'
      130  interrupted, rolled back
    """
    rollout = loaded(file)
    mesh = connect(kubeconfig)
    try:
        if dry_run:
            _dry(rollout, mesh, url)
            return
        result = _run(rollout, mesh, url, report)
    finally:
        close(mesh)
    raise typer.Exit(result.exit_code)


@app.command()
def plan(file: FileOption) -> None:
    """Show the steps, and whether the load is enough.

    Says how many requests to the canary the wanted certainty takes. Asks no cluster.
    Exits with 1 if a step's load cannot be enough, or the deadline is too early.
    """
    if not _print_plan(loaded(file)):
        raise typer.Exit(1)


@app.command()
def abort(
    name: Annotated[str, typer.Argument(metavar="VIRTUALSERVICE", help="The rule that is rolled out on.")],
    namespace: NamespaceOption = "default",
    url: Annotated[str, typer.Option("--url", help="Where the proof's load goes.")] = "",
    kubeconfig: KubeconfigOption = None,
) -> None:
    """End a running rollout, or clean up after a crashed one.

    It is rolled back by the journal that stands on its rule, as 'meshctl canary run' does it.
    """
    from loadtests.canary.engine import abort as roll_back
    from loadtests.canary.show import Show
    from loadtests.canary.signals import deferred

    show, mesh = Show(), connect(kubeconfig)
    try:
        with deferred(show.event):
            found = roll_back(mesh, namespace, name, show.event, url)
    finally:
        close(mesh)
    print("rolled back" if found else f"no rollout on VirtualService {namespace}/{name}: nothing to do")


def loaded(file: Path) -> "Rollout":
    """The rollout of a file; what is wrong with it is wrong usage, not a failed rollout."""
    from loadtests.canary.rollout import load_file
    from mesh.api.errors import ConfigError

    try:
        return load_file(file)
    except ConfigError as error:
        remedy = "mend the fields that are named, and check with 'meshctl canary plan'"
        raise CommandError(str(error), remedy=remedy, exit_code=2) from None


def connect(kubeconfig: Path | None) -> "Mesh":
    """The mesh of the cluster that a kubeconfig names; `HarnessError` or `NoCluster` if there is none."""
    from mesh.cli.platform import find_kubeconfig
    from pytest_mesh.clusters.kubeconfig import Existing
    from pytest_mesh.mesh import Mesh

    return Mesh(Existing(find_kubeconfig(kubeconfig)))


def close(mesh: "Mesh") -> None:
    """Let go of a mesh that `connect` gave."""
    mesh.close()
    mesh.cluster.stop()


def _run(rollout: "Rollout", mesh: "Mesh", url: str, folder: Path) -> "Result":
    from loadtests.canary.engine import Engine
    from loadtests.canary.report import write
    from loadtests.canary.show import Show

    show = Show()
    result = Engine(rollout, mesh, observer=show, url=url, confirm=_confirm).run()
    show.result(result)
    paths = write(result, folder)
    print(f"report: {paths['html']}")
    return result


def _dry(rollout: "Rollout", mesh: "Mesh", url: str) -> None:
    from loadtests.canary.engine import url_of
    from loadtests.canary.journal import Rule
    from loadtests.canary.preflight import check, doubts
    from loadtests.canary.route import in_step

    spec, weight = Rule(mesh.api, rollout.namespace, rollout.spec.virtual_service).find()["spec"], 0
    check(mesh.api, rollout, spec)
    for number, step in enumerate(rollout.spec.steps, 1):
        made = in_step(spec, rollout, step, weight)
        weight = step.weight if step.weight is not None else weight
        rule = f"VirtualService {rollout.namespace}/{rollout.spec.virtual_service}"
        print(f"# step {number}: {step.title}; {rule}")
        print(_yaml({"spec": made}), end="---\n")
    print(f"# load: {rollout.spec.load.schedule} to {url or url_of(rollout, mesh)}")
    for words in doubts(rollout, spec):
        print(f"# note: {words}")
    _print_plan(rollout)


def _yaml(value: object) -> str:
    """Without YAML's anchors, which people would have to follow."""
    import yaml

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    return yaml.dump(value, Dumper=Plain, sort_keys=False)


def _print_plan(rollout: "Rollout") -> bool:
    from rich.console import Console

    from loadtests.canary.plan import plan as planned
    from loadtests.canary.show import plan_table

    steps, console = planned(rollout), Console(highlight=False)
    console.print(plan_table(steps))
    lasting, deadline = sum(step.seconds for step in steps), rollout.spec.deadline
    if lasting > deadline:
        words = f"the steps last {lasting:g} s, and the deadline is over after {deadline:g} s"
        console.print(f"{words}; raise spec.deadline", soft_wrap=True)
    for number, step in enumerate(steps, 1):
        if not step.enough:
            console.print(
                f"step {number}: about {step.longest:.0f} requests of the canary are too few: "
                f"{', '.join(step.reasons)}; raise spec.load.schedule, the weight or the hold",
                soft_wrap=True,
            )
    return lasting <= deadline and all(step.enough for step in steps)


def _confirm(question: str) -> bool:
    try:
        return typer.confirm(question, default=True, err=True)
    except typer.Abort:  # nobody there to answer
        return False
