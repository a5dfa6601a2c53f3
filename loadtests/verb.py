"""`meshctl load`: load on the running mesh, from here or a Pod; each generator a process of its own."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from mesh.cli.options import KubeconfigOption
from mesh.cli.platform import find_kubeconfig

app = typer.Typer(help="Load on the mesh: Locust, or requests by schedule.", no_args_is_help=True)

ASKED = "/api/weather"
HANDED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
FileOption = Annotated[
    str, typer.Option("--file", "-f", help="A Locust file: ours (http, grpc), or the path of yours.")
]
HostOption = Annotated[
    str | None,
    typer.Option("--host", metavar="URL", help="What to ask; else the ingress gateway of the running mesh."),
]
UsersOption = Annotated[int, typer.Option("--users", "-u", min=1, help="How many users there are at most.")]
SpawnOption = Annotated[
    float, typer.Option("--spawn-rate", "-r", min=0.01, help="How many users come in a second.")
]
SecondsOption = Annotated[int, typer.Option("--run-time", "-t", min=1, help="Seconds that it lasts.")]


@app.command(context_settings=HANDED_ON)
def run(
    context: typer.Context,
    file: FileOption = "http",
    host: HostOption = None,
    users: UsersOption = 10,
    spawn_rate: SpawnOption = 5.0,
    run_time: SecondsOption = 30,
    web: Annotated[bool, typer.Option("--web", help="Locust's web page (port 8089), till Ctrl-C.")] = False,
    csv: Annotated[
        str | None,
        typer.Option(
            "--csv",
            metavar="PREFIX",
            help="Locust's CSV files; the last second may be missing (in --json-file: not).",
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Locust's report.")] = None,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Run Locust against the gateway, headless or with its web page.

    Options that are not listed here are handed to Locust: --master, --worker, --processes, --web-port, ...
    Exits as Locust does: with 1 if a request failed.
    """
    from loadtests.locustfiles import locustfile

    path = locustfile(file)
    command = [sys.executable, "-m", "loadtests.locusts", "-f", str(path)]
    if csv:
        command += ["--csv", csv]
    if html:
        command += ["--html", str(html)]
    if "--worker" not in context.args:
        command += ["-u", str(users), "-r", f"{spawn_rate:g}"]
    if not web and "--worker" not in context.args:
        command += ["--headless", "--run-time", f"{run_time}s"]
    with asked(host, kubeconfig) as url:
        _leave_with([*command, "--host", url, *context.args])


@app.command(
    context_settings={**HANDED_ON, "help_option_names": []},
    help="Send requests when they are due, whether or not earlier ones were answered. The first word may be "
    f"what to ask (a path alone is asked of the gateway; {ASKED} if it is left out); then options as "
    "--schedule poisson:100 --duration 30. All of them: meshctl load openloop --help",
)
def openloop(context: typer.Context, kubeconfig: KubeconfigOption = None) -> None:
    """Run the open loop against the gateway, or against another URL."""
    command, (url, options) = [sys.executable, "-m", "loadtests.openloop"], url_first(context.args)
    if not url.startswith("/") or "--help" in options:
        _leave_with([*command, url, *options])
    with asked(None, kubeconfig) as host:
        _leave_with([*command, f"{host}{url}", *options])


def url_first(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """What to ask, and the generator's options.

    >>> url_first(["/x", "-d", "5"]), url_first(["-d", "5"])
    (('/x', ['-d', '5']), ('/api/weather', ['-d', '5']))
    """
    if words and not words[0].startswith("-"):
        return words[0], words[1:]
    return ASKED, words


@app.command(context_settings=HANDED_ON)
def job(
    context: typer.Context,
    file: FileOption = "http",
    host: Annotated[
        str, typer.Option("--host", metavar="URL", help="What to ask, as it is called in the cluster.")
    ] = "http://frontend:3000",
    users: UsersOption = 10,
    spawn_rate: SpawnOption = 5.0,
    run_time: SecondsOption = 30,
    workers: Annotated[
        int,
        typer.Option("--workers", min=0, help="Pods that do the asking for a master; 0: one Pod, no master."),
    ] = 0,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Of the Job.")] = "load",
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NAME", help="Where it runs.")
    ] = "weather",
    image: Annotated[
        str | None, typer.Option("--image", metavar="IMAGE", help="Has Python and Locust; else the demo's.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Start it, instead of printing it.")] = False,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Print the manifest of a Job that runs Locust in a Pod of the mesh, or start it.

    The Pod has a sidecar as any other, which leaves when Locust has ended, so that the Job ends. Options that
    are not listed here are handed to Locust.
    """
    from loadtests.job import Load, objects
    from loadtests.locustfiles import locustfile
    from weather.images import IMAGES

    made = objects(
        Load(
            name=name,
            namespace=namespace,
            image=image or next(iter(IMAGES)),
            locustfile=locustfile(file),
            host=host,
            users=users,
            spawn_rate=spawn_rate,
            seconds=run_time,
            workers=workers,
            arguments=context.args,
        )
    )
    if not apply:
        import yaml

        print(yaml.safe_dump_all(made, sort_keys=False), end="")
        return
    _start(made, find_kubeconfig(kubeconfig))
    print(f"Job {namespace}/{name} is started; it lasts about {run_time} s")
    print(f"  follow it:  kubectl -n {namespace} logs -f job/{name} -c locust")
    print(f"  remove it:  kubectl -n {namespace} delete job,configmap,service -l load={name}")


def _start(made: list[dict[str, object]], kubeconfig: Path) -> None:
    """Apply the objects; Jobs of that name are replaced, for what they ran cannot be changed."""
    from pytest_mesh.kube import Api

    api = Api(kubeconfig)
    try:
        for item in made:
            if item["kind"] == "Job":
                api.delete(item)
            api.apply(item)
    finally:
        api.close()


@contextmanager
def asked(host: str | None, kubeconfig: Path | None) -> Iterator[str]:
    """The given host, else the running mesh's gateway, reachable while the block runs."""
    from loadtests.gateway import gateway

    if host is not None:
        yield host
        return
    with gateway(find_kubeconfig(kubeconfig)) as url:
        yield url


def _leave_with(command: list[str]) -> None:
    """Run a generator and exit with its code."""
    from loadtests.process import run as run_process

    raise typer.Exit(run_process(command))
