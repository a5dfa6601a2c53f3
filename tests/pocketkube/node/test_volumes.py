"""Projected files: their content, and that they change all at once."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from pocketkube.node.volumes import atomic, payload
from pocketkube.node.volumes.atomic import File
from pocketkube.node.volumes.payload import Origin, VolumeError
from pocketkube.node.volumes.pod import PodVolumes

pytestmark = pytest.mark.behaviour("H1")

OBJECTS: dict[tuple[str, str], dict[str, Any]] = {
    ("configmaps", "settings"): {
        "kind": "ConfigMap",
        "data": {"a": "1", "b": "2"},
        "binaryData": {"c": base64.b64encode(b"\xff").decode()},
    },
    ("secrets", "keys"): {"kind": "Secret", "data": {"tls.crt": base64.b64encode(b"crt").decode()}},
}


def pod(*volumes: dict[str, Any], **security: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"volumes": list(volumes), "securityContext": security, "containers": []}
    return {"metadata": {"name": "p", "namespace": "n", "labels": {"app": "x"}}, "spec": spec}


def origin(for_pod: dict[str, Any] | None = None) -> Origin:
    return Origin(
        pod=for_pod or pod(),
        read=lambda resource, name: OBJECTS.get((resource, name)),
        mint=lambda audience, seconds: f"token for {audience or 'api'}, {seconds} s",
        capacity={},
    )


def contents(files: payload.Files) -> dict[str, bytes]:
    return {name: file.content for name, file in files.items()}


def test_files_change_by_one_rename(tmp_path: Path) -> None:
    assert atomic.write(tmp_path, {"a": File(b"1"), "dir/b": File(b"2")})
    assert str((tmp_path / "a").readlink()) == "..data/a"
    assert str((tmp_path / "dir").readlink()) == "..data/dir"
    before = str((tmp_path / "..data").readlink())
    assert not atomic.write(tmp_path, {"a": File(b"1"), "dir/b": File(b"2")}), "nothing new"
    assert atomic.write(tmp_path, {"a": File(b"3")})
    assert str((tmp_path / "..data").readlink()) != before
    assert (tmp_path / "a").read_bytes() == b"3"
    assert sorted(entry.name for entry in tmp_path.iterdir() if not entry.name.startswith("..")) == ["a"]
    assert not (tmp_path / before).exists()


def test_config_maps_and_secrets() -> None:
    whole = payload.files({"configMap": {"name": "settings"}}, origin())
    assert contents(whole) == {"a": b"1", "b": b"2", "c": b"\xff"}
    chosen = {"name": "settings", "items": [{"key": "a", "path": "x/y", "mode": 0o400}]}
    assert payload.files({"configMap": chosen}, origin()) == {"x/y": File(b"1", 0o400)}
    secret = payload.files({"secret": {"secretName": "keys", "defaultMode": 0o440}}, origin())
    assert secret == {"tls.crt": File(b"crt", 0o440)}


def test_projected_sources_together() -> None:
    sources = [
        {"serviceAccountToken": {"path": "token", "audience": "istio-ca", "expirationSeconds": 600}},
        {"secret": {"name": "keys"}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    ]
    volume = {"projected": {"sources": sources, "defaultMode": 0o444}}
    files = payload.files(volume, origin())
    assert contents(files) == {"token": b"token for istio-ca, 600 s", "tls.crt": b"crt", "labels": b'app="x"'}
    assert files["labels"].mode == 0o444
    assert payload.token_seconds(volume) == 600
    assert list(payload.references(volume)) == [("secrets", "keys")]


def test_a_token_belongs_to_the_uid_that_all_containers_share() -> None:
    volume = {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    alone = pod(runAsUser=1337)
    alone["spec"]["containers"] = [{"name": "a"}]
    token = payload.files(volume, origin(alone))["token"]
    assert (token.mode, token.uid) == (0o600, 1337)
    assert payload.files(volume, origin(pod(fsGroup=5)))["token"].mode == 0o640


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "no"}}, 'configmap "no" not found'),
        ({"configMap": {"name": "settings", "items": [{"key": "z", "path": "z"}]}}, "has no key 'z'"),
        ({"persistentVolumeClaim": {"claimName": "x"}}, "'persistentVolumeClaim' are not offered"),
        ({"hostPath": {"path": "/does/not/exist"}}, "does not exist"),
    ],
)
def test_what_cannot_be_mounted_is_named(tmp_path: Path, volume: dict[str, Any], message: str) -> None:
    made = PodVolumes(tmp_path, pod({"name": "data", **volume}))
    with pytest.raises(VolumeError, match=message) as caught:
        made.prepare(origin())
    assert 'volume "data"' in str(caught.value)


def test_optional_sources_may_be_missing() -> None:
    assert payload.files({"configMap": {"name": "no", "optional": True}}, origin()) == {}


def test_mounts_of_a_container(tmp_path: Path) -> None:
    volumes = [{"name": "config", "configMap": {"name": "settings"}}, {"name": "work", "emptyDir": {}}]
    made = PodVolumes(tmp_path, pod(*volumes, fsGroup=77))
    made.prepare(origin())
    container = {
        "volumeMounts": [
            {"name": "work", "mountPath": "/work/", "subPathExpr": "$(POD)"},
            {"name": "config", "mountPath": "/etc/config"},
        ]
    }
    assert made.mounts(container, {"POD": "p"}) == [
        [str(tmp_path / "config"), "/etc/config", True],
        [str(tmp_path / "work" / "p"), "/work", False],
    ]
    assert (tmp_path / "work").stat().st_gid == 77
    assert (tmp_path / "work").stat().st_mode & 0o7777 == 0o2777


def test_a_sub_path_stays_in_its_volume(tmp_path: Path) -> None:
    made = PodVolumes(tmp_path, pod({"name": "work", "emptyDir": {}}))
    made.prepare(origin())
    mount = {"volumeMounts": [{"name": "work", "mountPath": "/a", "subPath": "../../etc"}]}
    with pytest.raises(VolumeError, match="leads out"):
        made.mounts(mount, {})
