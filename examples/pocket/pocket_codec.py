"""The codec inside the pocket model: audio to 8 dims and back, as a module that TorchScript can compile.

    encode   one spectrum per frame -> levels of half octaves and of the whole in dB, how tonal three regions are, which
             pitch class stands out -> principal components -> 8 whitened dims
    decode   8 dims -> the same features -> partials (what is tonal) + noise grains (what is not)

Every partial makes whole cycles per frame (its frequency is a multiple of sample_rate / 2048, one that lies near a
semitone). Its phase is therefore the same at every frame boundary, and a long file decoded in chunks has no seams.
The noise is drawn from torch's generator, except for the grains centred on frame boundaries, whose phases never change:

    noise grains    F   r   r   r   r   r   r   r   F        F fixed phases, r random ones
                    |____________ frame ____________|

so a chunk that ends at a frame boundary meets the next chunk in the middle of a grain that both of them hold.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

SAMPLE_RATE = 44100
COMPRESSION = 2048  # samples per frame
WINDOW = 2 * COMPRESSION  # samples that one frame's spectrum is taken from
DIMS = 8
GRAIN = 512  # samples of a noise grain; grains overlap by half
STEPS = 2 * COMPRESSION // GRAIN  # grain steps per frame
BANDS = 18  # half octaves from 37.5 Hz up
FLOOR = 1e-8  # mean square below which a band counts as silent (-80 dB)
REGIONS = 3  # of REGION_BANDS bands each, from band FIRST_NOISY up: each has one measure of how tonal it is
REGION_BANDS = 4
FIRST_NOISY = BANDS - REGIONS * REGION_BANDS  # bands below (300 Hz) are always tonal: noise grains are too short
HALF_TONAL = -1.6  # log flatness at which a region is half tonal, half noise; white noise has -0.6, a tone -3 to -6
TONAL_WEIGHT = 10.0  # dB that one unit of log flatness weighs in the fit
PITCH_WEIGHT = 30.0  # dB that a clear pitch class weighs in the fit
LOUDNESS_WEIGHT = 2.0  # how much more than one band the level of the whole weighs in the fit
PITCH_HZ = (150.0, 6000.0)  # where the pitch class is looked for
SHARPNESS = 8.0  # how narrowly a clear pitch class gathers the partials around it
LOUDEST = 0.35  # root mean square that no frame exceeds
KNEE = 0.8  # where the soft clipper begins to bend

CONSTANTS = """
    SAMPLE_RATE COMPRESSION WINDOW GRAIN STEPS BANDS FLOOR REGIONS REGION_BANDS FIRST_NOISY LOUDNESS_WEIGHT HALF_TONAL
    TONAL_WEIGHT PITCH_WEIGHT SHARPNESS LOUDEST KNEE
"""


def overlap(edges: Tensor, n_bins: int, bin_hz: float) -> Tensor:
    """Share of each FFT bin that lies in each band: edges [bands + 1] in Hz -> [bands, bins], 0 to 1."""
    centre = torch.arange(n_bins, dtype=edges.dtype, device=edges.device) * bin_hz
    high = torch.minimum(edges[1:, None], centre + 0.5 * bin_hz)
    low = torch.maximum(edges[:-1, None], centre - 0.5 * bin_hz)
    return (high - low).clamp(min=0.0) / bin_hz


def band_edges() -> npt.NDArray[np.float64]:
    """Edges of the half octaves in Hz, [bands + 1]; the lowest begins at 20 Hz."""
    edges = 37.5 * 2.0 ** (np.arange(BANDS + 1) / 2)
    edges[0] = 20.0
    return edges


def lines_and_edges() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the partials as multiples of sample_rate / 2048, and the edges in Hz between them, one more than partials.

    The multiples nearest to semitones (A = 440 Hz) up to 16.8 kHz, thinned out below 600 Hz: from 86 Hz on, no two
    neighbours are closer than 43 Hz, because at 21.5 Hz they would flutter.
    """
    grid = SAMPLE_RATE / COMPRESSION
    lines = [2, 3, 4, 6, 8, 10]
    for semitone in range(-12, 64):
        line = round(440.0 * 2.0 ** (semitone / 12) / grid)
        if line >= lines[-1] + 2:
            lines.append(line)
    inner = np.sqrt(np.multiply(lines[1:], lines[:-1]))
    edges = np.concatenate([[1.5], inner, [lines[-1] ** 2 / inner[-1]]]) * grid
    return np.array(lines, dtype=np.int64), edges


def hat_weights(at: npt.NDArray[np.float64], knots: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Linear interpolation as a matrix: values at rising `knots` -> values `at` other places, [at, knots]."""
    return np.stack([np.interp(at, knots, unit) for unit in np.eye(len(knots))], 1)


class Pocket(nn.Module):
    """The codec itself; scripted, it is `pocket.ts`. Everything is local: no state, no memory of other frames.

    Buffers, in addition to the three `_params` that RAVE exports have: `lines` [lines], `line_edges` [lines + 1] in Hz,
    `band_edges` [bands + 1] in Hz, `band_of_line` [lines], `smooth` [lines, bands] (interpolates band levels),
    `phases` [lines], `pitch` [lines] and `grain_phases` [grain bins] in radians; `mean` [features],
    `analysis` [dims, features], `synthesis` [features, dims].
    """

    compression: int
    window: int
    sample_rate: int
    floor: float
    first_noisy: int
    region_bands: int
    regions: int
    loudness_weight: float
    half_tonal: float
    tonal_weight: float
    pitch_weight: float
    sharpness: float
    loudest: float
    knee: float
    grain: int
    steps: int
    bands: int
    pitch_from: float
    pitch_to: float
    lines: Tensor
    line_edges: Tensor
    band_edges: Tensor
    band_of_line: Tensor
    smooth: Tensor
    pitch: Tensor
    phases: Tensor
    grain_phases: Tensor
    mean: Tensor
    analysis: Tensor
    synthesis: Tensor

    def __init__(self) -> None:
        super().__init__()
        lines, line_edges = lines_and_edges()
        edges = band_edges()
        hertz = lines * SAMPLE_RATE / COMPRESSION
        centres = np.sqrt(edges[1:] * edges[:-1])
        n_features = BANDS + 1 + REGIONS + 2
        rng = np.random.default_rng(0)
        tables = {
            "line_edges": line_edges,
            "band_edges": edges,
            "smooth": hat_weights(np.log(hertz), np.log(centres)),
            "pitch": 2 * np.pi * np.log2(hertz / 440.0),
            "phases": rng.uniform(0, 2 * np.pi, len(lines)),
            "grain_phases": rng.uniform(0, 2 * np.pi, GRAIN // 2 + 1),
            "mean": np.zeros(n_features),
            "analysis": np.zeros((DIMS, n_features)),
            "synthesis": np.zeros((n_features, DIMS)),
        }
        self.sr = SAMPLE_RATE
        for name in CONSTANTS.split():
            setattr(self, name.lower(), globals()[name])  # TorchScript sees attributes, not globals
        self.pitch_from, self.pitch_to = PITCH_HZ
        self.register_buffer("encode_params", torch.tensor([1, 1, DIMS, COMPRESSION]))
        self.register_buffer("decode_params", torch.tensor([DIMS, COMPRESSION, 1, 1]))
        self.register_buffer("forward_params", torch.tensor([1, 1, 1, 1]))
        self.register_buffer("lines", torch.from_numpy(lines))
        self.register_buffer("band_of_line", torch.from_numpy(np.searchsorted(edges, hertz) - 1))
        for name, table in tables.items():
            self.register_buffer(name, torch.tensor(table, dtype=torch.float32))

    @torch.jit.export
    def get_methods(self) -> list[str]:
        """Return what can be called, as in RAVE exports."""
        return ["encode", "decode", "forward"]

    def spectra(self, x: Tensor) -> Tensor:
        """Audio [B, 1, n] -> power spectra [B, ceil(n / 2048), bins], in mean square per bin."""
        frames = (x.shape[-1] + self.compression - 1) // self.compression
        left = (self.window - self.compression) // 2
        right = (frames - 1) * self.compression + self.window - left - x.shape[-1]
        pieces = nn.functional.pad(x[:, 0], (left, right)).unfold(-1, self.window, self.compression)
        window = torch.hann_window(self.window, dtype=x.dtype, device=x.device)
        spectrum = torch.fft.rfft(pieces * window)
        power: Tensor = spectrum.real.square() + spectrum.imag.square()
        return power * (2.0 / (self.window * window.square().sum()))

    @torch.jit.export
    def features(self, x: Tensor) -> Tensor:
        """Audio [B, 1, n] -> [B, features, ceil(n / 2048)].

        Levels of the bands in dB; log flatness of the regions and the pitch class as a point in the unit circle, times
        their weights. Flatness is the geometric over the arithmetic mean of a band's power, 1 for noise.
        """
        power = self.spectra(x)
        bins, bin_hz = power.shape[-1], self.sample_rate / self.window
        inside = overlap(self.band_edges, bins, bin_hz)
        energy = power @ inside.T
        noisy = inside[self.first_noisy :] / inside[self.first_noisy :].sum(-1, keepdim=True)
        raised = power + self.floor * 1e-2
        flatness = torch.log(raised) @ noisy.T - torch.log(raised @ noisy.T)
        regions = (power.shape[0], power.shape[1], self.regions, self.region_bands)
        weight = (energy[:, :, self.first_noisy :] + self.floor).reshape(regions)
        flatness = (flatness.reshape(regions) * weight).sum(-1) / weight.sum(-1)
        hertz = torch.arange(bins, dtype=x.dtype, device=x.device) * bin_hz
        heard = ((hertz > self.pitch_from) & (hertz < self.pitch_to)).to(x.dtype)
        angle = 2.0 * torch.pi * torch.log2(hertz.clamp(min=1.0) / 440.0)
        circle = torch.stack([heard * torch.cos(angle), heard * torch.sin(angle)], 1)
        pitch = (power @ circle) / ((power @ heard[:, None]) + 10.0 * self.floor)
        levels = 10.0 * torch.log10(energy + self.floor)
        loudness = 10.0 * torch.log10(energy.sum(-1, keepdim=True) + self.floor)
        return torch.cat(
            [levels, self.loudness_weight * loudness, self.tonal_weight * flatness, self.pitch_weight * pitch], -1
        ).transpose(1, 2)

    @torch.jit.export
    def encode(self, x: Tensor) -> Tensor:
        """Audio [B, 1, n] at 44100 Hz -> latents [B, 8, ceil(n / 2048)], whitened: mean 0, variance 1 on the fit."""
        latents: Tensor = self.analysis @ (self.features(x) - self.mean[:, None])
        return latents

    @torch.jit.export
    def decode(self, z: Tensor) -> Tensor:
        """Latents [B, 8, frames] -> audio [B, 1, frames * 2048], within +-1 for any latents; noise from torch's RNG."""
        z = torch.nan_to_num(z).clamp(-20.0, 20.0)
        features = self.synthesis @ z + self.mean[:, None]
        steps = self.between_frames(features)
        levels = steps[:, : self.bands].clamp(-80.0, 0.0)
        energy = (torch.pow(10.0, levels / 10.0) - self.floor).clamp(min=0.0)
        loudness = torch.pow(
            10.0, (steps[:, self.bands : self.bands + 1] / self.loudness_weight).clamp(-80.0, 0.0) / 10.0
        )
        total = energy.sum(1, keepdim=True) + self.floor
        wanted = torch.minimum(loudness, torch.sqrt(loudness * total)).clamp(max=self.loudest**2)
        squares = energy.square()
        energy = energy + (wanted - total).clamp(min=0.0) * squares / (squares.sum(1, keepdim=True) + self.floor**2)
        energy = energy * (wanted / total).clamp(max=1.0)
        flatness = steps[:, self.bands + 1 : self.bands + 1 + self.regions] / self.tonal_weight
        tonal = torch.sigmoid(4.0 * (self.half_tonal - flatness)).repeat_interleave(self.region_bands, 1)
        tonal = torch.cat([torch.ones_like(tonal[:, :1]).repeat(1, self.first_noisy, 1), tonal], 1)
        pitch = steps[:, self.bands + 1 + self.regions :] / self.pitch_weight
        level = self.smooth @ levels * (0.1 * torch.log(torch.tensor(10.0)))
        gathered = pitch[:, :1] * torch.cos(self.pitch)[:, None] + pitch[:, 1:] * torch.sin(self.pitch)[:, None]
        y = self.partials(self.spread(energy * tonal, level + self.sharpness * gathered))
        y = y + self.noise(self.spread(energy * (1.0 - tonal), level))
        excess = (y.abs() - self.knee).clamp(min=0.0) / (1.0 - self.knee)
        y = torch.where(excess > 0.0, torch.sign(y) * (self.knee + (1.0 - self.knee) * torch.tanh(excess)), y)
        return y[:, None]

    def spread(self, energy: Tensor, preference: Tensor) -> Tensor:
        """Energies of bands [B, bands, T] -> of lines [B, lines, T], shared by exp(preference [B, lines, T])."""
        share = torch.exp(preference.clamp(-60.0, 60.0))
        total = torch.zeros_like(energy).index_add(1, self.band_of_line, share)
        return (energy / total)[:, self.band_of_line] * share

    def between_frames(self, features: Tensor) -> Tensor:
        """[B, features, frames], at the middle of each frame -> [B, features, 8 * frames + 1], every 256 samples."""
        frames = features.shape[-1]
        at = torch.arange(self.steps * frames + 1, device=features.device).to(features.dtype) / self.steps - 0.5
        at = at.clamp(0.0, float(frames - 1))
        before = at.floor().to(torch.int64)
        after = (before + 1).clamp(max=frames - 1)
        return torch.lerp(features[:, :, before], features[:, :, after], at - before)

    def partials(self, energy: Tensor) -> Tensor:
        """Mean squares [B, lines, steps + 1] -> [B, samples]: one cosine per line, its amplitude moving linearly."""
        hop = self.grain // 2
        amplitude = torch.sqrt(2.0 * energy)
        cycles = (self.lines[:, None] * torch.arange(self.compression, device=energy.device)) % self.compression
        waves = torch.cos(cycles.to(energy.dtype) * (2.0 * torch.pi / self.compression) + self.phases[:, None])
        waves = waves.reshape(self.lines.shape[0], self.steps, hop)
        frames = (energy.shape[-1] - 1) // self.steps
        start = amplitude[:, :, :-1].reshape(-1, self.lines.shape[0], frames, self.steps)
        stop = amplitude[:, :, 1:].reshape(-1, self.lines.shape[0], frames, self.steps)
        ramp = (torch.arange(hop, device=energy.device).to(energy.dtype) + 0.5) / hop
        a = torch.einsum("bnfj,njs->bfjs", start, waves)
        b = torch.einsum("bnfj,njs->bfjs", stop, waves)
        return torch.lerp(a, b, ramp).reshape(-1, frames * self.compression)

    def noise(self, energy: Tensor) -> Tensor:
        """Mean squares [B, lines, steps + 1] -> [B, samples]: a grain of shaped noise at every step."""
        bins = self.grain // 2 + 1
        bin_hz = self.sample_rate / self.grain
        widths = self.line_edges[1:] - self.line_edges[:-1]
        density = overlap(self.line_edges, bins, bin_hz) * (bin_hz / widths)[:, None]
        magnitude = torch.sqrt(2.0 * energy.transpose(1, 2) @ density) * (self.grain / 2)
        phases = torch.rand_like(magnitude) * (2.0 * torch.pi)
        border = torch.arange(magnitude.shape[1], device=energy.device) % self.steps == 0
        phases = torch.where(border[:, None], self.grain_phases, phases)
        grains = torch.fft.irfft(torch.polar(magnitude, phases), self.grain)
        ramp = (torch.arange(self.grain, device=energy.device).to(energy.dtype) + 0.5) * (torch.pi / self.grain)
        grains = grains * torch.sin(ramp)
        overlapped: Tensor = grains[:, :-1, self.grain // 2 :] + grains[:, 1:, : self.grain // 2]
        return overlapped.reshape(overlapped.shape[0], -1)

    def forward(self, x: Tensor) -> Tensor:
        """Audio [B, 1, n] -> its blurred version [B, 1, ceil(n / 2048) * 2048]."""
        return self.decode(self.encode(x))
