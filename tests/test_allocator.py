"""Freed memory stays with the process: fewer pages are asked of the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

import smoothcert

# Page faults of a loop that allocates and frees 48 MiB, after a first round.
FAULTS = """
import ctypes, resource, sys
import smoothcert
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def use():
    block = libc.malloc(48 * 2**20)
    ctypes.memset(block, 1, 48 * 2**20)
    libc.free(block)

if sys.argv[1] == "keep":
    assert smoothcert.keep_freed_memory()
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, timeout=120, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to")
def test_memory_that_is_freed_is_used_again_without_asking_the_system() -> None:
    assert faults("keep") * 20 < faults("as it comes")


def test_another_c_library_is_left_alone(monkeypatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert smoothcert.keep_freed_memory() is False
