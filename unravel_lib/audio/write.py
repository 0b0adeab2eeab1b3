"""Sound files out: a WAV, written block by block."""

import errno
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import soundfile

from unravel_lib.audio import SAMPLE_BYTES
from unravel_lib.audio.blocks import Sound
from unravel_lib.audio.level import Level, Meter
from unravel_lib.audio.read import source_of
from unravel_lib.files.sidecar import Sidecar, atomic_write_with_sidecar

SFC_SET_ADD_PEAK_CHUNK = 0x1050  # a command of libsndfile that python-soundfile does not make public
RIFF_LIMIT = (1 << 32) - (1 << 16)  # bytes of sound that fit into a plain WAV beside its header


def write_audio(
    path: Path,
    blocks: Iterable[Sound],
    sample_rate: float,
    channels: int,
    subtype: str,
    samples: int,
    sidecar: Callable[[Level], Sidecar] | None = None,
    overwrite: bool = True,
) -> Level:
    """Write a sound to a WAV file block by block; RF64 where it would be larger than 4 GiB.

    The file appears complete or not at all (see `atomic_write_with_sidecar`).

    Parameters
    ----------
    path : Path
        The file to write.
    blocks : iterable of Sound
        Float32 arrays [channels, n], any n.
    sample_rate : float
        In Hz; the header holds it rounded to a whole number.
    channels : int
        Number of channels.
    subtype : str
        One of `SAMPLE_BYTES`; the PCM ones clip at full scale.
    samples : int
        Expected length per channel.
    sidecar : function of Level, optional
        Called with the level of the sound when all of it is written; returns the sidecar, which is written with it.
    overwrite : bool
        As in `atomic_write_with_sidecar`.

    Returns
    -------
    Level
        Of the blocks; a PCM file of a sound with a peak above 1 is clipped.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    meter = Meter(sample_rate, channels)
    describe = None if sidecar is None else lambda: sidecar(meter.level)
    kind = "WAV" if samples * channels * SAMPLE_BYTES[subtype] < RIFF_LIMIT else "RF64"
    with (
        atomic_write_with_sidecar(path, describe, overwrite) as part,
        open(part, "wb+") as file,
        soundfile.SoundFile(
            source_of(file), "w", round(sample_rate), channels, subtype, format=kind, closefd=False
        ) as sound,
    ):
        # no PEAK chunk: it holds the time of day, and the same sound must give the same bytes
        soundfile._snd.sf_command(sound._file, SFC_SET_ADD_PEAK_CHUNK, soundfile._ffi.NULL, 0)
        for block in blocks:
            meter.add(block)
            try:
                sound.write(block.T)
            except (soundfile.LibsndfileError, AssertionError) as error:  # which do not say why: the system does
                os.write(file.fileno(), block.tobytes())
                raise OSError(errno.EIO, os.strerror(errno.EIO)) from error
    return meter.level
