"""Names of results: the same on every machine, never the same for two inputs; the folder of a run: never shared."""

import os
import threading
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unravel_lib.errors import InputError
from unravel_lib.files import output
from unravel_lib.files.atomic import NAME_BYTES, PART_SUFFIX
from unravel_lib.files.find import Shard, Source
from unravel_lib.text import printable


def source(relative: str, root: str = "/in") -> Source:
    return Source(Path(root, relative), relative)


@given(st.binary(min_size=1, max_size=300).filter(lambda b: b"\0" not in b and b"/" not in b))
def test_any_name_can_be_shown_and_gives_a_name_that_fits(name: bytes) -> None:
    one = source(os.fsdecode(name))
    assert printable(one.path).isprintable()
    result = output.result_name(one, ".npy", output.MOST_DIGITS)
    assert result.isprintable() and "/" not in result and result.endswith(".npy")
    part = f".{result}.12345678{PART_SUFFIX}"
    assert len(os.fsencode(part)) <= NAME_BYTES


def test_a_name_depends_only_on_the_path_below_the_input() -> None:
    assert output.result_name(source("a/x.wav"), ".npy") == "x--3971ddca.npy"
    assert output.result_name(source("a/x.wav", "/mnt/elsewhere"), ".npy") == "x--3971ddca.npy"
    others = {output.result_name(source(name), ".npy") for name in ("a/x.wav", "b/x.wav", "a/x.mp3", "x.wav")}
    assert len(others) == 4


def test_a_name_with_accents_is_the_same_however_they_are_written() -> None:
    """macOS writes a letter and an accent, Linux and Windows one letter."""
    composed, apart = source("été/décembre.wav"), source(unicodedata.normalize("NFD", "été/décembre.wav"))
    assert composed.path != apart.path
    assert composed.relative == apart.relative
    assert output.result_name(composed, ".npy") == output.result_name(apart, ".npy")
    for index in range(1, 8):
        assert len(Shard(index, 7).of([composed, apart])) in (0, 2)
    with pytest.raises(InputError):
        output.result_names([composed, apart], ".npy")


def test_a_name_tells_the_run_and_no_hash_of_its_input() -> None:
    """`decoder.py` finds what generator.py made below the folder of the run, or is given that folder."""
    piece = Source(Path("/out/v17/loop_oracle_seed42_0000_embeddings.npy"), "loop_oracle_seed42_0000_embeddings.npy")
    name = output.result_name(piece.of_run(), ".wav")
    assert name == "v17--loop_oracle_seed42_0000--" + name[-12:]
    below = Source(piece.path, "v17/loop_oracle_seed42_0000_embeddings.npy")
    assert output.result_name(below.of_run(), ".wav") == name
    assert output.result_name(source("x--3971ddca.npy"), ".wav").startswith("x--") and "3971ddca" not in name
    assert output.result_name(source(".x.wav"), ".npy").startswith("_x--")


def test_embeddings_is_left_out_and_names_still_differ() -> None:
    found = output.result_names([source(f"{stem}.npy") for stem in ("x", "x_embeddings", "_embeddings")], ".wav")
    assert [name.split("--")[0] for name in found.values()] == ["x", "x", "_embeddings"]
    assert len(set(found.values())) == 3


def test_equal_hashes_become_longer_for_all_that_share_them_and_for_no_other() -> None:
    many = [source(f"{index:05}/take.wav") for index in range(400)]
    names = output.result_names(many, ".npy")
    assert {len(name) for name in names.values()} == {len("take--01234567.npy")}
    short = {one: output.result_name(one, ".npy", 2) for one in many}  # 256 hashes for 400 names
    try:
        before, output.DIGITS = output.DIGITS, 2
        names = output.result_names(many, ".npy")
        again = output.result_names(many[::-1], ".npy")
    finally:
        output.DIGITS = before
    assert len(set(names.values())) == 400 and again == names
    for one in many:
        alone = list(short.values()).count(short[one]) == 1
        assert (names[one.path] == short[one]) is alone


def test_equal_paths_below_two_inputs_are_refused() -> None:
    with pytest.raises(InputError, match=r"results of /a/x\.wav and /b/x\.wav would have the same name: .*output"):
        output.result_names([source("x.wav", "/a"), source("y.wav"), source("x.wav", "/b")], ".npy")


def test_two_runs_at_the_same_moment_never_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(output.datetime.datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Stopped":
            return cls(2026, 1, 2, 3, 4, 5)

    monkeypatch.setattr(output.datetime, "datetime", Stopped)
    got: list[Path] = []
    threads = [
        threading.Thread(target=lambda: got.append(output.make_run_folder(tmp_path, None, False, "x")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(got)) == 8
    assert sorted(path.name for path in got)[:2] == ["2026-01-02_03-04-05_x", "2026-01-02_03-04-05_x_2"]
