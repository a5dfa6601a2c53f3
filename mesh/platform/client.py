"""A client of the Kubernetes API, from inside the cluster or by a kubeconfig."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any


class NoPlatform(Exception):
    """There is no Kubernetes to read: neither inside a cluster nor by a kubeconfig."""


@asynccontextmanager
async def connect(kubeconfig: Path | None = None) -> AsyncIterator[Any]:
    """The `kubernetes.aio` ApiClient, closed at the end; raises `NoPlatform` with the reason."""
    from kubernetes.aio import client, config

    loaders: Any = config  # the library's own annotations stop here
    configuration = client.Configuration()
    try:
        if kubeconfig is None:
            loaders.load_incluster_config(client_configuration=configuration)
        else:
            await loaders.load_kube_config(str(kubeconfig), client_configuration=configuration)
    except config.ConfigException as error:
        raise NoPlatform(f"cannot read the Kubernetes API's address: {error}") from None
    async with client.ApiClient(configuration) as api:
        yield api
