from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from smoothcert.errors import RunError
from smoothcert.files import (
    disk_errors,
    is_temporary,
    make_folder,
    read_file,
    remove_temporaries,
    write_atomically,
    write_file,
)


def names(folder):
    return sorted(os.listdir(folder))


def test_what_is_written_is_there_and_nothing_else(tmp_path):
    write_file(tmp_path / "a" / "b" / "page.html", "ä")
    assert names(tmp_path / "a" / "b") == ["page.html"]
    assert (tmp_path / "a" / "b" / "page.html").read_text(encoding="utf-8") == "ä"


@pytest.mark.parametrize("failing", ["fsync", "replace", "open"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, failing):
    path = tmp_path / "page.html"
    path.write_text("old")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, full)
        with pytest.raises(RunError, match=r"cannot write .*page\.html: the disk is full; nothing was changed"):
            write_file(path, "new")
    assert (path.read_text(), names(tmp_path)) == ("old", ["page.html"])


@pytest.mark.skipif(os.name != "posix", reason="limits of a process are POSIX")
def test_a_disk_that_fills_in_the_middle_leaves_the_old_file(tmp_path):
    """With the kernel refusing the bytes, not a function that pretends to."""
    path = tmp_path / "page.html"
    path.write_text("old")
    code = """if True:
        import resource, signal, sys
        from pathlib import Path
        from smoothcert.files import write_file
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        write_file(Path(sys.argv[1]), b"x" * 200_000)
    """
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60)
    assert "RunError: cannot write" in done.stderr.splitlines()[-1]
    assert (path.read_text(), names(tmp_path)) == ("old", ["page.html"])


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path):
    path = tmp_path / "page.html"
    old, new = b"o" * 3_000_000, b"n" * 3_000_000
    write_atomically(path, old)
    code = """if True:
        import sys
        from pathlib import Path
        from smoothcert.files import write_atomically
        print("ready", flush=True)
        while True:
            write_atomically(Path(sys.argv[1]), b"n" * 3_000_000)
    """
    for attempt in range(5):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.003 * attempt)
        process.kill()
        process.communicate()
        assert path.read_bytes() in (old, new)
    remove_temporaries(tmp_path)
    assert names(tmp_path) == ["page.html"]


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (Path.mkdir, "a folder"),
        (os.mkfifo, "a pipe"),
        (lambda path: path.symlink_to("/dev/null"), "a device"),
    ],
)
def test_only_regular_files_are_replaced(tmp_path, make, kind):
    path = tmp_path / "page.html"
    make(path)
    before = os.lstat(path)
    with pytest.raises(RunError, match=f"{kind}, not a regular file"):
        write_file(path, "new")
    assert os.lstat(path).st_ino == before.st_ino
    assert names(tmp_path) == ["page.html"]


def test_a_device_stays_a_device():
    with pytest.raises(RunError, match=r"/dev/null is a device, not a regular file"):
        write_file(Path("/dev/null"), "new")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_link_keeps_pointing_where_it_did(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "page.html"
    for content in ("first", "second"):  # dangling, then not
        link = tmp_path / "page.html"
        if not link.is_symlink():
            link.symlink_to(target)
        write_file(link, content)
        assert link.is_symlink()
        assert target.read_text() == content
    assert names(tmp_path / "elsewhere") == ["page.html"]


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX")
def test_permissions_are_those_of_the_old_file_or_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "new", "x")
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
        (tmp_path / "new").chmod(0o604)
        write_file(tmp_path / "new", "y")
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o604
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    "name", ["x" * 255, "ä" * 127, b"\xff\xfe".decode("utf-8", "surrogateescape"), "a:b", " ", "\n"]
)
def test_any_name_the_file_system_takes(tmp_path, name):
    write_file(tmp_path / name, "x")
    assert names(tmp_path) == [name]


def test_a_name_it_does_not_take_is_a_sentence(tmp_path):
    with pytest.raises(RunError, match=r"cannot write .*: File name too long; nothing was changed"):
        write_file(tmp_path / ("x" * 300), "x")


def test_only_our_own_temporaries_are_removed(tmp_path):
    ours = [".config.json.smoothcert-99-0123abcd.tmp", ".a\nb.smoothcert-1-00000000.tmp"]
    theirs = [".notes.tmp", ".x.123.tmp", "a.smoothcert-99-0123abcd.tmp", ".a.smoothcert-99-0123abc.tmp", ".tmp"]
    for name in ours + theirs:
        (tmp_path / name).touch()
    assert all(map(is_temporary, ours))
    remove_temporaries(tmp_path)
    assert names(tmp_path) == sorted(theirs)


def test_temporaries_of_one_file(tmp_path):
    mine, other = ".a.smoothcert-99-0123abcd.tmp", ".ab.smoothcert-99-0123abcd.tmp"
    for name in (mine, other):
        (tmp_path / name).touch()
    remove_temporaries(tmp_path, of="a")
    assert names(tmp_path) == [other]


def test_every_new_folder_is_forced_to_the_disk(tmp_path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), real(fd)))
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc to see which folder it was")
    make_folder(tmp_path / "a" / "b")
    assert synced == [str(tmp_path), str(tmp_path / "a")]
    make_folder(tmp_path / "a" / "b")
    assert len(synced) == 2


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (Path.mkdir, "a folder"),
        (os.mkfifo, "a pipe"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
    ],
)
def test_only_regular_files_are_read(tmp_path, make, kind):
    make(tmp_path / "x")
    start = time.monotonic()
    with pytest.raises(OSError, match=f"(it is {kind}, not a regular file|Is a directory)"):
        read_file(tmp_path / "x")
    assert time.monotonic() - start < 5


def test_a_file_beyond_the_limit_is_not_read(tmp_path):
    with open(tmp_path / "x", "wb") as file:
        file.truncate(2**40)  # takes no room on the disk
    with pytest.raises(OSError, match="1,099,511,627,776 bytes, more than the 1,073,741,824 allowed"):
        read_file(tmp_path / "x")
    (tmp_path / "y").write_bytes(b"12345")
    assert read_file(tmp_path / "y", at_most=5) == b"12345"
    with pytest.raises(OSError, match="more than the 4 allowed"):
        read_file(tmp_path / "y", at_most=4)


def test_a_file_that_lies_about_its_size_is_cut_off():
    path = Path("/proc/self/maps")
    if not path.exists():
        pytest.skip("needs a file whose size is said to be 0")
    with pytest.raises(OSError, match="more than the 10 bytes allowed"):
        read_file(path, at_most=10)


def test_errors_of_the_disk_are_sentences(tmp_path):
    with pytest.raises(RunError, match=r"cannot write to .*: Permission denied"), disk_errors(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")
    with pytest.raises(RunError, match="is full: everything stored so far is intact"), disk_errors(tmp_path):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")
