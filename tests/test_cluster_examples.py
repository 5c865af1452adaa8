"""The launch examples: their syntax, their schema, and what they would run, run here on the bundled digits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from command_line import run_cli
from smoothcert.cli.app import app
from smoothcert.runs import Run

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SHELL = sorted(EXAMPLES.glob("*.sh"))
MANIFESTS = sorted(EXAMPLES.glob("*.yaml"))
SHARDS = 2
"""In place of the sixteen of the examples."""
RUN = "model: digits\ndata: digits\nlimit: 5\nsigma: 0.25\nn0: 20\nn: 100\ndevice: cpu\n"
KUBERNETES = "1.33"
PRINTED = 'smoothcert() { for word; do printf "%s\\0" "$word"; done; }'
"""In place of the program: its arguments as the shell has expanded them."""


def arguments_of(command: str, **environment: str) -> list[str]:
    """What a shell gives to smoothcert."""
    env = {**os.environ, **environment}
    printed = subprocess.run(["sh", "-c", f"{PRINTED}\n{command}"], env=env, capture_output=True, text=True, check=True)
    return printed.stdout.split("\0")[:-1]


def require_known(words: list[str]) -> None:
    """The options at least exist; the file that --config names is not here."""
    at = words.index("--config")
    app.parse_args([*words[:at], *words[at + 2 :], "--sigma", "0.25"], exit_on_error=False, print_error=False)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder to work in, with a run.yaml."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(RUN)
    return tmp_path


@pytest.fixture
def pretend(tmp_path, monkeypatch):
    """Programs that note what they are called with and print something."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def program(name: str, prints: str = "") -> None:
        text = f'#!/bin/sh\nfor word; do printf "%s\\0" "$word"; done >> "{folder}/{name}.called"\n'
        text += f'printf "\\n\\0" >> "{folder}/{name}.called"\nprintf "{prints}"\n'
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)

    def calls(name: str) -> list[list[str]]:
        words = (folder / f"{name}.called").read_text().split("\n\0")[:-1]
        return [call.split("\0")[:-1] for call in words]

    return program, calls


@pytest.mark.parametrize("file", SHELL, ids=lambda file: file.name)
def test_scripts_are_shell(file):
    shell = "bash" if file.read_text().startswith("#!/bin/bash") else "sh"
    subprocess.run([shell, "-n", file], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", file], check=True)


def option(words: list[str], name: str) -> str:
    """Value of an option, ``--name value`` or ``--name=value``."""
    for position, word in enumerate(words):
        if word == name:
            return words[position + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    raise AssertionError(f"{name} is not among {words}")


def test_a_job_array_samples_every_shard_and_merges(desk, pretend):
    program, calls = pretend
    program("sbatch", prints="17")
    script = (EXAMPLES / "slurm-shards.sh").read_text()
    assert script.count("shards=16\n") == 1
    subprocess.run(["sh", "-c", script.replace("shards=16\n", f"shards={SHARDS}\n")], check=True)
    array, merge = calls("sbatch")
    first, last = map(int, option(array, "--array").split("-"))
    assert (first, last) == (1, SHARDS)
    for task in range(first, last + 1):
        assert run_cli(*arguments_of(option(array, "--wrap"), SLURM_ARRAY_TASK_ID=str(task))) == 0
    assert option(merge, "--dependency") == "afterok:17"
    assert run_cli(*arguments_of(option(merge, "--wrap"))) == 0
    assert (len(Run.open("RUN")), Run.open("RUN").missing) == (5, 0)


def test_ray_starts_on_every_node_of_an_allocation(desk, pretend, monkeypatch):
    program, calls = pretend
    program("scontrol", prints="node-1\\nnode-2\\n")
    program("srun")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "node-[1-2]")
    monkeypatch.setenv("SLURM_NNODES", "2")
    subprocess.run(["bash", EXAMPLES / "slurm-ray.sh"], check=True)
    assert calls("scontrol") == [["show", "hostnames", "node-[1-2]"]]
    (words,) = calls("srun")
    assert words[:7] == ["ray", "symmetric-run", "--address", "node-1:6379", "--min-nodes", "2", "--"]
    assert words[7] == "smoothcert"
    require_known(words[8:])


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.name)
def test_manifests_fit_their_schema(file):
    manifest = yaml.safe_load(file.read_text())
    if manifest["apiVersion"] == "batch/v1":
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    for template in templates(manifest):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **template}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def templates(value: Any) -> list[dict[str, Any]]:
    """The pod templates in a manifest."""
    if isinstance(value, list):
        return [found for one in value for found in templates(one)]
    if not isinstance(value, dict):
        return []
    own = [value["template"]] if "containers" in value.get("template", {}).get("spec", {}) else []
    return own + [found for name, one in value.items() if name != "template" or not own for found in templates(one)]


def test_an_indexed_job_samples_every_shard(desk):
    manifest = yaml.safe_load((EXAMPLES / "kubernetes-shards.yaml").read_text())
    job = manifest["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert container["command"] == ["sh", "-c"]
    assert (job["completionMode"], job["completions"]) == ("Indexed", 16)
    (volume,) = container["volumeMounts"]
    (command,) = container["args"]
    assert command.count("/16 ") == 1
    command = command.replace("/16 ", f"/{SHARDS} ").replace(volume["mountPath"], str(desk))
    for index in range(SHARDS):
        words = arguments_of(command, JOB_COMPLETION_INDEX=str(index))
        assert run_cli(*words) == 0
    shards = Run.open(sorted((desk / "shards").iterdir()))
    assert (len(shards), shards.missing) == (5, 0)


def test_a_ray_job_runs_what_the_program_knows():
    manifest = yaml.safe_load((EXAMPLES / "kubernetes-ray.yaml").read_text())
    name, *words = manifest["spec"]["entrypoint"].split()
    assert (manifest["kind"], name) == ("RayJob", "smoothcert")
    require_known(words)
    cluster = manifest["spec"]["rayClusterSpec"]
    head, (workers,) = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    assert json.dumps(head["template"]).count("nvidia.com/gpu") == 0
    assert workers["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
