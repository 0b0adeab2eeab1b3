"""The public API: what a notebook calls is what the scripts do."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fixtures_runs import Run

import unravel_lib as unravel
from unravel_lib.errors import InputError, ModelError, OutputError, UsageError

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def model() -> "unravel.Model":  # type: ignore[name-defined]
    return unravel.load_model()


def test_every_name_is_there_and_documented() -> None:
    assert set(unravel.__all__) == set(dir(unravel))
    for name in unravel.__all__:
        value = getattr(unravel, name)
        assert name in (unravel.__doc__ or ""), name
        assert inspect.getdoc(value) or isinstance(value, dict), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        unravel.nothing  # noqa: B018


def test_a_model_is_named_by_text_or_path() -> None:
    from unravel_lib.models import POCKET

    for path in (POCKET, str(POCKET)):
        assert unravel.load_model(path).dims == 8


def test_importing_it_imports_nothing_else() -> None:
    code = "import sys, unravel_lib; print([n for n in ('numpy', 'torch', 'soundfile') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_encoding_and_decoding_are_those_of_the_scripts(run: Run, tmp_path: Path, model: object) -> None:
    """Catches: another seed, another key of the content, another resampling than the scripts have."""
    source = ROOT / "examples" / "audio" / "tabla_tun3.flac"
    [latents] = run("encoder", "--input", source, "--output", tmp_path / "l", "--seed", 5).paths
    [sound] = run("decoder", "--input", latents, "--output", tmp_path / "s", "--seed", 5, "--subtype", "FLOAT").paths
    encoded = unravel.encode(model, source, seed=5)
    np.testing.assert_array_equal(encoded, unravel.read_latents(latents))
    decoded = unravel.decode(model, encoded, seed=5)
    np.testing.assert_array_equal(decoded.T, soundfile.read(sound, dtype="float32", always_2d=True)[0])
    np.testing.assert_array_equal(decoded, unravel.decode(model, str(latents), seed=5))


def test_arrays_are_resampled_and_mixed_as_files_are(model: object, tmp_path: Path) -> None:
    stereo = 0.3 * np.sin(np.arange(24000) / np.array([[20], [31]]))
    soundfile.write(tmp_path / "x.wav", stereo.T, 22050, subtype="FLOAT")
    np.testing.assert_array_equal(
        unravel.encode(model, stereo, sample_rate=22050), unravel.encode(model, tmp_path / "x.wav")
    )


def test_a_composition_is_the_generators(run: Run, tmp_path: Path) -> None:
    latents = np.random.default_rng(0).normal(size=(3, 200)).astype(np.float32)
    unravel.write_latents(tmp_path / "x.npy", latents)
    flags = ("--distribution", "walk", "--pattern", "swapper", "--num_latents", 5, "--seed", 9, "--no_plots")
    result = run("generator", "--input", tmp_path / "x.npy", "--output", tmp_path / "g", "--embeddings", *flags)
    [written] = [path for path in result.paths if path.suffix == ".npy"]
    composition = unravel.Composition(
        unravel.measure([latents]), unravel.DISTRIBUTIONS["walk"], {}, unravel.PATTERNS["swapper"], {}, 5, 4, seed=9
    )
    np.testing.assert_array_equal(composition.piece(0).frames.T.astype(np.float32), unravel.read_latents(written))


def test_draw_and_arrange() -> None:
    statistics = unravel.measure([np.random.default_rng(0).normal(size=(2, 50))])
    loop = unravel.draw("walk", statistics, 6, seed=1)
    assert loop.shape == (6, 2)
    np.testing.assert_array_equal(loop, unravel.draw("walk", statistics, 6, seed=1))
    assert not np.array_equal(loop, unravel.draw("walk", statistics, 6, seed=2))
    np.testing.assert_array_equal(unravel.arrange("loop", loop, n_loops=3), np.tile(loop, (3, 1)))
    assert unravel.arrange("orale", loop, 1, levels=1).shape == (24, 2)
    assert unravel.arrange("swapper", loop, 2, loop_b=loop + 9).max() > 8
    with pytest.raises(UsageError, match="pattern orale has no option level: it takes levels"):
        unravel.arrange("orale", loop, level=1)
    with pytest.raises(UsageError, match=r"distribution wlk is unknown: .*did you mean walk"):
        unravel.draw("wlk", statistics, 3)


def test_latent_audio(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).normal(size=(20, 3))
    unravel.write_latent_audio(tmp_path / "x.wav", frames, 44100, 2048)
    np.testing.assert_array_equal(unravel.read_latents(tmp_path / "x.wav"), frames.T)
    assert soundfile.info(tmp_path / "x.wav").samplerate == 21


def test_latents_that_do_not_fit_are_refused(model: object) -> None:
    with pytest.raises(
        InputError, match=r"the array has shape \(3, 7\), expected \(8, frames\), which pocket.ts decodes"
    ):
        unravel.decode(model, np.zeros((3, 7)))
    with pytest.raises(UsageError, match="the array has values that are not finite"):
        unravel.decode(model, np.full((8, 7), np.nan))
    with pytest.raises(UsageError, match=r"the array has shape \(8, 0\) .* expected real numbers of two axes"):
        unravel.decode(model, np.zeros((8, 0)))
    with pytest.raises(UsageError, match=r"the array has .* type complex64, expected real numbers"):
        unravel.decode(model, np.zeros((8, 7), np.complex64))


@pytest.mark.parametrize(
    ("sound", "rate", "text"),
    [
        (np.zeros((44100, 2)), 44100, "are axes swapped"),
        (np.zeros((44100, 1)), 44100, "are axes swapped"),
        (np.zeros((9, 44100)), 44100, "at most 8 channels"),
        (np.zeros(44100, np.int16), 44100, "int16, expected floats from -1 to 1"),
        (np.zeros(0), 44100, "at least one sample"),
        (np.zeros((2, 0)), 44100, "at least one sample"),
        (np.zeros((1, 2, 99)), 44100, r"\(channels, samples\)"),
        (np.full(99, np.nan), 44100, "NaN or Inf"),
        (np.zeros(44100), 44.1, "1000 to 2000000 Hz"),
    ],
)
def test_arrays_that_are_no_sound_are_refused(model: object, sound: object, rate: float, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        unravel.encode(model, sound, rate)


def test_paths_may_be_text(model: object, tmp_path: Path) -> None:
    source = str(ROOT / "examples" / "audio" / "tabla_tun3.flac")
    unravel.encode_file(model, source, str(tmp_path / "x.npy"))
    unravel.decode_file(model, str(tmp_path / "x.npy"), str(tmp_path / "x.wav"))
    latents = unravel.read_latents(str(tmp_path / "x.npy"))
    unravel.write_latents(str(tmp_path / "y.npy"), latents)
    unravel.write_latent_audio(str(tmp_path / "y.wav"), latents.T, 44100, 2048)
    assert (tmp_path / "x.npy").read_bytes() == (tmp_path / "y.npy").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} >= {"x.npy", "x.json", "x.wav", "y.wav"}


def test_twins_share_their_defaults() -> None:
    """encode and decode, and the CodecOptions of the file functions, agree on what nobody sets."""
    from unravel_lib.models.codec import CodecOptions

    for function in (unravel.encode, unravel.decode):
        parameters = inspect.signature(function).parameters
        for name in ("seed", "compensate_delay"):
            assert parameters[name].default == getattr(CodecOptions(), name)


BAD_SEEDS = (None, "a", -1, 1.5, True, 2**63)
Z = np.ones((8, 4), np.float32)


@pytest.mark.parametrize("seed", BAD_SEEDS)
def test_a_seed_is_a_whole_number_everywhere(model: "unravel.Model", seed: object) -> None:  # type: ignore[name-defined]
    statistics, one = unravel.measure(np.eye(8)), {"seed": seed}
    calls = (
        lambda: unravel.encode(model, np.zeros(4000), **one),
        lambda: unravel.decode(model, Z, **one),
        lambda: unravel.draw("normal", statistics, 3, **one),
        lambda: unravel.arrange("orale", Z.T, **one),
        lambda: unravel.Composition(statistics, "normal", {}, "loop", {}, 4, 2, **one),
    )
    for call in calls:
        with pytest.raises(UsageError) as error:
            call()  # type: ignore[no-untyped-call]
        assert error.value.option == "seed"


def test_what_is_no_model_and_no_statistics_is_named() -> None:
    for call in (lambda: unravel.encode("x.ts", np.zeros(9)), lambda: unravel.decode(None, Z)):
        with pytest.raises(UsageError, match="what load_model returns"):
            call()  # type: ignore[no-untyped-call]
    for other in (None, Z, {}):
        for call in (
            lambda other=other: unravel.draw("normal", other, 3),
            lambda other=other: unravel.Composition(other, "normal", {}, "loop", {}, 4, 2, seed=1),
        ):
            with pytest.raises(UsageError, match="what measure returns"):
                call()
    with pytest.raises(ModelError, match="nowhere is not available"):
        unravel.load_model(device="nowhere")


def test_no_file_to_write_replaces_the_input(
    model: "unravel.Model",  # type: ignore[name-defined]
    tmp_path: Path,
) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(9000), 44100)
    (tmp_path / "link.npy").symlink_to(tmp_path / "a.wav")
    sound = (tmp_path / "a.wav").read_bytes()
    for target in ("a.wav", "link.npy"):
        with pytest.raises(OutputError):
            unravel.encode_file(model, tmp_path / "a.wav", tmp_path / target)
    assert (tmp_path / "a.wav").read_bytes() == sound
    unravel.encode_file(model, tmp_path / "a.wav", tmp_path / "z.npy")
    for target in ("z.npy", "z.flac"):
        with pytest.raises(OutputError):
            unravel.decode_file(model, tmp_path / "z.npy", tmp_path / target)
    assert np.load(tmp_path / "z.npy").shape == (1, 8, 5)


@pytest.mark.parametrize("latents", [Z > 0, Z + 1j, Z.astype("datetime64[s]"), np.full((8, 4), "1"), None])
def test_latents_are_written_of_real_numbers_only(tmp_path: Path, latents: object) -> None:
    with pytest.raises(ValueError, match="real numbers"):
        unravel.write_latents(tmp_path / "x.npy", latents)
    with pytest.raises(UsageError, match="frames has shape"):
        unravel.write_latent_audio(tmp_path / "x.wav", latents, 44100, 2048)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("sample_rate", (0, -1, None, "44100", np.nan, np.inf, 1e30)),
        ("compression", (0, -1, 1.5, None, "a", 10**12)),
        ("subtype", ("PCM_16", "float", None, 3)),
        ("frames", (Z[0], Z[:0], Z[None], Z * np.nan)),
    ],
)
def test_latent_audio_says_which_argument_is_wrong(tmp_path: Path, option: str, values: tuple[object, ...]) -> None:
    for value in values:
        arguments = {"frames": Z, "sample_rate": 44100, "compression": 2048, option: value}
        with pytest.raises(UsageError) as error:
            unravel.write_latent_audio(tmp_path / "x.wav", **arguments)
        assert error.value.option == option


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_no_pipe_and_no_other_name_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.npy")
    for path in (tmp_path / "x.npy", tmp_path / "x.txt", tmp_path / "x"):
        with pytest.raises(OutputError):
            unravel.write_latents(path, Z)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"] and (tmp_path / "x.npy").is_fifo()
