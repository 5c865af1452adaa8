"""The wheel: what is in it, and that it works without the rest of the repository. And the workflow that tests it."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

import smoothcert

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "smoothcert"
CERTIFY = """
import smoothcert as sc

spec = sc.RunSpec.of(model="digits", data="digits", limit=2, sigma=0.25, n0=10, n=50)
sc.write_report(sc.certify_run(spec, out="run"), "report.html")
print(sc.__file__)
"""
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


def run(*words: str | Path, **options: object) -> str:
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=300, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    assert wheel.name == f"smoothcert-{smoothcert.__version__}-py3-none-any.whl"
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    written = {
        f"smoothcert/{path.relative_to(SOURCE).as_posix()}"
        for path in SOURCE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == written
    for name in (
        "py.typed",
        "report/templates/report.html.j2",
        "report/templates/report.css",
        "models/assets/digits_sigma0.25.safetensors",
        "data/digits.npz",
    ):
        assert f"smoothcert/{name}" in held
    assert wheel.stat().st_size < 2 * 2**20


def test_the_wheel_says_what_it_needs(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    metadata = archive.read(f"smoothcert-{smoothcert.__version__}.dist-info/METADATA").decode()
    assert "Requires-Python: >=3.10\n" in metadata
    assert "License-Expression: Apache-2.0\n" in metadata
    extras = set(re.findall(r"^Provides-Extra: (\S+)$", metadata, re.MULTILINE))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = readme[readme.index("Extras: ") :].partition("\n\n")[0]
    assert set(re.findall(r"`([\w-]+)`", listed)) == extras - {"dev", "docs"}


def test_the_wheel_works_by_itself(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel)
    environment = {"PYTHONPATH": str(target), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}
    assert "certify" in run(sys.executable, target / "bin" / "smoothcert", "--help", env=environment, cwd=tmp_path)
    where = run(sys.executable, "-c", CERTIFY, env=environment, cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(target)
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_the_workflow_runs_what_people_run() -> None:
    text = WORKFLOW.read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    commands = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert ".ci/run" in commands["test"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    used = {target for each in commands.values() for line in each for target in re.findall(r"\bmake ([\w-]+)", line)}
    assert used <= targets
    oldest = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    versions = jobs["wheel"]["strategy"]["matrix"]["python-version"]
    assert oldest is not None
    assert versions[0] == oldest[1]
    assert all(isinstance(version, str) for version in versions)  # 3.10 without quotes is 3.1
