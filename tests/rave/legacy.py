"""RAVE 1 exports that RAVE's own code can no longer make: their attributes and shapes, around small convolutions.

Own code, needs nothing of RAVE: a true streaming state is not in them, a finite reach is.
"""

import torch
from torch import Tensor, nn

COMPRESSION = 2048
DIMS = 8
FULL = 128  # the size that `latent_size` names; only the first DIMS are used


class Trace(nn.Module):
    """RAVE 1.0-1.3: rate in a tensor, usable dims in `cropped_latent_size`; stereo means 1 channel in, 2 out."""

    def __init__(self, stereo: bool, deterministic: bool) -> None:
        super().__init__()
        self.register_buffer("sampling_rate", torch.tensor(44100))
        self.register_buffer("max_batch_size", torch.tensor(8))
        self.register_buffer("latent_pca", torch.linalg.qr(torch.randn(FULL, FULL))[0])
        self.register_buffer("latent_mean", 0.1 * torch.randn(FULL))
        self.register_buffer("encode_params", torch.tensor([1, 1, DIMS, COMPRESSION]))
        self.register_buffer("decode_params", torch.tensor([DIMS, COMPRESSION, 2 if stereo else 1, 1]))
        self.latent_size, self.cropped_latent_size = FULL, DIMS
        self.stereo, self.deterministic = stereo, deterministic
        self.down = nn.Conv1d(1, 32, COMPRESSION, COMPRESSION)
        self.encoder = nn.Conv1d(32, FULL, 5, padding=2)
        self.decoder = nn.Conv1d(FULL, 32, 5, padding=2)
        self.up = nn.ConvTranspose1d(32, 1, 3 * COMPRESSION, COMPRESSION, padding=COMPRESSION)
        with torch.no_grad():
            self.down.weight.mul_(20.0)
            self.up.weight.mul_(2.0)

    @torch.jit.export
    def encode(self, x: Tensor) -> Tensor:
        x = nn.functional.pad(x, [0, (-x.shape[-1]) % int(self.encode_params[3])])
        z = self.encoder(torch.tanh(self.down(x)))
        if not self.deterministic:
            z = z + 0.1 * torch.randn_like(z)
        z = nn.functional.conv1d(z - self.latent_mean[:, None], self.latent_pca[:, :, None])
        return z[:, : self.cropped_latent_size]

    @torch.jit.export
    def decode(self, z: Tensor) -> Tensor:
        if self.stereo:  # both channels from the same latents, each with its own noise
            z = torch.cat([z, z], 0)
        shape = (z.shape[0], self.latent_size - z.shape[1], z.shape[2])
        rest = torch.zeros(shape) if self.deterministic else torch.randn(shape)
        z = torch.cat([z, rest.to(z)], 1)
        z = nn.functional.conv1d(z, self.latent_pca.T[:, :, None]) + self.latent_mean[:, None]
        y = torch.tanh(self.up(torch.tanh(self.decoder(z))))
        if self.stereo:
            y = torch.cat(y.chunk(2, 0), 1)
        return y

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


class Prior(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Combined(nn.Module):
    """RAVE 1 with its prior in one file: the rate stands on `_rave` alone."""

    def __init__(self) -> None:
        super().__init__()
        self._rave, self._prior = Trace(False, True), Prior()
        for name in ("encode_params", "decode_params"):
            self.register_buffer(name, getattr(self._rave, name).clone())

    @torch.jit.export
    def encode(self, x: Tensor) -> Tensor:
        return self._rave.encode(x)

    @torch.jit.export
    def decode(self, z: Tensor) -> Tensor:
        return self._rave.decode(z)

    @torch.jit.export
    def prior(self, x: Tensor) -> Tensor:
        return self._prior(x)

    def forward(self, x: Tensor) -> Tensor:
        return self._rave(x)


BUILDERS = {
    "legacy_stereo": lambda: Trace(True, False),
    "legacy_stereo_still": lambda: Trace(True, True),
    "legacy_combined": Combined,
}
