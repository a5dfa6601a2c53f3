"""`meshctl install` and `uninstall`: the mesh's Kubernetes objects, put in place or taken away."""

import sys
from typing import Annotated

import typer

from mesh.cli.options import ContextOption, KubeconfigOption
from mesh.cli.platform import Platform

ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="compact|classic",
        help="One process, or a Deployment a component; by default what is installed, or compact.",
    ),
]


def install(
    profile: ProfileOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the manifests and change nothing.")
    ] = False,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Install or upgrade the mesh in a cluster, and wait until it is ready."""
    from mesh.install.apply import install as bring
    from mesh.install.apply import installed_profile
    from mesh.install.manifests import render
    from mesh.install.profiles import DEFAULT
    from mesh.install.telemetry import telemetry_rules

    if dry_run:
        import yaml

        yaml.safe_dump_all([*render(profile or DEFAULT), *telemetry_rules()], sys.stdout, sort_keys=False)
        return
    client = Platform.connect(kubeconfig, context).client
    objects = render(profile or installed_profile(client))
    bring(client, objects, telemetry_rules(), progress=lambda line: print(line, file=sys.stderr))
    print("the mesh is installed")


def uninstall(
    profile: ProfileOption = None, kubeconfig: KubeconfigOption = None, context: ContextOption = None
) -> None:
    """Remove what `install` brought, and nothing else."""
    from mesh.install.apply import installed_profile
    from mesh.install.apply import uninstall as remove
    from mesh.install.manifests import render
    from mesh.install.telemetry import telemetry_rules

    client = Platform.connect(kubeconfig, context).client
    objects = [*render(profile or installed_profile(client)), *telemetry_rules()]
    remove(client, objects, progress=lambda line: print(line, file=sys.stderr))
    print("the mesh is gone")
