"""The search for inputs, and complete or no output files."""

import errno
import fcntl
import os
import re
import threading
import time
from pathlib import Path

import pytest

from unravel_lib.errors import InputError, OutputError
from unravel_lib.files import atomic as files
from unravel_lib.files.atomic import atomic_write, folder_lock, remove_unfinished
from unravel_lib.files.find import find_files, normalised_extensions, open_input
from unravel_lib.files.output import make_output_folder, refuse_overwriting
from unravel_lib.text import printable


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(folder: Path, *extensions: str, output: Path | None = None) -> list[str]:
    sources = find_files([folder], normalised_extensions(extensions), output)
    assert [source.path for source in sources] == [folder / source.relative for source in sources]
    return [source.relative for source in sources]


class Failures(dict[Path, str]):
    """What cannot be read."""

    def add(self, path: Path, error: InputError) -> None:
        self[path] = str(error)


def test_printable_is_one_printable_line() -> None:
    assert printable("voice é.wav") == "voice é.wav"
    assert printable(os.fsdecode(b"a\n\x1b[1m\xff")) == "a\\n\\x1b[1m\\udcff"


@pytest.mark.parametrize("typed", ["wav", ".wav", "WAV", " .Wav ", "*.wav"])
def test_extensions_as_people_type_them(typed: str) -> None:
    assert normalised_extensions([typed, "wav", ".", "*", " "]) == (".wav",)
    assert normalised_extensions([f"{typed},FLAC", ",.aif,", ","]) == (".wav", ".flac", ".aif")


def test_find_files_sorts_and_leaves_out_what_is_hidden(tmp_path: Path) -> None:
    touch(tmp_path, "b.wav", "a/z.WAV", ".h.wav", ".hidden/x.wav", "c.mp3", "d/e/f.wav")
    assert found(tmp_path, "wav") == ["a/z.WAV", "b.wav", "d/e/f.wav"]


def test_find_files_does_not_take_results_for_inputs(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "out/b.wav", "out/deep/c.wav")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    assert found(tmp_path, "wav", output=tmp_path / "out") == ["a.wav"]
    assert found(tmp_path, "wav", output=tmp_path / "missing") == ["a.wav", "link/b.wav", "link/deep/c.wav"]
    assert found(tmp_path / "out", "wav", output=tmp_path / "out") == ["b.wav", "deep/c.wav"]


def test_find_files_lists_the_extensions_that_are_there(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp3", "b.OGG", "README")
    with pytest.raises(InputError, match=r"holds no \.wav \.aif file, it holds \.mp3, \.ogg, files without extension$"):
        found(tmp_path, "wav", "aif")
    touch(tmp_path, *(f"x.e{i}" for i in range(40)))
    with pytest.raises(InputError, match=r"\.e12, \.e13, .*and others$"):
        found(tmp_path, "wav")


def test_a_folder_that_cannot_be_read_is_an_error_or_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.wav", "closed/b.wav")
    plain = os.scandir

    def scandir(path: str) -> object:
        if os.fspath(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return plain(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match="closed cannot be read: Permission denied"):
        found(tmp_path, "wav")
    failures = Failures()
    sources = find_files([tmp_path], [".wav"], None, failures.add)
    assert [source.relative for source in sources] == ["a.wav"]
    assert failures == {tmp_path / "closed": f"{tmp_path}/closed cannot be read: Permission denied"}
    with pytest.raises(InputError, match="closed cannot be read"):  # the folder that was asked for itself
        find_files([tmp_path / "closed"], [".wav"], None, failures.add)


def test_several_roots_each_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a/b/x.wav", "a/y.wav", "c.mp3")
    monkeypatch.chdir(tmp_path)
    roots = [Path("a/b"), Path("a"), tmp_path / "a" / "y.wav", Path("c.mp3")]
    found = find_files(roots, [".wav"])
    assert [(str(s.path), s.relative) for s in found] == [("a/b/x.wav", "x.wav"), ("a/y.wav", "y.wav"), ("c.mp3",) * 2]


def test_of_several_roots_a_bad_one_is_reported(tmp_path: Path) -> None:
    touch(tmp_path, "x.wav", "empty/x.mp3")
    roots, failures = [tmp_path / name for name in ("gone", "x.wav", "empty")], Failures()
    assert [source.relative for source in find_files(roots, [".wav"], None, failures.add)] == ["x.wav"]
    assert [re.split(": |, ", reason)[0] for reason in failures.values()] == [
        f"{tmp_path}/gone does not exist",
        f"{tmp_path}/empty holds no .wav file",
    ]
    with pytest.raises(InputError, match="gone does not exist"):
        find_files(roots, [".wav"])


def test_names_that_the_system_does_not_take_are_listed_or_reported(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav")
    for name in ("long.wav", "long"):
        (tmp_path / name).symlink_to("n" * 300)
    (tmp_path / "gone").symlink_to("nowhere")
    failures = Failures()
    found = find_files([tmp_path], [".wav"], None, failures.add)
    assert [source.relative for source in found] == ["a.wav", "long.wav"]
    assert [*failures.values()] == [f"{tmp_path}/long cannot be read: File name too long"]


def test_atomic_write_shows_the_old_or_the_new_file(tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.write_text("old")
    with atomic_write(target) as part:
        part.write_text("new")
        assert target.read_text() == "old" and part.parent == tmp_path and part.name.startswith(".")
    assert target.read_text() == "new"
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), atomic_write(target) as part:
            part.write_text("half")
            raise error
    with pytest.raises(OutputError, match=r"x cannot be written: Input/output error$"), atomic_write(target):
        raise OSError(errno.EIO, "Input/output error")
    assert target.read_text() == "new" and [path.name for path in tmp_path.iterdir()] == ["x"]


def test_atomic_write_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "x").symlink_to(tmp_path / "mine")
    with atomic_write(tmp_path / "x") as part:
        part.write_text("new")
    assert (tmp_path / "mine").read_text() == "mine" and not (tmp_path / "x").is_symlink()


def test_parts_of_this_process_can_be_removed_when_it_ends(tmp_path: Path) -> None:
    with pytest.raises(OutputError), atomic_write(tmp_path / "x") as part:
        part.write_text("half")
        remove_unfinished()
        assert not list(tmp_path.iterdir())


def old(path: Path) -> Path:
    path.touch()
    os.utime(path, (time.time() - 3600,) * 2)
    return path


def test_parts_of_killed_runs_are_removed_and_nothing_else(tmp_path: Path) -> None:
    stale = old(tmp_path / ".x.npy.0123abcd.part")
    kept = [tmp_path / ".x.npy.89abcdef.part"]  # new: it may not be locked yet
    kept[0].touch()
    for name in ("x.npy.0123abcd.part", ".film.part", ".x.npy.0123ABCD.part", ".x.npy.0123abcd.part.txt"):
        kept.append(old(tmp_path / name))
    (tmp_path / ".d.0123abcd.part").mkdir()
    os.utime(tmp_path / ".d.0123abcd.part", (0, 0))
    with atomic_write(tmp_path / "y") as open_part:
        os.utime(open_part, (0, 0))  # as after an hour of decoding without writing
        make_output_folder(tmp_path)
        assert open_part.exists() and not stale.exists()
        assert all(path.exists() for path in kept)


def test_the_output_folder_is_made_and_checked(tmp_path: Path) -> None:
    make_output_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").touch()
    for path, why in (("file", "is a file"), ("file/x", "leads through a file"), ("n" * 300, "cannot be written to")):
        with pytest.raises(OutputError, match=f"{path} {why}: .*output"):
            make_output_folder(tmp_path / path)


@pytest.mark.parametrize("name", ["x.wav", "x.NPY", "deep/x.png"])
def test_a_folder_is_not_named_like_a_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="looks like the name of a file: give a folder"):
        make_output_folder(tmp_path / name)
    assert not list(tmp_path.iterdir())
    (tmp_path / name).mkdir(parents=True)
    make_output_folder(tmp_path / name)
    make_output_folder(tmp_path / "session 2.1")


def test_a_link_to_a_folder_that_is_not_mounted_stays(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("nowhere")
    with pytest.raises(OutputError, match="out is a file: give a folder"):
        make_output_folder(tmp_path / "out")
    remove_unfinished()
    assert (tmp_path / "out").is_symlink()


def test_overwriting_an_input_is_refused_through_links_too(tmp_path: Path) -> None:
    touch(tmp_path, "x", "y")
    (tmp_path / "hard").hardlink_to(tmp_path / "x")
    refuse_overwriting(tmp_path / "new", [tmp_path / "x"])
    refuse_overwriting(tmp_path / "y", [tmp_path / "x", tmp_path / "missing"])
    with pytest.raises(OutputError, match="hard is an input of this run"):
        refuse_overwriting(tmp_path / "hard", [tmp_path / "y", tmp_path / "x"])


def test_two_threads_do_not_hold_a_folder_lock_together(tmp_path: Path) -> None:
    inside, order = threading.Event(), []

    def second() -> None:
        inside.wait()
        with folder_lock(tmp_path):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with folder_lock(tmp_path):
        inside.set()
        time.sleep(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_lock_of_another_program_is_waited_for_once_and_for_some_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(files, "LOCK_PATIENCE", 0.3)
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    start = time.monotonic()
    with folder_lock(tmp_path):
        assert 0.3 < time.monotonic() - start < 5
    line = f"{tmp_path} is locked by another program: going on without the lock"
    assert [record.getMessage() for record in caplog.records] == [line]
    start = time.monotonic()
    for _ in range(20):
        with folder_lock(tmp_path):
            pass
    assert time.monotonic() - start < 1 and len(caplog.records) == 1
    os.close(other)
    with folder_lock(tmp_path):  # free again, so locked again
        third = os.open(tmp_path, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(third, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(third)


def test_pipes_and_devices_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for path in (tmp_path / "pipe", tmp_path / "link", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(InputError) as error, open_input(path):
            pass
        assert (error.value.path, error.value.found) == (path, "is a pipe or a device")
    for path, why in ((tmp_path, "Is a directory"), (tmp_path / "gone", "No such file or directory")):
        with pytest.raises(InputError) as error, open_input(path):
            pass
        assert (error.value.path, error.value.found) == (path, f"cannot be read: {why}")
    with open_input(Path(__file__)) as file:
        assert file.read() == Path(__file__).read_bytes()


def test_file_systems_without_locks_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*args: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    stale = old(tmp_path / ".x.npy.0123abcd.part")
    with folder_lock(tmp_path), atomic_write(tmp_path / "x") as part:
        part.touch()
        make_output_folder(tmp_path)
    assert (tmp_path / "x").exists() and stale.exists()  # without locks it may belong to a run that goes on
