"""The model contract on small codecs of our own; the same contract on real RAVE exports is in tests/rave."""

from pathlib import Path

import fixtures_codecs as codecs
import fixtures_models as families
import numpy as np
import pytest
import torch

from unravel_lib.errors import ModelError, UsageError
from unravel_lib.models import behaviour
from unravel_lib.models import model as models
from unravel_lib.models.behaviour import NO_CONTEXT, Context
from unravel_lib.models.codec import decode
from unravel_lib.models.runner import Runner

C = codecs.COMPRESSION


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("codecs")
    kinds = (codecs.Offline, codecs.Variational, codecs.Global, codecs.Coded, codecs.Streaming, codecs.Minimal)
    unusual = (codecs.Counting, codecs.Numbered, codecs.OneByOne, codecs.PseudoStereo, codecs.OneWay, codecs.Uneven)
    stateful = (codecs.Listed, codecs.LeafBuffers, codecs.Fading, codecs.RandomFading)
    limited = (codecs.Positioned, codecs.Limited)
    others = (codecs.Conditioned, codecs.ConditionedEncoder, codecs.WithPrior)
    for kind in (*kinds, *unusual, *stateful, *limited, *others):
        codecs.save(kind(), folder / f"{kind.__name__}.ts")
    codecs.save(codecs.Offline(2, 2), folder / "Stereo.ts")
    codecs.save(codecs.Positioned(24), folder / "Positioned24.ts")
    return folder


def load(zoo: Path, name: str, chunk: int = 20) -> models.Model:
    model = models.load(zoo / f"{name}.ts", sample_rate=codecs.RATE if name == "Minimal" else None)
    model.chunk_frames = chunk
    return model


def noise(channels: int, n: int) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((channels, n)).astype(np.float32) * 0.3


def joined(blocks: object) -> np.ndarray:
    return np.concatenate(list(blocks), axis=1)  # type: ignore[call-overload]


def whole(zoo: Path, name: str, method: str, x: np.ndarray) -> np.ndarray:
    """One call on everything, on a fresh load."""
    module = torch.jit.load(zoo / f"{name}.ts").eval()
    with torch.no_grad():
        return getattr(module, method)(torch.from_numpy(x)[None])[0].numpy()


LENGTHS = [1, C - 1, C, C + 1, 20 * C - 1, 20 * C, 20 * C + 1, 200 * C, 200 * C + 7]


@pytest.mark.parametrize("name", ["Offline", "Coded", "Streaming", "Stereo", "Counting", "OneByOne"])
@pytest.mark.parametrize("length", LENGTHS)
def test_encode_in_chunks_equals_the_whole(zoo: Path, name: str, length: int) -> None:
    model = load(zoo, name)
    x = noise(model.in_channels, length)
    expected = whole(zoo, name, "encode", x)
    result = joined(model.encode(np.array_split(x, 7, axis=1), 0, "key"))
    assert result.shape == expected.shape == (codecs.DIMS, -(-length // C))
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["Offline", "Streaming", "Stereo", "PseudoStereo"])
@pytest.mark.parametrize("frames", [1, 2, 19, 20, 21, 200, 203])
def test_decode_in_chunks_equals_the_whole(zoo: Path, name: str, frames: int) -> None:
    model = load(zoo, name)
    z = noise(codecs.DIMS, frames) * 3
    expected = whole(zoo, name, "decode", z)
    result = joined(model.decode(np.array_split(z, 5, axis=1), 0, "key"))
    assert result.shape == expected.shape == (model.out_channels, frames * C)
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max())


def test_batches_of_chunks_equal_the_whole(zoo: Path) -> None:
    model = load(zoo, "Offline")
    model.batch = 3
    x = noise(1, 205 * C + 9)
    np.testing.assert_allclose(joined(model.encode([x], 0, "key")), whole(zoo, "Offline", "encode", x), atol=1e-5)


def test_without_context_the_seams_would_show(zoo: Path) -> None:
    """The comparison above can fail: with the measured context taken away, it does."""
    model = load(zoo, "Offline")
    assert behaviour.why_seams(model._runner, model.contract.direction("encode"), NO_CONTEXT)
    model._contexts["encode"], model._seams["encode"] = NO_CONTEXT, ""
    x = noise(1, 205 * C)
    difference = np.abs(joined(model.encode([x], 0, "key")) - whole(zoo, "Offline", "encode", x))
    assert difference.max() > 1e-2


def test_measured_context_covers_the_true_one(zoo: Path) -> None:
    """17 taps at stride 8, twice, then 5 at stride 1: 2 frames and (8 + 8 * 8) / 64 more = 3.1 frames."""
    context = load(zoo, "Offline").context("encode")
    assert context is not None
    assert {context.left, context.right} <= {4, 5}
    coded = load(zoo, "Coded").context("encode")  # codes hide small differences
    assert coded is not None
    assert min(coded.left, coded.right) >= 4
    assert load(zoo, "Global").context("encode") is None


def test_random_parts_do_not_hide_the_context(zoo: Path) -> None:
    """Both calls of the measurement draw the same noise, also the first time that anything is asked of the model."""
    assert load(zoo, "Variational").context("encode") == load(zoo, "Offline").context("encode")
    assert load(zoo, "Variational").context("decode") == load(zoo, "Offline").context("decode")


def test_measuring_stops_before_it_takes_too_long(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time grows with the square of the length here, as with attention: 160 frames would end at 30.4 s."""
    clock, tried = [0.0], []
    monkeypatch.setattr(behaviour.time, "thread_time", lambda: clock[0])

    def change(runner: object, contract: object, method: str, frames: int) -> tuple[np.ndarray, bool]:
        tried.append(frames)
        clock[0] += frames**2 / 1000
        return np.ones(frames), False

    monkeypatch.setattr(behaviour, "_change", change)
    model = load(zoo, "Offline")
    with pytest.raises(behaviour.OutOfTimeError):
        model.context("encode", 30.0)
    assert tried == [24, 64]
    tried.clear()
    assert model.context("encode") is None
    assert tried == list(behaviour.TRIED_FRAMES)


def test_a_model_without_limit_runs_in_one_call(zoo: Path, caplog: pytest.LogCaptureFixture) -> None:
    x = noise(1, 300 * C)
    result = joined(load(zoo, "Global").encode([x], 0, "key"))
    np.testing.assert_allclose(result, whole(zoo, "Global", "encode", x), atol=1e-6)
    assert "its context has no limit" in caplog.text


@pytest.mark.parametrize("name", ["Offline", "Variational", "Streaming", "Coded", "Minimal"])
def test_a_file_gives_the_same_bytes_first_last_alone_and_twice(zoo: Path, name: str) -> None:
    first, second = noise(1, 70 * C + 3), noise(1, 50 * C)
    model = load(zoo, name)
    alone = joined(model.encode([first], 7, "a"))
    joined(model.encode([second], 7, "b"))
    assert joined(model.encode([first], 7, "a")).tobytes() == alone.tobytes()
    sound = joined(model.decode([alone], 7, "a"))
    joined(model.decode([alone[:, :5]], 7, "b"))
    assert joined(model.decode([alone], 7, "a")).tobytes() == sound.tobytes()
    again = load(zoo, name)
    assert joined(again.decode([alone], 7, "a")).tobytes() == sound.tobytes()


@pytest.mark.parametrize("name", ["Variational", "Minimal", "Streaming"])
@pytest.mark.parametrize("frames", [5, 70])
def test_a_fresh_model_gives_its_first_file_no_other_bytes(zoo: Path, name: str, frames: int) -> None:
    """Whatever a model is asked at its first file must not use up the seed or the state; shorter than a chunk too."""
    x = noise(1, frames * C - 3)
    first = joined(load(zoo, name).encode([x], 7, "a"))
    model = load(zoo, name)
    joined(model.encode([noise(1, 9 * C)], 7, "b"))
    assert joined(model.encode([x], 7, "a")).tobytes() == first.tobytes()
    sound = joined(load(zoo, name).decode([first], 7, "a"))
    assert joined(model.decode([first], 7, "a")).tobytes() == sound.tobytes()


@pytest.mark.parametrize(("name", "method"), [("Numbered", "encode"), ("Listed", "decode"), ("LeafBuffers", "encode")])
@pytest.mark.parametrize("frames", [5, 70])
def test_state_in_lists_numbers_and_leaf_buffers_starts_anew_with_every_file(
    zoo: Path, name: str, method: str, frames: int, caplog: pytest.LogCaptureFixture
) -> None:
    model = load(zoo, name)
    direction = getattr(model, method)
    x = noise(1, frames * C) if method == "encode" else noise(codecs.DIMS, frames)
    expected = whole(zoo, name, method, x)
    for length in (x.shape[1], 3 * x.shape[1] // 5, x.shape[1]):
        result = joined(direction([x[:, :length]], 0, "key"))
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max())
    assert "cannot be restored" not in caplog.text


def test_a_counter_without_effect_needs_no_copies(zoo: Path) -> None:
    model = load(zoo, "Counting")
    assert (model.streaming, model._runner.by_copies) == (False, False)


def test_state_that_cannot_be_restored_is_reported(
    zoo: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Runner, "restore", lambda self: None)
    _ = load(zoo, "Numbered").streaming
    assert "Numbered.ts keeps state that cannot be restored" in caplog.text


def test_a_copy_for_a_file_shares_the_weights(zoo: Path) -> None:
    module = torch.jit.load(zoo / "Listed.ts")
    before = {name: value.data_ptr() for name, value in module.named_parameters()}
    runner = Runner(module, "Listed.ts", torch.device("cpu"))
    runner.by_copies = True
    runner.restore()
    assert runner.module is not module
    for owner in (module, runner.module):
        assert {name: value.data_ptr() for name, value in owner.named_parameters()} == before


@pytest.mark.parametrize("name", ["Fading", "RandomFading", "Positioned"])
def test_models_with_seams_run_in_one_call(zoo: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    model, z = load(zoo, name), noise(codecs.DIMS, 203)
    expected = whole(zoo, name, "decode", z)
    for _ in range(2):
        result = joined(model.decode(np.array_split(z, 5, axis=1), 0, "key"))
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max())
    assert caplog.text.count("decode gives other results at the borders of calls: each file runs in one call") == 1


@pytest.mark.parametrize("name", ["Variational", "Streaming"])
def test_random_parts_are_no_seams(zoo: Path, name: str) -> None:
    for method in ("encode", "decode"):
        model = load(zoo, name)
        context = NO_CONTEXT if model.behaviour(method).carries_state else Context(5, 5)
        assert not behaviour.why_seams(model._runner, model.contract.direction(method), context)


def test_an_exact_model_with_a_largest_length_runs_in_shorter_chunks(
    zoo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, z = load(zoo, "Limited", chunk=60), noise(codecs.DIMS, 203)
    expected = whole(zoo, "Offline", "decode", z)
    for _ in range(2):  # the second time it is known
        result = joined(model.decode(np.array_split(z, 5, axis=1), 0, "key"))
        np.testing.assert_allclose(result, expected, atol=1e-5)
    assert model._longest["decode"] == 41
    assert not caplog.text


@pytest.mark.parametrize("frames", [24, 50, 203])
def test_a_largest_length_caps_the_chunks_and_says_so(zoo: Path, frames: int, caplog: pytest.LogCaptureFixture) -> None:
    model, z = load(zoo, "Positioned24", chunk=60), noise(codecs.DIMS, frames)
    chunks = [z[:, start : start + 24] for start in range(0, frames, 24)]
    expected = np.concatenate([whole(zoo, "Positioned24", "decode", chunk) for chunk in chunks], axis=1)
    results = [joined(model.decode(np.array_split(z, 5, axis=1), 0, "key")) for _ in range(2)]
    np.testing.assert_allclose(results[0], expected, atol=1e-5)
    assert results[1].tobytes() == results[0].tobytes()
    assert ("decode takes at most 24 frames at once" in caplog.text) is (frames > 24)


def test_a_streaming_model_that_states_no_delay_is_not_compensated(zoo: Path) -> None:
    model = load(zoo, "Streaming")
    assert model.delay is None
    with pytest.raises(ModelError, match=r"does not state its delay, .* leave it out"):
        joined(model.encode([noise(1, 9 * C)], 0, "key", compensate_delay=True))


def test_conditions_are_given_by_name_and_are_0_otherwise(zoo: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, z = load(zoo, "Conditioned"), noise(codecs.DIMS, 70)
    assert (model.dims, model.contract.conditions) == (codecs.DIMS, ("pitch", "octave"))
    plain = whole(zoo, "Offline", "decode", z)
    for given, offset in (({}, 0), ({"octave": 2.0}, 200), ({"octave": 1.0, "pitch": 3.0}, 130)):
        result = joined(model.decode(np.array_split(z, 3, axis=1), 0, "key", conditions=given))
        np.testing.assert_allclose(result, plain + offset, atol=1e-3)
    assert caplog.text.count("it decodes with pitch, octave, which are 0: set them (condition)") == 1
    with pytest.raises(UsageError, match="has no condition pich: its conditions are pitch, octave; did you mean pitch"):
        model.decode([z], 0, "key", conditions={"pich": 1.0})
    with pytest.raises(ModelError, match=r"decode failed: .*: is one of pitch=99 out of range") as caught:
        decode(model, z, conditions={"pitch": 99.0})
    assert (caught.value.path, caught.value.remedy_options) == ("the array", ("condition",))
    with pytest.raises(UsageError, match=r"Offline.ts decodes without conditions: leave it out"):
        load(zoo, "Offline").decode([z], 0, "key", conditions={"pitch": 1.0})


def test_the_rate_of_a_rave_inside_is_found(zoo: Path) -> None:
    assert load(zoo, "WithPrior").sample_rate == 48000


def test_the_seed_and_the_content_shape_the_noise(zoo: Path) -> None:
    x, model = noise(1, 30 * C), load(zoo, "Variational")
    results = [joined(model.encode([x], seed, key)).tobytes() for seed, key in ((1, "a"), (2, "a"), (1, "b"))]
    assert len(set(results)) == 3


def test_an_abandoned_file_leaves_no_trace(zoo: Path) -> None:
    model, x = load(zoo, "Streaming"), noise(1, 200 * C)
    expected = joined(model.encode([x], 0, "a")).tobytes()
    next(model.encode([x], 0, "a"))
    assert joined(model.encode([x], 0, "a")).tobytes() == expected


FACTS = {  # sample_rate, compression, dims, in_channels, out_channels, streaming
    "Offline": (8000, 64, 4, 1, 1, False),
    "Variational": (8000, 64, 4, 1, 1, False),
    "Streaming": (8000, 64, 4, 1, 1, True),
    "Minimal": (8000, 64, 2, 1, 1, False),
    "PseudoStereo": (48000, 64, 4, 1, 2, False),
    "Stereo": (8000, 64, 4, 2, 2, False),
}


@pytest.mark.parametrize("name", FACTS)
def test_facts(zoo: Path, name: str) -> None:
    model = load(zoo, name)
    facts = (model.sample_rate, model.compression, model.dims, model.in_channels, model.out_channels, model.streaming)
    assert facts == FACTS[name]


def test_a_silent_model_gets_44100_and_says_so(zoo: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert models.load(zoo / "Minimal.ts").sample_rate == 44100
    assert "does not say its sample rate: taking 44100 Hz: set it (sample_rate)" in caplog.text


@pytest.mark.parametrize(
    ("codec", "rate"), [(codecs.Asked(22050), 22050), (codecs.Asked(0), 44100), (codecs.Asked(0, 8000), 8000)]
)
def test_a_model_is_asked_for_its_rate_and_may_fail_to_tell(codec: torch.nn.Module, rate: int, tmp_path: Path) -> None:
    assert models.load(codecs.save(codec, tmp_path / "m.ts")).sample_rate == rate


def test_the_rate_flag_is_for_models_that_do_not_say(zoo: Path) -> None:
    assert models.load(zoo / "Offline.ts", sample_rate=8000).sample_rate == 8000
    with pytest.raises(UsageError, match="runs at 8000 Hz, not 44100: leave it out"):
        models.load(zoo / "Offline.ts", sample_rate=44100)


def test_odd_lengths_are_filled_up_for_models_that_want_whole_frames(zoo: Path) -> None:
    x = noise(1, 3 * C + 5)
    result = joined(load(zoo, "Minimal").encode([x], 0, "k"))
    np.testing.assert_allclose(result[0, 3], x[0, 3 * C :].sum() / C, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("OneWay", "OneWay.ts has no encode: its methods are forward, decode"),
        ("ConditionedEncoder", "ConditionedEncoder.ts encodes with conditions (pitch), which is not supported"),
        ("Uneven", "Uneven.ts encodes 4 dims but decodes 5"),
    ],
)
def test_unusable_models_are_refused_in_one_line(zoo: Path, name: str, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        models.load(zoo / f"{name}.ts")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "rave_training",
            'PyTorch checkpoint of RAVE, expected a TorchScript export (.ts): export it with "rave export"',
        ),
        ("msprior_training", 'of MSPrior, expected a TorchScript export (.ts): export it with "msprior export"'),
        ("after_training", 'of AFTER, expected a TorchScript export (.ts): export it with "after export_autoencoder"'),
        ("sat_training", "PyTorch checkpoint of Stable Audio Tools"),
        ("sat_safetensors", "safetensors of Stable Audio Tools"),
        ("music2latent_training", "of music2latent, expected"),
        ("vschaos2_training", "of vschaos2, expected"),
        ("legacy", "checkpoint, expected a TorchScript export (.ts): export it with the code that trained it"),
    ],
)
def test_checkpoints_are_refused_in_the_words_of_their_family(name: str, words: str, tmp_path: Path) -> None:
    path = families.checkpoints(tmp_path)[name]
    with pytest.raises(ModelError) as caught:
        models.load(path)
    assert words in str(caught.value)


def test_a_device_that_is_not_there_is_named(zoo: Path) -> None:
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="device cuda is not available"):
            models.load(zoo / "Offline.ts", device="cuda")
    assert models.load(zoo / "Offline.ts", device="auto").device.type in ("cpu", "cuda", "mps")


Called = list[tuple[int, ...]]  # shapes of calls


def cramped(monkeypatch: pytest.MonkeyPatch, frames: int) -> Called:
    """Let calls of more than some frames run out of memory, after they have changed the state."""
    calls, plain = Called(), Runner.raw

    def call(runner: Runner, method: str, x: torch.Tensor) -> torch.Tensor:
        result = plain(runner, method, x)
        calls.append(tuple(x.shape))
        if x.shape[0] * x.shape[2] > frames * C:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return result

    monkeypatch.setattr(Runner, "raw", call)
    return calls


def test_a_full_gpu_gets_smaller_calls(
    zoo: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The batch is halved, then the window; the result stays the same, and the next file begins with such calls."""
    model, fresh = load(zoo, "Offline", chunk=60), load(zoo, "Offline", chunk=60)
    model.batch = 2
    x = noise(1, 400 * C)
    expected = joined(fresh.encode([x], 0, "k"))
    model.context("encode")
    calls = cramped(monkeypatch, 40)
    np.testing.assert_allclose(joined(model.encode(np.array_split(x, 9, axis=1), 0, "k")), expected, atol=1e-5)
    assert [shape[0] * shape[2] // C for shape in calls if shape[2] == 60 * C] == [120, 60]
    assert caplog.text.count("cpu is out of memory: smaller chunks") == 1
    calls.clear()
    np.testing.assert_allclose(joined(model.encode([x], 0, "k")), expected, atol=1e-5)
    assert {shape[2] for shape in calls[:-1]} == {30 * C}


def test_a_gpu_that_is_too_small_is_named(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Offline", "Global"):
        model = load(zoo, name, chunk=60)
        model.context("encode")
        with monkeypatch.context() as patch:
            cramped(patch, 1)
            with pytest.raises(ModelError, match=r"out of memory even for .* frames at once: use cpu") as caught:
                joined(model.encode([noise(1, 400 * C)], 0, "k"))
        assert caught.value.remedy_options == ("device",)


def test_an_operation_that_a_device_lacks_is_answered_by_the_cpu(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_: object) -> None:
        raise NotImplementedError("The operator 'aten::x' is not currently implemented for the MPS device.")

    model = load(zoo, "Offline")
    monkeypatch.setattr(Runner, "raw", lacking)
    with pytest.raises(ModelError, match=r"encode failed: .* implemented for the MPS device\.: use cpu") as caught:
        joined(model.encode([noise(1, 9 * C)], 0, "k"))
    assert caught.value.remedy_options == ("device",)


def test_a_failed_call_leaves_no_state(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A streaming model that runs out of memory within a call has changed its buffers: the smaller ones begin anew."""
    model = load(zoo, "Streaming", chunk=60)
    x = noise(1, 400 * C)
    expected = joined(model.encode([x], 0, "k"))
    calls = cramped(monkeypatch, 40)
    np.testing.assert_allclose(joined(model.encode(np.array_split(x, 9, axis=1), 0, "k")), expected, atol=1e-5)
    assert calls[0] == (1, 1, 60 * C)


def test_directions_state_the_shapes_of_calls(zoo: Path) -> None:
    contract = load(zoo, "PseudoStereo").contract
    encode, decode = contract.direction("encode"), contract.direction("decode")
    assert encode.shape_out(3, 2 * C + 1) == (3, codecs.DIMS, 3)
    assert decode.shape_out(3, 5) == (3, 2, 5 * C)
    assert decode.shape_in(1, 5) == encode.shape_out(1, 5 * C)


class Noise(codecs.Offline):
    """Adds noise as loud as the latents, as a bottleneck that samples does."""

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.down:
            x = torch.tanh(2 * layer(x))
        return x + torch.randn_like(x)


def test_large_random_parts_are_warned_of(zoo: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = models.load(codecs.save(Noise(), tmp_path / "noise.ts"))
    assert model.random_methods == ["encode"]
    for _ in range(2):
        joined(model.encode([noise(1, 9 * C)], 0, "key"))
    joined(model.decode([noise(codecs.DIMS, 9)], 0, "key"))
    assert caplog.text.count("encode draws random numbers, which change its result by ") == 1
    assert "decode draws" not in caplog.text
    caplog.clear()
    assert load(zoo, "Variational").random_methods == ["encode", "decode"]
    assert load(zoo, "Offline").random_methods == load(zoo, "Streaming").random_methods == []
    joined(load(zoo, "Variational").encode([noise(1, 9 * C)], 0, "key"))  # the noise of a posterior is small
    assert "draws random numbers" not in caplog.text
