"""What the page tells of a sound, and whether the commands that it gives make that sound again in any folder."""

import json
import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fixtures_browser import HOSTILE, run_in
from fixtures_runs import Run, snapshot

from unravel_lib.files.sidecar import GeneratedSidecar, write_sidecar
from unravel_lib.latents.formats import save_latents
from unravel_lib.page.document import Card, dbfs, make_card


@pytest.fixture
def copied(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the folder that may be changed, as the current one."""
    monkeypatch.chdir(shutil.copytree(work, tmp_path / "work", symlinks=True).resolve())
    for path in Path().rglob("*.json"):
        path.write_text(path.read_text().replace(str(work), str(Path.cwd())))
    yield Path.cwd()


def card(name: str) -> Card:
    (sound,) = Path("sound").glob(f"*{name}*.wav")
    made = make_card(sound)
    assert made is not None
    return made


def test_facts_along_the_chain(copied: Path) -> None:
    cards = {made.title: made for made in map(make_card, Path("sound").glob("*.wav")) if made is not None}
    assert set(cards) == {"high", "low", HOSTILE, *(f"orale_retrace_seed7_000{i}" for i in range(3))}
    made = cards["orale_retrace_seed7_0002"]
    facts = dict(made.facts)
    assert (made.kind, made.tempo, made.loop_frames, made.sidecar.seconds) == (
        "generated",
        "215.33",
        6,
        24 * 2048 / 44100,
    )
    assert facts["pattern"] == "orale (levels=1, amount=0.25)" and facts["distribution"].startswith(
        "retrace (jump_seconds="
    )
    assert (facts["seed"], facts["file"], facts["loop"]) == ("7", "2", "6 frames, 1 loops")
    assert facts["made from"] == f"{copied}/latents: 2 files"
    assert (facts["decoded by"], facts["faded"]) == ("pocket.ts", "5 ms")
    played = cards["low"]
    assert (played.kind, played.tempo, played.loop_frames) == ("recorded", "", None)
    assert dict(played.facts)["recording"] == f"{copied}/recordings/low.wav"
    assert cards[HOSTILE].kind == "latents" and cards[HOSTILE].source_url == ""


@pytest.mark.parametrize("name", ["orale_retrace_seed7_0002", "low"])
def test_the_commands_make_the_sound_again(
    copied: Path, tmp_path: Path, name: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another folder, where nothing is left but the recordings; also where the run was not named by a flag."""
    for path in copied.rglob("sound/*.json"):
        path.write_text(path.read_text().replace('"--run=first"', '"--hold"').replace(',\n    "--hold"', ""))
    made = card(name)
    before = {path: path.read_bytes() for path in copied.glob(f"sound/*{name}*.wav")}
    for folder in ("latents", "generated", "sound"):
        shutil.rmtree(folder)
    monkeypatch.chdir(tmp_path)
    for command in made.commands:
        python, script, *words = shlex.split(command)
        assert python == "python" and Path(script).is_absolute()
        assert run(Path(script).stem, *words).code == 0
    assert {path: path.read_bytes() for path in copied.glob("sound/*.wav")} == before


def test_what_is_gone_or_changed_is_not_used(copied: Path) -> None:
    (latents,) = Path("latents").glob("*low*.npy")
    assert card("low").source_url
    soundfile.write("recordings/low.wav", np.zeros(4000), 44100)
    changed = card("low")
    assert (changed.kind, changed.source_url, changed.title) == ("latents", "", latents.stem)
    save_latents(latents, np.zeros((8, 3)))
    assert card("low").latents_picture  # drawn before the change
    shutil.rmtree("sound/index_files")
    changed = card("low")
    assert changed.latents_picture == "" and changed.sound_picture
    shutil.rmtree("recordings")
    shutil.rmtree("generated")
    facts = dict(card("low").facts)
    assert facts["recording"].endswith("recordings/low.wav (gone)") and facts["latents"] == f"{copied}/{latents}"
    made = card("seed7_0002")
    facts = dict(made.facts)
    assert (made.kind, made.tempo, made.run, made.latents_picture) == ("generated", "215.33", "first", "")
    assert (facts["pattern"], facts["seed"], facts["file"]) == ("orale (levels=1, amount=0.25)", "7", "2")
    assert facts["latents"].endswith("_0002_embeddings.npy (gone)")


def test_names_of_a_strangers_code_are_shown_and_not_looked_up(copied: Path, run: Run) -> None:
    evil, ran = copied / "evil.py", copied / "ran"
    evil.write_text(f"open({str(ran)!r}, 'w')\n")
    (path,) = Path("generated/first").glob("*_0001_*.json")
    facts = json.loads(path.read_text())
    facts["options"] |= dict.fromkeys(("pattern", "distribution"), f"{evil}:x") | {"transform": [f"{evil}:x"]}
    facts["options"]["command"] += ["--pattern", f"{evil}:x"]
    for bpm in (120.0, None):
        facts["options"]["bpm"] = bpm
        path.write_text(json.dumps(facts))
        flags = ("--input", path.with_suffix(".npy"), "--output", f"new {bpm}", "--page")
        assert run("decoder", *flags).code == 0
        made = make_card(*Path(f"new {bpm}").glob("*.wav"))  # type: ignore[misc]
        assert made is not None
        assert dict(made.facts)["pattern"].startswith(f"{evil}:x (levels=1, amount=0.25)")
        assert dict(made.facts)["runs code of"] == f"{evil}:x"
        assert made.tempo == ("120.00" if bpm else "")
    assert run("inspector", "--input", path.with_suffix(".npy"), "new None").code == 0
    assert not ran.exists()


@pytest.mark.parametrize(
    "source", ["/gone.npy", "/", "", "../..", "/a" * 3000, "/a/" + "b" * 5000, "x\0y", "/dev/zero"]
)
def test_any_source_in_a_sidecar_is_harmless(copied: Path, run: Run, source: str) -> None:
    (sidecar,) = Path("sound").glob("*low*.json")
    facts = json.loads(sidecar.read_text())
    facts["source"] = source
    facts["latents"]["source"] = source
    sidecar.write_text(json.dumps(facts))
    shutil.rmtree("sound/index_files")
    made = card("low")
    assert (made.latents_picture, made.source_url, made.kind) == ("", "", "latents")
    result = run("inspector", "--input", sidecar.with_suffix(".wav"))
    assert result.code == 0 and "unexpectedly" not in result.err


def test_the_grey_line_has_run_and_transforms(copied: Path, run: Run) -> None:
    steps = ("every 4 rev", "degrade 0.1")
    flags = ("--input", "latents", "--output", "generated", "--num_loops", 1, "--no_plots", "--embeddings")
    assert run("generator", *flags, "--run", "changed", "--seed", 5, "--transform", *steps).code == 0
    assert run("decoder", "--input", "generated", "--output", "sound", "--page").code == 0
    assert (card("seed5").run, card("seed5").transforms) == ("changed", '"every 4 rev" "degrade 0.1"')
    assert (card("low").run, card("low").transforms, card("seed7_0000").transforms) == ("", "", "")
    text = Path("sound/index.html").read_text()
    assert '<span class="run">changed</span>' in text and "&#34;every 4 rev&#34; &#34;degrade 0.1&#34;</span>" in text


def test_a_source_that_never_ends_is_not_read(copied: Path) -> None:
    (sidecar,) = Path("sound").glob("*low*.json")
    os.mkfifo("endless.npy")
    facts = json.loads(sidecar.read_text())
    facts["source"] = os.path.abspath("endless.npy")
    sidecar.write_text(json.dumps(facts))
    shutil.rmtree("sound/index_files")
    assert card("low").latents_picture == ""


def test_only_decoded_sounds_are_listed(copied: Path) -> None:
    soundfile.write("sound/other.wav", np.zeros(10), 44100)
    soundfile.write("sound/latent.wav", np.zeros((5, 8)), 21, subtype="DOUBLE", format="WAV")
    write_sidecar(Path("sound/latent.wav"), GeneratedSidecar(source="x"))
    (damaged,) = Path("sound").glob("*low*.wav")
    damaged.with_suffix(".json").write_text("{}")
    for path in (Path("sound/other.wav"), Path("sound/latent.wav"), damaged):
        assert make_card(path) is None


def test_clipping_and_formats(copied: Path) -> None:
    (sidecar,) = Path("sound").glob("*low*.json")
    assert "clipped" not in card("low").sidecar.marks
    facts = json.loads(sidecar.read_text())
    facts["peak"] = 1.5
    sidecar.write_text(json.dumps(facts))
    assert "clipped" in card("low").sidecar.marks
    facts["options"]["subtype"] = "FLOAT"
    sidecar.write_text(json.dumps(facts))
    assert "clipped" not in card("low").sidecar.marks
    assert [dbfs(p) for p in (0.0, 0.5, 2.0)] == ["none", "\N{MINUS SIGN}6.0 dBFS", "6.0 dBFS"]


# ---------------------------------------------------------------- decoder.py --page


def test_the_page_is_written_again_and_only_new_pictures(work: Path, copied: Path, run: Run) -> None:
    folder = Path("sound") / "index_files"
    page = Path("sound/index.html").read_text().replace(str(work), str(copied))
    page = page.replace(f">{work.name}/sound", f">{copied.name}/sound")
    pictures = snapshot(folder)
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    inputs = ("latents", "generated", f"{HOSTILE}.npy")
    result = run("decoder", "--input", *inputs, "--output", "sound", "--page", "--skip_existing")
    assert (result.code, result.paths) == (0, [])
    assert "open sound/index.html in a browser" in result.err
    assert Path("sound/index.html").read_text() == page and snapshot(folder) == pictures
    assert times == {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    (latents,) = Path("latents").glob("*high*.npy")
    result = run("decoder", "--input", latents, "--output", "sound", "--page", "--normalize", -30, "--overwrite")
    assert result.code == 0
    newer = {path.name for path in folder.iterdir() if path.stat().st_mtime_ns != times[path.name]}
    assert len(newer) == 3 and all("high" in name for name in newer)
    assert Path("sound/index.html").read_text().count("<article") == 6


def test_a_sound_that_cannot_be_read_costs_its_card_only(copied: Path, run: Run) -> None:
    (sound,) = Path("sound").glob("*low*.wav")
    sound.write_bytes(b"no sound")
    os.utime(sound)
    (latents,) = Path("latents").glob("*high*.npy")
    result = run("decoder", "--input", latents, "--output", "sound", "--page", "--skip_existing")
    assert result.code == 1 and "1 card could not be made" in result.err
    assert str(sound) in result.err
    assert Path("sound/index.html").read_text().count("<article") == 5


def test_a_page_of_the_users_own_is_not_replaced(copied: Path, run: Run) -> None:
    page = Path("sound/index.html")
    page.write_text("<h1>my site</h1>")
    flags = ("--input", "latents", "--output", "sound", "--page", "--skip_existing")
    result = run("decoder", *flags)
    assert (result.code, page.read_text()) == (1, "<h1>my site</h1>")
    assert result.err.endswith("error: 1 page could not be made; the results are complete\n")
    assert result.errors[0].endswith(
        "sound/index.html is not a page of decoder.py: move it away, or replace it (--overwrite)"
    )
    assert run("decoder", *flags, "--overwrite").code == 0
    assert "<article" in page.read_text()


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


def test_a_sound_whose_sidecar_is_damaged_is_named(copied: Path, run: Run) -> None:
    (sidecar,) = Path("sound").glob("*low*.json")
    facts = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**facts, "peak": -1}))
    (latents,) = Path("latents").glob("*high*.npy")
    result = run("decoder", "--input", latents, "--output", "sound", "--page", "--skip_existing")
    assert result.code == 1 and f"{sidecar} says peak = -1" in result.errors[0]
    assert Path("sound/index.html").read_text().count("<article") == 5
