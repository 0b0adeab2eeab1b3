"""Running a model: TorchScript loading, the model contract, state, seeds, and long signals in constant memory."""

import hashlib
import itertools
import logging
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from unravel_lib.audio.windows import in_windows, pad, trim
from unravel_lib.errors import ModelError
from unravel_lib.files.atomic import sha256_of
from unravel_lib.models import context as reach
from unravel_lib.models import model_file
from unravel_lib.models.contract import MODEL_ERRORS, Probe, call_method, prints_to_stderr, read_contract
from unravel_lib.models.delay import Delay, delay_of
from unravel_lib.models.state import State, weights_sha256
from unravel_lib.text import printable

Block = npt.NDArray[np.float32]

POCKET = Path(__file__).parent / "pocket" / "pocket.ts"
CHUNK_SECONDS = 20.0  # one call of the model; shorter ones compute more context, longer ones take more memory
GPU_BATCH = 8  # chunks in one call on a GPU
MAX_SEED = 2**63  # torch takes seeds below this

log = logging.getLogger(__name__)


def seed_for(seed: int, key: str) -> int:
    """The torch seed of one file: from the run's seed and the file's content, never from its place in the batch."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % MAX_SEED


def choose_device(wanted: str) -> torch.device:
    """`auto` takes CUDA, then MPS, then the CPU; a device by name must be there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        wanted = next(name for name, available in there.items() if available)
    if not there[wanted]:
        raise ModelError(f"`device` {wanted} is not available on this machine: use `device` auto or cpu")
    if wanted == "cuda":  # TF32 would make chunks differ from the whole by 1e-3, autotuning one run from the next
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    return torch.device(wanted)


@prints_to_stderr()
def load(
    path: Path | None = None, device: str = "cpu", trust: bool = False, sample_rate: float | None = None
) -> "Model":
    """Load a model, the bundled pocket model where `path` is None, and read its contract.

    Parameters
    ----------
    device : auto, cpu, cuda or mps; a model that MPS cannot run goes to the CPU with a warning
    trust : load although the code in the file could touch other files
    sample_rate : Hz, for models that do not say theirs

    Raises
    ------
    ModelError
        Not a whole, harmless TorchScript file with encode and decode.
    """
    path = POCKET if path is None else path
    kind = model_file.identify(path)
    if kind is not model_file.Kind.TORCHSCRIPT:
        raise ModelError(
            f"{printable(path)} is a {kind.value}, expected a TorchScript export (.ts): export it with RAVE"
        )
    target = choose_device(device)
    try:
        return Model(path, _load_module(path, trust, target), target, sample_rate)
    except MODEL_ERRORS as error:
        if target.type != "mps":
            raise ModelError(f"{printable(path)} fails on {target}: {_one_line(error)}") from error
        log.warning("%s cannot run on MPS (%s): running on the CPU", printable(path.name), _one_line(error))
        target = torch.device("cpu")
        return Model(path, _load_module(path, trust, target), target, sample_rate)


def _load_module(path: Path, trust: bool, device: torch.device) -> Any:
    try:
        with model_file.screened(path, trust) as source:
            return torch.jit.load(source, map_location="cpu").eval().to(device)  # type: ignore[no-untyped-call]
    except (*MODEL_ERRORS, OSError) as error:
        raise ModelError(f"{printable(path)} cannot be loaded: {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    """The telling line of a TorchScript error, which is its last; without colours."""
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", str(error)).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__


class Model:
    """A loaded model, run on whole files in constant memory; one file at a time.

    Attributes
    ----------
    name, sha256 : of the model file
    weights_sha256 : the same for the offline and the streaming export of the same weights; None without parameters
    sample_rate (Hz), compression (samples per frame), dims, in_channels, out_channels : the contract
    chunk_frames : frames in one call
    batch : chunks in one call (offline exports)
    """

    def __init__(self, path: Path, module: Any, device: torch.device, sample_rate: float | None) -> None:
        self.path, self.name, self.sha256, self.device = path, path.name, sha256_of(path), device
        self.weights_sha256 = weights_sha256(module)
        self._module, self._state = module, State(module)
        self._continuing: dict[str, bool] = {}  # by method, once asked
        self._probe = Probe(module, self._state, printable(path.name), device)
        self.contract = read_contract(module, self._probe, sample_rate)
        self.sample_rate, self.compression = self.contract.sample_rate, self.contract.compression
        self.dims, self.in_channels = self.contract.dims, self.contract.in_channels
        self.out_channels = self.contract.out_channels
        self.chunk_frames = max(1, round(CHUNK_SECONDS * self.sample_rate / self.compression))
        gpu = device.type != "cpu"
        self.batch = GPU_BATCH if gpu and self._any_batch and not self.streaming else 1

    def encode(self, blocks: Iterable[Block], seed: int, key: str, compensate_delay: bool = False) -> Iterator[Block]:
        """Sound -> latents.

        Parameters
        ----------
        blocks : float32 [in_channels, n] at the model's rate
        seed, key : the run's seed and the content key of the file
        compensate_delay : remove a streaming export's delay: silence is fed after the end, the start is dropped

        Yields
        ------
        float32 [dims, n], ceil(samples / compression) frames in all
        """
        delay = self.delay.encode_samples if compensate_delay else 0
        frames = math.ceil(delay / self.compression)
        if delay:  # silence in front makes the delay a whole number of frames
            silence = np.zeros((self.in_channels, frames * self.compression - delay), np.float32)
            blocks = itertools.chain([silence], pad(blocks, self.compression, delay))
        answer = self._run(blocks, "encode", self.compression, 1, seed_for(seed, key))
        return trim(answer, frames, 0)

    def decode(self, blocks: Iterable[Block], seed: int, key: str, compensate_delay: bool = False) -> Iterator[Block]:
        """Latents -> sound.

        Parameters
        ----------
        blocks : float32 [dims, n]
        seed, key : the run's seed and the content key of the latents
        compensate_delay : remove a streaming export's delay: the last frame is held on, the start is dropped

        Yields
        ------
        float32 [out_channels, n], frames * compression samples in all
        """
        delay = self.delay.decode_samples if compensate_delay else 0
        steps = math.ceil(delay / self.compression)
        if delay:
            blocks = pad(blocks, 1, steps, hold=True)
        answer = self._run(blocks, "decode", 1, self.compression, seed_for(seed, key))
        return trim(answer, delay, steps * self.compression - delay)

    @cached_property
    def streaming(self) -> bool:
        """True if the model carries state from call to call."""
        return self._continues("encode") or self._continues("decode")

    def _continues(self, method: str) -> bool:
        if method not in self._continuing:
            self._continuing[method] = self._probe.carries_state(self.contract, method)
        return self._continuing[method]

    @cached_property
    def _any_length(self) -> bool:
        return self._probe.takes_any_length(self.contract)

    @cached_property
    def _any_batch(self) -> bool:
        return self._probe.takes_batches(self.contract)

    @cached_property
    def encode_context(self) -> reach.Context | None:
        """Frames before and after a frame that its latents depend on; None where no limit was found."""
        return reach.encoder(self._seeded("encode"), self._state.restore, self.contract)

    @cached_property
    def decode_context(self) -> reach.Context | None:
        """Frames before and after a frame that its sound depends on; None where no limit was found."""
        return reach.decoder(self._seeded("decode"), self._seeded("encode"), self._state.restore, self.contract)

    @cached_property
    def delay(self) -> Delay:
        """How late a streaming export answers; zero for an offline one."""
        if not self.streaming:
            return Delay(0, 0)
        encode, decode = self._seeded("encode"), self._seeded("decode")
        return delay_of(self._module, encode, decode, self._state.restore, self.contract)

    def _seeded(self, method: str) -> Callable[[Block], Block]:
        _ = self._any_length  # asked now: within the call it would disturb the seed

        def call(x: Block) -> Block:
            torch.manual_seed(0)
            return self._call(method, x)

        return call

    def _run(self, blocks: Iterable[Block], method: str, step_in: int, step_out: int, seed: int) -> Iterator[Block]:
        """One file through one method, from the load-time state and a seed of its own."""
        stream = iter(blocks)
        first, longer = _take(stream, self.chunk_frames * step_in)
        window, left, right = self._window(method) if longer else (self.chunk_frames, 0, 0)
        _ = method == "encode" and self._any_length  # asked now: later it would disturb state and seed
        self._state.restore()
        torch.manual_seed(seed)
        yield from in_windows(
            itertools.chain(first, stream),
            lambda x: self._call(method, x, left, right),
            step_in=step_in, step_out=step_out, window=window, left=left, right=right, batch=self.batch,
        )  # fmt: skip

    def _window(self, method: str) -> tuple[int, int, int]:
        """Frames in a window, and of context on its left and right."""
        if self._continues(method):
            return self.chunk_frames, 0, 0
        context = self.encode_context if method == "encode" else self.decode_context
        if context is None:
            log.warning("%s: one frame reaches everywhere: each file runs in one call and needs the memory", self.name)
            return sys.maxsize, 0, 0
        return max(self.chunk_frames, 2 * (context.left + context.right)), context.left, context.right

    def _call(self, method: str, x: Block, left: int = 0, right: int = 0) -> Block:
        """One call: [batch, channels, n] in, checked [batch, channels, n] out; less at once where a GPU is full."""
        step = self.compression if method == "encode" else 1
        kept = self._state.keep() if self.device.type != "cpu" and self.streaming else None
        try:
            return self._call_once(method, x)
        except MODEL_ERRORS as error:
            if self.device.type == "cpu" or "out of memory" not in str(error).lower():
                raise ModelError(f"{printable(self.name)}: {method} failed: {_one_line(error)}") from error
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if kept is not None:
            self._state.put_back(kept)
        return self._call_halved(method, x, left, right, step)

    def _call_once(self, method: str, x: Block) -> Block:
        batch, _, n = x.shape
        signal = torch.from_numpy(x)
        if method == "encode":
            expected = (batch, self.dims, math.ceil(n / self.compression))
            if not self._any_length:
                signal = torch.nn.functional.pad(signal, (0, -n % self.compression))
        else:
            expected = (batch, self.out_channels, n * self.compression)
        answer = call_method(self._module, method, signal.to(self.device))
        if tuple(answer.shape) != expected:
            raise ModelError(f"{printable(self.name)}: {method} gave {tuple(answer.shape)}, expected {expected}")
        result: Block = answer.float().cpu().numpy()
        if method == "encode" and self._module.original_name.startswith("Spherical"):
            result = np.nan_to_num(result, nan=0.0, posinf=np.inf, neginf=-np.inf)  # silence points nowhere: 0/0
        if not np.isfinite(result).all():
            raise ModelError(f"{printable(self.name)}: {method} gave NaN or Inf for this input")
        return result

    def _call_halved(self, method: str, x: Block, left: int, right: int, step: int) -> Block:
        """The same call as two smaller ones: half of the batch each, then half of the window each."""
        if len(x) > 1:
            halves = np.array_split(x, 2)
            return np.concatenate([self._call(method, half, left, right) for half in halves])
        steps = x.shape[2] // step
        if steps < 4 * (left + right + 1):
            raise ModelError(f"{self.device} is out of memory even for {steps} frames at once: use `device` cpu")
        log.warning("%s is out of memory: smaller chunks, so random parts differ from other runs", self.device)
        middle = steps // 2
        first = self._call(method, x[..., : (middle + right) * step], left, right)
        second = self._call(method, x[..., (middle - left) * step :], left, right)
        out = 1 if method == "encode" else self.compression
        return np.concatenate([first[..., : middle * out], second[..., left * out :]], axis=-1)


def _take(stream: Iterator[Block], length: int) -> tuple[list[Block], bool]:
    """The first blocks until they exceed `length` values; True if they do."""
    taken, total = [], 0
    for block in stream:
        taken.append(block)
        total += block.shape[1]
        if total > length:
            return taken, True
    return taken, False
