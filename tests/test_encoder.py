"""encoder.py as a user runs it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import encoder
from unravel_lib import cli
from unravel_lib.model import POCKET


@pytest.fixture
def sounds(tmp_path: Path, recordings: Path) -> Path:
    """A folder as they are: nested, with odd names, hidden files and other things in it."""
    folder = tmp_path / "sounds"
    (folder / "deep" / "er").mkdir(parents=True)
    t = np.arange(9001) / 44100
    x = 0.3 * np.sin(2 * np.pi * 330 * t)
    for name in (
        "kick.wav",
        "deep/kick.wav",
        "deep/er/UPPER.WAV",
        "with space é ü.flac",
        "-dash.aiff",
        "odd\nname.wav",
    ):
        soundfile.write(folder / name, x, 44100)
    soundfile.write(folder / "deep" / ".hidden.wav", x, 44100)
    (folder / "notes.txt").write_text("no sound")
    return folder


def encode(capfdbinary: pytest.CaptureFixture[bytes], *args: object) -> tuple[int, list[Path], str]:
    """(exit code, files named on stdout, stderr)."""
    with pytest.raises(SystemExit) as left:
        cli.run(encoder.main, [str(a) for a in args])
    out, err = capfdbinary.readouterr()
    return left.value.code, [Path(os.fsdecode(line)) for line in out.splitlines()], err.decode()  # type: ignore[return-value]


def test_a_folder_becomes_latents(sounds: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    code, written, err = encode(capfdbinary, "--input", sounds, "--output", tmp_path / "out")
    assert code == 0
    assert "using the bundled pocket model (8 dims)" in err
    assert len(written) == len(set(written)) == 6  # the two kicks do not collide, the hidden one is left out
    assert all(path.name.startswith("encoded--") and path.suffix == ".npy" for path in written)
    assert {path for path in (tmp_path / "out").iterdir() if path.suffix == ".npy"} == set(written)
    for path in written:
        latents = np.load(path)
        assert latents.dtype == np.float32
        assert latents.shape == (1, 8, 5)  # ceil(9001 / 2048)
        assert latents.flags.c_contiguous


def test_the_latents_are_what_the_model_says(
    recordings: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    source = recordings / "loop_compus.flac"
    _, (written,), _ = encode(capfdbinary, "--input", source, "--output", tmp_path)
    x, rate = soundfile.read(source, dtype="float32", always_2d=True)
    assert rate == 44100
    with torch.no_grad():
        expected = torch.jit.load(POCKET).encode(torch.from_numpy(x.mean(1, dtype=np.float32))[None, None])
    np.testing.assert_allclose(np.load(written), expected, atol=1e-4)


def test_the_sidecar_tells_everything(
    recordings: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    source = recordings / "ambi_piano.flac"
    _, (written,), _ = encode(capfdbinary, "--input", source, "--output", tmp_path, "--seed", 7)
    facts = json.loads(written.with_suffix(".json").read_text())
    assert (facts["sample_rate"], facts["compression"], facts["dims"]) == (44100, 2048, 8)
    assert facts["frames"] == np.load(written).shape[2]
    assert (facts["model"], facts["seed"], facts["source"]) == ("pocket.ts", 7, str(source))
    assert len(facts["model_sha256"]) == len(facts["source_sha256"]) == 64


def test_alone_or_in_a_batch_gives_the_same_bytes(
    recordings: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    _, together, _ = encode(capfdbinary, "--input", recordings, "--output", tmp_path / "all")
    for path in together[::4]:
        source = recordings / f"{path.name.split('--')[1]}.flac"
        _, (alone,), _ = encode(capfdbinary, "--input", source, "--output", tmp_path / "one")
        assert alone.name == path.name
        assert alone.read_bytes() == path.read_bytes()
        assert alone.with_suffix(".json").read_bytes() == path.with_suffix(".json").read_bytes()


@pytest.mark.parametrize("given", [["wav"], [".WAV"], ["wav", "flac"], ["FLAC"]])
def test_extensions_in_any_spelling(
    sounds: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], given: list[str]
) -> None:
    code, written, _ = encode(capfdbinary, "--input", sounds, "--output", tmp_path / "o", "--extensions", *given)
    assert code == 0
    wanted = {e.lower().strip(".") for e in given}
    assert len(written) == ("wav" in wanted) * 4 + ("flac" in wanted) * 1


def test_other_rates_give_as_many_frames_as_their_seconds(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    for rate in (8000, 96000):
        soundfile.write(tmp_path / f"{rate}.wav", np.full((rate, 2), 0.1), rate)
        _, (written,), _ = encode(capfdbinary, "--input", tmp_path / f"{rate}.wav", "--output", tmp_path / "out")
        assert np.load(written).shape == (1, 8, 22)  # ceil(44100 / 2048)


def test_one_sample_is_enough(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    soundfile.write(tmp_path / "x.wav", np.array([0.5]), 44100)
    code, (written,), _ = encode(capfdbinary, "--input", tmp_path / "x.wav", "--output", tmp_path / "out")
    assert (code, np.load(written).shape) == (0, (1, 8, 1))


def test_one_bad_file_does_not_stop_the_rest(
    sounds: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (sounds / "deep" / "bad.wav").write_bytes(b"RIFF nonsense")
    code, written, err = encode(capfdbinary, "--input", sounds, "--output", tmp_path / "out")
    assert (code, len(written)) == (1, 6)
    assert "1 of 7 inputs failed" in err
    assert "bad.wav is not a sound file" in (tmp_path / "out" / "failures.csv").read_text()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The keys of the files that the model ran on."""
    from unravel_lib.model import Model

    seen: list[str] = []
    plain = Model.encode

    def counted(self: Model, blocks: object, seed: int, key: str, *rest: object) -> object:
        seen.append(key)
        return plain(self, blocks, seed, key, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Model, "encode", counted)
    yield seen


def test_skip_existing_runs_only_what_is_missing_or_different(
    recordings: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], calls: list[str]
) -> None:
    flags = ("--input", recordings, "--output", tmp_path, "--extensions", "flac", "--skip_existing")
    _, written, _ = encode(capfdbinary, *flags)
    assert len(calls) == len(written) == 10
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert encode(capfdbinary, *flags)[:2] == (0, [])
    assert len(calls) == 10
    written[0].unlink()
    written[1].write_bytes(written[1].read_bytes()[:-4])
    written[2].with_suffix(".json").unlink()
    code, again, _ = encode(capfdbinary, *flags)
    assert (code, again) == (0, written[:3])
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert len(encode(capfdbinary, *flags, "--seed", 1)[1]) == 10


def test_it_works_from_the_shell(script: object, recordings: Path, tmp_path: Path) -> None:
    done = script("encoder", "--input", recordings / "elec_chime.flac", "--output", tmp_path)  # type: ignore[operator]
    assert done.returncode == 0
    assert Path(done.stdout.strip()).is_file()
    assert "Traceback" not in done.stderr
