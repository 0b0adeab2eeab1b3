"""Latents read from a file of either kind: `.npy` or latent audio."""

from pathlib import Path

from unravel_lib.errors import InputError
from unravel_lib.latents.latent_audio import is_latent_audio, load_latent_audio
from unravel_lib.latents.npy import Latents, load_latents
from unravel_lib.text import printable

EXTENSIONS = (".npy", ".wav")


def read_latents(path: str | Path, compression: int | None = None) -> Latents:
    """Read latents, in their own real dtype, [dims, frames].

    Parameters
    ----------
    path : str or Path
        A `.npy`, or a `.wav` of latent audio.
    compression : int, optional
        Samples for which latent audio that was written with `hold` repeats each frame, where no sidecar states it.

    Raises
    ------
    InputError
        Neither of the two, damaged, empty, or NaN or Inf inside.
    """
    path = Path(path)
    if path.suffix.lower() == ".wav":
        return load_latent_audio(path, compression)
    if path.suffix.lower() == ".npy":
        return load_latents(path)
    raise InputError(f"{printable(path)} is no .npy and no latent audio .wav: encode sound with encoder.py")


def is_latents(path: Path) -> bool:
    """Whether a file in a folder counts as latents: a `.npy`, or a `.wav` that is latent audio."""
    return path.suffix.lower() == ".npy" or is_latent_audio(path)
