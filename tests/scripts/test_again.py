"""generator.py --again, --first, --beats, --seconds, and the command in the sidecar."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fixtures_runs import Result, Run

from unravel_lib.files.sidecar import Sidecar, write_sidecar
from unravel_lib.latents.formats import load_latents, save_latents
from unravel_lib.models import POCKET

FLAGS = ("--no_plots", "--embeddings")


@pytest.fixture(scope="module")
def encodings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encodings")
    for i in range(2):
        steps = np.random.default_rng(i).normal(size=(3, 150)).cumsum(axis=1)
        save_latents(folder / f"{i}.npy", steps / 5)
        write_sidecar(folder / f"{i}.npy", Sidecar(44100, 2048, 3, 150, model="voice.ts", model_sha256="a" * 64))
    return folder


def generate(run: Run, folder: Path, *flags: object) -> Result:
    result = run("generator", "--output", folder, "--run", "r", "--overwrite", *flags)
    assert result.code == 0, result.err
    return result


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "r").iterdir() if path.suffix in (".npy", ".wav")}


def content(command: object) -> list[str]:
    """A recorded command without the place of the results, which is at its end."""
    assert isinstance(command, list) and command[-3] == "--output"
    return command[:-3]


def options(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(path.with_suffix(".json").read_text())["options"]
    return found


PIECES = [
    ("--distribution", "walk", "--pattern", "swapper", "--bpm", 120, "--beats", 4),
    ("--distribution", "copula", "--iqr", "--pattern", "orale", "--pattern_args", "levels=1", "--num_latents", 5),
    ("--distribution", "retrace", "--transform", "every 2 rev", "degrade 0.2", "--seconds", 0.3),
    ("--hold", "--wav_subtype", "FLOAT", "--num_latents", 3),
    ("--pattern", "blender", "--input_loop", "{0}/0.npy:3:7", "{0}/1.npy:3:7"),
]


@pytest.mark.parametrize("flags", PIECES, ids=lambda flags: str(flags[1]))
def test_again_makes_the_same_bytes(run: Run, tmp_path: Path, encodings: Path, flags: tuple[object, ...]) -> None:
    """Number 1 of three, from its sidecar alone; and the piece that was made again can be made again."""
    given = [str(flag).format(encodings) for flag in flags]
    kind = () if "--hold" in given else ("--embeddings",)
    generate(run, tmp_path / "a", "--input", encodings, "--num_files", 3, "--no_plots", "--num_loops", 2, *given, *kind)
    first = results(tmp_path / "a")
    [name] = [name for name in first if "_0001" in name]
    generate(run, tmp_path / "b", "--again", (tmp_path / "a" / "r" / name).with_suffix(".json"))
    assert results(tmp_path / "b") == {name: first[name]}
    generate(run, tmp_path / "c", "--again", tmp_path / "b" / "r" / name)
    assert results(tmp_path / "c") == {name: first[name]}
    commands = [options(tmp_path / folder / "r" / name)["command"] for folder in "bc"]
    assert content(commands[0]) == content(commands[1])


def test_a_sound_is_made_again_as_its_latents_are_also_where_the_project_has_moved(
    run: Run, tmp_path: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the sound, with the model of its own; the encodings, code and loops are found where the project is now."""
    project, code = (
        tmp_path / "a project",
        "from unravel_lib import pattern\n@pattern\ndef x(loop):\n    return [loop]\n",
    )
    run("encoder", "--input", recordings / "elec_chime.flac", "--output", project / "latents")
    (project / "mine.py").write_text(code)
    shutil.copy(POCKET, project / "voice.ts")
    [encoding] = (project / "latents").glob("*.npy")
    flags = ("--input_loop", f"{encoding}:0:8", "--pattern", f"{project}/mine.py:x", "--transform", "rev", *FLAGS)
    place = ("--output", project / "out", "--decode", "--model", project / "voice.ts")
    made = run("generator", "--input", project / "latents", *flags, *place)
    assert made.code == 0, made.err
    latents, sound = (path.read_bytes() for path in made.paths)
    for place_now in (project, tmp_path / "renamed", tmp_path / "deeper" / "renamed"):
        place_now.parent.mkdir(exist_ok=True)
        project = project.rename(place_now)
        [wav] = (project / "out").glob("*/sound/*.wav")
        monkeypatch.chdir(tmp_path)
        again = run(
            "generator", "--again", wav, "--decode", "--no_plots", "--trust_code", "--output", tmp_path / "again"
        )
        assert again.code == 0, again.err
        assert [path.read_bytes() for path in again.paths] == [latents, sound]
        assert json.loads(again.paths[1].with_suffix(".json").read_text())["model"] == "voice.ts"


def test_a_sound_is_decoded_again_by_its_own_flags(run: Run, tmp_path: Path, recordings: Path) -> None:
    """Also the second time; and without the sound, by none."""
    run("encoder", "--input", recordings / "elec_chime.flac", "--output", tmp_path / "latents")
    made = run("generator", "--input", tmp_path / "latents", *FLAGS, "--output", tmp_path / "made", "--run", "r")
    [piece] = [path for path in made.paths if path.suffix == ".npy"]
    shapes = ("--normalize", -20, "--max_gain", 3, "--subtype", "FLOAT", "--seed", 7, "--jobs", 1)
    for name, flags in (("loop", ("--loop", *shapes)), ("fade", ("--fade", 50, "--device", "cpu", *shapes))):
        [sound] = run("decoder", "--input", piece, "--output", tmp_path / name, *flags).paths
        wav, first = sound.read_bytes(), json.loads(sound.with_suffix(".json").read_text())
        for number in range(2):
            output = tmp_path / f"{name}{number}"
            [_, sound] = run("generator", "--again", sound, "--decode", "--no_plots", "--output", output).paths
            facts = json.loads(sound.with_suffix(".json").read_text())
            assert sound.read_bytes() == wav and facts["options"].pop("command") != first["options"]["command"]
            assert facts["options"].items() <= first["options"].items()
    [_, plain] = run("generator", "--again", piece, "--decode", "--no_plots", "--output", tmp_path / "plain").paths
    assert (
        plain.read_bytes() == run("decoder", "--input", piece, "--output", tmp_path / "d").paths[0].read_bytes() != wav
    )


def test_a_sound_of_a_recording_is_no_piece(run: Run, tmp_path: Path, recordings: Path) -> None:
    [latents] = run("encoder", "--input", recordings / "elec_chime.flac", "--output", tmp_path).paths
    [sound] = run("decoder", "--input", latents, "--output", tmp_path).paths
    result = run("generator", "--again", sound, "--output", tmp_path / "o")
    assert (result.code, result.paths) == (2, []) and "is no sidecar of a result of generator.py" in result.err


def test_the_command_in_the_sidecar_is_one_for_the_shell(run: Run, tmp_path: Path, encodings: Path) -> None:
    flags = ("--input", encodings, "--seed", 7, "--transform", "rot 1", "rev", *FLAGS)
    result = generate(run, tmp_path / "a", *flags)
    command = options(next(path for path in result.paths if path.suffix == ".npy"))["command"]
    place = ["--output", str(tmp_path / "a"), "--run=r"]
    flags = ("--input", str(encodings), "--transform", "rot 1", "rev", "--seed", "7", "--embeddings", *place)
    assert command == [*flags]
    first = results(tmp_path / "a")
    shutil.rmtree(tmp_path / "a")
    assert run("generator", *command).code == 0
    assert results(tmp_path / "a") == first


def test_further_flags_take_the_place_of_those_of_the_piece(run: Run, tmp_path: Path, encodings: Path) -> None:
    """Also flags that exclude each other, and lists, which are replaced and not extended."""
    made = ("--pattern", "blender", "--pattern_args", "direction=mirrored", "--bpm", 400, "--transform", "rev")
    generate(run, tmp_path / "a", "--input", encodings, *made, *FLAGS)
    [piece] = (tmp_path / "a" / "r").glob("*.npy")
    for flags, wanted in [
        (("--pattern", "loop"), {"pattern": "loop", "pattern_args": {}, "transform": ["rev"], "num_latents": 3}),
        (("--num_latents", 4, "--seed", 9), {"num_latents": 4, "pattern_args": {"direction": "mirrored"}}),
        (("--seconds", 0.2, "--transform", "rot 1"), {"num_latents": 4, "transform": ["rot 1"]}),
        (("--input_loop", f"{encodings}/0.npy:0:5"), {"num_latents": 5}),
        (("--num_files", 2), {"file_index": 1}),
        (("--transform", "none"), {"transform": ["none"], "num_latents": 3}),
        (("--hold",), {"hold": True}),
    ]:
        result = generate(run, tmp_path / "b", "--again", piece, *flags)
        made_again = options([path for path in result.paths if path.suffix in (".npy", ".wav")][-1])
        assert {name: made_again[name] for name in wanted} == wanted, flags
        assert ("--seconds takes the place of the --bpm of the piece" in result.err) == ("--seconds" in flags)
        shutil.rmtree(tmp_path / "b")


def test_options_stay_where_the_name_is_the_same(run: Run, tmp_path: Path, encodings: Path) -> None:
    """Also of a pattern of one's own, and as one of several; with loops that are given, nothing is drawn."""
    code = tmp_path / "mine.py"
    code.write_text(
        "from unravel_lib import pattern\n@pattern\ndef x(loop, times: int = 1):\n    return [loop] * times\n"
    )
    target, loop = ("--target", f"{encodings}/0.npy:0:5"), ("--input_loop", f"{encodings}/1.npy:0:5")
    for number, (flags, change, kept) in enumerate(
        (
            (("--pattern", "form", "--pattern_args", "form=ABAC"), ("--pattern", "form"), True),
            (("--pattern", f"{code}:x", "--pattern_args", "times=3"), ("--pattern", f"{code}:x"), True),
            (("--distribution", "mosaic", *target), ("--distribution", "mosaic"), True),
            (("--distribution", "mosaic", *target), loop, False),
        )
    ):
        generate(run, tmp_path / f"{number}", "--input", encodings, *flags, *FLAGS)
        [piece] = (tmp_path / f"{number}" / "r").glob("*.npy")
        result = generate(run, tmp_path / f"{number}b", "--again", piece, *change)
        assert (piece.read_bytes() in results(tmp_path / f"{number}b").values()) == kept
        assert "takes the place of" not in result.err
    result = run("generator", "--again", piece, "--distribution", "mosaic,retrace", "--output", tmp_path / "o")
    assert result.code == 2 and "--distribution retrace takes no target" in result.errors[0]


def test_statistics_are_found_beside_the_piece(run: Run, tmp_path: Path, encodings: Path) -> None:
    """After the encodings have gone; unless the distribution takes their frames, which is said."""
    copy = tmp_path / "copy"
    shutil.copytree(encodings, copy)
    for distribution in ("walk", "empirical"):
        generate(run, tmp_path / distribution, "--input", copy, "--distribution", distribution, *FLAGS)
    shutil.rmtree(copy)
    [walk], [empirical] = ((tmp_path / name / "r").glob("*.npy") for name in ("walk", "empirical"))
    generate(run, tmp_path / "b", "--again", walk)
    assert list(results(tmp_path / "b").values()) == [walk.read_bytes()]
    result = run("generator", "--again", empirical, "--output", tmp_path / "c")
    assert result.code == 2 and f"{copy} does not exist: check the path (--input)" in result.err
    result = generate(run, tmp_path / "d", "--again", empirical, "--input", encodings)
    assert list(results(tmp_path / "d").values()) == [empirical.read_bytes()] and "warning" not in result.err


def test_only_chooses_among_encodings(run: Run, tmp_path: Path, encodings: Path) -> None:
    """A piece keeps its choice, which its statistics have; another one needs the encodings, as in any command."""
    copy = tmp_path / "copy"
    shutil.copytree(encodings, copy)
    generate(run, tmp_path / "a", "--input", copy, "--only", "0", "--distribution", "walk", *FLAGS)
    generate(run, tmp_path / "other", "--input", copy, "--only", "1", "--distribution", "walk", *FLAGS)
    [piece], [other] = ((tmp_path / name / "r").glob("*.npy") for name in ("a", "other"))
    generate(run, tmp_path / "b", "--again", piece)
    generate(run, tmp_path / "c", "--again", piece, "--only", "1")
    table = other.with_name("statistics.csv")
    generate(run, tmp_path / "d", "--again", piece, "--statistics", table)
    assert results(tmp_path / "b") == {piece.name: piece.read_bytes()} != results(tmp_path / "c")
    assert results(tmp_path / "c") == results(tmp_path / "d") == {other.name: other.read_bytes()}
    for source, message in (
        (("--statistics", table), "--statistics cannot be combined with others: leave it out, or these (--only)"),
        (("--input_loop", f"{copy}/0.npy:0:20"), "--only does nothing alone: add (--input)"),
    ):
        result = run("generator", *source, "--only", "1", "--output", tmp_path / "o")
        assert result.code == 2 and result.errors == [f"error: {message}"]
    shutil.rmtree(copy)
    generate(run, tmp_path / "e", "--again", piece)
    result = run("generator", "--again", piece, "--only", "1", "--output", tmp_path / "o")
    assert result.code == 2 and result.errors[0].endswith(f"{copy} does not exist: check the path (--input)")
    assert not (tmp_path / "o").exists()


def test_other_statistics_are_noticed(run: Run, tmp_path: Path, encodings: Path) -> None:
    generate(run, tmp_path / "a", "--input", encodings / "0.npy", *FLAGS)
    [piece] = (tmp_path / "a" / "r").glob("*.npy")
    result = generate(run, tmp_path / "b", "--again", piece, "--input", encodings / "1.npy")
    assert "warning: the statistics are other ones than" in result.err
    (tmp_path / "a" / "r" / "statistics.csv").unlink()
    generate(run, tmp_path / "c", "--again", piece)  # the encodings are still there
    assert list(results(tmp_path / "c").values()) == [piece.read_bytes()]


def test_changed_code_and_loops_are_noticed(run: Run, tmp_path: Path, encodings: Path) -> None:
    code = tmp_path / "mine.py"
    code.write_text("from unravel_lib import transform\n@transform\ndef f(loop):\n    return loop\n")
    loop = tmp_path / "loop.npy"
    save_latents(loop, load_latents(encodings / "0.npy"))
    flags = ("--input", encodings, "--input_loop", f"{loop}:0:4", "--transform", f"{code}:f")
    generate(run, tmp_path / "a", *flags, *FLAGS)
    [piece] = (tmp_path / "a" / "r").glob("*.npy")
    code.write_text(code.read_text() + "# another\n")
    result = generate(run, tmp_path / "b", "--again", piece, "--trust_code")
    assert "warning: mine.py:f has changed since the piece was made" in result.err and "loop.npy" not in result.err
    save_latents(loop, load_latents(encodings / "1.npy"))
    result = generate(run, tmp_path / "c", "--again", piece, "--trust_code")
    assert f"warning: {loop} has changed since the piece was made: the new one may be another" in result.err


def test_words_are_kept_as_they_were_written(
    run: Run, tmp_path: Path, encodings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers in steps, as a step's random numbers depend on its words; names that end in .0 or begin with a dash."""
    monkeypatch.chdir(tmp_path)
    for name in ("-takes", "takes-v1.0"):
        shutil.copytree(encodings, tmp_path / name)
    for number, flags in enumerate(
        [
            (f"--input={encodings}", "--transform", "sometimes 0.5 shift 1.0", "--num_loops", 8, "--bpm", 200),
            ("--input=-takes", "--distribution", "retrace"),
            ("--input=takes-v1.0", "--distribution", "retrace"),
        ]
    ):
        generate(run, tmp_path / f"a{number}", *flags, *FLAGS)
        [piece] = (tmp_path / f"a{number}" / "r").glob("*.npy")
        generate(run, tmp_path / f"b{number}", "--again", piece)
        assert list(results(tmp_path / f"b{number}").values()) == [piece.read_bytes()], flags
    assert "200" in options(tmp_path / "a0" / "r" / "loop_normal_seed42_0000_embeddings.npy")["command"]  # type: ignore[operator]


def test_what_is_given_now_may_need_the_encodings(run: Run, tmp_path: Path, encodings: Path) -> None:
    """Or make the distribution of the piece needless."""
    generate(run, tmp_path / "a", "--input", encodings, "--distribution", "walk", *FLAGS)
    [piece] = (tmp_path / "a" / "r").glob("*.npy")
    for more in (("--iqr",), ("--fidelity",), ("--input_loop", f"{encodings}/0.npy:0:8")):
        generate(run, tmp_path / "b", "--again", piece, *more)


def test_what_cannot_be_made_again(run: Run, tmp_path: Path, encodings: Path) -> None:
    for path, message in [
        (encodings / "0.json", "0.json is no sidecar of a result of generator.py"),
        (encodings, " is a folder: give a result of generator.py, its .json, or the sound of it (--again)"),
        (tmp_path / "nowhere.wav", "nowhere.wav does not exist"),
    ]:
        result = run("generator", "--again", path, "--output", tmp_path / "o")
        assert result.code == 2 and message in result.err and len(result.errors) == 1
    generate(run, tmp_path / "a", "--input", encodings, *FLAGS)
    [sidecar] = (tmp_path / "a" / "r").glob("loop*.json")
    facts = json.loads(sidecar.read_text())
    del facts["options"]["command"]
    sidecar.write_text(json.dumps(facts))
    result = run("generator", "--again", sidecar, "--output", tmp_path / "o")
    assert result.code == 2 and "is no sidecar of a result of generator.py" in result.err


def test_the_command_makes_that_file_alone(run: Run, tmp_path: Path, encodings: Path) -> None:
    """The sidecar of a file does not depend on how many were made with it."""
    generate(run, tmp_path / "a", "--input", encodings, "--num_files", 3, *FLAGS)
    command = options(tmp_path / "a" / "r" / "loop_normal_seed42_0002_embeddings.npy")["command"]
    (tmp_path / "a").rename(tmp_path / "before")
    assert run("generator", "--no_plots", *command).code == 0  # type: ignore[misc]
    assert [path.name for path in (tmp_path / "a" / "r").glob("loop*.json")] == [
        "loop_normal_seed42_0002_embeddings.json"
    ]
    for path in (tmp_path / "a" / "r").iterdir():
        assert path.read_bytes() == (tmp_path / "before" / "r" / path.name).read_bytes()


def test_first_makes_one_of_many(run: Run, tmp_path: Path, encodings: Path) -> None:
    for output, flags in ((tmp_path / "all", ("--num_files", 4)), (tmp_path / "one", ("--first", 2, "--num_files", 2))):
        generate(run, output, "--input", encodings, *FLAGS, *flags)
    every, some = results(tmp_path / "all"), results(tmp_path / "one")
    assert some == {name: every[name] for name in sorted(every)[2:]}


@pytest.mark.parametrize(
    ("flags", "frames", "report"),
    [
        (("--bpm", 120), 11, "nearest to 120 BPM: a loop of 11 frames at 44100 Hz / 2048 is 117.45 BPM"),
        (("--bpm", 120, "--beats", 4), 43, "a loop of 43 frames at 44100 Hz / 2048, 4 beats, is 120.19 BPM"),
        (("--seconds", 2), 43, "nearest to 2 s: a loop of 43 frames, 2.00 s at 44100 Hz / 2048 is 30.05 BPM"),
        (("--seconds", 30), 646, "30.00 s at 44100 Hz / 2048: counted as 64 beats (--beats 64) it has 128.00 BPM"),
        (("--bpm", 20), 65, "is 19.88 BPM"),
        (("--num_latents", 43, "--beats", 4), 43, "4 beats, is 120.19 BPM"),
        ((), 10, "a loop of 10 frames at 44100 Hz / 2048 is 129.20 BPM"),
    ],
)
def test_lengths(
    run: Run, tmp_path: Path, encodings: Path, flags: tuple[object, ...], frames: int, report: str
) -> None:
    result = generate(run, tmp_path, "--input", encodings, *FLAGS, *flags)
    made = options(next(path for path in result.paths if path.suffix == ".npy"))
    assert made["num_latents"] == frames and report in result.err
    assert made["beats"] == (4 if "--beats" in flags else 1)
    bpm = None if "counted" in report else 60 * 44100 / 2048 / frames * int(str(made["beats"]))
    assert made["bpm"] == (bpm and pytest.approx(bpm, abs=1e-4))


def test_the_default_length_is_half_a_second_at_any_compression(run: Run, tmp_path: Path) -> None:
    save_latents(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(2, 50)))
    for compression, frames in ((2048, 10), (1024, 20), (512, 40), (4096, 5), (1 << 20, 1)):
        result = generate(run, tmp_path, "--input", tmp_path / "x.npy", "--compression", compression, *FLAGS)
        assert f"a loop of {frames} frame" in result.err


def test_steps_change_the_tempo_and_fibo_has_none(run: Run, tmp_path: Path, encodings: Path) -> None:
    for flags, bpm in ((("--transform", "ply 2"), 64.5996), (("--pattern", "fibo"), None)):
        result = generate(run, tmp_path, "--input", encodings, *FLAGS, *flags)
        assert options(next(path for path in result.paths if path.suffix == ".npy"))["bpm"] == bpm


@pytest.mark.parametrize("flags", [("--bpm", 120, "--seconds", 1), ("--seconds", 1, "--num_latents", 4)])
def test_one_length_only(run: Run, tmp_path: Path, encodings: Path, flags: tuple[object, ...]) -> None:
    result = run("generator", "--input", encodings, "--output", tmp_path / "o", *flags)
    assert result.code == 2 and "cannot be combined with others: leave it out, or these" in result.err
    generate(run, tmp_path / "a", "--input", encodings, "--bpm", 200, *FLAGS)
    again = run("generator", "--again", next((tmp_path / "a" / "r").glob("*.npy")), *flags, "--output", tmp_path / "o")
    assert again.code == 2 and again.err == result.err


def edited(tmp_path: Path, run: Run, encodings: Path, **changes: list[str]) -> Path:
    """The sidecar of a piece, with words added to its command."""
    generate(run, tmp_path / "a", "--input", encodings, *FLAGS)
    [sidecar] = (tmp_path / "a" / "r").glob("loop*.json")
    facts = json.loads(sidecar.read_text())
    facts["options"]["command"] += changes.pop("command", [])
    facts["options"] |= changes
    sidecar.write_text(json.dumps(facts))
    return sidecar


@pytest.mark.parametrize(
    "words",
    [
        ("--pattern", "{}:x"),
        ("--pattern", "{}"),
        ("--pattern={}:x",),
        ("--distribution", "{}:x"),
        ("--distribution", "{}"),
        ("--transform", "every 2 {}:x"),
        ("--transform", "rev", "{}"),
        ("--seed", "3", "--transform=rev", "--transform={}:x"),
        ("--transform", "'{}':x"),
        ("--transform", "{}''y:x"),
        ("--transform", "{}\\y:x"),
    ],
    ids=" ".join,
)
def test_code_that_a_sidecar_names_is_run_only_if_it_is_trusted(
    run: Run, tmp_path: Path, encodings: Path, words: tuple[str, ...]
) -> None:
    evil, ran = tmp_path / "evil.py", tmp_path / "ran"
    evil.write_text(f"open({str(ran)!r}, 'w')\n")
    sidecar = edited(
        tmp_path, run, encodings, command=[word.format(str(evil)[: -1 if "y:" in word else None]) for word in words]
    )
    result = run("generator", "--again", sidecar, "--output", tmp_path / "o")
    assert (result.code, ran.exists(), (tmp_path / "o").exists()) == (2, False, False)
    assert f"error: {sidecar} names code to run, " in result.err and "evil.p" in result.err
    assert result.err.endswith(": look at that file, then allow it (--trust_code)\n")
    result = run("generator", "--again", sidecar, "--output", tmp_path / "o", "--trust_code")
    assert (result.code, ran.exists()) == (2, True)  # which has no function x


def test_what_is_given_now_is_trusted(run: Run, tmp_path: Path, encodings: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("from unravel_lib import pattern\n@pattern\ndef x(loop):\n    return [loop, loop]\n")
    sidecar = edited(tmp_path, run, encodings, command=["--pattern", "/nowhere/evil.py:x"])
    generate(run, tmp_path / "b", "--again", sidecar, "--pattern", f"{mine}:x")
    generate(run, tmp_path / "c", "--again", sidecar, "--pattern", "loop")


@pytest.mark.parametrize("place", [("--output", "{}", "--run", "mine"), ("--output={}", "--run=mine"), ()])
def test_only_what_shapes_the_content_is_taken_from_a_sidecar(
    run: Run, tmp_path: Path, encodings: Path, place: tuple[str, ...]
) -> None:
    """Neither where results go, nor leave to replace others, nor flags that do something else."""
    mine = tmp_path / "precious" / "mine"
    mine.mkdir(parents=True)
    (mine / "statistics.csv").write_text("mine")
    more = ["--overwrite", "--large", "--num_files", "9", "--help", "-h", "--version", "--tempo_table", "--again", "x"]
    more += ["--measure_only", "--list_patterns", "--trust_code", "--debug", "--live", "/x/y.ts", "--", "z"]
    words = [*(word.format(tmp_path / "precious") for word in place), *more, "--seed", "7"]
    sidecar = edited(tmp_path, run, encodings, command=words)
    result = run("generator", "--again", sidecar, "--output", tmp_path / "b", "--no_plots")
    assert result.code == 0, result.err
    assert {path.parent.parent for path in result.paths} == {tmp_path / "b"}
    assert (mine / "statistics.csv").read_text() == "mine"
    [made] = [path for path in result.paths if path.suffix == ".npy"]
    assert "seed7" in made.name
    command = [str(word) for word in options(made)["command"]]  # type: ignore[attr-defined]
    assert not {word.partition("=")[0] for word in command} & set(more)


def test_a_piece_is_made_again_from_any_folder(
    run: Run, tmp_path: Path, encodings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that was typed relative to the folder of the first run: encodings, loops, and code, random steps with it."""
    shutil.copytree(encodings, tmp_path / "the first" / "in")
    monkeypatch.chdir(tmp_path / "the first")
    Path("mine.py").write_text(
        "from unravel_lib import pattern, transform\n@pattern\ndef twice(loop):\n    return [loop, loop]\n"
        "@transform\ndef noise(loop, rng):\n    return loop + rng.normal(size=loop.shape)\n"
    )
    flags = ("--input", "in", "--pattern", "mine.py:twice", "--transform", "every 2 mine.py:noise", "--seed", 5)
    generate(run, Path("a"), *flags, "--distribution", "empirical", *FLAGS)
    generate(run, Path("b"), "--input", "in", "--input_loop", "in/0.npy:2:9", *FLAGS)
    (tmp_path / "second").mkdir()
    monkeypatch.chdir(tmp_path / "second")
    for name in ("a", "b"):
        first = results(tmp_path / "the first" / name)
        [piece] = (tmp_path / "the first" / name / "r").glob("*_embeddings.json")
        generate(run, Path("again"), "--again", piece, "--trust_code")
        assert results(Path("again")) == first
        facts = json.loads(piece.read_text())
        assert facts["source"] == str(tmp_path / "the first" / "in")
        shutil.rmtree(tmp_path / "the first" / name)
        assert run("generator", *facts["options"]["command"]).code == 0
        assert results(tmp_path / "the first" / name) == first
        shutil.rmtree("again")
