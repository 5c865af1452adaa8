"""What a plain install lacks is asked for by name when it is needed, and by nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from smoothcert.errors import MissingDependencyError
from smoothcert.extras import import_optional
from smoothcert.runs import Record
from smoothcert.runs.config import RunConfig
from smoothcert.runs.store import RunStore
from synthetic_runs import synthetic_run

PLAIN = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""
ABSENT = ("matplotlib", "jinja2", "markupsafe", "sklearn", "datasets", "pandas", "s3fs")
CERTIFY = """
import torch
import smoothcert as sc

model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
g = sc.SmoothedClassifier(model, sigma=0.25, num_classes=3)
assert 0.0 <= g.certify(torch.rand(3, 2, 2), n0=50, n=200, alpha=0.01, seed=0).score.lower([0.1])[0] <= 1.0
"""
QUERY = """
from smoothcert.cli import main
main(["query", sys.argv[1], "--bound", "cdf,dual", "--format", "json"])
"""


def plain(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code where the packages of the extras cannot be imported."""
    text = PLAIN.format(absent=ABSENT) + code
    return subprocess.run([sys.executable, "-c", text, *arguments], capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = synthetic_run([(20.0, 1.0), (6.0, 1.0), (1.0, 9.0)])
    folder = tmp_path_factory.mktemp("plain") / "run"
    config: RunConfig = run.config
    with RunStore(folder, config) as store:
        for record in run.rows:
            assert isinstance(record, Record)
            store.append(record)
    return folder


def test_certifying_from_python_needs_no_extra() -> None:
    done = plain(CERTIFY)
    assert done.returncode == 0, done.stderr


def test_asking_a_stored_run_needs_no_extra(stored: Path) -> None:
    done = plain(QUERY, str(stored))
    assert done.returncode == 0, done.stderr
    assert '"certified_accuracy"' in done.stdout


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("from smoothcert.report import write_report", "pip install 'smoothcert[report]'"),
        ("from smoothcert.report import save_figure", "a figure needs matplotlib"),
        ("from smoothcert.data import load_data; load_data('hf:some/name')", "pip install 'smoothcert[data]'"),
    ],
)
def test_what_is_missing_is_named_with_its_extra(code: str, words: str) -> None:
    caught = f"from smoothcert.errors import MissingDependencyError\ntry:\n    {code}\n"
    done = plain(f"{caught}except MissingDependencyError as error:\n    print(error)\n")
    assert done.returncode == 0, done.stderr
    assert words in done.stdout


def test_the_bundled_digits_need_no_extra() -> None:
    done = plain("from smoothcert.data import load_data\nassert len(load_data('digits'))")
    assert done.returncode == 0, done.stderr


def test_the_command_says_it_in_one_line(stored: Path, tmp_path: Path) -> None:
    code = 'from smoothcert.cli import main\nmain(["report", sys.argv[1], "--out", sys.argv[2]])'
    done = plain(code, str(stored), str(tmp_path / "report.html"))
    assert done.returncode == 2
    assert done.stderr.startswith("error: the report needs ")
    assert done.stderr.count("\n") == 1


def test_a_package_that_is_there_is_imported() -> None:
    assert import_optional("json.decoder", what="nothing", extra="none").JSONDecoder
    with pytest.raises(MissingDependencyError, match=r"a test needs no_such_package.*pip install 'smoothcert\[none\]'"):
        import_optional("no_such_package.inside", what="a test", extra="none")
