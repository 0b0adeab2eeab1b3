"""What the page tells of a sound, and whether the commands that it gives make that sound again."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fixtures_codecs as codecs
import numpy as np
import pytest
import soundfile
from fixtures_browser import HOSTILE, run_in
from fixtures_runs import Run, snapshot

from unravel_lib.files.checksum import sha256_of
from unravel_lib.files.sidecar import GeneratedSidecar, Sidecar, write_sidecar
from unravel_lib.latents.npy import save_latents
from unravel_lib.models.pocket import POCKET
from unravel_lib.page.cards import Card, find_sounds, make_card
from unravel_lib.page.document import clock, dbfs
from unravel_lib.page.provenance import near


@pytest.fixture
def there(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the results, as the current one, so that the relative paths in sidecars lead somewhere."""
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def cards(there: Path) -> dict[str, Card]:
    """All cards by title."""
    return {card.title: card for card in (make_card(path, {}) for path in find_sounds(there / "sound"))}


@pytest.fixture
def copied(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the folder that may be changed, as the current one."""
    monkeypatch.chdir(shutil.copytree(work, tmp_path / "work", symlinks=True).resolve())
    for path in Path().rglob("*.json"):
        path.write_text(path.read_text().replace(str(work), str(Path.cwd())))
    yield Path()


def card(name: str, models: dict[str, Path | None] | None = None) -> Card:
    (sound,) = Path("sound").glob(f"*{name}*.wav")
    return make_card(sound, models or {})


def test_facts_along_the_chain(cards: dict[str, Card]) -> None:
    assert set(cards) == {"high", "low", HOSTILE, *(f"orale_retrace_seed7_000{i}" for i in range(3))}
    made = cards["orale_retrace_seed7_0002"]
    facts = dict(made.facts)
    assert (made.kind, made.tempo, made.loop_frames, made.seconds) == ("generated", "215.33", 6, 24 * 2048 / 44100)
    assert facts["pattern"] == "orale (levels=1)" and facts["distribution"].startswith("retrace (follow=")
    assert (facts["seed"], facts["file"], facts["loop"]) == ("7", "2", "6 frames, 1 loops")
    assert facts["statistics"] == os.path.join("generated", "first", "statistics.csv")
    assert facts["encodings"] == "latents: 2 files of 2 recordings"
    assert (facts["decoded by"], facts["faded"]) == ("pocket.ts", "5 ms")
    played = cards["low"]
    assert (played.kind, played.tempo, played.loop_frames) == ("recorded", "", None)
    assert dict(played.facts)["recording"] == os.path.join("recordings", "low.wav")
    assert cards[HOSTILE].kind == "latents" and cards[HOSTILE].source_url == ""


@pytest.mark.parametrize("name", ["orale_retrace_seed7_0002", "low", "high"])
def test_the_commands_make_the_sound_again(copied: Path, name: str) -> None:
    """In a folder that has nothing but the recordings. The pocket model's card has no flag for the model."""
    made = card(name, {pocket_sha256(): None})
    before = {path.name: path.read_bytes() for path in Path("sound").glob(f"*{name}*.wav")}
    for folder in ("latents", "generated", "sound"):
        shutil.rmtree(folder)
    paste(made.commands)
    again = {path.name: path.read_bytes() for path in Path("sound").glob("*.wav")}
    assert list(again.values()) == list(before.values())


def paste(commands: list[str]) -> None:
    for command in commands:
        python, *line = shlex.split(command)
        assert python == "python"
        run_in(Path(), *line)


RECORDINGS = {  # --input of encoder.py, and what the command names; None: there is no such command
    "in folders": (["takes"], ["takes"]),
    "two of a folder with others": (["takes/x/a.wav", "takes/b.wav"], ["takes/x/a.wav", "takes/b.wav"]),
    "roots with folders": (["takes", "other"], None),
}


@pytest.mark.parametrize("case", RECORDINGS)
def test_pasted_commands_make_no_other_encodings_and_replace_no_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for index, name in enumerate(("takes/x/a.wav", "takes/b.wav", "takes/x/c/c.wav", "other/d.wav")):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(name, 0.1 * np.sin(np.arange(30000) * (index + 1) / 50), 44100)
    given, named = RECORDINGS[case]
    run_in(Path(), "encoder.py", "--input", *given, "--output", "latents")
    flags = ("--num_files", 2, "--num_latents", 4, "--num_loops", 1, "--embeddings", "--no_plots", "--quiet")
    run_in(Path(), "generator.py", "--input", "latents", "--output", "generated", "--run", "r", *flags)
    run_in(Path(), "decoder.py", "--input", "generated", "--output", "sound")
    before = {
        path: path.read_bytes() for path in sorted(Path().rglob("*.*")) if path.suffix in (".npy", ".wav", ".csv")
    }
    for index in (0, 1):
        made = card(f"_{index:04d}", {sha256_of(POCKET): None})
        words = shlex.split(made.commands[0])
        if named is None:
            assert words[1] == "generator.py"
            assert dict(made.facts)["needed"] == "latents: no command here makes that again"
        else:
            assert words == ["python", "encoder.py", "--input", *named, "--output", "latents"]
            assert "needed" not in dict(made.facts)
        paste(made.commands)
        assert {path: path.read_bytes() for path in before} == before
        (again,) = set(Path("generated").glob(f"r_*/*{index:04d}_embeddings.npy"))
        assert again.read_bytes() == (Path("generated/r") / again.name).read_bytes()
        assert len(list(Path("latents").iterdir())) == 2 * sum(path.parts[0] == "latents" for path in before)
        (sound,) = (path for path in Path("sound").glob(f"*_{index:04d}--*.wav") if path not in before)
        assert sound.read_bytes() in before.values()
        sound.unlink()
        sound.with_suffix(".json").unlink()


def test_commands_of_recordings_in_folders_decode_to_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("takes/x").mkdir(parents=True)
    Path("latents").mkdir()
    soundfile.write("takes/x/-a.wav", 0.1 * np.sin(np.arange(30000) / 50), 44100)
    run_in(Path(), "encoder.py", "--input", "takes", "--output", "latents/inner")
    run_in(Path(), "decoder.py", "--input", "latents", "--output", "sound")
    before = {path: path.read_bytes() for path in Path("sound").iterdir()}
    made = card("-a", {sha256_of(POCKET): None})
    assert [command.split(" --")[1] for command in made.commands] == ["input takes", "input latents"]
    paste(made.commands)
    assert {path: path.read_bytes() for path in Path("sound").iterdir() if path.is_file()} == before
    soundfile.write("takes/b.wav", np.zeros(3000), 44100)  # not encoded yet
    made = card("-a", {sha256_of(POCKET): None})
    assert [command.split()[1] for command in made.commands] == ["decoder.py"]
    assert dict(made.facts)["needed"].endswith(".npy: no command here makes that again")


def pocket_sha256() -> str:
    (sidecar,) = Path("sound").glob("*low*.json")
    digest: str = json.loads(sidecar.read_text())["model_sha256"]
    return digest


def test_commands_name_what_is_not_usual(copied: Path, tmp_path: Path) -> None:
    (latents,) = Path("latents").glob("*low*.npy")
    flags = ("--normalize", -30, "--fade", 20, "--subtype", "FLOAT", "--seed", 3)
    run_in(Path(), "decoder.py", "--input", latents, "--output", "other", *flags)
    (sound,) = Path("other").glob("*.wav")
    command = make_card(sound, {pocket_sha256(): Path("my models/voice.ts")}).commands[-1]
    assert command == (
        f"python decoder.py --input {latents} --output other --model 'my models/voice.ts' --seed 3 --subtype FLOAT "
        "--normalize -30 --fade 20"
    )
    run_in(Path(), "decoder.py", "--input", "generated", "--output", "dry", "--fade", 0)
    assert make_card(sorted(Path("dry").glob("*.wav"))[0], {}).commands[-1].endswith(" --fade 0")


def test_a_command_line_in_the_sidecar_is_taken_as_it_is(copied: Path) -> None:
    (path,) = Path("generated/first").glob("*_0001_*.json")
    facts = json.loads(path.read_text())
    facts["options"] |= {
        "command": ["--input", "latents", "--pattern", "a b", "--embeddings"],
        "bpm": 107.67,
        "beats": 2,
    }
    path.write_text(json.dumps(facts))
    assert (card("seed7_0001").tempo, card("seed7_0001").loop_frames) == ("107.67", 24)
    facts["options"]["bpm"] = None  # loops of several lengths
    path.write_text(json.dumps(facts))
    assert (card("seed7_0001").tempo, card("seed7_0001").loop_frames) == ("", None)
    assert card("seed7_0001").commands[1] == (
        "python generator.py --input latents --pattern 'a b' --embeddings --output generated --run first_0001"
    )


def test_what_changed_since_is_not_believed(copied: Path) -> None:
    (latents,) = Path("latents").glob("*low*.npy")
    soundfile.write("recordings/low.wav", np.zeros(4000), 44100)
    changed = card("low")
    assert (changed.kind, changed.source_url, len(changed.commands)) == ("latents", "", 1)
    assert dict(changed.facts)["recording"].endswith("(gone, or changed since)")
    assert changed.latents_picture
    save_latents(latents, np.zeros((8, 3)), Sidecar(source="recordings/high.wav"))
    changed = card("low")
    assert changed.latents_picture  # drawn before the change
    assert dict(changed.facts)["latents"].endswith("(gone, or changed since)")
    assert dict(changed.facts)["recording"].endswith("low.wav (gone, or changed since)")  # as the sound's sidecar says
    shutil.rmtree("sound/index_files")
    assert card("low").latents_picture == ""
    Path("generated/first/statistics.csv").write_text("")
    assert "statistics" not in dict(card("seed7_0000").facts)


@pytest.fixture
def elsewhere(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project moved to another place: nothing is where the sidecars say."""
    place = shutil.copytree(work, tmp_path / "moved" / "project")
    for sidecar in place.rglob("*.json"):
        sidecar.write_text(sidecar.read_text().replace(str(work), "/nowhere/work"))
    shutil.rmtree(place / "sound" / "index_files")
    monkeypatch.chdir(place)
    return place


def forget_latents(folder: Path) -> None:
    """Make the sidecars of sounds such as earlier versions wrote, which name their latents by path and hash only."""
    for path in folder.glob("*.json"):
        facts = json.loads(path.read_text())
        facts.pop("latents", None)
        path.write_text(json.dumps(facts))


@pytest.mark.parametrize("early", [False, True])
def test_a_project_that_was_moved_knows_all_that_it_knew(elsewhere: Path, early: bool) -> None:
    if early:
        forget_latents(elsewhere / "sound")
    made, played = card("seed7_0002"), card("low")
    facts = dict(made.facts)
    assert (made.kind, made.tempo, made.loop_frames, made.run) == ("generated", "215.33", 6, "first")
    assert made.latents_picture and facts["statistics"] == "generated/first/statistics.csv"
    assert facts["latents"] == "generated/first/orale_retrace_seed7_0002_embeddings.npy"
    assert facts["encodings"] == "latents: 2 files of 2 recordings"
    assert played.source_url and dict(played.facts)["recording"] == "recordings/low.wav"
    assert played.commands[0] == "python encoder.py --input recordings/low.wav --output latents --model pocket.ts"


def test_latents_under_another_name_are_found_among_the_inputs_of_the_run(elsewhere: Path, run: Run) -> None:
    forget_latents(elsewhere / "sound")
    (elsewhere / "generated").rename("pieces")
    Path("pieces/first").rename("pieces/second")
    assert card("seed7_0001").kind == "latents"
    assert run("decoder", "--input", "pieces", "--output", "sound", "--page", "--skip_existing").code == 0
    text = Path("sound/index.html").read_text()
    assert text.count("retrace (follow=") >= 3 and "(gone, or changed since)" not in text.split("seed7_0001")[-1]


def test_sound_whose_latents_are_gone_knows_how_they_were_made(elsewhere: Path) -> None:
    shutil.rmtree("generated")
    shutil.rmtree("latents")
    made = card("seed7_0002")
    facts = dict(made.facts)
    assert (made.kind, made.tempo, made.run, made.latents_picture) == ("generated", "215.33", "first", "")
    assert (facts["pattern"], facts["seed"], facts["file"]) == ("orale (levels=1)", "7", "2")
    assert facts["latents"].endswith("(gone, or changed since)")
    assert [command.split()[1] for command in made.commands] == ["generator.py", "decoder.py"]
    assert card("low").source_url


def test_the_grey_line_has_run_and_transforms(copied: Path, run: Run) -> None:
    steps = ("every 4 rev", "degrade 0.1")
    flags = ("--input", "latents", "--output", "generated", "--num_loops", 1, "--no_plots", "--embeddings")
    assert run("generator", *flags, "--run", "changed", "--seed", 5, "--transform", *steps).code == 0
    assert run("decoder", "--input", "generated", "--output", "sound", "--page").code == 0
    assert (card("seed5").run, card("seed5").transforms) == ("changed", '"every 4 rev" "degrade 0.1"')
    assert (card("low").run, card("low").transforms, card("seed7_0000").transforms) == ("", "", "")
    text = Path("sound/index.html").read_text()
    assert '<span class="run">changed</span>' in text and "&#34;every 4 rev&#34; &#34;degrade 0.1&#34;</span>" in text


def test_folders_that_sidecars_name_are_not_searched_recursively(copied: Path) -> None:
    """The source in the sidecar of generated latents could be any folder, such as the root of a disk."""
    Path("latents/inner").mkdir()
    made = card("seed7_0000")
    assert dict(made.facts)["encodings"] == "latents"
    assert [command.split()[1] for command in made.commands] == ["generator.py", "decoder.py"]


def test_a_source_that_never_ends_is_not_read(copied: Path) -> None:
    (sidecar,) = Path("sound").glob("*low*.json")
    os.mkfifo("endless.npy")
    facts = json.loads(sidecar.read_text())
    facts["source"] = os.path.abspath("endless.npy")
    sidecar.write_text(json.dumps(facts))
    shutil.rmtree("sound/index_files")
    assert card("low").latents_picture == ""


def test_sounds_of_version_1_0_are_measured(copied: Path) -> None:
    (sidecar,) = Path("sound").glob("*low*.json")
    facts: dict[str, Any] = json.loads(sidecar.read_text())
    measured = facts.pop("measured")
    sidecar.write_text(json.dumps(facts))
    found = card("low")
    assert found.loudness == pytest.approx(measured["loudness"], abs=0.02)
    assert found.peak == pytest.approx(measured["peak"], abs=1e-4)


def test_only_decoded_sounds_are_listed(copied: Path) -> None:
    before = find_sounds(Path("sound"))
    soundfile.write("sound/other.wav", np.zeros(10), 44100)
    soundfile.write("sound/latent.wav", np.zeros((5, 8)), 21, subtype="DOUBLE", format="WAV")
    write_sidecar(Path("sound/latent.wav"), GeneratedSidecar(source="x"))
    before[0].with_suffix(".json").write_text("{}")
    assert find_sounds(Path("sound")) == before[1:]


def test_clipping_and_formats(copied: Path) -> None:
    (sidecar,) = Path("sound").glob("*low*.json")
    assert not card("low").clipped
    facts = json.loads(sidecar.read_text())
    facts["measured"]["peak"] = 1.5
    sidecar.write_text(json.dumps(facts))
    assert card("low").clipped
    facts["options"]["subtype"] = "FLOAT"
    sidecar.write_text(json.dumps(facts))
    assert not card("low").clipped
    assert [clock(s) for s in (0.04, 59.94, 61, 3723)] == ["0.0 s", "59.9 s", "1:01", "1:02:03"]
    assert [dbfs(p) for p in (0.0, 0.5, 2.0)] == ["none", "\N{MINUS SIGN}6.0 dBFS", "6.0 dBFS"]


# ---------------------------------------------------------------- decoder.py --page


def test_the_page_is_written_again_with_finished_sounds_and_only_new_pictures(copied: Path, run: Run) -> None:
    folder = Path("sound") / "index_files"
    page, pictures = Path("sound/index.html").read_bytes(), snapshot(folder)
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    inputs = ("latents", "generated", f"{HOSTILE}.npy")
    result = run("decoder", "--input", *inputs, "--output", "sound", "--page", "--skip_existing")
    assert (result.code, result.paths) == (0, [Path("sound/index.html")])
    assert "open sound/index.html in a browser" in result.err
    assert Path("sound/index.html").read_bytes() == page and snapshot(folder) == pictures
    assert times == {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    (latents,) = Path("latents").glob("*high*.npy")
    result = run("decoder", "--input", latents, "--output", "sound", "--page", "--normalize", -30, "--overwrite")
    assert result.code == 0
    newer = {path.name for path in folder.iterdir() if path.stat().st_mtime_ns != times[path.name]}
    assert len(newer) == 3 and all("high" in name for name in newer)
    assert Path("sound/index.html").read_text().count("<article") == 6


def test_the_bundled_model_needs_no_flag_also_beside_sounds_of_another(copied: Path, run: Run) -> None:
    model = codecs.save(codecs.Offline(), Path("voice.ts"))
    save_latents(Path("other.npy"), np.zeros((codecs.DIMS, 4)))
    assert run("decoder", "--input", "other.npy", "--model", model, "--output", "sound", "--page").code == 0
    flags = re.findall("--model [^<]*", Path("sound/index.html").read_text())
    assert [flag.strip() for flag in flags] == ["--model voice.ts"]


def test_a_sound_that_cannot_be_read_costs_its_card_only(copied: Path, run: Run) -> None:
    (sound,) = Path("sound").glob("*low*.wav")
    sound.write_bytes(b"no sound")
    os.utime(sound)
    (latents,) = Path("latents").glob("*high*.npy")
    result = run("decoder", "--input", latents, "--output", "sound", "--page", "--skip_existing")
    assert result.code == 1 and "1 picture could not be drawn" in result.err
    assert str(sound) in result.err
    assert Path("sound/index.html").read_text().count("<article") == 5


def test_sidecars_with_nonsense_cost_their_card_only(copied: Path, run: Run) -> None:
    (path,) = Path("generated/first").glob("*_0001_*.json")
    facts = json.loads(path.read_text())
    facts["options"] |= {"pattern_args": 3, "distribution": ["<b>"], "num_latents": "x", "file_index": {}}
    path.write_text(json.dumps(facts))
    (latents,) = Path("latents").glob("*high*.npy")
    result = run("decoder", "--input", latents, "--output", "sound", "--page", "--skip_existing")
    assert Path("sound/index.html").read_text().count("<article") >= 5
    assert "<b>" not in Path("sound/index.html").read_text()
    assert result.code in (0, 1)


def test_a_page_of_the_users_own_is_not_replaced(copied: Path, run: Run) -> None:
    page = Path("sound/index.html")
    page.write_text("<h1>my site</h1>")
    flags = ("--input", "latents", "--output", "sound", "--page", "--skip_existing")
    result = run("decoder", *flags)
    assert (result.code, page.read_text()) == (1, "<h1>my site</h1>")
    assert result.errors[0].endswith(
        "sound/index.html is not a page of decoder.py: move it away, or replace it (--overwrite)"
    )
    assert run("decoder", *flags, "--overwrite").code == 0
    assert "<article" in page.read_text()
    page.write_text(page.read_text().replace('<meta name="generator" content="UnRAVEl">', ""))  # as earlier versions
    assert run("decoder", *flags).code == 0
    page.write_text(page.read_text().replace('id="copy-starred"', ""))
    assert run("decoder", *flags).code == 0


def test_an_older_recording_put_in_place_is_copied_again(copied: Path) -> None:
    """Its date is before that of the copy, the new sound's is not."""
    copy = Path("sound") / card("low").source_url
    soundfile.write("recordings/low.wav", 0.2 * np.sin(np.arange(20000) / 9), 44100)
    os.utime("recordings/low.wav", (1e9, 1e9))
    run_in(Path(), "encoder.py", "--input", "recordings", "--output", "latents")
    run_in(Path(), "decoder.py", "--input", "latents", "--output", "sound")
    os.utime(copy, (1.7e9, 1.7e9))
    card("low")
    assert soundfile.info(copy).frames == 20000


def test_numbers_in_commands_are_exact(copied: Path) -> None:
    (path,) = Path("sound").glob("*low*.json")
    facts = json.loads(path.read_text())
    numbers = {"normalize": -16.123456789, "fade_ms": 12.3456789, "conditions": {"pitch": 0.1234567891, "x": 3.0}}
    facts["options"] |= numbers
    path.write_text(json.dumps(facts))
    line = card("low").commands[-1]
    assert "--normalize -16.123456789 " in line and line.endswith("--fade 12.3456789")
    assert "--condition pitch=0.1234567891 x=3 " in line


def test_paths_that_begin_with_a_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-a").mkdir()
    assert near(Path("-a")) == near(tmp_path / "-a") == "./-a"
    assert near(Path("-gone")) == "./-gone" and near(Path("a-b")) == "a-b"


def test_a_sound_whose_sidecar_is_damaged_is_named(copied: Path, run: Run) -> None:
    (sidecar,) = Path("sound").glob("*low*.json")
    facts = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**facts, "measured": {"peak": -1}}))
    (latents,) = Path("latents").glob("*high*.npy")
    result = run("decoder", "--input", latents, "--output", "sound", "--page", "--skip_existing")
    assert result.code == 1 and f"{sidecar} says measured" in result.errors[0]
    assert Path("sound/index.html").read_text().count("<article") == 5


def test_commands_of_generated_latents_that_lost_their_sidecar(copied: Path) -> None:
    """Sound of latents that generator.py made is faded by default; made again, they have a sidecar again."""
    (latents,) = Path("generated/first").glob("*_0000_*.npy")
    latents.with_suffix(".json").unlink()
    made = card("seed7_0000", {pocket_sha256(): None})
    (before,) = (path.read_bytes() for path in Path("sound").glob("*seed7_0000*.wav"))
    paste(made.commands)
    assert [path.read_bytes() for path in Path("sound").glob("*seed7_0000*.wav")] == [before, before]
