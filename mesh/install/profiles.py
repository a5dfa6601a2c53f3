"""How the control plane is spread over processes: the profiles of `meshctl install`."""

from dataclasses import dataclass

PILOT = "istio-pilot"
DEFAULT = "compact"
LABEL = "install.meshwright.dev/profile"
"""On the mesh's namespace: the profile that is installed."""
ABSORBED = ("citadel", "galley", "injector")
"""The components that Pilot's process takes in where all run together."""
OF_A_PROCESS = {"Deployment": "apps/v1", "PodDisruptionBudget": "policy/v1", "ServiceAccount": "v1"}
"""Kinds of objects that only a component with a process of its own needs, with their versions."""


class UnknownProfile(Exception):
    """There is no such profile."""

    def __init__(self, profile: str) -> None:
        super().__init__(f"there is no profile {profile!r}")
        self.remedy = f"use one of: {', '.join(PROFILES)}"


@dataclass(frozen=True, slots=True)
class Profile:
    """`together`: one process is the whole control plane, and Pilot's account does everybody's work."""

    name: str
    together: bool

    def account(self, component: str) -> str:
        """The account, and the label `app`, of the Pods that do a component's work."""
        own = {"injector": "istio-sidecar-injector"}.get(component, f"istio-{component}")
        return PILOT if self.together and component in ABSORBED else own

    def needs(self, component: str, kind: str) -> bool:
        """Whether a component's object of some kind is part of the installation."""
        return not (self.together and component in ABSORBED and kind in OF_A_PROCESS)


PROFILES = {
    each.name: each for each in (Profile("compact", together=True), Profile("classic", together=False))
}


def profile_of(name: str) -> Profile:
    """The profile of that name; `UnknownProfile` names those that there are."""
    try:
        return PROFILES[name]
    except KeyError:
        raise UnknownProfile(name) from None
