"""Small TorchScript codecs that behave like real exports, each in one way."""

from pathlib import Path
from typing import List  # noqa: UP035

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

RATE = 8000
COMPRESSION = 64  # written as 64 inside scripted methods, which have no access to globals
DIMS = 4


def _params(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)


class Offline(nn.Module):
    """Convolutions padded with zeros; deterministic; all facts in buffers."""

    def __init__(self, in_channels: int = 1, out_channels: int = 1) -> None:
        super().__init__()
        self.sr = RATE
        self.register_buffer("encode_params", _params(in_channels, 1, DIMS, COMPRESSION))
        self.register_buffer("decode_params", _params(DIMS, COMPRESSION, out_channels, 1))
        torch.manual_seed(1)
        self.down = nn.ModuleList(
            [nn.Conv1d(in_channels, 8, 17, 8, 8), nn.Conv1d(8, 8, 17, 8, 8), nn.Conv1d(8, DIMS, 5, 1, 2)]
        )
        self.up = nn.ModuleList(
            [
                nn.Conv1d(DIMS, 8, 5, 1, 2),
                nn.ConvTranspose1d(8, 8, 16, 8, 4),
                nn.ConvTranspose1d(8, out_channels, 16, 8, 4),
            ]
        )

    @torch.jit.export
    def get_methods(self) -> list[str]:
        return ["encode", "decode"]

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.down:
            x = torch.tanh(2 * layer(x))
        return x

    @torch.jit.export
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        for layer in self.up:
            z = torch.tanh(2 * layer(z))
        return z

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(x))


class Variational(Offline):
    """Draws from a posterior on the way in, adds noise on the way out."""

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.down:
            x = torch.tanh(2 * layer(x))
        return x + 0.1 * torch.randn_like(x)

    @torch.jit.export
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        z = z + 0.1 * torch.randn_like(z)
        for layer in self.up:
            z = torch.tanh(2 * layer(z))
        return z


class Global(Offline):
    """Subtracts the mean of the whole file: every frame depends on all others."""

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.down:
            x = torch.tanh(2 * layer(x))
        return x - x.mean(-1, keepdim=True)


class Coded(Offline):
    """Emits integer codes."""

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.down:
            x = torch.tanh(2 * layer(x))
        return torch.round(x * 8)


class Counting(Offline):
    """Counts its calls in a buffer, which does not change the result."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        self.calls.add_(1)
        for layer in self.down:
            x = torch.tanh(2 * layer(x))
        return x


class Numbered(Offline):
    """Keeps its state in a number, which is no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        for layer in self.down:
            x = torch.tanh(2 * layer(x))
        return x * self.calls


class OneByOne(Offline):
    """Takes one signal per call, as exports that make two channels out of one do."""

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[0] == 1
        for layer in self.down:
            x = torch.tanh(2 * layer(x))
        return x


class Cache(nn.Module):
    """The last samples of a signal."""

    def __init__(self, channels: int, length: int) -> None:
        super().__init__()
        self.register_buffer("pad", torch.zeros(64, channels, length))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat([self.pad[: x.shape[0]], x], -1)
        self.pad[: x.shape[0]].copy_(x[..., x.shape[-1] - self.pad.shape[-1] :])
        return x


class Streaming(nn.Module):
    """Causal convolutions that continue where the last call ended, as streaming exports do; saved with a state."""

    def __init__(self) -> None:
        super().__init__()
        self.sr = RATE
        self.register_buffer("encode_params", _params(1, 1, DIMS, COMPRESSION))
        self.register_buffer("decode_params", _params(DIMS, COMPRESSION, 1, 1))
        torch.manual_seed(2)
        self.down = nn.Conv1d(1, DIMS, 3 * COMPRESSION, COMPRESSION)
        self.up = nn.Conv1d(DIMS, COMPRESSION, 3)
        self.cache = Cache(1, 2 * COMPRESSION)
        self.cache_up = Cache(DIMS, 2)
        self.cache.pad.normal_()

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pad(x, (0, (64 - x.shape[-1] % 64) % 64))
        return self.down(self.cache(x))

    @torch.jit.export
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        y = self.up(self.cache_up(z))
        return torch.tanh(y.transpose(1, 2).reshape(y.shape[0], 1, -1))


class Listed(Offline):
    """vschaos2: remembers the lengths of its calls in a list, and joins what belongs to them."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths = torch.jit.Attribute([], List[int])  # noqa: UP006

    @torch.jit.export
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        self.lengths.append(z.shape[-1])
        z = z + torch.stack([torch.zeros(n) for n in self.lengths]).sum()  # fails if the lengths differ
        for layer in self.up:
            z = torch.tanh(2 * layer(z))
        return z


class LeafBuffers(Streaming):
    """AFTER, streaming: buffers that are results of a gradient, and prints in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))
        self.cache.pad.requires_grad_()
        self.calls.requires_grad_()

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        print("Resizing and resetting buffer")
        self.calls.add_(1)
        x = F.pad(x, (0, (64 - x.shape[-1] % 64) % 64))
        return self.down(self.cache(x))


class Fading(Offline):
    """AFTER, decode: keeps the last 4 frames, decodes them again in the next call, and fades from one to the other."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("z_buffer", torch.zeros(4, DIMS, 4))
        self.register_buffer("out_buffer", torch.zeros(4, 1, 4 * COMPRESSION))

    @torch.jit.export
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        n = z.shape[0]
        z = torch.cat([self.z_buffer[:n], z], -1)
        self.z_buffer[:n] = z[..., -4:]
        for layer in self.up:
            z = torch.tanh(2 * layer(z))
        fade = torch.linspace(0, 1, 4 * 64)
        z[..., : 4 * 64] = (1 - fade) * self.out_buffer[:n] + fade * z[..., : 4 * 64]
        self.out_buffer[:n] = z[..., -4 * 64 :]
        return z[..., : -4 * 64]


class RandomFading(Fading):
    """As Fading, and adds noise, which differs from call to call in any case."""

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.down:
            x = torch.tanh(2 * layer(x))
        return x + 0.1 * torch.randn_like(x)


class Positioned(Offline):
    """Adds something else to each frame of a call, as diffusion with a fixed noise does; at most 24 frames."""

    def __init__(self, limit: int = 1000) -> None:
        super().__init__()
        self.register_buffer("init_noise", torch.randn(limit, generator=torch.Generator().manual_seed(3)))

    @torch.jit.export
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        z = z + self.init_noise[: z.shape[-1]]
        for layer in self.up:
            z = torch.tanh(2 * layer(z))
        return z


class Limited(Offline):
    """Takes at most 41 frames per call, but is exact."""

    @torch.jit.export
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        z = z[..., :41]
        for layer in self.up:
            z = torch.tanh(2 * layer(z))
        return z


class Conditioned(Offline):
    """vschaos2: decode takes two labels beside the latents."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("decode_params", _params(DIMS + 2, COMPRESSION, 1, 1))
        labels = ["(signal) pitch label (0-12)", "(signal) octave label (float)"]
        self.decode_input_labels = [*(f"(signal) latent dim {i + 1}" for i in range(DIMS)), *labels]

    @torch.jit.export
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        y = z[:, :4]
        assert float(z[:, 4:5].max()) < 12
        for layer in self.up:
            y = torch.tanh(2 * layer(y))
        return y + 10 * z[:, 4:5].mean(-1, keepdim=True) + 100 * z[:, 5:6].mean(-1, keepdim=True)


class ConditionedEncoder(Offline):
    """vschaos2: encode takes a label beside the sound, which is no second channel."""

    def __init__(self) -> None:
        super().__init__(2)
        self.encode_input_labels = ["(signal) channel 1", "(signal) pitch label (0-12)"]


class WithPrior(nn.Module):
    """MSPrior: the RAVE is inside, and only it has the rate."""

    def __init__(self) -> None:
        super().__init__()
        self.rave_model = Offline()
        self.rave_model.sr = 48000

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self.rave_model.encode(x)

    @torch.jit.export
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return self.rave_model.decode(z)


class Minimal(nn.Module):
    """Only encode and decode; encode takes whole frames only."""

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(x.shape[0], -1, 64).mean(-1, keepdim=True).transpose(1, 2).repeat(1, 2, 1)

    @torch.jit.export
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return z.mean(1, keepdim=True).repeat_interleave(64, -1)


class PseudoStereo(Offline):
    """RAVE 1 and early 2 in stereo: `sampling_rate` is a tensor, encode takes 1 channel, decode gives 2."""

    def __init__(self) -> None:
        super().__init__(1, 2)
        self.sr = None
        self.stereo = True
        self.register_buffer("sampling_rate", torch.tensor(48000))


class Asked(Offline):
    """nn_tilde 1.6: get_sample_rate gives the sample rate, or fails if that is 0."""

    def __init__(self, answer: int, sr: int | None = None) -> None:
        super().__init__()
        self.sr = sr
        self.answer = answer

    @torch.jit.export
    def get_sample_rate(self) -> int:
        assert self.answer > 0
        return self.answer


class OneWay(nn.Module):
    """A prior: no encode."""

    @torch.jit.export
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return z

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Uneven(Offline):
    """Encodes 4 dims, decodes 5."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("decode_params", _params(DIMS + 1, COMPRESSION, 1, 1))


def save(module: nn.Module, path: Path) -> Path:
    """Script and save; in training mode, as some real files are."""
    torch.jit.script(module).save(str(path))
    return path
