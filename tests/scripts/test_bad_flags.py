"""Bad flags: the exact line that users see."""

from pathlib import Path

import pytest
from fixtures_runs import Run, Z, kinds_left

from unravel_lib.latents.formats import save_latents

NUMBER_FLAGS = {  # flag: (scripts, lowest, highest, whole)
    "--seed": ("encoder decoder generator", 0, 2**63 - 1, True),
    "--sample_rate": ("encoder decoder generator", 100, 1e6, False),
    "--compression": ("generator", 1, 1 << 20, True),
    "--num_latents": ("generator", 1, 1_000_000, True),
    "--num_loops": ("generator", 1, 1_000_000, True),
    "--num_files": ("generator", 1, 10_000, True),
    "--bpm": ("generator", 0.1, 1e6, False),
}
WRONG_NUMBERS = ["-1", "0", "nan", "inf", "1e99", "9" * 40, "x", "1.5", ""]
KINDS = [
    (script, flag, text)
    for flag, (scripts, low, _, whole) in NUMBER_FLAGS.items()
    for script in scripts.split()
    for text in WRONG_NUMBERS
    if not (text == "0" and low == 0) and not (text == "1.5" and not whole and low < 1.5)
]


@pytest.mark.parametrize(("script", "flag", "text"), KINDS)
def test_wrong_numbers(run: Run, tmp_path: Path, script: str, flag: str, text: str) -> None:
    _, low, high, whole = NUMBER_FLAGS[flag]
    expected = f"a whole number from {low} to {high}" if whole else f"a number from {low:g} to {high:g}"
    result = run(script, "--input", tmp_path, flag, text, "--output", tmp_path / "out")
    line = f"{script}.py: error: {flag} {text[:40]} is not {expected} (--help shows all flags)"
    assert (result.code, result.err.splitlines()) == (2, [" ".join(line.split())])
    assert not (tmp_path / "out").exists()


HELP = " (--help shows all flags)"
FLAG_ROWS = [
    ("encoder", [], "--input is missing: sound files, or folders, searched recursively"),
    ("encoder", ["--input", "x", "--normalize", "-16"], "unknown argument --normalize; it is a flag of decoder.py"),
    ("encoder", ["--imput", "x"], "unknown argument --imput; did you mean --input?"),
    ("encoder", ["-input", "x"], "unknown argument -input; did you mean --input?"),
    (
        "decoder",
        ["--input", "x", " #", "or", "y"],
        "a comment is among the flags: leave it out, and let nothing follow a \\ in its line",
    ),
    ("encoder", ["--input", "x", "--modle", "x"], "unknown argument --modle; did you mean --model?"),
    ("encoder", ["--input", "x", "--skip_exsting"], "unknown argument --skip_exsting; did you mean --skip_existing?"),
    ("encoder", ["-i", "x"], "unknown argument -i; did you mean --input?"),
    ("encoder", ["stray"], "stray belongs to no flag: write --input in front of inputs"),
    (
        "encoder",
        ["--input", "x", "--trust_model", "stray"],
        "stray belongs to no flag: --trust_model takes no value (quotes go around blanks, commas between names)",
    ),
    (
        "generator",
        ["--pattern", "loop", "fibo"],
        "fibo belongs to no flag: --pattern takes one value (quotes go around blanks, commas between names)",
    ),
    ("encoder", ["\x1b[31m\n", "--input", "x"], "\\x1b[31m\\n belongs to no flag: write --input in front of inputs"),
    ("encoder", ["--input"], "--input needs a value (one that begins with a dash is written --input=-value)"),
    ("encoder", ["--input", "-x"], "--input needs a value (one that begins with a dash is written --input=-value)"),
    ("encoder", ["--input", ""], "--input is empty: is a variable of the shell unset?"),
    ("encoder", ["--input=", "--output", "x"], "--input is empty: is a variable of the shell unset?"),
    ("encoder", ["--input", "x", "--output", ""], "--output is empty: is a variable of the shell unset?"),
    ("encoder", ["--input", "x", "--model="], "--model is empty: is a variable of the shell unset?"),
    (
        "encoder",
        ["--input", "x", "--extensions"],
        "--extensions needs a value (one that begins with a dash is written --extensions=-value)",
    ),
    (
        "encoder",
        ["--input", "x", "--device", "cdua"],
        "--device cdua is unknown: choose from auto, cpu, cuda, mps; did you mean cuda?",
    ),
    *[
        (
            "encoder",
            ["--input", "x", "--shard", text],
            f"--shard {text} is not of the form I/N with I from 1 to N and N up to 100000, such as 1/8",
        )
        for text in ("0/3", "4/3", "3", "1/", "x/3", "1/0", "1/100001", "1/2/3", "1 /2", "\N{SUPERSCRIPT ONE}/2")
    ],
    ("decoder", ["--input", "x", "--device", "it's"], "--device it's is unknown: choose from auto, cpu, cuda, mps"),
    (
        "decoder",
        ["--input", "x", "--subtype", "PCM24"],
        "--subtype PCM24 is unknown: choose from PCM_16, PCM_24, FLOAT; did you mean PCM_24?",
    ),
    (
        "generator",
        ["--input", "x", "--wav_subtype", "double"],
        "--wav_subtype double is unknown: choose from DOUBLE, FLOAT; did you mean DOUBLE?",
    ),
    ("inspector", ["--sav"], "unknown argument --sav; did you mean --save?"),
    ("inspector", ["--input="], "--input is empty: is a variable of the shell unset?"),
]


@pytest.mark.parametrize(("script", "flags", "line"), FLAG_ROWS)
def test_wrong_flags(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    flags: list[str],
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(script, *flags)
    assert (result.code, result.err) == (2, f"{script}.py: error: {line}{HELP}\n")
    assert list(tmp_path.iterdir()) == []


NAMES = [  # what only the script itself can know
    (["--distribution", "nromal"], "did you mean normal?"),
    (["--distribution", "\n"], "error: "),
    (["--pattern", "swaper"], "did you mean swapper?"),
    (["--pattern", "nowhere.py:x"], "nowhere.py"),
    (["--pattern", "/etc:x"], "/etc"),
    (["--pattern", "http://example.com/x.py:x"], "error: "),
    (["--pattern", "orale", "--pattern_args", "levles=3"], "did you mean levels?"),
    (
        ["--distribution", "walk", "--pattern", "form", "--pattern_args", "form="],
        "form='' is expected to be 1 to 64 letters",
    ),
    (["--pattern_args", "x"], "error: "),
    (
        ["--run", "../x"],
        "error: --run ../x is no plain folder name: slashes belong to the folder that holds it (--output)",
    ),
]


@pytest.mark.parametrize(("flags", "part"), NAMES)
def test_wrong_names(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], part: str) -> None:
    monkeypatch.chdir(tmp_path)
    save_latents(tmp_path / "x.npy", Z[0])
    result = run("generator", "--input", tmp_path / "x.npy", "--output", tmp_path / "out", *flags)
    assert result.code == 2
    assert len(result.errors) == 1 and part in result.errors[0], result.err
    assert kinds_left(tmp_path / "out") in ("-", "")


@pytest.mark.parametrize("extensions", [["."], ["*"], [" "]])
def test_extensions_that_name_nothing(run: Run, tmp_path: Path, extensions: list[str]) -> None:
    result = run("encoder", "--input", tmp_path, "--extensions", *extensions)
    assert (result.code, result.errors) == (2, ["error: --extensions names none: write them like wav or .wav"])


@pytest.mark.parametrize("flags", [["--input", "x.flac"], ["--input", "."], ["--input_loop", "x.flac"]])
def test_sound_in_place_of_encodings_is_named_first(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    """No rates are guessed before."""
    monkeypatch.chdir(tmp_path)
    Path("x.flac").write_bytes(b"fLaC")
    result = run("generator", *flags)
    assert result.code == 2 and result.err.count("\n") == 1
    assert result.err.endswith(": encode sound with encoder.py first\n")
    result = run("generator", "--statistics", "x.flac")
    assert result.code == 2 and result.err.count("\n") == 1 and "as generator.py writes it" in result.err
