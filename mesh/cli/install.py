"""`meshctl install` and `uninstall`: the mesh's Kubernetes objects, put in place or taken away."""

import sys
from typing import Annotated

import typer

from mesh.cli.options import ContextOption, KubeconfigOption
from mesh.cli.platform import Platform

ProfileOption = Annotated[
    str, typer.Option("--profile", metavar="NAME", help="Which arrangement of components.")
]


def install(
    profile: ProfileOption = "compact",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the manifests and change nothing.")
    ] = False,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Install or upgrade the mesh in a cluster, and wait until it is ready."""
    from mesh.install.apply import install as bring
    from mesh.install.manifests import render

    objects = render(profile=profile)
    if dry_run:
        import yaml

        yaml.safe_dump_all(objects, sys.stdout, sort_keys=False)
        return
    bring(
        Platform.connect(kubeconfig, context).client,
        objects,
        progress=lambda line: print(line, file=sys.stderr),
    )
    print("the mesh is installed")


def uninstall(
    profile: ProfileOption = "compact", kubeconfig: KubeconfigOption = None, context: ContextOption = None
) -> None:
    """Remove what `install` brought, and nothing else."""
    from mesh.install.apply import uninstall as remove
    from mesh.install.manifests import render

    client = Platform.connect(kubeconfig, context).client
    remove(client, render(profile=profile), progress=lambda line: print(line, file=sys.stderr))
    print("the mesh is gone")
