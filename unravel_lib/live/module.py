"""A walk over recordings as a TorchScript module: endless new latents in nn~, which calls `generate` buffer by buffer.

The walk goes on in the recording, or it jumps to a moment at which the recording was alike, as the path of `retrace`:

    x[t] = keep x[t - 1] + e[t]    with    e[t] = X[m + 1] - keep X[m]

Random numbers depend on the seed, the voice and the frame alone, so that buffers of any size give the same frames. What
nn~ sets is kept in numbers and lists: tensors that were made inside of a call may not be changed outside.
"""

import io
import math
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from unravel_lib.errors import UsageError, check_seed
from unravel_lib.files.atomic import atomic_write
from unravel_lib.files.sidecar import DEFAULT_SEED
from unravel_lib.live.graph import END, LOUD, RANKS, ROW, TURNS, Graph, graph_of
from unravel_lib.models import torchscript
from unravel_lib.models.contract import FALLBACK_RATE
from unravel_lib.models.model import Model
from unravel_lib.music.following import SHARPNESS, WHITE_WISHED
from unravel_lib.music.recordings import GOLDEN
from unravel_lib.music.steering import TOLERANCE
from unravel_lib.statistics.measure import Statistics

ATTRIBUTES = {  # what nn~ can set: its type, the lowest and the highest value, what is done then
    "seed": ("int", -(1 << 62), 1 << 62, "self.voices.clear()"),
    "jump": ("float", 0, 1, ""),
    "near": ("int", 1, ROW, ""),
    "recording": ("int", -1, "self.recordings - 1", ""),
    "period": ("int", 0, 1, ""),
    "force": ("float", 0, 1000, ""),
    "reset": ("int", 0, 1, "self.voices.clear()"),
}
CODES = {"int": 1, "float": 2}  # of nn~
ATTRIBUTE = """
def set_{name}(self, value: {kind}) -> int:
    if value < {lowest} or value > {highest}:
        return 1
    self.{name} = value
    {then}
    return 0

def get_{name}(self) -> Tuple[{kind}]:
    return (self.{name},)
"""
LISTS = """
def get_methods(self) -> List[str]:
    return {methods}

def get_attributes(self) -> List[str]:
    return {attributes}
"""
PLAY = """
def play(self, x: Tensor) -> Tensor:
    return self.model.decode(self.generate(x))
"""
INLETS = 4  # go, jump, loudness, brightness


class Voice:
    """Where a voice is."""

    def __init__(self, key: int) -> None:
        self.key = key  # of its random numbers
        self.played = self.stretches = self.left = 0  # frames, stretches, frames that are left of this one
        self.where = self.moment = self.noise = 0  # recording; the frame of its own dims, and that of noisy ones
        self.period = self.time = 0.0  # of the recording; the moment before it is rounded, or the beat would drift
        self.visits: dict[int, int] = {}  # in this stretch, by moment


class Live(nn.Module):
    """The walk; see `Graph` for its tensors, which stay on the CPU."""

    voices: list[Voice]

    def __init__(
        self, graph: Graph, model: Model | None, sample_rate: float, compression: int, source_model: str, seed: int
    ) -> None:
        super().__init__()
        # no `Final` names, which TorchScript keeps in a set: the order of a file would change from run to run
        self.GAMMA = 0x9E3779B97F4A7C15 - (1 << 64)  # of splitmix64, as signed numbers
        self.FIRST, self.SECOND = 0xBF58476D1CE4E5B9 - (1 << 64), 0x94D049BB133111EB - (1 << 64)
        self.GOLDEN, self.TOLERANCE, self.WISHED = GOLDEN, TOLERANCE, WHITE_WISHED
        self.RANKS, self.ROW, self.TURNS, self.LOUD, self.END = RANKS, ROW, TURNS, LOUD, END
        self.end, self.dims = graph.frames.shape
        self.sr, self.compression, self.source_model = round(sample_rate), compression, source_model
        self.recordings, self.minutes = len(graph.recordings), round(self.end / graph.frame_rate / 60, 2)
        self.seed, self.jump, self.near, self.recording = seed, graph.jump, ROW, -1
        self.period, self.force, self.reset = 1, SHARPNESS, 0
        self.is_noisy, self.voices = bool(graph.noisy.any()), []
        still = torch.zeros(2, self.dims)  # what a voice that holds adds to its last frame
        self.frames = torch.cat([torch.from_numpy(graph.frames), still])
        self.decay = torch.stack([torch.from_numpy(graph.keep), torch.ones(self.dims)])
        self.noisy, self.lowest, self.highest = map(torch.from_numpy, (graph.noisy, graph.lowest, graph.highest))
        self.alike, self.turns, self.leaves = map(torch.from_numpy, (graph.alike, graph.turns, graph.leaves))
        self.ranks, self.met, self.shares = map(torch.from_numpy, (graph.ranks, graph.met, graph.shares))
        self.table, self.periods = map(torch.from_numpy, (graph.recordings, graph.periods))
        self.last = torch.empty(0, self.dims)
        self.register_buffer("generate_params", torch.tensor([INLETS, compression, self.dims, compression]))
        for name, (kind, *_) in ATTRIBUTES.items():
            self.register_buffer(f"{name}_params", torch.tensor([CODES[kind]]))
        if model is not None:
            self.model = model.untouched()
            self.register_buffer("play_params", torch.tensor([INLETS, compression, model.out_channels, 1]))
            for parameter in self.model.parameters():  # else a state that is carried would keep all of the past
                parameter.requires_grad_(False)

    @torch.jit.export
    def generate(self, x: Tensor) -> Tensor:
        """Inlets [voices, 4, frames] -> latents [voices, dims, frames].

        Inlets: go (above 0.5: play, else hold), jump (probability; below 0: that of the attribute), loudness and
        brightness (ranks from 0 to 1; below 0: any).
        """
        voices, n_frames = x.shape[0], x.shape[2]
        self._make_voices(voices)
        inlets: list[float] = []
        for value in x.to(self.frames.device).permute(2, 0, 1).reshape(-1).unbind(0):
            inlets.append(float(value))
        path: list[int] = []
        for step in range(n_frames * voices):
            voice, at = self.voices[step % voices], 4 * step
            if inlets[at] > 0.5:
                self._move(voice, inlets[at + 1], inlets[at + 2], inlets[at + 3])
                path += [voice.moment - 1, voice.moment, voice.noise, 0]
            else:
                path += [self.end, self.end + 1, self.end + 1, 1]
        before, after, second, held = torch.tensor(path).reshape(-1, 4).unbind(1)
        decay = self.decay.index_select(0, held)
        e = torch.where(self.noisy, self.frames.index_select(0, second), self.frames.index_select(0, after))
        e = (e - decay * self.frames.index_select(0, before)).reshape(n_frames, voices, self.dims)
        decay = decay.reshape(n_frames, voices, self.dims)
        last = self.last[:voices]
        result: list[Tensor] = []
        for t in range(n_frames):
            last = last * decay[t] + e[t]
            result.append(last)
        self.last = torch.cat([last, self.last[voices:]])
        inside = torch.minimum(torch.maximum(torch.stack(result, 1), self.lowest), self.highest)
        return inside.transpose(1, 2).to(x.device)

    def _make_voices(self, n: int) -> None:
        """Make the voices that are missing; each walks its own way, and waits at its first moment."""
        self.last = self.last[: len(self.voices)]
        while len(self.voices) < n:
            voice = Voice(self._mixed(self._mixed(self.seed) + len(self.voices)))
            self._begin(voice)
            self.last = torch.cat([self.last, self.frames[voice.moment].unsqueeze(0)])
            self.voices.append(voice)

    def _move(self, voice: Voice, jump: float, loudness: float, brightness: float) -> None:
        """Move a voice to its next moment, whose frame it plays then."""
        number = 3 * voice.played
        voice.played += 1
        if voice.left <= 0 or (self.recording >= 0 and voice.where != self.recording):
            self._begin(voice)
        voice.left -= 1
        wanted = torch.empty(0)
        if self.force > 0 and self.ranks.shape[0] > 0 and (loudness >= 0 or brightness >= 0):
            wanted = torch.nan_to_num(torch.tensor([loudness, brightness]), -1.0).clamp(max=1.0)
        leaves = int(self.leaves[voice.moment])
        wants = self._random(voice.key, number) < (jump if jump >= 0 else self.jump)
        if leaves == self.LOUD and not wants and wanted.numel() > 0:
            wants = bool(self._far(self.ranks[voice.moment, :2], wanted).max() > self.TOLERANCE)
        if leaves == self.END or (leaves == self.LOUD and wants):
            luck = self._random(voice.key, number + 1)
            if wanted.numel() > 0:
                self._go(voice, self._wished(voice, luck, wanted))
            else:
                near = self._others(voice, 0, self.near)
                if len(near) == 0:  # nothing is in time
                    near = self._moments(self.alike[voice.moment]) if leaves == self.END else [voice.moment]
                self._go(voice, self._drawn(voice, near, 1.0 / torch.arange(1, len(near) + 1), luck))
        voice.visits[voice.moment] = voice.visits.get(voice.moment, 0) + 1
        if self.is_noisy:
            first = int(self._random(voice.key, number + 2) * (1 + (self.ROW if voice.period == 0 else self.TURNS)))
            near = self._others(voice, first, 1 if wanted.numel() == 0 else self.WISHED)
            near.append(voice.moment)
            best = 0 if wanted.numel() == 0 else int(self._distances(near, wanted).argmin())
            voice.noise = near[best] + 1
        voice.moment += 1
        voice.time += 1.0

    def _begin(self, voice: Voice) -> None:
        """Begin a stretch elsewhere: the places of all stretches are spread evenly, however many (Kronecker)."""
        place = (self._random(voice.key, -1) + voice.stretches * self.GOLDEN) % 1.0
        where = self.recording
        if where < 0:
            where = int((self.shares[1:] <= place).sum())
            place = float((place - self.shares[where]) / (self.shares[where + 1] - self.shares[where]))
        first, last = int(self.table[where, 0]), int(self.table[where, 1])
        self._go(voice, first + 1 + int(place * (last - first - 1)))  # from where it is silent a jump follows
        voice.stretches += 1
        voice.left = int(self.table[where, 2])
        voice.visits.clear()

    def _go(self, voice: Voice, moment: int) -> None:
        """Put a voice at a moment, in time if it is whole periods away."""
        voice.where = int((self.table[:, 0] <= moment).sum()) - 1
        voice.period = float(self.periods[voice.where])
        turn = voice.period if voice.period > 0 else 1.0
        voice.moment = voice.noise = moment
        voice.time += round((moment - voice.time) / turn) * turn
        if abs(voice.time - moment) > 1:
            voice.time = float(moment)

    def _others(self, voice: Voice, first: int, n: int) -> list[int]:
        """The `first` and further places that a jump may lead to: whole periods away in a recording that has one."""
        if voice.period == 0 or self.period == 0:
            return self._moments(self.alike[voice.moment, first : first + n])
        begin, end = int(self.table[voice.where, 0]), int(self.table[voice.where, 1])
        found: list[int] = []
        for value in self.turns[voice.moment, first : first + n].unbind(0):
            moment = math.floor(voice.time + int(value) * voice.period + 0.5)
            if int(value) != 0 and begin < moment < end:
                found.append(moment)
        return found

    def _moments(self, row: Tensor) -> list[int]:
        found: list[int] = []
        for value in row.unbind(0):
            if int(value) >= 0:
                found.append(int(value))
        return found

    def _wished(self, voice: Voice, luck: float, wanted: Tensor) -> int:
        """One of the moments that are alike, rather as it is wished for; where none of them is, of all that are."""
        near = self._moments(self.alike[voice.moment])
        distances = self._distances(near, wanted)
        if float(distances.min()) > self.TOLERANCE:
            column = torch.where(wanted < 0, self.RANKS + 1.0, wanted * self.RANKS).round().to(torch.int64)
            row = self.met[int(column[0]) * (self.RANKS + 2) + int(column[1])]
            if self.recording >= 0:
                row = row[(row >= self.table[self.recording, 0]) & (row <= self.table[self.recording, 1])]
            if row.numel() > 0 and int(row[0]) >= 0:
                near = self._moments(row)
                distances = self._distances(near, wanted)
        sharp = (1.0 + distances * (self.force / 8.0)).pow(2).pow(2).pow(2)  # about exp(force distance)
        return self._drawn(voice, near, 1.0 / (sharp * torch.arange(8, 8 + len(near))), luck)

    def _drawn(self, voice: Voice, moments: list[int], weights: Tensor, luck: float) -> int:
        """One of some moments, each as often as it weighs, less often what was played in this stretch."""
        shares = (weights / (1 + torch.tensor([voice.visits.get(moment, 0) for moment in moments]))).cumsum(0)
        return moments[min(int((shares <= luck * shares[-1]).sum()), len(moments) - 1)]

    def _distances(self, moments: list[int], wanted: Tensor) -> Tensor:
        """How far what follows some moments is from what is wished for, mean difference of ranks."""
        soon = self.ranks.index_select(0, torch.tensor(moments))[:, 2:]
        return self._far(soon, wanted).sum(1) / (wanted >= 0).sum()

    def _far(self, ranks: Tensor, wanted: Tensor) -> Tensor:
        return torch.where(wanted >= 0, (ranks / 255.0 - wanted).abs(), 0.0)

    def _random(self, key: int, number: int) -> float:
        """Random number from 0 to 1, the same on every machine.

        Steele, Lea & Flood, "Fast splittable pseudorandom number generators" (2014): splitmix64.
        """
        return (self._mixed(key + (number + 1) * self.GAMMA) >> 11 & (1 << 53) - 1) / 9007199254740992.0

    def _mixed(self, z: int) -> int:
        z = (z ^ (z >> 30 & (1 << 34) - 1)) * self.FIRST
        z = (z ^ (z >> 27 & (1 << 37) - 1)) * self.SECOND
        return z ^ (z >> 31 & (1 << 33) - 1)


def live(
    statistics: Statistics,
    model: Model | None = None,
    *,
    sample_rate: float = FALLBACK_RATE,
    source_model: str = "",
    seed: int = DEFAULT_SEED,
) -> torch.jit.ScriptModule:
    """Make a module for nn~ that goes on with what was measured, without end: `live.save("voice_live.ts")`.

    `frames = live.generate(inlets)` gives the same as the file: float32 [voices, dims, frames] for inlets
    [voices, 4, frames], which are go, jump, loudness and brightness (docs/pure-data.md).

    Parameters
    ----------
    statistics : Statistics
        Of encodings.
    model : Model, optional
        Decodes them, for a second method, `play`; a streaming export.
    sample_rate : float
        In Hz, where there is no model.
    source_model : str
        Name of the model that the encodings are of.
    seed : int

    Raises
    ------
    InputError
        No encodings, all too short, or too large for one file.
    UsageError
        The model has other dims or rates than the encodings, or decodes with conditions.
    """
    check_seed(seed)
    if model is not None:
        sample_rate, source_model = model.sample_rate, source_model or model.name
        rate = sample_rate / model.compression
        statistics = replace(statistics, frame_rate=statistics.frame_rate or rate)
        if (model.dims, rate) != (statistics.dims, statistics.frame_rate):
            found = f"decodes {model.dims} dims at {rate:.3f} Hz, the encodings have {statistics.dims} at "
            raise UsageError(f"{found}{statistics.frame_rate:.3f} Hz", path=model.path)
        if model.contract.conditions:
            raise UsageError("decodes with conditions, which a live file does not give", path=model.path)
    graph = graph_of(statistics)
    compression = sample_rate / graph.frame_rate
    if abs(compression - round(compression)) > 1e-3:
        found = f"is no whole number of times the {graph.frame_rate:.3f} frames a second of the encodings"
        raise UsageError(found, option="sample_rate", value=f"{sample_rate:g}")
    walk = Live(graph, model, sample_rate, round(compression), source_model, seed)
    module = cast(torch.jit.ScriptModule, torch.jit.script(walk.eval()))
    if "get_methods" not in torchscript.compiled_methods(module):  # modules of one kind share their methods
        methods = ["generate"] if model is None else ["generate", "play"]
        module.define(LISTS.format(methods=methods, attributes=list(ATTRIBUTES)))
        for name, (kind, lowest, highest, then) in ATTRIBUTES.items():
            module.define(ATTRIBUTE.format(name=name, kind=kind, lowest=lowest, highest=highest, then=then))
        if model is not None:
            module.define(PLAY)
    return module


def save(module: torch.jit.ScriptModule, target: Path) -> None:
    """Write a module: the same bytes for the same one, without PyTorch's notes on where its code was read."""
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    with zipfile.ZipFile(buffer) as source, atomic_write(target) as part, zipfile.ZipFile(part, "w") as copy:
        for name in source.namelist():
            if not name.endswith(".debug_pkl"):
                copy.writestr(zipfile.ZipInfo(name), source.read(name))
