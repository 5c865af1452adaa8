from __future__ import annotations

import os
import subprocess
import sys

import pytest

from smoothcert import cpus
from smoothcert.cpus import follow_quota, group_quotas, usable_cpus


def tree(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


VERSION_2 = {"proc/self/cgroup": "0::/queue/job\n", "sys/fs/cgroup/cgroup.controllers": "cpu memory\n"}
VERSION_1 = {"proc/self/cgroup": "9:memory:/x\n4:cpu,cpuacct:/docker/1\n0::/\n"}


@pytest.mark.parametrize(
    ("files", "quotas"),
    [
        (VERSION_2 | {"sys/fs/cgroup/queue/job/cpu.max": "150000 100000\n"}, [1.5]),
        (VERSION_2 | {"sys/fs/cgroup/queue/job/cpu.max": "max 100000\n"}, []),
        (
            VERSION_2 | {"sys/fs/cgroup/queue/cpu.max": "400000 100000\n", "sys/fs/cgroup/queue/job/cpu.max": "max 1"},
            [4.0],
        ),
        (VERSION_2 | {"sys/fs/cgroup/cpu.max": "300000 100000\n"}, [3.0]),  # a container sees its own group as root
        (VERSION_2 | {"sys/fs/cgroup/queue/job/cpu.max": "nonsense"}, []),
        (VERSION_2 | {"sys/fs/cgroup/queue/job/cpu.max": "1 0"}, []),
        (
            VERSION_1
            | {
                "sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us": "50000",
                "sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1",
            },
            [0.5],
        ),
        ({"proc/self/cgroup": "\0"}, []),
        ({}, []),
    ],
)
def test_quotas_of_control_groups_are_read(tmp_path, files, quotas):
    assert list(group_quotas(tree(tmp_path, files))) == quotas


@pytest.mark.parametrize(("quota", "usable"), [("50000", 1), ("250000", 2), ("1000000", 10), ("max", 16)])
def test_a_quota_limits_what_is_usable(tmp_path, monkeypatch, quota, usable):
    monkeypatch.setattr(cpus, "_ROOT", tree(tmp_path, VERSION_2 | {"sys/fs/cgroup/queue/cpu.max": f"{quota} 100000"}))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert usable_cpus() == usable
    follow_quota()
    assert os.environ.pop("OMP_NUM_THREADS") == str(usable)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    follow_quota()
    assert os.environ["OMP_NUM_THREADS"] == "5"


def test_without_a_limit_nothing_is_set(tmp_path, monkeypatch):
    monkeypatch.setattr(cpus, "_ROOT", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    follow_quota()
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs to choose processors")
def test_torch_follows(tmp_path):
    """On one processor of several, torch starts one thread."""
    if (os.cpu_count() or 1) < 2:
        pytest.skip("needs two processors")
    code = """if True:
        import os
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        from smoothcert.cpus import follow_quota
        follow_quota()
        import torch
        print(torch.get_num_threads())
    """
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment)
    assert done.stdout.split() == ["1"]
