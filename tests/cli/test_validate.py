"""G1: `meshctl validate` says of files what would be refused, where, and what to write instead."""

import json
from pathlib import Path

import pytest

from mesh.cli.main import main

pytestmark = pytest.mark.behaviour("S3", "G1", "W6")

SEED = """\
apiversion: v1
kind: Service
metadata: {name: forecast}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: forecast}
spec:
  ports:
    - port: 3002
      tagetPort: 3002
---
apiVersion: app/v1
kind: Deployment
metadata: {name: forecast}
---
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata:
  name: forecast
  spec:
    host: forecast
"""
"""What every beginner mistypes, in one file."""

GOOD = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: forecast}
spec: {host: forecast}
"""


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["validate", *arguments])
    captured = capsys.readouterr()
    return int(str(ended.value.code)), captured.out, captured.err


def written(folder: Path, text: str, name: str = "rules.yaml") -> str:
    file = folder / name
    file.write_text(text)
    return str(file)


def test_a_good_file_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "-f", written(tmp_path, GOOD)) == (0, "1 object checked: all are valid\n", "")


def test_what_every_beginner_mistypes_is_refused_with_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, SEED)
    code, out, err = run(capsys, "-f", file)
    assert (code, out) == (1, "4 objects checked: 4 would be refused\n")
    assert err.splitlines() == [
        f"{file}:1: error: Service default/forecast: apiversion:"
        " there is no such field, and apiVersion is missing",
        "  try: write apiVersion",
        f"{file}:12: error: Service default/forecast: spec.ports[0].tagetPort: there is no such field",
        "  try: did you mean targetPort?",
        f"{file}:14: error: Deployment default/forecast: apiVersion: 'app/v1' does not have Deployment",
        "  try: write apps/v1",
        f"{file}:22: error: DestinationRule default/forecast: metadata.spec: spec stands inside metadata",
        "  try: move it out, beside metadata",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("apiVersion: v1\nmetadata: {name: a}\n", "kind: is missing"),
        ("apiVersion: v1\nkind: Servic\nmetadata: {name: a}\n", "did you mean Service?"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: {a: b}}\n", "start each entry"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nstatsu: {}\n", "mean status?"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: 1}\n", "put the value in quotes"),
        ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: yes}\n",
         "write a whole number"),
        (GOOD.replace("spec:", "sepc:"), "did you mean spec?"),
        (GOOD.replace("name: forecast", "name: forecast, lables: {a: b}"), "did you mean labels?"),
        (GOOD.replace("DestinationRule", "DestinationRul"), "did you mean DestinationRule?"),
        (GOOD.replace("{host: forecast}", "[1]"), "spec"),
        ("a: [\n", "not YAML"),
        ("just words\n", "is no object"),
        ("\x00", "not YAML"),
        ("kind: List\nitems: &a [{kind: List, items: *a}]\n", ""),
        ("a: 2020-13-45\n", "not YAML"),
    ],
)  # fmt: skip
def test_each_fault_has_its_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    code, _, err = run(capsys, "-f", written(tmp_path, text))
    assert code == 1
    assert words in err
    assert "Traceback" not in err


def test_json_gives_every_field_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, GOOD.replace("host: forecast", "host: 'a b'"))
    code, out, _ = run(capsys, "-f", file, "-n", "weather", "-o", "json")
    (found,) = json.loads(out)
    (error,) = found["errors"]
    assert (code, found["namespace"], error["path"], error["origin"]) == (
        1,
        "weather",
        "spec.host",
        f"{file}:4",
    )


def test_folders_are_searched_and_doubts_are_no_refusal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, GOOD, "a.yml")
    written(tmp_path, "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\n", "b.yaml")
    written(tmp_path, "no manifest", "notes.txt")
    code, out, err = run(capsys, "-f", str(tmp_path))
    assert (code, out) == (0, "2 objects checked: all are valid\n")
    assert "b.yaml:2: warning: Thing default/a: kind: example.com/v1 Thing is not known here" in err


def test_a_file_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "-f", str(tmp_path / "none.yaml"))
    assert code == 1
    assert "cannot read" in err
    code, _, err = run(capsys, "-f", str(tmp_path))
    assert "there is no manifest in" in err
