"""inspector.py as it is used: on a terminal, in a pipe, on a folder."""

import contextlib
import csv
import json
import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fixtures_models as models
import numpy as np
import pandas as pd
import pytest
import torch
from fixtures_runs import TONE, Run, wav

from unravel_lib.cli import inspector as prompt
from unravel_lib.inspection.facts import Facts, TensorStatistics, write_facts, write_tensors

ROOT = Path(__file__).parents[2]
KEYS = {
    "name",
    "path",
    "family",
    "version",
    "encoder",
    "decoder",
    "dims",
    "full_dims",
    "compression",
    "sample_rate",
    "in_channels",
    "out_channels",
    "streaming",
    "delay_samples",
    "methods",
    "parameters",
    "warnings",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    names = ("rave23", "rave23_streaming", "plain")
    return {name: models.script(folder, name) for name in names} | models.checkpoints(folder)


def test_facts_go_to_stderr_and_nothing_is_written(
    run: Run, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("inspector", "--input", files["rave23_streaming"])
    assert done.code == 0 and done.text == "" and not list(tmp_path.iterdir())
    for expected in (
        r"family +RAVE 2\.3 or later",
        r"dims +4 of 8",
        r"latent rate +750\.0+ Hz",
        r"delay 64 samples \(1 ms\)",
        r"encoder +VariationalEncoder \(EncoderV2\)",
        r"dim 0 +50\.0 %  #{20}\n",
        r"cut off +4\.0 %",
        r"PyTorch version +unknown",
        r"learn_target = False",
        r"SHA-256 +[0-9a-f]{64}\n",
    ):
        assert re.search(expected, done.err), expected


def test_dims_of_a_training_checkpoint_are_at_most_those_of_its_latent_space(run: Run, files: dict[str, Path]) -> None:
    assert re.search(r"dims +at most 8\n", run("inspector", "--input", files["rave_training"]).err)


def test_left_out_input_is_the_pocket_model(run: Run) -> None:
    done = run("inspector", "--json")
    assert done.code == 0 and "pocket" in done.err
    assert json.loads(done.text)["name"] == "pocket.ts"


def test_json_is_one_document(run: Run, files: dict[str, Path], tmp_path: Path) -> None:
    found = json.loads(run("inspector", "--input", files["rave23"], "--json").text)
    assert set(found) >= KEYS and found["dims"] == 4 and found["warnings"] == []
    (tmp_path / "bad.ts").write_text("hello")
    (tmp_path / "good.ts").write_bytes(files["rave23"].read_bytes())
    done = run("inspector", "--input", tmp_path, "--json", "--save", "--output", tmp_path / "out")
    bad, good = json.loads(done.text)
    assert done.code == 1 and set(bad) >= KEYS
    assert bad["family"] is None and "text file" in bad["warnings"][0] and good["family"] == "RAVE"
    assert "wrote" in done.err and (tmp_path / "out" / "failures.csv").exists()


def test_folder_gives_a_row_per_model_and_one_bad_file_does_not_stop(
    run: Run, files: dict[str, Path], tmp_path: Path
) -> None:
    for name, target in (("rave23", "b/voice.ts"), ("sat_training", "c.ckpt"), ("sat_safetensors", "d.safetensors")):
        (tmp_path / target).parent.mkdir(exist_ok=True)
        (tmp_path / target).write_bytes(files[name].read_bytes())
    (tmp_path / "a.ts").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("not asked for")
    done = run("inspector", "--input", tmp_path)
    rows = [line.split() for line in done.err.splitlines() if line.split()[:1] in (["a.ts"], ["voice.ts"], ["c.ckpt"])]
    assert done.code == 1 and "1 of 4 inputs failed" in done.err and "notes" not in done.err
    assert done.err.count("\n\n") >= 3  # an empty line behind the facts of each model
    assert rows[0] == ["a.ts", "unknown", *"???????", "1"]
    assert " ".join(rows[1]) == "voice.ts RAVE 2.3 or later 4 64 48000 Hz 1 1 no 0 ms 0"
    only = run("inspector", "--input", tmp_path, "--extensions", "CKPT", "--json")
    assert [f["name"] for f in json.loads(only.text)] == ["c.ckpt"]


def test_save_writes_tables_and_picture(run: Run, files: dict[str, Path], tmp_path: Path) -> None:
    done = run("inspector", "--input", files["rave23"], "--save", "--output", tmp_path)
    written = done.paths
    assert [path.name.split("--")[0] for path in written] == ["facts", "state_dict", "variance"]
    assert sorted(written) == sorted(tmp_path.iterdir())
    facts = dict(pd.read_csv(written[0], index_col="fact")["value"])
    assert facts["dims"] == "4" and facts["family"] == "RAVE" and pd.isna(facts["torch_version"])
    table = pd.read_csv(written[1], index_col="key")
    assert list(table.columns) == ["shape", "dtype", "mean", "std", "min", "max"]
    assert table.loc["latent_pca", ["shape", "dtype", "mean"]].tolist() == ["8x8", "float32", 0.125]
    assert table.loc["encode_params", "max"] == 64
    assert written[2].read_bytes().startswith(b"\x89PNG")


def test_no_picture_without_shares(run: Run, files: dict[str, Path], tmp_path: Path) -> None:
    done = run("inspector", "--input", files["sat_bare"], "--save", "--output", tmp_path)
    assert len(done.text.splitlines()) == len(list(tmp_path.iterdir())) == 2


def test_csv_cells_are_no_formulas_and_one_line(tmp_path: Path) -> None:
    evil = [TensorStatistics(key, "1", "float32") for key in ("=1+1", "a\nb", "-x")]
    write_tensors(tmp_path / "t.csv", evil)
    with open(tmp_path / "t.csv", newline="", encoding="utf-8") as file:
        assert [row[0] for row in csv.reader(file)] == ["key", "'=1+1", "a\\nb", "'-x"]
    write_facts(tmp_path / "f.csv", Facts(name="@x", path="p", details={"=a": "=b"}, dims=-1))
    rows = dict(pd.read_csv(tmp_path / "f.csv")[["fact", "value"]].itertuples(index=False))
    assert rows["name"] == "'@x" and rows["detail =a"] == "'=b"


def test_hostile_names_stay_on_their_line(run: Run, tmp_path: Path) -> None:
    torch.save({"state_dict": {"a\x1b[2J\nb": torch.ones(1)}, "epoch": "\x1b[2J\n"}, tmp_path / "x\x1b\n.ckpt")
    done = run("inspector", "--input", tmp_path, "--dict", stdin="*\n")
    listed = run("inspector", "--input", tmp_path)
    assert done.code == listed.code == 0
    assert "\x1b" not in done.text + done.err + listed.text + listed.err
    assert "a\\x1b[2J\\nb: 1, float32" in done.text


def test_config_on_stdout_or_a_clear_line(run: Run, files: dict[str, Path]) -> None:
    done = run("inspector", "--input", files["sat_training"], "--config")
    assert json.loads(done.text) == models.SAT_CONFIG
    none = run("inspector", "--input", files["rave23"], "--config")
    assert none.code == 2 and none.text == "" and none.err.count("\n") == 1 and "config" in none.err


def test_all_flags_together_on_an_export(run: Run, files: dict[str, Path], tmp_path: Path) -> None:
    """--config has no answer, which is said; the others have theirs."""
    flags = ("--extensions", ".ts", "--save", "--output", tmp_path, "--dict", "--attr", "--config")
    done = run("inspector", "--input", files["rave23"], *flags, stdin="latent_mean\nexit\nsr\n")
    assert done.code == 0, done.err
    assert "warning: " in done.err and "keeps no training config" in done.err
    assert "sr: data, int\n  48000" in done.text and len(list(tmp_path.glob("*.csv"))) == 2


def test_dict_answers_a_pipe(run: Run, files: dict[str, Path]) -> None:
    typed = "encoder.layers.0.weight_v\n\n*weight_g\nexit\nnot read\n"
    done = run("inspector", "--input", files["sat_bare"], "--dict", stdin=typed)
    assert done.code == 0 and done.err == ""
    listing, _, answers = done.text.partition("encoder.layers.0.weight_v: ")
    assert len(listing.splitlines()) == 3 and "4x2x7 float32" in listing
    assert answers.startswith("4 x 2 x 7, float32\n  mean 27.5, std 16.1632, min 0, max 55\n")
    assert "encoder.layers.0.weight_g: 4 x 1 x 1, float32" in answers and "> " not in done.text


def test_a_folder_says_which_model_is_asked(run: Run, files: dict[str, Path], tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.ckpt").write_bytes(files["sat_bare"].read_bytes())
    done = run("inspector", "--input", tmp_path, "--dict", stdin="gone\nexit\nlost\n")
    lines = done.err.splitlines()
    assert [line.split(" ")[0] for line in lines] == [
        str(tmp_path / "a.ckpt"),
        "gone",
        str(tmp_path / "b.ckpt"),
        "lost",
    ]


def test_unknown_key_gets_a_hint_and_an_exit_code(run: Run, files: dict[str, Path]) -> None:
    typed = "encoder.layers.0.weight_x\nencoder.layers.0.weight_g\n"
    done = run("inspector", "--input", files["sat_bare"], "--dict", stdin=typed)
    assert done.code == 1 and "did you mean encoder.layers.0.weight_" in done.err
    assert "encoder.layers.0.weight_g: 4 x 1 x 1" in done.text


def test_attr_answers_a_pipe_and_calls_nothing(run: Run, files: dict[str, Path]) -> None:
    typed = "encode_params\nsr\nencoder\nget_methods\nencode\nexit\n"
    done = run("inspector", "--input", files["rave23"], "--attr", stdin=typed)
    assert done.code == 0, done.err
    assert re.search(r"^encode +method encode\(Tensor x\) -> Tensor$", done.text, re.M)
    assert re.search(r"^latent_size +data int$", done.text, re.M)
    assert "encode_params: data, 4, int64" in done.text and "sr: data, int\n  48000" in done.text
    assert re.search(
        r"encoder: data, VariationalEncoder\n.*\n +original_name=VariationalEncoder\n.*EncoderV2", done.text
    )
    assert (
        "not called: --yes allows it" in done.text and "'encode', 'decode'" not in done.text.split("get_methods: ")[1]
    )
    assert "needs 1 argument: not called" in done.text


def test_attr_with_yes_calls(run: Run, files: dict[str, Path]) -> None:
    done = run("inspector", "--input", files["rave23"], "--attr", "--yes", stdin="get_methods\n")
    assert "get_methods: method\n  get_methods() -> str[]\n  ['encode', 'decode', 'forward']\n" in done.text


class Raising(torch.nn.Module):
    def forward(self) -> int:
        raise ValueError("not today")

    @torch.jit.export
    def answer(self) -> int:
        return 42


def test_a_method_that_raises_costs_only_its_own_answer(run: Run, tmp_path: Path) -> None:
    torch.jit.script(Raising()).save(str(tmp_path / "m.ts"))
    done = run("inspector", "--input", tmp_path / "m.ts", "--attr", "--yes", stdin="forward\nanswer\n")
    assert done.code == 1 and "  42\n" in done.text
    assert done.err == "forward failed when called: builtins.ValueError: not today\n"


def test_json_of_a_file_that_fails_unexpectedly(
    run: Run, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unravel_lib.inspection.exports.add_stated", lambda module, parts: {}["bug"])
    done = run("inspector", "--input", files["rave23"], "--json")
    assert done.code == 2 and json.loads(done.text)["sha256"] and "IndexError" not in done.err
    monkeypatch.setattr("unravel_lib.inspection.inspect.inspect", lambda *args, **more: {}["bug"])
    done = run("inspector", "--input", files["rave23"], "--json")
    assert done.code == 2 and done.text == "" and "IndexError" not in done.err


def test_attr_of_a_checkpoint_is_its_entries(run: Run, files: dict[str, Path]) -> None:
    done = run("inspector", "--input", files["sat_training"], "--attr", stdin="epoch\nmodel_*\n")
    assert "epoch: data, int\n  3\n" in done.text and "model_config: data, dict\n  {'model_type'" in done.text


class Terminal:
    """inspector.py on a pseudo-terminal."""

    def __init__(self, *args: Any) -> None:
        self.master, slave = pty.openpty()
        self.text = ""
        command = [sys.executable, str(ROOT / "inspector.py"), *map(str, args)]
        environment = {**os.environ, "TERM": "dumb", "INPUTRC": os.devnull}
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
        os.close(slave)

    def expect(self, text: str, seconds: float = 60) -> str:
        """Read until `text` has appeared; returns what came up to it."""
        end = time.monotonic() + seconds
        while text not in self.text:
            ready, _, _ = select.select([self.master], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"{text!r} did not appear in {self.text!r}"
            with contextlib.suppress(OSError):
                more = os.read(self.master, 65536)
                if more:
                    self.text += more.decode().replace("\r\n", "\n")
                    continue
            raise AssertionError(f"ended before {text!r}: {self.text!r}")
        found, _, self.text = self.text.partition(text)
        return found

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def close(self) -> int:
        code = self.process.wait(timeout=60)
        os.close(self.master)
        return code


def test_prompt_on_a_terminal(files: dict[str, Path]) -> None:
    terminal = Terminal("--input", files["sat_bare"], "--dict")
    terminal.expect("> ")
    for typed, expected in (
        ("dec\t\n", "decoder.layers.0.weight_v: 8 x 6 x 7"),
        ("nonsense\n", "nonsense is not here"),
        ("\n", "\n"),
        ("encoder*_g\n", "weight_g: 4 x 1 x 1"),
    ):
        terminal.type(typed)
        terminal.expect(expected)
        terminal.expect("> ")
    terminal.type("exit\n")
    assert terminal.close() == 0


def test_a_method_is_called_after_a_typed_yes_only(files: dict[str, Path]) -> None:
    terminal = Terminal("--input", files["rave23"], "--attr")
    terminal.expect("\n> ")  # the list has arrows that look like prompts
    for typed, called in (("y", False), ("", False), ("no", False), ("yes", True)):
        terminal.type("get_attributes\n")
        assert "get_attributes() -> str[]" in terminal.expect("run it? yes/no ")
        terminal.type(f"{typed}\n")
        terminal.expect("['none', 'learn_target']" if called else "not called")
        terminal.expect("\n> ")  # what is typed before may be lost while readline sets the terminal up
    terminal.type("\x04")  # Ctrl-D
    assert terminal.close() == 0


def test_a_real_pipe(files: dict[str, Path]) -> None:
    command = [sys.executable, str(ROOT / "inspector.py"), "--input", str(files["rave23"]), "--attr"]
    done = subprocess.run(command, input="encode_params\nexit\n", capture_output=True, text=True, check=True)
    assert done.stdout.endswith("tensor([ 1,  1,  4, 64])\n") and done.stderr == ""


def test_needs_trust_is_reported_and_failed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.jit.script(models.Trap()).save(str(tmp_path / "trap.ts"))
    done = run("inspector", "--input", tmp_path / "trap.ts")
    assert done.code == 2 and "--trust_model" in done.err
    assert not (tmp_path / "trapped").exists()
    assert run("inspector", "--input", tmp_path / "trap.ts", "--trust_model").code == 0
    assert (tmp_path / "trapped").exists()


def test_usage_errors_are_one_line(run: Run, files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "no.ts").write_text("<html>")
    for args in (
        ("--input", tmp_path / "gone.ts"),
        ("--input", tmp_path / "no.ts"),
        ("--input", files["rave23"], "--json", "--dict"),
        ("--input", files["rave23"], "--jsno"),
        ("--input", tmp_path, "--extensions", ".xyz"),
    ):
        done = run("inspector", *args)
        assert done.code == 2 and done.text == "" and done.err.count("\n") == 1, (args, done.err)


def test_glob_characters_in_a_key_are_taken_literally_first() -> None:
    assert prompt.matches("a[0]", ["a[0]", "a0"]) == ["a[0]"]
    assert prompt.matches("a[0]", ["a0", "a1"]) == ["a0"]
    assert prompt.matches("b*", ["a0"]) == []


# ---------------------------------------------------------------- results


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> dict[str, Path]:
    """Files along the way from a recording to a generated sound, in the current folder, whose name has a space."""
    (tmp_path / "my work").mkdir()
    monkeypatch.chdir(tmp_path / "my work")
    Path("in").mkdir()
    Path("in/a b.wav").write_bytes(wav(TONE))
    [encoding] = run("encoder", "--input", "in", "--output", "latents", "--seed", 3).paths
    flags = ("--run", "first", "--embeddings", "--no_plots", "--num_loops", 1, "--transform", "every 2 rev", "rev")
    *_, latents = run("generator", "--input", "latents", "--output", "T", *flags).paths
    [sound] = run("decoder", "--input", latents, "--output", "my sound", "--normalize", -30).paths
    return {"encoding": encoding, "latents": latents, "sound": sound}


def steps_and_commands(err: str) -> tuple[list[str], list[list[str]]]:
    """Return the lines about steps, and the commands as a shell would split them."""
    lines = [line for line in err.splitlines() if re.match(r"  \w+\.py", line)]
    return lines, [shlex.split(line) for line in err.splitlines() if line.startswith("    python ")]


def test_how_results_were_made(run: Run, results: dict[str, Path]) -> None:
    done = run("inspector", "--input", results["encoding"])
    lines, commands = steps_and_commands(done.err)
    assert (done.code, done.text, len(lines)) == (0, "", 1)
    assert "encoder's seed 3" in lines[0] and f"recording {Path.cwd()}/in/a b.wav" in lines[0]
    flags = ["--input", f"{Path.cwd()}/in/a b.wav", "--seed", "3", "--output", f"{Path.cwd()}/latents"]
    assert commands == [["python", str(ROOT / "encoder.py"), *flags]]
    lines, commands = steps_and_commands(run("inspector", "--input", results["latents"]).err)
    assert [line.split()[0] for line in lines] == ["encoder.py:", "generator.py:"]
    assert 'pattern loop; transforms "every 2 rev" "rev"; ' in lines[1]
    done = run("inspector", "--input", results["sound"])
    lines, commands = steps_and_commands(done.err)
    assert done.code == 0 and re.search(rf"^ +\S+ s +-30\.0 +-\d+\.\d  {results['sound'].name}$", done.err, re.M)
    assert [line.split()[0].strip(":") for line in lines] == ["encoder.py", "generator.py", "decoder.py"]
    before = {path: path.read_bytes() for path in (results["latents"], results["sound"])}
    for folder in ("latents", "T", "my sound"):
        shutil.rmtree(folder)
    for _, script, *flags in commands:
        assert run(Path(script).stem, *flags).code == 0
    assert before == {path: path.read_bytes() for path in before}
    assert run("generator", *commands[1][2:]).code == 2  # replaces nothing


def test_how_results_were_made_as_json_and_in_folders(run: Run, results: dict[str, Path]) -> None:
    document = json.loads(run("inspector", "--input", "my sound", "T", "--json").text)
    assert document["sounds"] == [str(results["sound"])]
    assert [file["path"] for file in document["files"]] == [str(results["latents"])]
    steps = {Path(one["path"]): one["steps"] for one in document["made"]}
    assert [step["script"] for step in steps[results["sound"]]] == ["encoder.py", "generator.py", "decoder.py"]
    assert steps[results["latents"]] == steps[results["sound"]][:2]
    assert steps[results["latents"]][1]["facts"]["transforms"] == '"every 2 rev" "rev"'
    assert json.loads(run("inspector", "--input", "my sound", "--json").text)["files"] == []


def test_of_many_results_the_first_are_told_and_none_when_they_are_compared(run: Run, results: dict[str, Path]) -> None:
    for index in range(9):
        for path in (results["latents"], results["latents"].with_suffix(".json")):
            shutil.copy(path, path.with_stem(f"copy {index}"))
    done = run("inspector", "--input", "T")
    assert len(steps_and_commands(done.err)[1]) == 8 * 2 and "and 2 files more: --input tells" in done.err


def test_sound_of_others_is_no_result(run: Run, results: dict[str, Path]) -> None:
    done = run("inspector", "--input", "in/a b.wav")
    assert done.code == 2 and "a b.wav is WAV PCM_16, expected a WAV of floats" in done.err
    done = run("inspector", "--input", "in")
    assert done.code == 2 and "in holds sound, but no latents" in done.err
    done = run("inspector", "--input", "my sound", "--against", "latents")
    assert done.code == 2 and "my sound holds sound, but no latents" in done.err


def test_latents_of_different_dims_and_models_among_them_are_named(
    run: Run, files: dict[str, Path], tmp_path: Path
) -> None:
    paths = [tmp_path / name for name in ("a.npy", "b.npy", "c.npy")]
    for path, dims in zip(paths, (8, 8, 16), strict=True):
        np.save(path, np.random.default_rng(0).standard_normal((1, dims, 50), np.float32))
    remedy = "they belong to different models, inspect them in separate runs"
    for flags in (["--input", tmp_path], ["--input", *paths[:2], "--against", paths[2]]):
        result = run("inspector", *flags)
        assert result.code == 2
        assert result.errors == [f"error: {paths[2]} has 16 dims, {paths[0]} has 8: {remedy}"]
    result = run("inspector", "--input", paths[0], files["rave_training"])
    assert result.code == 1 and result.errors[0].startswith(f"error: {files['rave_training']} is no .npy")


def test_one_damaged_file_does_not_end_the_others(run: Run, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.npy", tmp_path / "bad.npy"
    np.save(good, np.random.default_rng(0).standard_normal((1, 8, 50), np.float32))
    bad.write_bytes(good.read_bytes()[:-9])
    for flags, wrong in (([good, bad], bad), ([tmp_path], bad), ([tmp_path / "gone.npy", good], tmp_path / "gone.npy")):
        done = run("inspector", "--input", *flags, "--json")
        assert done.code == 1 and [file["path"] for file in json.loads(done.text)["files"]] == [str(good)]
        assert done.errors[0].startswith(f"error: {wrong} ")
    done = run("inspector", "--input", bad)
    assert done.code == 2 and len(done.err.splitlines()) == 1
    bad.rename(tmp_path / "worse.npy")
    shutil.copy(tmp_path / "worse.npy", bad)
    done = run("inspector", "--input", bad, tmp_path / "worse.npy")
    assert done.code == 2 and len(done.errors) == 3


def test_one_damaged_sidecar_does_not_end_the_others(run: Run, results: dict[str, Path]) -> None:
    for name in ("sound", "latents"):
        bad = results[name].with_stem("bad")
        shutil.copy(results[name], bad)
        facts = json.loads(results[name].with_suffix(".json").read_text())
        bad.with_suffix(".json").write_text(json.dumps({**facts, "seed": -1}))
        folder = results[name].parent
        done = run("inspector", "--input", folder)
        assert done.code == 1 and results[name].name in done.err and f"how {results[name]} was made" in done.err
        assert done.errors[0] == (f"error: {folder}/bad.json says seed = -1: correct or remove this sidecar")
        assert run("inspector", "--input", bad).code == 2
