"""Live files: what nn~ plays is what Python makes, and it moves as the recordings do."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures_runs import ROOT, Run
from torch import Tensor

import unravel_lib as unravel
from unravel_lib.errors import InputError, UsageError
from unravel_lib.live import graph
from unravel_lib.models.__init__ import POCKET
from unravel_lib.models.screening.model_file import open_model
from unravel_lib.statistics.measure import Encoding, Statistics, measure

COMPRESSION, RATE = 2048, 44100
FRAME_RATE = RATE / COMPRESSION
PERIOD = 12  # frames, 0.56 s


def recording(seed: int, n_frames: int = 420) -> Encoding:
    """A recording whose dims 0 and 1 turn once in a period, 2 is its loudness, 3 white; the last third is silent."""
    rng = np.random.default_rng(seed)
    turn = 2 * np.pi * np.arange(n_frames) / PERIOD
    loudness = np.where(np.arange(n_frames) < 2 * n_frames // 3, 8 * np.sin(turn / 7) - 20, -70)
    latents = np.stack([np.cos(turn), np.sin(turn), loudness / 20, rng.standard_normal(n_frames)])
    brightness = 10 + np.cos(turn / 5)
    descriptors = np.stack([loudness, brightness, np.zeros(n_frames)]).astype(np.float32)
    return Encoding((latents + 0.05 * rng.standard_normal(latents.shape)).astype(np.float32), descriptors, f"r{seed}")


@pytest.fixture(scope="module")
def statistics() -> Statistics:
    return measure([recording(seed) for seed in range(3)], frame_rate=FRAME_RATE)


@pytest.fixture(scope="module")
def written(statistics: Statistics, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("live") / "voice_live.ts"
    unravel.live(statistics, seed=5).save(str(path))
    return path


@pytest.fixture
def made(written: Path) -> torch.jit.ScriptModule:
    return torch.jit.load(str(written))  # type: ignore[no-any-return, no-untyped-call]


def inlets(
    n: int, voices: int = 1, go: float = 1, jump: float = -1, loudness: float = -1, brightness: float = -1
) -> Tensor:
    return torch.tensor([go, jump, loudness, brightness], dtype=torch.float32).reshape(1, 4, 1).repeat(voices, 1, n)


def in_blocks(module: torch.jit.ScriptModule, x: Tensor, block: int) -> Tensor:
    return torch.cat([module.generate(part) for part in x.split(block, 2)], 2)


def nn_tilde(module: torch.jit.ScriptModule, method: str, signals: Tensor, buffer: int) -> Tensor:
    """What nn~ gives for signals [batches, channels, samples]: the last sample of each ratio in, values held out."""
    channels, ratio_in, out, ratio_out = getattr(module, f"{method}_params").tolist()
    results = []
    with torch.inference_mode():
        for part in signals.split(buffer, 2):
            x = part.transpose(0, 1).reshape(channels, len(signals), -1, ratio_in)[..., -1].permute(1, 0, 2)
            y = getattr(module, method)(x)
            results.append(y.repeat_interleave(ratio_out).reshape(len(signals), out, -1))
            assert results[-1].shape[2] == part.shape[2] and y.dtype == torch.float32
    return torch.cat(results, 2)


@pytest.mark.parametrize("voices", [1, 4])
@pytest.mark.parametrize("set_up", ["as written", "set_seed"])
def test_the_file_gives_the_frames_of_python_in_blocks_of_any_size(statistics, written, voices, set_up):
    x = inlets(7 * 64, voices)
    x[:, 0, 50:90] = 0  # holds
    x[:, 2, 150:250] = 0.9  # wishes
    x[:, 3, 200:300] = 0.3
    module = unravel.live(statistics, seed=5)
    loaded = [torch.jit.load(str(written)) for _ in range(3)]
    if set_up == "set_seed":
        assert [one.set_seed(99) for one in (module, *loaded)] == [0] * 4
    expected = module.generate(x)
    assert expected.shape == (voices, 4, 7 * 64)
    for one, block in zip(loaded, (1, 7, 64), strict=True):
        assert torch.equal(in_blocks(one, x, block), expected)
    assert torch.equal(expected[:, :, 49:90], expected[:, :, 49:50].expand(-1, -1, 41))
    assert len({tuple(voice.flatten().tolist()) for voice in expected}) == voices, "each voice walks its own way"


@pytest.mark.parametrize("buffer", [2048, 8192, 16384])
@pytest.mark.parametrize("batches", [1, 4])
def test_driven_as_nn_does(made, statistics, buffer, batches):
    """A first call with silence to warm up, then buffers of several frames; attributes are set between calls."""
    n = 32
    signals = inlets(n, batches).repeat_interleave(COMPRESSION, 2)
    signals[..., ::COMPRESSION] = 0  # only the last sample of a frame counts
    nn_tilde(made, "generate", torch.zeros(batches, 4, buffer), buffer)
    found = nn_tilde(made, "generate", signals, buffer)
    expected = unravel.live(statistics, seed=5).generate(inlets(n, batches))
    assert torch.equal(found, expected.repeat_interleave(COMPRESSION, 2))
    assert made.set_seed(6) == 0
    other = nn_tilde(made, "generate", signals, buffer)
    assert not torch.equal(other, found)
    assert made.set_seed(5) == made.set_reset(1) == 0
    assert torch.equal(nn_tilde(made, "generate", signals, buffer), found)


def test_without_jumps_it_is_the_recording(made, statistics):
    smooth = [0, 1, 2]
    whole = np.concatenate([one.latents for one in statistics.encodings], axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(whole[smooth], 20, axis=1)
    nearest = []
    for seed in range(4):  # one may come to an end within 20 frames
        made.set_seed(seed)
        frames = made.generate(inlets(20, jump=0))[0].numpy()
        nearest.append(np.abs(windows - frames[smooth, np.newaxis]).max(axis=(0, 2)).min())
    assert np.median(nearest) < 1e-5


def test_jumps_keep_the_period_unless_told_otherwise(made):
    """The loudness turns once in 7 turns of dims 0 and 1: that is the period of the whole."""

    def off_beat() -> int:
        made.set_reset(1)
        places = []
        for _ in range(200):  # less than a stretch
            made.generate(inlets(1, jump=0.8))
            places.append(made.voices[0].moment)
        phases = (np.diff(places) - 1) % (7 * PERIOD)
        return int((np.minimum(phases, 7 * PERIOD - phases) > 1).sum())

    assert off_beat() == 0
    assert made.set_period(0) == 0
    assert off_beat() > 50


@pytest.mark.parametrize(("loudness", "brightness"), [(0.9, -1), (0.1, -1), (-1, 0.9), (0.9, 0.9)])
def test_it_goes_where_wishes_are_met(made, loudness, brightness):
    """Dim 2 is the loudness over 20; of what a wish has no effect on, it is that of all moments."""
    any_ = made.generate(inlets(600))[0, 2].mean()
    made.set_reset(1)
    found = made.generate(inlets(600, loudness=loudness, brightness=brightness))[0, 2].mean()
    if loudness >= 0:
        assert (found > any_ + 0.1) if loudness > 0.5 else (found < any_ - 0.1)
    made.set_force(0.0)
    made.set_reset(1)
    assert abs(made.generate(inlets(600, loudness=loudness))[0, 2].mean() - any_) < 1e-6, "wishes without force"


def test_silence_is_left(statistics):
    """Dim 2 is the loudness over 20: below -3 it is silent, here in the middle third of each recording."""
    encodings = []
    for one in statistics.encodings:
        latents, descriptors = one.latents[:, :270].copy(), one.descriptors[:, :270].copy()
        latents[2, 90:180], descriptors[0, 90:180] = -3.5, -70
        encodings.append(Encoding(latents, descriptors, one.name))
    module = unravel.live(measure(encodings, frame_rate=FRAME_RATE))
    assert (module.generate(inlets(2000))[0, 2] < -3).float().mean() < 0.05


def test_ten_minutes_without_drift(made, statistics):
    frames = made.generate(inlets(round(600 * FRAME_RATE)))[0, :2]
    halves = frames.split(len(frames[0]) // 2, 1)[:2]
    for half in halves:
        assert half.mean(1).abs().max() < 0.05
        assert (half.std(1) / torch.tensor(statistics.std[:2]) - 1).abs().max() < 0.1
    assert len(made.voices[0].visits) <= 2 * PERIOD * FRAME_RATE, "what is remembered does not grow"


def test_one_recording_alone_can_be_chosen(statistics):
    quieter = np.array([[6], [0], [0]], np.float32)  # no moment of the second one is among the loudest
    shifted = [
        Encoding(e.latents + 100 * n, e.descriptors - quieter * (n == 1), e.name)
        for n, e in enumerate(statistics.encodings)
    ]
    module = unravel.live(measure(shifted, frame_rate=FRAME_RATE))
    frames = module.generate(inlets(1500))[0, 0]
    assert {round(float(one) / 100) for one in frames[300:]} >= {0, 1, 2}
    assert module.set_recording(1) == 0
    for wish in (-1, 0.95):
        frames = module.generate(inlets(800, loudness=wish))[0, 0, 100:]
        assert {round(float(one) / 100) for one in frames} == {1}
    assert module.set_recording(3) == module.set_recording(-2) == 1, "there is none of these numbers"
    assert module.get_recording() == (1,)


def test_attributes_are_as_nn_asks_for_them(made):
    names = made.get_attributes()
    assert names == ["seed", "jump", "near", "recording", "period", "force", "reset"]
    for name in names:
        code = getattr(made, f"{name}_params")
        assert code.dtype == torch.int64 and code.tolist() in ([1], [2])
        [value] = getattr(made, f"get_{name}")()
        assert isinstance(value, int if code.item() == 1 else float) and value == getattr(made, name)
        assert getattr(made, f"set_{name}")(value) == 0
    assert made.set_jump(1.5) == made.set_near(0) == made.set_near(17) == made.set_force(-1.0) == 1


def test_random_numbers_are_splitmix64(made):
    """Against NumPy's unsigned numbers, which wrap as the standard says."""
    z, first, second = (np.uint64(n) for n in (0x123456789ABCDEF0, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
    with np.errstate(over="ignore"):
        for _ in range(20):
            mixed = (z ^ (z >> np.uint64(30))) * first
            mixed = (mixed ^ (mixed >> np.uint64(27))) * second
            mixed ^= mixed >> np.uint64(31)
            assert made._mixed(int(z.astype(np.int64))) == int(mixed.astype(np.int64))
            z = mixed


def test_odd_signals_stop_nothing(made):
    x = inlets(8)
    for number in (float("nan"), float("inf"), -float("inf"), 1e30):
        assert torch.isfinite(made.generate(torch.full_like(x, number))).all()
        x[:, 1:] = number
        assert torch.isfinite(made.generate(x)).all()


@pytest.fixture(scope="module")
def encodings(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encodings")
    model = unravel.load_model()
    for name in ("loop_compus", "tabla_tun3", "bass_woodsy_c"):
        unravel.encode_file(model, recordings / f"{name}.flac", folder / f"{name}.npy")
    return folder


def test_the_script_writes_the_same_bytes_and_says_how_to_play_them(run: Run, encodings: Path, tmp_path: Path) -> None:
    command = ("generator", "--input", encodings, "--seed", 3, "--live")
    result = run(*command, tmp_path / "a.ts")
    assert (result.code, result.paths) == (0, [tmp_path / "a.ts"])
    assert "recordings: 0 bass_woodsy_c, 1 loop_compus, 2 tabla_tun3" in result.err
    assert result.err.rstrip().endswith("in Pure Data: [nn~ a generate]")
    assert run(*command, tmp_path / "b.ts").code == 0
    assert (tmp_path / "a.ts").read_bytes() == (tmp_path / "b.ts").read_bytes()
    module = unravel.live(unravel.measure(encodings), seed=3)
    assert torch.equal(torch.jit.load(str(tmp_path / "a.ts")).generate(inlets(50)), module.generate(inlets(50)))
    only = run(*command, tmp_path / "c.ts", "--only", "tabla*")
    assert only.code == 0 and torch.jit.load(str(tmp_path / "c.ts")).recordings == 1
    assert run(*command, tmp_path / "c.ts", "--overwrite").code == 0
    assert torch.jit.load(str(tmp_path / "c.ts")).recordings == 3


def test_the_bytes_do_not_depend_on_the_order_of_sets(encodings: Path, tmp_path: Path) -> None:
    """Which differs from process to process."""
    for seed in "12":
        command = [sys.executable, "generator.py", "--live", tmp_path / f"{seed}.ts"]
        command += ["--input", encodings, "--with_model", POCKET]
        subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True)
    assert (tmp_path / "1.ts").read_bytes() == (tmp_path / "2.ts").read_bytes()


def test_with_a_model_one_object_makes_sound(run: Run, encodings: Path, tmp_path: Path) -> None:
    path = tmp_path / "voice_live.ts"
    result = run("generator", "--input", encodings, "--live", path, "--with_model", POCKET)
    assert result.code == 0 and "[nn~ voice_live play]" in result.err
    assert "pocket.ts is no streaming export" in result.err
    with open_model(path) as file:
        file.check()
    playing, walking = (torch.jit.load(str(path)) for _ in range(2))
    decoder = torch.jit.load(str(POCKET))
    x = inlets(16, 2)
    torch.manual_seed(1)
    sound = nn_tilde(playing, "play", x.repeat_interleave(COMPRESSION, 2), 8192)
    assert sound.shape == (2, 1, 16 * COMPRESSION) and sound.std() > 0.01
    torch.manual_seed(1)
    expected = [decoder.decode(walking.generate(part)) for part in x.split(4, 2)]
    assert torch.equal(sound, torch.cat(expected, 2))
    facts = run("inspector", "--input", path, "--json").text
    assert '"family": "UnRAVEl live file"' in facts and '"out_channels": 1' in facts


def test_the_other_scripts_say_what_it_is(run: Run, written: Path, encodings: Path, recordings: Path, tmp_path: Path):
    with open_model(written) as file:
        file.check()  # as a file of a stranger
    report = run("inspector", "--input", written).err
    for fact in ("UnRAVEl live file", "recordings                3", "2048 samples per frame", "44100 Hz"):
        assert fact in report
    for script, source in (("encoder", recordings), ("decoder", encodings)):
        result = run(script, "--input", source, "--model", written, "--output", tmp_path / "out")
        assert result.code == 2 and len(result.errors) == 1
        assert "voice_live.ts is a live file of generator.py, which plays on by itself in nn~" in result.errors[0]


def test_bad_input_is_one_line_and_leaves_nothing(run: Run, encodings: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "short.npy", np.zeros((1, 8, 3), np.float32))
    np.save(tmp_path / "wide.npy", np.random.default_rng(0).standard_normal((1, 128, 50), np.float32))
    (tmp_path / "taken.ts").write_text("mine")
    live, target = "--live", tmp_path / "x.ts"
    rows = [
        ((tmp_path / "short.npy", live, target), "needs a recording of at least 4 frames, the longest has 3"),
        ((encodings, live, target, "--pattern", "orale", "--num_loops", 3), "leave these out (--pattern, --num_loops)"),
        ((encodings, live, target, "--pattern", "loop"), "leave these out (--pattern)"),
        (
            (tmp_path / "wide.npy", live, target, "--with_model", POCKET),
            "has other weights than the model of the encodings: they are of another one, give that (--with_model)",
        ),
        ((encodings, live, target, "--with_model", tmp_path / "no.ts"), "no.ts does not exist"),
        ((encodings, live, tmp_path / "x.wav"), "expected one that ends with .ts"),
        ((encodings, live, tmp_path / "taken.ts"), "taken.ts is there already: replace it (--overwrite)"),
        (
            (encodings, live, POCKET, "--with_model", POCKET, "--overwrite"),
            "input of this run: choose another file (--live)",
        ),
        ((encodings, live, tmp_path / "taken.ts" / "x.ts"), "is a file: choose another file (--live)"),
        ((encodings, "--with_model", POCKET), "--with_model does nothing alone: add (--live)"),
    ]
    for (source, *flags), text in rows:
        result = run("generator", "--input", source, *flags)
        assert result.code == 2 and len(result.err.strip().splitlines()[-1:]) == 1
        assert text in result.err.splitlines()[-1], result.err
        assert not result.out and not target.exists()
    assert (tmp_path / "taken.ts").read_text() == "mine"
    result = run("generator", "--input", tmp_path / "wide.npy", live, target)
    assert result.code == 0 and "loudness and brightness have no effect" in result.err
    frames = torch.jit.load(str(target)).generate(inlets(9, loudness=1.0))
    assert frames.shape == (1, 128, 9)


def test_without_input_only_what_it_can_draw_from_is_named(run: Run, tmp_path: Path) -> None:
    result = run("generator", "--live", tmp_path / "x.ts")
    assert (result.code, result.err) == (
        2,
        "error: --input is missing: give a .npy of encoder.py or a folder of them\n",
    )


def test_recordings_that_are_too_large_are_refused(statistics, monkeypatch):
    monkeypatch.setattr(graph, "MOST_BYTES", 10_000)
    with pytest.raises(InputError, match="in a live file, at most"):
        unravel.live(statistics)


def test_rates_that_do_not_fit_are_refused(statistics: Statistics) -> None:
    with pytest.raises(UsageError, match="no whole number"):
        unravel.live(statistics, sample_rate=48000)
    with pytest.raises(UsageError, match=r"decodes 8 dims at .*, the encodings have 4 at"):
        unravel.live(statistics, unravel.load_model())
