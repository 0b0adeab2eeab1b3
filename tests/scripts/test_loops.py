"""From recordings to loops in time, by the scripts: descriptors, wishes, targets, names, seamless sound."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fixtures_runs import Result, Run

from unravel_lib.audio.descriptors import describe
from unravel_lib.latents.formats import load_latents

RATE, COMPRESSION = 44100, 2048
PLAIN = ("--no_plots", "--quiet", "--embeddings")


def beaten(seed: int, seconds: float = 6.0, gain: float = 0.5) -> np.ndarray:
    """Noise that is struck twice a second."""
    n = int(seconds * RATE)
    decay = np.exp(-(np.arange(n) % (RATE // 2)) / 3000)
    return gain * decay * np.random.default_rng(seed).uniform(-1, 1, n)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings with a beat, loud and quiet; a tone; and one that is mostly silent."""
    folder = tmp_path_factory.mktemp("sounds")
    tone = 0.3 * np.sin(np.arange(3 * RATE) / 9)
    silent = np.concatenate([beaten(3, 1.0), np.zeros(5 * RATE)])
    for name, sound in (("beat_a", beaten(1)), ("beat_b", beaten(2, gain=0.1)), ("tone", tone), ("silence", silent)):
        soundfile.write(folder / f"{name}.wav", sound, RATE)
    return folder


@pytest.fixture
def latents(run: Run, sounds: Path, tmp_path: Path) -> Path:
    assert run("encoder", "--input", sounds, "--output", tmp_path / "latents").code == 0
    return tmp_path / "latents"


def generated(run: Run, latents: Path, *flags: object) -> Result:
    return run("generator", "--input", latents, *PLAIN, "--output", latents.parent / "made", *flags)


def latents_of(result: Result) -> list[np.ndarray]:
    assert result.code == 0, result.err
    return [load_latents(path) for path in result.paths if path.suffix == ".npy"]


def test_descriptors_are_those_of_the_recording_and_complete_or_made_again(
    run: Run, sounds: Path, latents: Path
) -> None:
    """Catches: descriptors of another file, of another length, or a stale file that is trusted."""
    npy = next(latents.glob("*beat_a*.npy"))
    beside = npy.with_suffix(".descriptors")
    found = np.load(beside.open("rb"))
    sound, _ = soundfile.read(sounds / "beat_a.wav")
    np.testing.assert_allclose(found, describe(sound, RATE, COMPRESSION), atol=1e-3)
    assert found.dtype == np.float32 and found.shape == (3, load_latents(npy).shape[1])
    assert json.loads(npy.with_suffix(".json").read_text())["options"]["descriptors_sha256"]
    kept = beside.read_bytes()
    beside.write_bytes(kept[:-4] + b"\0\0\0\1")
    (latents / "x").mkdir()
    again = run("encoder", "--input", sounds, "--output", latents, "--skip_existing")
    assert again.code == 0 and [path.name for path in again.paths] == [npy.name] and beside.read_bytes() == kept


def test_files_of_a_run_are_spread_over_the_recordings_and_never_silent(run: Run, latents: Path) -> None:
    result = generated(run, latents, "--distribution", "retrace", "--num_latents", 11, "--num_files", 12, "--run", "a")
    loops = latents_of(result)
    assert len({loop[:, 0].tobytes() for loop in loops}) == 12
    sounds = run("decoder", "--input", latents.parent / "made" / "a", "--output", latents.parent / "sound")
    assert sounds.code == 0 and "silent" not in sounds.err
    one = latents_of(
        generated(run, latents, "--distribution", "retrace", "--num_latents", 11, "--first", 7, "--run", "b")
    )
    np.testing.assert_array_equal(one[0], loops[7])  # whether it is one of twelve or alone


def test_in_time_it_says_what_was_done(run: Run, latents: Path) -> None:
    flags = ("--only", "beat_*", "--distribution", "excerpt", "--run", "a")
    told = generated(run, latents, *flags, "--bpm", 110, "--beats", 4).err
    assert "of 0.5" in told and "stretched by" in told
    assert "stretched" not in generated(run, latents, *flags[:-1], "b", "--num_latents", 40).err


def test_a_loop_begins_on_its_strongest_attack_whatever_changed_it_before(run: Run, latents: Path) -> None:
    flags = ("--only", "beat_a", "--distribution", "excerpt", "--num_latents", 30, "--num_loops", 1)
    known = next(latents.glob("*beat_a*.npy"))
    recorded, attack = load_latents(known).T, np.load(known.with_suffix(".descriptors").open("rb"))[2]
    for number, before in enumerate(((), ("rev",), ("rot 7", "ply 2"))):
        made = latents_of(generated(run, latents, *flags, "--transform", *before, "rot onset", "--run", f"r{number}"))
        first = np.abs(recorded - made[0][:, 0]).max(axis=1).argmin()
        assert attack[first] > np.quantile(attack, 0.85)
    refused = generated(run, latents, *flags, "--transform", "dims 0 rot onset", "--run", "a")
    assert refused.code == 2 and "onset needs all dims" in refused.errors[0]


def test_wishes_and_targets_are_remade_from_the_sidecar(run: Run, latents: Path) -> None:
    target = next(latents.glob("*beat_a*.npy"))
    (latents / "curve.csv").write_text("level\n0\n1\n0\n")
    for number, flags in enumerate(
        (
            ("retrace", "--steer", "loudness 0.1 0.9 0.1", "brightness 0.5", "--num_latents", 60),
            ("oracle", "--steer", f"loudness {latents / 'curve.csv'}:level", "--num_latents", 60),
            ("retrace", "--steer", f"attack {target}", "--weight", "tone=3", "--num_latents", 60),
            ("mosaic", "--target", f"{target}:0:50", "--only", "tone", "beat_b"),
        )
    ):
        result = generated(run, latents, "--distribution", *flags, "--run", f"r{number}")
        made = latents_of(result)[0]
        assert made.shape[1] == 4 * (50 if flags[0] == "mosaic" else 60)
        sidecar = next(path for path in result.paths if path.suffix == ".npy").with_suffix(".json")
        again = run(
            "generator", "--again", sidecar, "--no_plots", "--output", latents.parent / "again", "--run", f"{number}"
        )
        np.testing.assert_array_equal(latents_of(again)[0], made)


def test_files_of_wishes_and_targets_have_any_name_and_are_known_again(
    run: Run, latents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blanks, quotes and ~ in names; a file that has changed is told, and taken as it is now."""
    home = latents.parent / "my home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    curve, target = home / "a curve.csv", home / "a target.npy"
    for number, flags in enumerate(
        (
            ("retrace", "--steer", f"loudness {curve}:my level"),
            ("retrace", "--steer", "loudness '~/a curve.csv:my level'"),
            ("retrace", "--steer", f"loudness '{curve}':my level"),
            ("mosaic", "--target", "~/a target.npy:0:30"),
        )
    ):
        curve.write_text("my level\n0\n1\n")
        target.write_bytes(next(latents.glob("*beat_a*.npy")).read_bytes())
        made = generated(run, latents, "--distribution", *flags, "--run", f"r{number}")
        piece = next(path for path in made.paths if path.suffix == ".npy")
        command = ("generator", "--again", piece, "--no_plots", "--output", latents.parent / "again", "--run")
        monkeypatch.setenv("HOME", "/nowhere")
        np.testing.assert_array_equal(latents_of(run(*command, f"{number}a"))[0], latents_of(made)[0])
        curve.write_text("my level\n1\n0\n")
        target.write_bytes(next(latents.glob("*silence*.npy")).read_bytes())
        other = run(*command, f"{number}b")
        assert " has changed since the piece was made: the new one may be another\n" in other.err
        assert (latents_of(other)[0] != latents_of(made)[0]).any()
        monkeypatch.setenv("HOME", str(home))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--steer", "loudness 0.5"),
            "--distribution normal takes no wishes: take retrace or oracle, or leave out (--steer)",
        ),
        (("--distribution", "retrace", "--steer", "loud 1"), "loud is none of loudness, brightness, attack"),
        (("--distribution", "retrace", "--steer", "loudness 2"), "needs ranks from 0 to 1, in quotes"),
        (
            ("--distribution", "retrace", "--steer", "loudness curve.csv"),
            ", or FILE.csv:COLUMN, or an encoding (.npy)",
        ),
        (("--distribution", "retrace", "--distribution_args", "near"), "is not name=value: write near=VALUE"),
        (("--distribution", "mosaic"), "--distribution mosaic needs a target"),
        (("--target", "nowhere.npy"), "nowhere.npy"),
        (("--only", "drum*"), "--only drum* fits none of 4 recordings"),
        (("--only", "tone.wav"), "or a part of one with *; did you mean tone?"),
        (("--weight", "tone"), "is no weight, expected NAME=N"),
        (("--weight", "drum*=2"), "--weight drum*=2 fits none of 4 recordings"),
        (("--weight", "*=0"), "leaves nothing"),
    ],
)
def test_what_does_not_fit_is_one_line(run: Run, latents: Path, flags: tuple[str, ...], message: str) -> None:
    result = generated(run, latents, *flags, "--run", "a")
    assert result.code == 2 and len(result.errors) == 1 and message in result.errors[0]


def test_weights_that_change_nothing_are_told(run: Run, latents: Path) -> None:
    for name, is_told in (("normal", True), ("oracle", False)):
        result = generated(run, latents, "--weight", "tone=2", "--distribution", name, "--run", name)
        assert result.code == 0 and ("--weight changes nothing" in result.err) == is_told


def test_latents_without_descriptors_work_and_cannot_be_steered(run: Run, latents: Path) -> None:
    for path in latents.glob("*.descriptors"):
        path.unlink()
    assert latents_of(generated(run, latents, "--distribution", "retrace", "--run", "a"))
    for flags in (("--steer", "loudness 1"), ("--transform", "rot onset")):
        refused = generated(run, latents, "--distribution", "retrace", *flags, "--run", "b")
        assert refused.code == 2 and len(refused.errors) == 1 and "encode them again by encoder.py" in refused.err


def test_a_decoded_loop_goes_on_without_hole_or_click(run: Run, latents: Path) -> None:
    made = generated(
        run, latents, "--only", "tone", "--distribution", "excerpt", "--num_latents", 20, "--num_loops", 1, "--run", "a"
    )
    place = latents.parent / "made" / "a"
    sound = run("decoder", "--input", place, "--loop", "--subtype", "FLOAT", "--output", latents.parent / "loop").paths[
        0
    ]
    samples, _ = soundfile.read(sound)
    assert made.code == 0 and len(samples) == 20 * COMPRESSION
    around = np.tile(samples, 2)[len(samples) - 4410 : len(samples) + 4410]
    levels = np.sqrt(np.lib.stride_tricks.sliding_window_view(around**2, 441).mean(axis=1))
    assert levels.min() > 0.5 * np.median(levels)
    assert np.abs(np.diff(around))[4405:4415].max() <= np.abs(np.diff(around)).max()
    assert json.loads(sound.with_suffix(".json").read_text())["options"]["loop"] is True


def test_a_target_of_another_model_is_refused(run: Run, latents: Path) -> None:
    other = latents.parent / "other"
    other.mkdir()
    for path in latents.glob("*tone*"):
        (other / path.name).write_bytes(path.read_bytes())
    sidecar = next(other.glob("*.json"))
    facts = json.loads(sidecar.read_text()) | {"model": "b.ts", "model_sha256": "b" * 64, "weights_sha256": "b" * 64}
    sidecar.write_text(json.dumps(facts))
    target = next(other.glob("*.npy"))
    result = generated(run, latents, "--distribution", "mosaic", "--target", target, "--run", "a")
    assert result.code == 2 and "has another model than" in result.errors[0]
