"""A loaded model: whole files through encode and decode, seeded per file, long signals in constant memory."""

import hashlib
import itertools
import logging
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from unravel_lib.audio.windows import Recorded, in_windows, pad, take, trim
from unravel_lib.errors import ModelError, UnravelError
from unravel_lib.files.checksum import sha256_of
from unravel_lib.models import torchscript
from unravel_lib.models.conditions import Values, condition_values, naming_conditions, with_conditions
from unravel_lib.models.context import decoder_context, encoder_context
from unravel_lib.models.contract import read_contract
from unravel_lib.models.delay import Delay, stated_delay
from unravel_lib.models.direction import NO_CONTEXT, Block, CallError, Context
from unravel_lib.models.pocket import POCKET
from unravel_lib.models.probe import Probe
from unravel_lib.models.runner import Runner
from unravel_lib.models.screening.mistakes import trainer_of
from unravel_lib.models.screening.model_file import Kind, open_model
from unravel_lib.models.state import State, weights_sha256
from unravel_lib.models.torchscript import MODEL_ERRORS, prints_logged
from unravel_lib.text import last_line, printable

CHUNK_SECONDS = 20.0  # one call of the model; shorter ones compute more context, longer ones take more memory
GPU_BATCH = 8  # chunks in one call on a GPU
RANDOM_SHARE = 0.3  # of the level of a result: random parts above are no small noise
NOISY_BY_DESIGN = ("VariationalScriptedRAVE", "TraceModel", "Pocket")  # noise of a posterior, and in the sound

log = logging.getLogger(__name__)


def seed_for(seed: int, key: str) -> int:
    """Return the torch seed of one file, from the run's seed and the file's content, not its place in the batch."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 2**63  # torch takes seeds below this


def choose_device(wanted: str) -> torch.device:
    """Choose a device: `auto` takes CUDA, then MPS, then the CPU; a device given by name must be available."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        wanted = next(name for name, found in available.items() if found)
    if not available[wanted]:
        raise ModelError(f"`device` {wanted} is not available on this machine: use `device` auto or cpu")
    if wanted == "cuda":  # TF32 would make chunks differ from the whole by 1e-3, autotuning one run from the next
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    return torch.device(wanted)


def load(
    path: str | Path | None = None, device: str = "cpu", trust: bool = False, sample_rate: float | None = None
) -> "Model":
    """Load a model, the bundled pocket model where `path` is None, and read its contract.

    Parameters
    ----------
    device : auto, cpu, cuda or mps; a model that MPS cannot run goes to the CPU with a warning
    trust : load although the code in the file could touch other files
    sample_rate : Hz, for models that do not state it

    Raises
    ------
    ModelError
        Not a complete, harmless TorchScript file with encode and decode.
    """
    path = POCKET if path is None else Path(path)
    with open_model(path) as file:
        if file.kind is not Kind.TORCHSCRIPT:
            trainer = trainer_of(file.checkpoint_names())
            kind = f"{file.kind.value} of {trainer.family}" if trainer else file.kind.value
            remedy = trainer.export if trainer else "export it with the code that trained it"
            raise ModelError(f"{printable(path)} is a {kind}, expected a TorchScript export (.ts): {remedy}")
        target = choose_device(device)
        try:
            with prints_logged(path.name):  # the module may be asked for its rate and its methods
                return Model(path, torchscript.load(file, trust), target, sample_rate)
        except UnravelError:
            raise
        except MODEL_ERRORS as error:
            if target.type != "mps":
                raise ModelError(f"{printable(path)} fails on {target}: {last_line(error)}") from error
            log.warning("%s cannot run on MPS (%s): running on the CPU", printable(path.name), last_line(error))
        with prints_logged(path.name):
            return Model(path, torchscript.load(file, trust), torch.device("cpu"), sample_rate)


class Model:
    """A loaded model, run on whole files in constant memory; one file at a time.

    Attributes
    ----------
    name, sha256 : of the model file
    weights_sha256 : the same for the offline and the streaming export of the same weights; None without parameters
    sample_rate (Hz), compression (samples per frame), dims, in_channels, out_channels : the contract
    chunk_frames : frames in one call
    batch : chunks in one call (offline exports)
    measure_until : the time, as of `time.monotonic`, at which measuring a context ends with an OutOfTimeError
    """

    def __init__(self, path: Path, module: torchscript.Module, device: torch.device, sample_rate: float | None) -> None:
        self.path, self.name, self.sha256, self.device = path, path.name, sha256_of(path), device
        self._state = State(module.to(device))
        self.weights_sha256 = weights_sha256(self._state.module)
        probe = Probe(self._state, printable(path.name), device)
        self.contract = read_contract(probe, sample_rate)
        self._warned: set[str] = set()
        self.measure_until = math.inf
        self.sample_rate, self.compression = self.contract.sample_rate, self.contract.compression
        self.dims, self.in_channels = self.contract.dims, self.contract.in_channels
        self.out_channels = self.contract.out_channels
        self.encoder = Runner(probe, self.contract.encode, device)
        self.decoder = Runner(probe, self.contract.decode, device)
        self.chunk_frames = max(1, round(CHUNK_SECONDS * self.sample_rate / self.compression))
        # state first: it decides how each later measurement is undone
        batches = device.type != "cpu" and not self.streaming
        batches = batches and self.encoder.takes_batches and self.decoder.takes_batches
        self.batch = GPU_BATCH if batches else 1

    def encode(self, blocks: Iterable[Block], seed: int, key: str, compensate_delay: bool = False) -> Iterator[Block]:
        """Encode sound to latents.

        Parameters
        ----------
        blocks : float32 [in_channels, n] at the model's rate
        seed, key : the run's seed and the content key of the file
        compensate_delay : remove a streaming export's delay: silence is appended, the start is dropped

        Yields
        ------
        float32 [dims, n], ceil(samples / compression) frames in all
        """
        delay = self.known_delay().encode_samples if compensate_delay else 0
        frames = math.ceil(delay / self.compression)
        if delay:  # silence in front makes the delay a whole number of frames
            silence = np.zeros((self.in_channels, frames * self.compression - delay), np.float32)
            blocks = itertools.chain([silence], pad(blocks, self.compression, delay))
        return trim(self._run(self.encoder, blocks, seed_for(seed, key)), frames, 0)

    def decode(
        self,
        blocks: Iterable[Block],
        seed: int,
        key: str,
        compensate_delay: bool = False,
        conditions: Mapping[str, float] | None = None,
    ) -> Iterator[Block]:
        """Decode latents to sound.

        Parameters
        ----------
        blocks : float32 [dims, n]
        seed, key : the run's seed and the content key of the latents
        compensate_delay : remove a streaming export's delay: the last frame is repeated, the start is dropped
        conditions : name -> value, of those in `contract.conditions`; 0 for the others

        Yields
        ------
        float32 [out_channels, n], frames * compression samples in all
        """
        delay = self.known_delay().decode_samples if compensate_delay else 0
        frames = math.ceil(delay / self.compression)
        if delay:
            blocks = pad(blocks, 1, frames, hold=True)
        values = self.condition_values(conditions or {})
        blocks = (with_conditions(block, values) for block in blocks)
        sound = naming_conditions(self._run(self.decoder, blocks, seed_for(seed, key)), conditions or {})
        return trim(sound, delay, frames * self.compression - delay)

    @property
    def random_methods(self) -> list[str]:
        """Which of encode and decode draw random numbers that change the result."""
        return [runner.direction.method for runner in (self.encoder, self.decoder) if runner.random_share]

    @cached_property
    def _is_noisy_by_design(self) -> bool:
        module = self._state.module
        return torchscript.class_name(torchscript.inner_rave(module) or module) in NOISY_BY_DESIGN

    @property
    def streaming(self) -> bool:
        """True if the model carries state from call to call."""
        return self.encoder.carries_state or self.decoder.carries_state

    @cached_property
    def encode_context(self) -> Context | None:
        """Frames before and after a frame that its latents depend on; None where no limit was found."""
        return encoder_context(self.encoder.call_seeded, self._state.restore, self.contract, self.measure_until)

    @cached_property
    def decode_context(self) -> Context | None:
        """Frames before and after a frame that its sound depends on; None where no limit was found."""
        encode, none = self.encoder.call_seeded, np.zeros(len(self.contract.conditions), np.float32)

        def decode(z: Block) -> Block:
            return self.decoder.call_seeded(with_conditions(z, none))

        return decoder_context(decode, encode, self._state.restore, self.contract, self.measure_until)

    @cached_property
    def delay(self) -> Delay | None:
        """The delay of a streaming export, None where its modules do not state it; zero for an offline one."""
        if not self.streaming:
            return Delay(0, 0)
        return stated_delay(self._state.module, self.compression)

    def known_delay(self) -> Delay:
        """Return the delay.

        Raises
        ------
        ModelError
            A streaming export whose modules do not state it.
        """
        if self.delay is None:
            raise ModelError(
                f"{printable(self.name)} is a streaming export that does not state its delay, so it cannot be removed: "
                "leave `compensate_delay` out"
            )
        return self.delay

    def condition_values(self, given: Mapping[str, float]) -> Values:
        """Return the values of all conditions, see `conditions.condition_values`; warns of those that are not given."""
        names = self.contract.conditions
        values = condition_values(printable(self.name), names, given)
        missing = [name for name in names if name not in given]
        if missing:
            self._warn_once(f"it decodes with {printable(', '.join(missing))}, which are 0: `condition` sets them")
        return values

    def _run(self, runner: Runner, blocks: Iterable[Block], seed: int) -> Iterator[Block]:
        """Run one file in one direction, from the load-time state and a seed of its own."""
        stream = iter(blocks)
        first, longer = take(stream, self.chunk_frames * runner.direction.step_in)
        signal = Recorded(itertools.chain(first, stream))
        runner.prepare()
        if runner.random_share > RANDOM_SHARE and not self._is_noisy_by_design:
            self._warn_once(
                f"{runner.direction.method} draws random numbers, which change its result by "
                f"{runner.random_share:.0%}: another seed, and chunks instead of one call, give other results"
            )
        try:
            for result in self._run_windows(runner, signal, seed, longer):
                signal.stop()
                yield result
        except CallError as error:
            if not signal.is_recording or not runner.is_too_long(error.frames):
                raise
            yield from self._run_windows(runner, signal.again(), seed, longer)

    def _run_windows(self, runner: Runner, signal: Iterable[Block], seed: int, longer: bool) -> Iterator[Block]:
        window, context = self.chunk_frames, NO_CONTEXT
        if longer or runner.longest_call is not None:
            window, context = self._window(runner)
        self._state.restore()  # nothing but this file may run the model from here on
        torch.manual_seed(seed)
        yield from in_windows(
            signal,
            lambda x: runner.call(x, context),
            step_in=runner.direction.step_in,
            step_out=runner.direction.step_out,
            window=window,
            left=context.left,
            right=context.right,
            batch=self.batch,
        )

    def _window(self, runner: Runner) -> tuple[int, Context]:
        """Return the frames in a window of a long file, and how many of them are context."""
        context: Context | None = NO_CONTEXT
        if not runner.carries_state:
            context = self.encode_context if runner is self.encoder else self.decode_context
        reason = ""
        if context is None:
            reason = "its context has no limit"
        elif runner.has_seams(context):
            reason = f"{runner.direction.method} gives other results at the borders of calls"
        if context is None or reason:
            window, context = sys.maxsize, NO_CONTEXT
        else:
            window = max(self.chunk_frames, 2 * (context.left + context.right))
        longest = runner.longest_call
        if longest is not None and longest < window:
            window = longest
            if reason or window <= context.left + context.right:
                self._warn_once(
                    f"{runner.direction.method} takes at most {longest} frames at once: longer files run in chunks, "
                    "and differ from one call at their borders"
                )
                context = NO_CONTEXT
        elif reason:
            self._warn_once(f"{reason}: each file runs in one call, which needs more memory")
        return window, context

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            log.warning("%s: %s", printable(self.name), text)
