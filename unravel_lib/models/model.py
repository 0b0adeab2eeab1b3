"""A loaded model: whole files through encode and decode, seeded per file, long signals in constant memory."""

import functools
import hashlib
import itertools
import logging
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unravel_lib.audio.blocks import in_windows, pad, trim
from unravel_lib.errors import ModelError, UnravelError, UsageError
from unravel_lib.files.find import sha256_of
from unravel_lib.models import POCKET, torchscript
from unravel_lib.models.behaviour import NO_CONTEXT, Behaviour, Context, find_context, longest_call, measure, why_seams
from unravel_lib.models.contract import Block, read_contract, with_conditions
from unravel_lib.models.delay import Delay, stated_delay
from unravel_lib.models.runner import Runner, check_precision
from unravel_lib.models.screening.model_file import Kind, open_model, trainer_of
from unravel_lib.models.torchscript import MODEL_ERRORS, CallError, prints_logged
from unravel_lib.text import did_you_mean, last_line, printable

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
    if not available.get(wanted):
        found = "is not available on this machine"
        raise ModelError(found, option="device", value=wanted, remedy="use auto or cpu")
    if wanted == "cuda":  # TF32 would make chunks differ from the whole by 1e-3, autotuning one run from the next
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    return torch.device(wanted)


def load(
    path: str | Path | None = None,
    device: str = "cpu",
    trust: bool = False,
    sample_rate: float | None = None,
    precision: str = "fp32",
) -> "Model":
    """Load a model, the bundled pocket model where `path` is None, and read its contract.

    Parameters
    ----------
    device : auto, cpu, cuda or mps; a model that MPS cannot run goes to the CPU with a warning
    trust : load although the code in the file could touch other files
    sample_rate : Hz, for models that do not state it
    precision : fp32, or bf16, which takes about half the time where the device has bfloat16, and rounds results

    Raises
    ------
    ModelError
        Not a complete, harmless TorchScript file with encode and decode.
    """
    path = POCKET if path is None else Path(path)
    with open_model(path) as file, prints_logged(path.name):
        if file.kind is not Kind.TORCHSCRIPT:
            trainer = trainer_of(file.names())
            kind = f"{file.kind.value} of {trainer.family}" if trainer.family else file.kind.value
            raise ModelError(f"is a {kind}", path=path, expected="a TorchScript export (.ts)", remedy=trainer.export)
        target = choose_device(device)
        try:
            return Model(path, torchscript.load(file, trust), target, sample_rate, precision)
        except UnravelError:
            raise
        except MODEL_ERRORS as error:
            if target.type != "mps":
                raise ModelError(f"fails on {target}: {last_line(error)}", path=path) from error
            log.warning("%s cannot run on MPS (%s): running on the CPU", printable(path.name), last_line(error))
        return Model(path, torchscript.load(file, trust), torch.device("cpu"), sample_rate, precision)


class Model:
    """A loaded model, run on whole files in constant memory; one file at a time.

    Attributes
    ----------
    name, sha256 : of the model file
    weights_sha256 : the same for the offline and the streaming export of the same weights; None without parameters
    sample_rate (Hz), compression (samples per frame), dims, in_channels, out_channels : the contract
    chunk_frames : frames in one call
    batch : chunks in one call, of models that take several
    precision : of its calls on files, fp32 or bf16; its behaviour is always measured in fp32
    """

    def __init__(
        self,
        path: Path,
        module: torchscript.Module,
        device: torch.device,
        sample_rate: float | None,
        precision: str = "fp32",
    ) -> None:
        self.precision = check_precision(precision, device)
        self.path, self.name, self.sha256, self.device = path, path.name, sha256_of(path), device
        self._runner = Runner(module, printable(path.name), device)
        self.weights_sha256 = torchscript.weights_sha256(module)
        self.contract = read_contract(module, self._runner.raw, path, sample_rate)
        encode, decode, self.sample_rate = self.contract.encode, self.contract.decode, self.contract.sample_rate
        self.compression, self.dims = encode.step_in, encode.channels_out
        self.in_channels, self.out_channels = encode.channels_in, decode.channels_out
        self.chunk_frames = max(1, round(CHUNK_SECONDS * self.sample_rate / self.compression))
        self.batch = 1 if device.type == "cpu" else GPU_BATCH
        self._behaviours: dict[str, Behaviour] = {}
        self._contexts: dict[str, Context | None] = {}
        self._seams: dict[str, str] = {}
        self._longest = dict.fromkeys(("encode", "decode"), sys.maxsize)  # frames that one call takes
        self._warned: set[str] = set()

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
        return trim(self._run("encode", blocks, seed_for(seed, key)), frames, 0)

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
        return trim(self._run("decode", blocks, seed_for(seed, key)), delay, frames * self.compression - delay)

    def behaviour(self, method: str) -> Behaviour:
        """Return how encode or decode behaves. Runs the model the first time."""
        if method not in self._behaviours:
            self._behaviours[method] = measure(self._runner, self.contract.direction(method))
        return self._behaviours[method]

    def context(self, method: str, deadline: float = math.inf) -> Context | None:
        """Return the frames that a frame depends on; None where no limit was found. Runs the model the first time.

        Raises
        ------
        OutOfTimeError
            It would not be done at the `deadline`, a time as `time.thread_time` returns it.
        """
        if method not in self._contexts:
            for first in ("encode", method):  # it finds out how the state is restored
                self.behaviour(first)
            self._contexts[method] = find_context(self._runner, self.contract, method, deadline)
        return self._contexts[method]

    def untouched(self) -> torchscript.Module:
        """Return a copy of the module as it was loaded; its weights are shared."""
        return self._runner.untouched()

    @property
    def streaming(self) -> bool:
        """True if the model carries state from call to call."""
        return self.behaviour("encode").carries_state or self.behaviour("decode").carries_state

    @property
    def random_methods(self) -> list[str]:
        """Which of encode and decode draw random numbers that change the result."""
        return [method for method in ("encode", "decode") if self.behaviour(method).random_share]

    @functools.cached_property
    def delay(self) -> Delay | None:
        """The delay of a streaming export, None where its modules do not state it; zero for an offline one."""
        return stated_delay(self._runner.module, self.compression) if self.streaming else Delay(0, 0)

    def known_delay(self) -> Delay:
        """Return the delay.

        Raises
        ------
        ModelError
            A streaming export whose modules do not state it.
        """
        if self.delay is None:
            found = "is a streaming export that does not state its delay, so it cannot be removed"
            options = ("compensate_delay",)
            raise ModelError(found, path=self.path, remedy="leave it out", remedy_options=options)
        return self.delay

    def condition_values(self, given: Mapping[str, float]) -> Block:
        """Return the values of all conditions in their order; those that are not given are 0, which is warned of.

        Raises
        ------
        UsageError
            The model has no condition of that name.
        """
        names = self.contract.conditions
        if given and not names:
            found, options = "decodes without conditions", ("condition",)
            raise UsageError(found, path=self.path, remedy="leave it out", remedy_options=options)
        for name in given:
            if name not in names:
                remedy = f"its conditions are {printable(', '.join(names))}{did_you_mean(name, names)}"
                raise UsageError(f"has no condition {printable(name)}", path=self.path, remedy=remedy)
        missing = [name for name in names if name not in given]
        if missing:
            found = f"it decodes with {printable(', '.join(missing))}, which are 0"
            self._warn_once(found, remedy="set them", remedy_options=("condition",))
        return np.array([given.get(name, 0.0) for name in names], np.float32)

    def _run(self, method: str, blocks: Iterable[Block], seed: int) -> Iterator[Block]:
        """Run one file in one direction, from the load-time state and a seed of its own.

        Where its first call is too large it begins again, with smaller ones.
        """
        self._warn_of_random_parts(method)
        behaviour, direction = self.behaviour(method), self.contract.direction(method)
        if not behaviour.takes_any_length:
            blocks = pad(blocks, direction.step_in, 0)

        def call(x: Block) -> Block:
            return self._runner.call(direction, x, precision=self.precision)

        first: list[Block] | None = None
        while first is None:
            blocks, ahead, again = itertools.tee(blocks, 3)
            most = direction.step_in * min(self.chunk_frames, self._longest[method])
            is_long = any(length > most for length in itertools.accumulate(block.shape[1] for block in ahead))
            window, context = self._window(method) if is_long else (self.chunk_frames, NO_CONTEXT)
            self._runner.restore()  # nothing but this file may run the model from here on
            torch.manual_seed(seed)
            steps = {"step_in": direction.step_in, "step_out": direction.step_out, "window": window}
            batch = self.batch if behaviour.takes_batches else 1
            results = in_windows(blocks, call, **steps, left=context.left, right=context.right, batch=batch)
            try:
                first = list(itertools.islice(results, 1))
            except CallError as error:
                if not self._shorten(method, error):
                    raise
                blocks = again
        del ahead, again  # they hold what was read
        yield from itertools.chain(first, results)

    def _window(self, method: str) -> tuple[int, Context]:
        """Return the frames in a call on a long file, and how many are context. Runs the model the first time."""
        context = NO_CONTEXT if self.behaviour(method).carries_state else self.context(method)
        if method not in self._seams:
            self._seams[method] = why_seams(self._runner, self.contract.direction(method), context)
        longest, reason = self._longest[method], self._seams[method]
        if context is not None and not reason and context.left + context.right < longest:
            return min(longest, max(self.chunk_frames, 2 * (context.left + context.right))), context
        if longest < sys.maxsize:
            reason = f"{method} takes at most {longest} frames at once"
            self._warn_once(f"{reason}: longer files run in chunks, and differ from one call at their borders")
        else:
            self._warn_once(f"{reason}: each file runs in one call, which needs more memory")
        return longest, NO_CONTEXT

    def _shorten(self, method: str, error: CallError) -> bool:
        """Let calls be smaller after one failed; return False if that is no remedy. Runs the model."""
        batch, frames = error.size
        if not error.out_of_memory:
            longest = longest_call(self._runner, self.contract.direction(method), frames)
            if not 0 < longest < frames:
                return False
            self._longest[method] = longest
            return True
        self._warn_once(f"{self.device} is out of memory: smaller chunks, so random parts differ from other runs")
        if batch > 1:
            self.batch = batch // 2
            return True
        self.chunk_frames = max(1, frames // 2)
        return self._window(method)[0] < frames

    def _warn_of_random_parts(self, method: str) -> None:
        module, share = self._runner.module, self.behaviour(method).random_share
        name = torchscript.class_name(torchscript.inner_rave(module) or module)
        if share > RANDOM_SHARE and name not in NOISY_BY_DESIGN:
            self._warn_once(
                f"{method} draws random numbers, which change its result by {share:.0%}: "
                "another seed, and chunks instead of one call, give other results"
            )

    def _warn_once(self, found: str, **remedy: Any) -> None:
        if found not in self._warned:
            self._warned.add(found)
            log.warning(ModelError(f"{printable(self.name)}: {found}", **remedy))
