"""How a file was made, by its sidecar: what is told of it, and which recorded commands are shown for copying."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures_runs import ROOT

from unravel_lib.files.sidecar import EncodingSidecar, GeneratedSidecar, Sidecar, SoundSidecar, write_sidecar
from unravel_lib.history import MAX_ENCODINGS, SHAPING, refusal, shaping, shell_line, steps, values

ENCODER, GENERATOR = str(ROOT / "encoder.py"), str(ROOT / "generator.py")
ENCODING = EncodingSidecar(
    script=ENCODER, command=("--input", "/a b/x'y.wav", "--seed", "7", "--output", "/out"), source="/a b/x'y.wav"
)


def test_a_command_is_one_for_a_shell() -> None:
    assert shlex.split(shell_line(ENCODING)) == ["python", ENCODER, *ENCODING.command]
    installed = replace(ENCODING, script="unravel-encoder")
    assert shlex.split(shell_line(installed)) == ["unravel-encoder", *ENCODING.command]
    sound = SoundSidecar(script="unravel-decoder", command=("--input", "/x.npy", "--normalize", "-20.5"))
    assert shell_line(sound) == "unravel-decoder --input /x.npy --normalize -20.5"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"script": "/tmp/encoder.py"}, "none of this UnRAVEl"),
        ({"script": "encoder.py"}, "none of this UnRAVEl"),
        ({"script": GENERATOR}, "none of this UnRAVEl"),
        ({"script": "unravel-generator"}, "none of this UnRAVEl"),
        ({"script": "rm -rf ~; \n" + ENCODER}, "none of this UnRAVEl"),
        ({"script": None}, "not recorded"),
        ({"command": ()}, "not recorded"),
        ({"command": ("--input", "x", "--trust_model")}, "a flag that makes no such file: --trust_model"),
        ({"command": ("--input", "x", "--overwrite")}, "a flag that makes"),
        ({"command": ("--input", "x", "--pattern", "y")}, "a flag that makes"),
        ({"command": ("--input", "x", "-h")}, "a flag that makes"),
        ({"command": ("--input", "x", "--")}, "a flag that makes"),
        ({"command": ("--input", "x", "--unknown=3")}, "a flag that makes"),
        *(({"command": ("--input", f"x{c}y")}, "do not print") for c in "\n\r\x1b\x00\x7f\x9b\u202e\u2028\udcff"),
    ],
)
def test_a_command_that_could_do_something_else_is_not_shown(changes: dict[str, object], why: str) -> None:
    strange = replace(ENCODING, **changes)  # type: ignore[arg-type]
    assert shell_line(strange) == "" and why in refusal(strange)
    [step] = steps(Path("x.npy"), strange)
    assert step.command == "" and why in dict(step.facts)["command"] and dict(step.facts)["command"].isprintable()


def test_only_what_shapes_the_content_is_kept_of_a_command() -> None:
    words = [
        "x",
        "--seed",
        "7",
        "--output",
        "a",
        "b",
        "--overwrite",
        "--seed=8",
        "--run=y",
        "z",
        "--bpm",
        "-3",
        "-x",
        "1",
    ]
    assert shaping("generator", words) == ["--seed", "7", "--seed=8", "--bpm", "-3"]
    assert values(words, "seed") == ["7", "8"] and values(words, "output") == ["a", "b"]
    assert values(words, "overwrite") == [] and values(words, "bpm") == ["-3"]
    for known in SHAPING.values():
        assert not {"output", "run", "overwrite", "large", "help", "again", "trust_code", "trust_model"} & set(known)


def encoded(folder: Path, n_files: int) -> Path:
    folder.mkdir()
    for index in range(n_files):
        (folder / f"{index:03d}.npy").write_bytes(b"x")
        write_sidecar(folder / f"{index:03d}.npy", ENCODING)
    return folder


@pytest.mark.parametrize("n_files", [2, MAX_ENCODINGS, MAX_ENCODINGS + 1])
def test_the_steps_lead_from_recordings_to_a_sound(tmp_path: Path, n_files: int) -> None:
    folder = encoded(tmp_path / "latents", n_files)
    (folder / "own.npy").write_bytes(b"x")
    write_sidecar(folder / "own.npy", GeneratedSidecar())
    command = ("--input", str(folder), "/nowhere", "--seed", "3", "--output", "/gen")
    piece = GeneratedSidecar(
        script=GENERATOR, command=command, source=str(folder), seed=3, pattern="loop", num_latents=4
    )
    sound = SoundSidecar(source="/gen/first/x.npy", latents=piece, seed=1)
    made = steps(tmp_path / "x.wav", sound)
    n_told = n_files if n_files < MAX_ENCODINGS else 0
    assert [step.script for step in made] == ["encoder.py"] * n_told + ["generator.py", "decoder.py"]
    facts = dict(made[-2].facts)
    assert facts["made from"] == f"{folder}: {n_files + 1} files" and facts["pattern"] == "loop"
    assert made[-2].command == shlex.join(["python", GENERATOR, *command, "--run=first"])
    assert dict(made[-1].facts)["latents"] == "/gen/first/x.npy (gone)"
    *before, alone = steps(tmp_path / "x.npy", piece)
    assert before == made[:-2] and alone.facts == made[-2].facts and alone.command.endswith(f"--run={tmp_path.name}")


def test_loops_that_were_given_are_followed_each_once(tmp_path: Path) -> None:
    """Also where sidecars of loops name each other, as a stranger's may."""
    folder = encoded(tmp_path / "latents", 1)
    loops = [tmp_path / name for name in ("a.wav", "b.npy")]
    for path, other in (loops, loops[::-1]):
        path.write_bytes(b"x")
        command = ("--input_loop", f"{folder}/000.npy:1.5s:", f"{other}:0:4", f"{other}:4:8", "--seed", "1")
        write_sidecar(path, GeneratedSidecar(script=GENERATOR, command=command, source=f"{other} and 1 more"))
    piece = GeneratedSidecar(script=GENERATOR, command=("--input_loop", *map(str, loops)), source="a and 1 more")
    made = steps(tmp_path / "x.npy", piece)
    assert [step.path.name for step in made] == ["000.npy", "b.npy", "a.wav", "x.npy"]
    assert dict(made[-1].facts)["made from"] == "a and 1 more: 2 files"


def test_other_files_have_no_history(tmp_path: Path) -> None:
    assert steps(tmp_path / "x", None) == steps(tmp_path / "x", Sidecar(source="/x", command=("--input", "x"))) == []
    [sound] = steps(tmp_path / "x.wav", SoundSidecar(source="x.npy"))
    assert dict(sound.facts)["latents"] == "x.npy (gone)"  # a relative path leads nowhere


def test_folders_that_a_sidecar_names_are_not_searched(tmp_path: Path) -> None:
    for index in range(300):
        (tmp_path / f"{index}" / "deeper").mkdir(parents=True)
        (tmp_path / f"{index}" / "deeper" / "x.npy").write_bytes(b"x")
    places = ("/", "/proc", *map(str, tmp_path.iterdir()), *["/nowhere"] * 20_000)
    made = steps(tmp_path / "x.npy", GeneratedSidecar(script=GENERATOR, command=("--input", *places)))
    assert len(made) == 1 and "made from" not in dict(made[0].facts)
