"""Encode and decode whole recordings, from and to files or arrays."""

import contextlib
import hashlib
import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from unravel_lib.audio.blocks import Sound, resampled, to_channels
from unravel_lib.audio.descriptors import Describer
from unravel_lib.audio.level import Level, Normalised, faded, looped
from unravel_lib.audio.read import SAMPLE_RATES, open_audio
from unravel_lib.audio.write import write_audio
from unravel_lib.errors import InputError, OutputError, UsageError, check_seed, check_suffix, is_number
from unravel_lib.files.find import sha256_of
from unravel_lib.files.output import refuse_overwriting
from unravel_lib.files.sidecar import (
    DEFAULT_FADE_MS,
    DEFAULT_SEED,
    EncodingSidecar,
    Sidecar,
    SoundSidecar,
    complete_sidecar,
    refuse_replacing,
)
from unravel_lib.latents import Latents
from unravel_lib.latents.files import Inputs, LatentsFile, read_latents
from unravel_lib.latents.formats import blocks, content_key, narrowed, save_latents
from unravel_lib.models.model import Model
from unravel_lib.models.torchscript import CallError
from unravel_lib.text import printable

Watch = Callable[[float, float], None]  # called with the seconds of sound that were done now, and of all; 0: unknown
Facts = TypeVar("Facts", EncodingSidecar, SoundSidecar)
Outcome = tuple[Path, Sidecar, bool]  # a result, what its sidecar says, and whether it was made now

MAX_CHANNELS = 8  # of an array; one with more has its axes swapped
ARRAY = "the array"
LOOP_FADE_SECONDS = 0.02  # in which the end of a loop is faded into what precedes its start

log = logging.getLogger("unravel_lib")


@dataclass(frozen=True)
class CodecOptions:
    """What shapes a result beside the model and the input.

    Attributes
    ----------
    seed : of the random parts of the model
    compensate_delay : remove the delay of a streaming export
    subtype : of decoded sound, one of `unravel_lib.audio.SAMPLE_BYTES`
    overwrite : replace results of another model or of another input
    normalize : bring decoded sound to this loudness in LUFS, without clipping; None leaves it as it is
    max_gain : the most by which `normalize` raises, in dB
    loop : decode a loop that has no seam, without fades
    fade_ms : fade decoded sound in and out; None: `DEFAULT_FADE_MS` for what generator.py made, nothing for others
    conditions : values of the model's conditions by name, for decode
    script, command : what makes all results again but for their input (see `Sidecar`); only recorded
    """

    seed: int = DEFAULT_SEED
    compensate_delay: bool = False
    subtype: str = SoundSidecar.subtype
    overwrite: bool = False
    normalize: float | None = None
    max_gain: float = SoundSidecar.max_gain
    loop: bool = False
    fade_ms: float | None = None
    conditions: Mapping[str, float] = field(default_factory=dict)
    script: str | None = None
    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_seed(self.seed)


def encode(
    model: Model,
    sound: str | os.PathLike[str] | npt.ArrayLike,
    sample_rate: float | None = None,
    seed: int = DEFAULT_SEED,
    compensate_delay: bool = False,
) -> npt.NDArray[np.float32]:
    """Encode a recording to latents, float32 [dims, frames].

    Parameters
    ----------
    model : Model
    sound : path or array
        A sound file, or samples from -1 to 1, [channels, samples] or [samples]; mixed and resampled for the model.
    sample_rate : float, optional
        Of an array, in Hz; the model's without it.
    seed, compensate_delay
        See `CodecOptions`.

    Raises
    ------
    InputError
        The file is no readable, complete sound file.
    UsageError
        The array is no sound: axes swapped, integers, empty, NaN or Inf; or no sample rate of a sound.
    """
    options, model = CodecOptions(seed, compensate_delay), _checked_model(model)
    if isinstance(sound, (str, os.PathLike)):
        path = Path(sound)
        with _naming(model, path, "encoded"), open_audio(path) as file:
            return _encode(model, file.blocks(), file.sample_rate, sha256_of(path), options)
    array = _checked_sound(np.asarray(sound))
    low, high = SAMPLE_RATES
    if sample_rate is not None and not (is_number(sample_rate) and low <= sample_rate <= high):
        raise UsageError("is none", option="sample_rate", value=sample_rate, expected=f"{low} to {high} Hz")
    key = hashlib.sha256(repr(array.shape).encode() + array.tobytes()).hexdigest()
    with _naming(model, ARRAY, "encoded"):
        return _encode(model, [array], sample_rate or model.sample_rate, key, options)


def _checked_model(model: object) -> Model:
    """Return a model that is given; raise UsageError where it is none."""
    if not isinstance(model, Model):
        raise UsageError(f"is of type {type(model).__name__}", option="model", expected="what load_model returns")
    return model


def _checked_sound(sound: npt.NDArray[np.generic]) -> Sound:
    """Return an array of samples as float32 [channels, samples]; raise UsageError where it is no sound."""
    array = np.atleast_2d(sound)
    if array.ndim != 2 or not 1 <= len(array) <= min(array.shape[1], MAX_CHANNELS):
        expected = f"(channels, samples) with at most {MAX_CHANNELS} channels and at least one sample"
        raise UsageError(f"has shape {sound.shape}", option="sound", expected=expected, remedy="are axes swapped?")
    if array.dtype.kind != "f":
        expected = "floats from -1 to 1, as soundfile.read gives them"
        raise UsageError(f"holds {array.dtype}", option="sound", expected=expected)
    if not np.isfinite(array).all():
        raise UsageError("holds NaN or Inf", option="sound", expected="finite samples")
    return np.ascontiguousarray(array, np.float32)


def _encode(
    model: Model,
    sound: Iterable[Sound],
    sample_rate: float,
    key: str,
    options: CodecOptions,
    describer: Describer | None = None,
) -> npt.NDArray[np.float32]:
    signal = resampled(to_channels(sound, model.in_channels), sample_rate, model.sample_rate)
    signal = signal if describer is None else describer.follow(signal)
    return np.concatenate(list(model.encode(signal, options.seed, key, options.compensate_delay)), axis=1)


def decode(
    model: Model,
    latents: str | os.PathLike[str] | npt.ArrayLike,
    seed: int = DEFAULT_SEED,
    compensate_delay: bool = False,
    conditions: Mapping[str, float] | None = None,
) -> Sound:
    """Decode latents to sound, float32 [channels, samples] at the model's sample rate.

    Parameters
    ----------
    model : Model
    latents : path or array
        A `.npy` or latent audio file, or values [dims, frames].
    seed, compensate_delay, conditions
        See `CodecOptions`.

    Raises
    ------
    InputError
        The file is no latents file, or the dims are not the model's.
    UsageError
        The array has no frames, other axes, or values that are no finite real numbers.
    """
    options, model = CodecOptions(seed, compensate_delay, conditions=conditions or {}), _checked_model(model)
    if isinstance(latents, (str, os.PathLike)):
        source, array = os.fspath(latents), read_latents(latents, model.compression)
    else:
        source, array = ARRAY, narrowed(latents, "<f4", path=ARRAY)
    if len(array) != model.dims:
        expected = f"({model.dims}, frames), which {printable(model.name)} decodes"
        raise InputError(f"has shape {array.shape}", path=source, expected=expected)
    with _naming(model, source, "decoded", options.conditions):
        return np.concatenate(list(_decode(model, array, content_key(array), options)), axis=1)


@contextlib.contextmanager
def _naming(
    model: Model, source: str | Path, done: str, conditions: Mapping[str, float] | None = None
) -> Iterator[None]:
    """Let the error of a call of the model name the input that it was given, and the conditions: one may be wrong."""
    try:
        yield
    except CallError as error:
        error.path, error.found = source, f"cannot be {done}: {error.found}"
        if conditions:
            values = " ".join(f"{name}={number:g}" for name, number in conditions.items())
            error.remedy, error.remedy_options = f"is one of {printable(values)} out of range?", ("condition",)
        elif model.precision != "fp32" and not error.remedy:
            error.remedy, error.remedy_options = "try fp32", ("precision",)
        raise


def _decode(model: Model, latents: Latents, key: str, options: CodecOptions) -> Iterator[Sound]:
    """Decode latents; those of a loop with as many of them around as the model's context has."""
    n, around, fade = latents.shape[1], 0, round(LOOP_FADE_SECONDS * model.sample_rate)
    if options.loop:
        context = model.context("decode")
        around = n if context is None else max(context.left, context.right, 1)
        around = max(around, math.ceil(fade / model.compression))
        latents = latents[:, np.arange(-around, n + around) % n]
    sound = model.decode(blocks(latents), options.seed, key, options.compensate_delay, options.conditions)
    return looped(sound, around * model.compression, n * model.compression, fade) if options.loop else sound


def encode_file(
    model: Model,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    options: CodecOptions = CodecOptions(),
    earlier: Sequence[Path] = (),
    watch: Watch | None = None,
) -> Outcome:
    """Encode a sound file to a latents file with its sidecar; the sound is read in blocks.

    Parameters
    ----------
    model : Model
    source, target : path
        A sound file, and the `.npy` to write.
    options : CodecOptions
    earlier : paths
        Files of earlier runs; if one of them is this result, nothing is done.
    watch : function of two floats, optional
        Called with the seconds of sound of each block, and of all.

    Returns
    -------
    the path of the result, what its sidecar says, but for the descriptors, and False for one of an earlier run

    Raises
    ------
    InputError
        The source is no readable, complete sound file.
    OutputError
        The target belongs to another model or input, or cannot be written.
    """
    model, source, target = _checked_model(model), Path(source), Path(target)
    check_suffix(target, ".npy")
    refuse_overwriting(target, [source])
    key = sha256_of(source)
    facts = _facts(EncodingSidecar, model, source, key, options)
    if (found := _finished(earlier, target, facts, options)) is not None:
        return found
    with _naming(model, source, "encoded"), open_audio(source) as sound:
        blocks = _watched(sound.blocks(), sound.sample_rate, sound.seconds, watch)
        describer = Describer(model.sample_rate, model.compression, model.in_channels)
        latents = _encode(model, blocks, sound.sample_rate, key, options, describer)
    late = model.behaviour("encode").carries_state and not options.compensate_delay
    delay = model.delay.encode_samples if late and model.delay is not None else 0
    facts = replace(facts, dims=latents.shape[0], frames=latents.shape[1])
    save_latents(target, latents, facts, options.overwrite, describer.result(latents.shape[1], delay))
    return target, facts, True


def decode_file(
    model: Model,
    source: str | os.PathLike[str] | LatentsFile,
    target: str | os.PathLike[str],
    options: CodecOptions = CodecOptions(),
    earlier: Sequence[Path] = (),
    watch: Watch | None = None,
) -> Outcome:
    """Decode a latents file to a sound file with its sidecar; the sound is written in blocks.

    Parameters, result and errors as of `encode_file`; the source is a `.npy` or latent audio, read already or
    not, the target a `.wav`.
    """
    model, target = _checked_model(model), Path(target)
    check_suffix(target, ".wav")
    file = source if isinstance(source, LatentsFile) else Inputs().read(Path(source), model.compression)
    source, array = file.path, file.latents
    refuse_overwriting(target, [source])
    key = content_key(array)
    made = file.sidecar is not None and file.sidecar.is_generated
    fade_ms = options.fade_ms
    if fade_ms is None:
        fade_ms = DEFAULT_FADE_MS if made and not options.loop else 0.0
    facts = _facts(SoundSidecar, model, source, key, options)
    known = {"dims": array.shape[0], "frames": array.shape[1], "latents": file.sidecar, "fade_ms": fade_ms}
    facts = replace(facts, **known, conditions=dict(sorted(options.conditions.items())))
    if (found := _finished(earlier, target, facts, options)) is not None:
        return found
    samples = array.shape[1] * model.compression
    sound = _watched(_decode(model, array, key, options), model.sample_rate, samples / model.sample_rate, watch)
    sound = faded(sound, samples, round(fade_ms / 1000 * model.sample_rate))
    with _naming(model, source, "decoded", options.conditions):
        facts = _write_sound(model, sound, samples, target, facts, options)
    if "clipped" in facts.marks:
        peak = facts.peak or 0
        text = f"was clipped: it peaks at {peak:.3f}, {20 * math.log10(peak):.1f} dB beyond full scale"
        remedy = "bring it to a loudness, or keep it as FLOAT"
        log.warning(OutputError(text, path=target, remedy=remedy, remedy_options=("normalize", "subtype")))
    return target, facts, True


def _finished(earlier: Sequence[Path], target: Path, facts: Sidecar, options: CodecOptions) -> Outcome | None:
    """Return the result with these facts, of an earlier run; else check that the target may be written."""
    for path in earlier:
        if (sidecar := complete_sidecar(path, facts)) is not None:
            return path, sidecar, False
    if not options.overwrite:
        refuse_replacing(target, facts)
    return None


def _write_sound(
    model: Model, sound: Iterable[Sound], samples: int, target: Path, facts: SoundSidecar, options: CodecOptions
) -> SoundSidecar:
    """Write a sound, normalised if the options say so, with a sidecar that states its level; return that sidecar."""
    rate, channels = model.sample_rate, model.out_channels
    normalised = None
    if options.normalize is not None:
        sound = normalised = Normalised(sound, rate, channels, options.normalize, options.max_gain, target.parent)

    def with_level(level: Level) -> SoundSidecar:
        gain_db = None if normalised is None else round(20 * math.log10(normalised.gain), 2)
        return replace(facts, **{**vars(level), "peak": round(level.peak, 6)}, gain_db=gain_db)

    return with_level(
        write_audio(target, sound, rate, channels, options.subtype, samples, with_level, options.overwrite)
    )


def _facts(kind: type[Facts], model: Model, source: Path, key: str, options: CodecOptions) -> Facts:
    """Return what is known of a result before it is made; options that its sidecar has too are taken over.

    `key` is the content key of `source`.
    """
    absolute = os.path.abspath(source)
    values = {one.name: getattr(options, one.name) for one in fields(kind) if hasattr(options, one.name)}
    values |= {
        "sample_rate": model.sample_rate,
        "compression": model.compression,
        "model": model.name,
        "model_sha256": model.sha256,
        "weights_sha256": model.weights_sha256,
        "source": absolute,
        "source_sha256": key,
        "command": ("--input", absolute, *options.command) if options.script else (),
        "device": model.device.type,
        "precision": model.precision,
        "threads": torch.get_num_threads() if model.device.type == "cpu" else None,
    }
    return kind(**values)


def check_fit(model: Model, file: LatentsFile) -> None:
    """Check that a model can decode latents that were read from a file. Warns if another model made it.

    Raises
    ------
    InputError
        Its dims are not the model's.
    """
    facts = file.sidecar
    maker = printable((facts and facts.model) or "the model")
    if len(file.latents) != model.dims:
        found = f"has {len(file.latents)} dims, {printable(model.name)} decodes {model.dims}"
        remedy = f"decode with {maker}, with which it was made"
        raise InputError(found, path=file.path, remedy=remedy, remedy_options=("model",))
    same_weights = facts and facts.weights_sha256 and facts.weights_sha256 == model.weights_sha256
    if facts and facts.model_sha256 not in (None, model.sha256) and not same_weights:
        log.warning(f"{printable(file.path)} was made with {maker}, not with {printable(model.name)}")


def _watched(sound: Iterable[Sound], sample_rate: float, seconds: float, watch: Watch | None) -> Iterator[Sound]:
    """Yield the blocks of sound [channels, n]; `watch` is called with the seconds of each, and of all."""
    for block in sound:
        yield block
        if watch is not None:
            watch(block.shape[1] / sample_rate, seconds)
