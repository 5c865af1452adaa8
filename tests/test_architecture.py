"""The folders say what may import what, and this file holds them to it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import smoothcert

SOURCE = Path(smoothcert.__file__).resolve().parent
# A part imports only from parts above it; those on one line do not import one another.
LAYERS = (
    ("errors", "_version", "_allocator", "typing", "console"),
    ("progress", "fields", "extras", "cpus", "remote", "urls"),
    ("files",),
    ("_check", "outputs"),
    ("models",),
    ("backends",),
    ("data",),
    ("lattice",),
    ("scores", "histogram", "discrete_gaussian"),
    ("prediction", "decision", "shard"),
    ("spec",),
    ("samples",),
    ("sampling",),
    ("bounds",),
    ("card",),
    ("certificate",),
    ("stopping",),
    ("smoothing",),
    ("runs",),
    ("certify",),
    ("training",),
    ("analysis",),
    ("verify",),
    ("report",),
    ("sharing",),
    ("cli",),
    ("__main__",),
)
RANK = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}
# What draws stands far below what is drawn: a method that shows its object imports it when it is called.
SHOWN_BY = {"certificate.py": {"smoothcert.report.certificate_figure", "smoothcert.report.certificate_svg"}}
WITHOUT_TORCH = (
    "card",
    "bounds",
    "histogram",
    "lattice",
    "discrete_gaussian",
    "samples",
    "certificate",
    "scores",
    "analysis",
    "typing",
    "_check",
    "errors",
)
FILES = sorted(SOURCE.rglob("*.py"))
LARGEST_FILE = 500


def part_of(file: Path) -> str:
    relative = file.relative_to(SOURCE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(file: Path, *, only_at_runtime: bool = True) -> set[str]:
    """Full names of what a file imports; what only a type checker sees is left out on request."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    skipped: set[ast.AST] = set()
    if only_at_runtime:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                skipped.update(inner for child in node.body for inner in ast.walk(child))
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name}: relative import"
            module = node.module or ""
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_a_file_imports_only_from_the_parts_above_it(file: Path) -> None:
    here = part_of(file)
    if here == "__init__":  # the lazy public surface
        return
    for name in imports(file) - SHOWN_BY.get(file.name, set()):
        parts = name.split(".")
        if parts[0] != "smoothcert" or len(parts) == 1:
            continue
        there = parts[1] if parts[1] in RANK or (SOURCE / parts[1]).exists() else "_version"
        if there != here:
            assert RANK[there] < RANK[here], f"{file.relative_to(SOURCE)} imports {name}"


@pytest.mark.parametrize("name", SHOWN_BY)
def test_what_draws_is_imported_when_it_is_called(name: str) -> None:
    whole = ast.parse((SOURCE / name).read_text(encoding="utf-8")).body
    assert not [one for one in whole if isinstance(one, ast.ImportFrom) and (one.module or "").endswith("report")]
    code = f"import sys, smoothcert.{name.removesuffix('.py')}; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


@pytest.mark.parametrize("part", WITHOUT_TORCH)
def test_the_statistics_name_no_torch(part: str) -> None:
    files = [file for file in FILES if part_of(file) == part]
    assert files
    for file in files:
        assert not [name for name in imports(file) if name.split(".")[0] in ("torch", "torchvision", "timm")]


@pytest.mark.parametrize(
    "modules",
    ["smoothcert, smoothcert.bounds, smoothcert.certificate", "smoothcert.analysis", "smoothcert.runs"],
)
def test_bounds_and_analysis_are_imported_without_torch(modules: str) -> None:
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr or "torch was imported"


def test_bounds_use_numpy_and_scipy_only() -> None:
    allowed = {"numpy", "scipy", "smoothcert", *sys.stdlib_module_names}
    for file in FILES:
        if part_of(file) == "bounds":
            assert {name.split(".")[0] for name in imports(file, only_at_runtime=False)} <= allowed, file.name


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_files_stay_small(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LARGEST_FILE


def test_the_public_surface_is_small_and_all_of_it_exists() -> None:
    assert len(smoothcert.__all__) <= 20  # what a notebook calls: one input, a data set, and the report of it
    assert sorted(smoothcert.__all__) == list(smoothcert.__all__)
    assert dir(smoothcert) == sorted(smoothcert.__all__)
    for name in smoothcert.__all__:
        assert getattr(smoothcert, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_it"):
        smoothcert.nothing_like_it  # noqa: B018


def test_user_input_is_never_checked_by_assert() -> None:
    for file in FILES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Assert)], file.name
