"""H4: the verbs, as far as they need no cluster: words and exit codes."""

from pathlib import Path

import pytest

from mesh.cli.main import main
from tests.canary.test_rollout import DEMOS, GOOD

pytestmark = pytest.mark.behaviour("H4")


def code_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["canary", *arguments])
    return int(end.value.code or 0)


def test_a_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("plan", "-f", str(DEMOS / "good.yaml")) == 0
    out = capsys.readouterr().out
    assert "weight 50" in out
    assert "pause 1 s" in out


def test_a_plan_with_too_little_load_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "it.yaml"
    file.write_text(GOOD)
    assert code_of("plan", "-f", str(file)) == 1
    assert "step 1: about 100 requests of the canary are too few: 20 for minimumRequests, 149 for" in (
        capsys.readouterr().out
    )


def test_a_plan_with_too_early_a_deadline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "it.yaml"
    file.write_text((DEMOS / "good.yaml").read_text().replace("deadline: 5m", "deadline: 9s"))
    assert code_of("plan", "-f", str(file)) == 1
    assert "the steps last 19 s, and the deadline is over after 9 s; raise spec.deadline" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_faults_of_a_file_are_wrong_usage(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "it.yaml"
    file.write_text(GOOD.replace("weight: 10", "wieght: 10"))
    assert code_of(verb, "-f", str(file)) == 2
    err = capsys.readouterr().err
    assert f"{file}:16): spec.steps[0].wieght: there is no such field; did you mean weight?" in err
    assert "Traceback" not in err


def test_no_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "it.yaml"
    file.write_text(GOOD)
    assert code_of("run", "-f", str(file), "--kubeconfig", str(tmp_path / "none")) == 3
    assert "does not exist" in capsys.readouterr().err
