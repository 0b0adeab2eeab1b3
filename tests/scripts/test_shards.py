"""`--shard I/N`: N runs, in any order, killed or not, on any machine, give byte for byte what one run gives."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures_runs import ROOT, TONE, Run, Z, npy, snapshot, wav

from unravel_lib.cli import failures
from unravel_lib.files import output

COUNT = 9


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Recordings with equal names in many folders."""
    for index in range(COUNT):
        folder = tmp_path / "sounds" / str(index)
        folder.mkdir(parents=True)
        (folder / "take.wav").write_bytes(wav(TONE[: 1000 * (index + 1)]))
    return tmp_path / "sounds"


@pytest.mark.parametrize("seed", range(2))
def test_shards_that_are_killed_at_random_moments_make_what_one_run_makes(seed: int) -> None:
    """In another process, since its runs are forks: see `tests/stress.py`, which does it more often."""
    command = [sys.executable, "tests/stress.py", "--only_shards", "--shards", "2", "--seed", str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("the bytes of one run") == 2


@pytest.mark.parametrize("seed", range(3))
def test_machines_may_mount_the_recordings_elsewhere(
    run: Run, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Each shard sees the folder by another path and works in another folder; only the paths in the sidecars differ."""
    (tmp_path / "mnt").mkdir()
    (tmp_path / "mnt" / "link").symlink_to(sounds)
    ways = [(tmp_path, sounds), (tmp_path, "sounds"), (sounds, "."), (tmp_path / "mnt", "link"), (sounds, "../sounds/")]
    assert run("encoder", "--input", sounds, "--output", tmp_path / "one").code == 0
    rng = random.Random(seed)
    count = rng.randint(2, 7)
    for index in rng.sample(range(1, count + 1), count):
        place, given = rng.choice(ways)
        monkeypatch.chdir(place)
        flags = ("--input", given, "--output", tmp_path / "out", "--shard", f"{index}/{count}")
        assert run("encoder", *flags).code == 0
    one, shards = comparable(tmp_path / "one"), comparable(tmp_path / "out")
    assert len(one) == 3 * COUNT and one == shards


def comparable(folder: Path) -> dict[str, object]:
    """Return the files of a folder, the sidecars without the path of the source, also in the command."""
    files: dict[str, object] = {}
    for name, data in snapshot(folder).items():
        files[name] = data
        if name.endswith(".json"):
            facts = json.loads(data)
            files[name] = {**facts, "source": None, "options": {**facts["options"], "command": None}}
    return files


def test_folders_of_their_own_hold_together_what_one_run_makes(
    run: Run, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "DIGITS", 1)  # equal hashes, which get longer also where the other is in another shard
    assert run("encoder", "--input", sounds, "--output", tmp_path / "one").code == 0
    union: dict[str, object] = {}
    for index in (3, 1, 2):
        assert run("encoder", "--input", sounds, "--output", tmp_path / f"{index}", "--shard", f"{index}/3").code == 0
        part = comparable(tmp_path / f"{index}")
        assert not part.keys() & union.keys()
        union |= part
    assert union == comparable(tmp_path / "one")


def test_only_the_inputs_of_a_shard_are_opened(run: Run, tmp_path: Path) -> None:
    """A file of another shard that is broken does not concern this one."""
    (tmp_path / "in").mkdir()
    for index in range(6):
        (tmp_path / "in" / f"{index}.npy").write_bytes(npy(Z) if index else b"no latents")
    codes = {}
    for index in (1, 2, 3):
        result = run("decoder", "--input", tmp_path / "in", "--output", tmp_path / "out", "--shard", f"{index}/3")
        codes[index] = result.code
        assert ("0.npy" in result.err) == (result.code == 1)
        assert f"shard {index}/3: " in result.err and " of 6 files" in result.err
    assert sorted(codes.values()) == [0, 0, 1]
    assert len(list((tmp_path / "out").glob("failures-*-of-3.csv"))) == 1
    assert len(list((tmp_path / "out").glob("*.wav"))) == 5


def test_a_shard_whose_every_input_fails_is_a_part_that_failed(run: Run, tmp_path: Path) -> None:
    """As one of many inputs: exit code 1, so that a workflow goes on with the other shards."""
    (tmp_path / "x.wav").write_bytes(b"no sound")
    codes = {
        count: [
            run("encoder", "--input", tmp_path / "x.wav", "--output", tmp_path / "out", "--shard", f"{i}/{count}").code
            for i in range(1, count + 1)
        ]
        for count in (1, 2)
    }
    assert codes[1] == [2] and sorted(codes[2]) == [0, 1]


def test_an_input_that_was_repaired_leaves_the_list_of_its_shard(run: Run, sounds: Path, tmp_path: Path) -> None:
    broken = sounds / "0" / "take.wav"
    good = broken.read_bytes()
    for data, n_lists in ((b"no sound", 1), (good, 0)):
        broken.write_bytes(data)
        for index in (2, 1):
            flags = ("--input", sounds, "--output", tmp_path / "out", "--skip_existing", "--shard", f"{index}/2")
            assert run("encoder", *flags).code in (0, n_lists)
        assert len(list((tmp_path / "out").glob("failures*.csv"))) == n_lists
        failures.merge(tmp_path / "out", 2)
        assert (tmp_path / "out" / "failures.csv").exists() == bool(n_lists)
        (tmp_path / "out" / "failures.csv").unlink(missing_ok=True)


def test_a_failures_csv_of_another_kind_is_not_replaced_by_the_merged_list(tmp_path: Path) -> None:
    (tmp_path / "failures.csv").write_text("mine\n")
    with pytest.raises(failures.OutputError, match="is no list of failures: move it away"):
        failures.merge(tmp_path, 3)
    assert (tmp_path / "failures.csv").read_text() == "mine\n"
