"""Odd names, missing permissions, wrong sidecars: nothing is lost and the error is one line."""

import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import fixtures_codecs as codecs
import pytest
from fixtures_runs import TONE, Run, Z, kinds_left, npy, wav

from unravel_lib.files import atomic
from unravel_lib.files.output import output_name
from unravel_lib.files.sidecar import EncodingSidecar, write_sidecar
from unravel_lib.latents.formats import save_latents


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder for the user nobody; the process runs as that user, since permissions do not apply to root."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            if root:
                os.seteuid(0)


def test_a_file_that_may_not_be_read(run: Run, nobody: Path) -> None:
    for name in ("a.wav", "b.wav"):
        (nobody / name).write_bytes(wav(TONE))
    (nobody / "a.wav").chmod(0)
    result = run("encoder", "--input", nobody, "--output", nobody / "out")
    assert (result.code, result.errors[0]) == (1, f"error: {nobody}/a.wav cannot be read: Permission denied")
    assert result.errors[1:] == ["error: 1 of 2 inputs failed:"]
    assert kinds_left(nobody / "out") == ".descriptors .json .npy failures.csv"


def test_a_folder_that_may_not_be_read_is_named_and_the_rest_is_done(run: Run, nobody: Path) -> None:
    (nobody / "closed").mkdir(mode=0)
    (nobody / "b.wav").write_bytes(wav(TONE))
    result = run("encoder", "--input", nobody, "--output", nobody / "out")
    (nobody / "closed").chmod(0o700)
    assert (result.code, result.errors[0]) == (1, f"error: {nobody}/closed cannot be read: Permission denied")
    assert kinds_left(nobody / "out") == ".descriptors .json .npy failures.csv"


def test_what_cannot_be_looked_at_is_named_and_leaves_the_list_of_failures_when_repaired(
    run: Run, nobody: Path
) -> None:
    """A folder that may be listed but not entered, links to names that are too long; the rest is done."""
    (nobody / "in" / "listed" / "deep").mkdir(parents=True)
    (nobody / "in" / "listed" / "a.wav").write_bytes(wav(TONE))
    (nobody / "in" / "listed").chmod(0o444)
    (nobody / "in" / "b.wav").write_bytes(wav(TONE))
    for name in ("long.wav", "long"):
        (nobody / "in" / name).symlink_to("n" * 300)
    flags = ("--input", nobody / "in", "--output", nobody / "out")
    result = run("encoder", *flags)
    (nobody / "in" / "listed").chmod(0o755)
    assert result.code == 1
    assert sorted(result.errors) == [
        f"error: {nobody}/in/listed cannot be read: Permission denied",
        f"error: {nobody}/in/long cannot be read: File name too long",
        f"error: {nobody}/in/long.wav cannot be read: File name too long",
        "error: 3 of 4 inputs failed:",
    ]
    assert kinds_left(nobody / "out") == ".descriptors .json .npy failures.csv"
    assert len((nobody / "out" / "failures.csv").read_text().splitlines()) == 4
    (nobody / "in" / "long").unlink()
    (nobody / "in" / "long.wav").unlink()
    assert run("encoder", *flags).code == 0
    assert kinds_left(nobody / "out") == ".descriptors .descriptors .json .json .npy .npy"


def test_failures_in_a_folder_that_was_not_searched_stay_in_the_list(run: Run, tmp_path: Path) -> None:
    for folder in ("in", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}.wav").write_bytes(b"no sound")
        run("encoder", "--input", tmp_path / folder, "--output", tmp_path / "out")
        (tmp_path / folder / f"{folder}.wav").unlink()
        (tmp_path / folder / "good.wav").write_bytes(wav(TONE))
    assert run("encoder", "--input", tmp_path / "in", "--output", tmp_path / "out").code == 0
    rows = (tmp_path / "out" / "failures.csv").read_text().splitlines()[1:]
    assert len(rows) == 1 and rows[0].startswith(f"{tmp_path}/other/other.wav,")


@pytest.mark.parametrize("place", ["pipe.py", "zero.py"])
@pytest.mark.parametrize("flag", ["--statistics", "--pattern"])
def test_pipes_and_devices_are_not_read(run: Run, tmp_path: Path, flag: str, place: str) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "zero.py").symlink_to("/dev/zero")
    (tmp_path / "x.npy").write_bytes(npy(Z))
    path = tmp_path / place
    given = (flag, f"{path}:mine", "--input", tmp_path / "x.npy") if flag == "--pattern" else (flag, path)
    result = run("generator", *given, "--output", tmp_path / "out")
    assert (result.code, result.errors) == (2, [f"error: {path} is a pipe or a device: give a file"])
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_named_like_a_result(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(wav(TONE))
    result = run("encoder", "--input", tmp_path / "x.wav", "--output", tmp_path / "y.npy")
    line = f"error: {tmp_path}/y.npy looks like the name of a file: give a folder, in which results get names "
    assert (result.code, result.errors) == (2, [line + "of their own (--output)"])
    assert not (tmp_path / "y.npy").exists()


def test_a_folder_that_another_program_has_locked(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `flock out encoder.py --output out`."""
    monkeypatch.setattr(atomic, "LOCK_PATIENCE", 0.5)
    (tmp_path / "x.wav").write_bytes(wav(TONE))
    (tmp_path / "out").mkdir()
    lock = os.open(tmp_path / "out", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    result = run("encoder", "--input", tmp_path / "x.wav", "--output", tmp_path / "out")
    os.close(lock)
    assert result.code == 0
    line = f"warning: {tmp_path}/out is locked by another program: going on without the lock"
    assert result.err.splitlines()[1] == line
    assert kinds_left(tmp_path / "out") == ".descriptors .json .npy"


def test_a_folder_that_may_not_be_written(run: Run, nobody: Path) -> None:
    (nobody / "x.wav").write_bytes(wav(TONE))
    (nobody / "out").mkdir(mode=0o555)
    result = run("encoder", "--input", nobody / "x.wav", "--output", nobody / "out")
    line = f"error: {nobody}/out cannot be written to: Permission denied: choose another folder (--output)"
    assert (result.code, result.errors, kinds_left(nobody / "out")) == (2, [line], "")


@pytest.mark.parametrize("script", ["encoder", "decoder", "generator"])
def test_output_is_a_file(run: Run, tmp_path: Path, script: str) -> None:
    source = tmp_path / ("x.wav" if script == "encoder" else "x.npy")
    source.write_bytes(wav(TONE) if script == "encoder" else npy(Z))
    (tmp_path / "out").write_bytes(b"mine")
    for output, why in (("out", "is a file"), ("out/deeper", "leads through a file"), ("x.wav", "")):
        if not why:
            continue
        result = run(script, "--input", source, "--output", tmp_path / output)
        assert (result.code, result.errors) == (2, [f"error: {tmp_path}/{output} {why}: give a folder (--output)"])
    assert (tmp_path / "out").read_bytes() == b"mine"


def test_output_inside_the_input_is_no_input(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(wav(TONE))
    first = run("encoder", "--input", tmp_path, "--output", tmp_path / "out")
    latents = tmp_path / "out"
    assert run("decoder", "--input", latents, "--output", latents / "sound").code == 0
    again = run("encoder", "--input", tmp_path, "--output", tmp_path / "out")
    # the decoded sound lies inside the output folder of the encoder, so it was not encoded
    assert first.out == again.out and len(again.out.splitlines()) == 1


def test_output_equal_to_input(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(wav(TONE))
    for script in ("encoder", "decoder", "encoder", "decoder"):
        assert run(script, "--input", tmp_path, "--output", tmp_path).code == 0
    assert (tmp_path / "x.wav").read_bytes() == wav(TONE)


def test_an_input_is_never_overwritten(run: Run, tmp_path: Path) -> None:
    """A result whose name is a link to its own input."""
    source = tmp_path / "x.npy"
    source.write_bytes(npy(Z))
    target = tmp_path / output_name("x", "x.npy", ".wav")
    target.symlink_to(source)
    result = run("decoder", "--input", source, "--output", tmp_path)
    assert (result.code, result.errors) == (
        2,
        [f"error: {target} is an input of this run: choose another folder (--output)"],
    )
    assert source.read_bytes() == npy(Z) and target.is_symlink()


def test_a_folder_in_the_place_of_a_result(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(wav(TONE))
    target = tmp_path / "out" / output_name("x", "x.wav", ".npy")
    target.mkdir(parents=True)
    result = run("encoder", "--input", tmp_path / "x.wav", "--output", tmp_path / "out")
    assert (result.code, result.errors) == (2, [f"error: {target} cannot be written: Is a directory"])
    assert kinds_left(tmp_path / "out") == ".npy failures.csv"


ODD_NAMES = [
    b"new\nline.wav",
    b"\xf0\x9f\x98\xbc.wav",
    b"n" * 251 + b".wav",
    "ü".encode() * 125 + b"x.wav",
    b"-dash.wav",
    b"--help.wav",
    b"broken\xff\xfe.wav",
    b"\xff.wav",
    b"esc\x1b[31m.wav",
    b"=1+1.wav",
    b"$(touch hacked).wav",
    b"a'b\"c.wav",
]


def test_odd_names_are_encoded_and_decoded(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every result exists under the name that stdout gives, one line each; relative names too."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in ODD_NAMES:
        with open(os.path.join(b"in", name), "wb") as file:
            file.write(wav(TONE))
    encoded = run("encoder", "--input", "in", "--output", "latents")
    decoded = run("decoder", "--input", "latents", "--output", "sound")
    for result in (encoded, decoded):
        assert result.code == 0
        assert len(set(result.out.splitlines())) == len(ODD_NAMES)


def test_odd_names_fail_in_one_line_each(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """stderr is plain text and failures.csv has two plain cells a row, none of which is a formula."""
    import pandas as pd

    monkeypatch.chdir(tmp_path)
    for name in ODD_NAMES:
        with open(name, "wb") as file:
            file.write(b"no sound")
    result = run("encoder", "--input", ".", "--output", "out")
    assert result.code == 2
    assert all(line.isprintable() for line in result.err.splitlines())
    assert len(result.errors) == len(ODD_NAMES) + 1
    table = pd.read_csv("out/failures.csv")
    assert len(table) == len(ODD_NAMES)
    for cell in table.to_numpy().ravel():
        assert cell.isprintable() and not cell.startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize("name", [b"-dash.wav", b"broken\xff.wav", b"n" * 251 + b".wav"])
def test_an_odd_name_given_by_itself(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: bytes) -> None:
    monkeypatch.chdir(tmp_path)
    with open(name, "wb") as file:
        file.write(wav(TONE))
    assert run("encoder", f"--input={os.fsdecode(name)}").code == 0
    assert run("encoder", "--input", tmp_path / os.fsdecode(name)).code == 0


def test_dangling_links_are_named_and_loops_of_links_are_searched_once(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "x.wav").write_bytes(wav(TONE))
    (tmp_path / "in" / "deep" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "a.wav").symlink_to("a.wav")
    (tmp_path / "in" / "b.wav").symlink_to("gone.wav")
    os.mkfifo(tmp_path / "in" / "pipe.wav")  # opening it would wait forever
    result = run("encoder", "--input", tmp_path / "in", "--output", tmp_path / "out")
    assert result.code == 1
    assert result.errors == [
        f"error: {tmp_path}/in/a.wav cannot be read: Too many levels of symbolic links",
        f"error: {tmp_path}/in/b.wav cannot be read: No such file or directory",
        "error: 2 of 3 inputs failed:",
    ]
    assert kinds_left(tmp_path / "out") == ".descriptors .json .npy failures.csv"


def test_nothing_that_a_sidecar_names_is_opened(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every text in the sidecar is the path of an existing file; none of them may be opened."""
    bait = tmp_path / "bait.ts"
    codecs.save(codecs.Offline(), bait)
    path = str(bait)
    (tmp_path / "in").mkdir()
    save_latents(tmp_path / "in" / "x.npy", Z[0])
    write_sidecar(
        tmp_path / "in" / "x.npy",
        EncodingSidecar(44100, 2048, 8, 30, path, path, path, path, 1, script=path, command=("--input", path)),
    )
    os.utime(bait, (0, 0))
    touched: list[str] = []
    watching = True

    def watch(event: str, args: tuple[object, ...]) -> None:
        if watching and args and isinstance(args[0], (str, bytes)) and os.fsdecode(args[0]) == path:
            touched.append(event)

    sys.addaudithook(watch)
    try:
        for script in ("decoder", "generator"):
            assert run(script, "--input", tmp_path / "in", "--output", tmp_path / "out").code == 0
    finally:
        watching = False  # an audit hook cannot be removed
    assert touched == []


@pytest.mark.parametrize(
    "data", [b"{", b"[" * 100_000, b'{"format": "unravel-sidecar"}', b"\xff", b"null", b"{" + b" " * (1 << 21)]
)
def test_broken_sidecars(run: Run, tmp_path: Path, data: bytes) -> None:
    """Other JSON beside a file is ignored; a sidecar with impossible content is refused."""
    save_latents(tmp_path / "x.npy", Z[0])
    (tmp_path / "x.json").write_bytes(data)
    result = run("decoder", "--input", tmp_path / "x.npy", "--output", tmp_path / "out")
    if b"unravel" not in data:
        assert result.code == 0
        return
    line = f"error: {tmp_path}/x.json has format version None, expected 2: "
    line += "move it away and give its facts by flags"
    assert (result.code, result.errors) == (2, [line])


@pytest.mark.parametrize("name", ["statistics.csv", "quantiles.csv", "correlation.csv"])
def test_a_pipe_among_the_tables_is_not_waited_for(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "x.npy").write_bytes(npy(Z))
    run("generator", "--input", tmp_path / "x.npy", "--measure_only", "--output", tmp_path, "--run", "s")
    (tmp_path / "s" / name).unlink()
    os.mkfifo(tmp_path / "s" / name)
    result = run("generator", "--statistics", tmp_path / "s" / "statistics.csv", "--output", tmp_path / "out")
    assert (result.code, result.errors) == (2, [f"error: {tmp_path}/s/{name} is a pipe or a device: give a file"])


def test_pipes_in_the_output_folder_are_not_waited_for(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(npy(Z))
    (tmp_path / "bad.npy").write_bytes(b"")
    (tmp_path / "out").mkdir()
    for name in ("failures.csv", "index.html"):
        os.mkfifo(tmp_path / "out" / name)
    result = run("decoder", "--input", tmp_path / "x.npy", tmp_path / "bad.npy", "--output", tmp_path / "out", "--page")
    assert result.code == 1 and (tmp_path / "out" / "failures.csv").is_fifo()
    assert "index.html is not a page of decoder.py" in result.err
    assert "failures.csv is no list of failures: move it away" in result.err
