"""audio.write."""

import errno
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

from unravel_lib.audio.windows import Block
from unravel_lib.files.sidecar import Sidecar, atomic_write_with_sidecar

SUBTYPES = ("PCM_16", "PCM_24", "FLOAT")
RIFF_LIMIT = (1 << 32) - (1 << 16)  # bytes of sound that a plain WAV can hold, with room for its header


def write_audio(
    path: Path,
    blocks: Iterable[Block],
    sample_rate: float,
    channels: int,
    subtype: str,
    samples: int,
    sidecar: Sidecar | None = None,
    overwrite: bool = True,
) -> float:
    """Write blocks [channels, n] to a WAV as they come, whole or not at all; RF64 where it would outgrow 4 GiB.

    Parameters
    ----------
    samples : expected length, per channel
    subtype : one of SUBTYPES; the PCM ones clip at full scale
    sidecar : written with the sound
    overwrite : as in `write_described`

    Returns
    -------
    the peak, absolute: above 1.0 a PCM file has clipped
    """
    peak = 0.0
    width = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}[subtype]
    kind = "WAV" if samples * channels * width < RIFF_LIMIT else "RF64"
    with atomic_write_with_sidecar(path, sidecar, overwrite) as part, open(part, "wb+") as file:
        target = file if sys.platform == "win32" else file.fileno()
        with soundfile.SoundFile(
            target, "w", round(sample_rate), channels, subtype, format=kind, closefd=False
        ) as sound:
            without_peak_chunk(sound)
            for block in blocks:
                peak = max(peak, float(np.abs(block).max(initial=0.0)))
                _write_block(sound, block)
    return peak


def _write_block(sound: soundfile.SoundFile, block: Block) -> None:
    """Raise OSError where the disk is full or the like; soundfile knows it as "System error" only.

    Source: sf_strerror in libsndfile's interface gives the text of the system.
    """
    try:
        sound.write(block.T)
    except (soundfile.LibsndfileError, AssertionError) as error:
        text = soundfile._ffi.string(soundfile._snd.sf_strerror(sound._file)).decode("utf-8", "replace")
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
            if os.strerror(number) in text:
                raise OSError(number, os.strerror(number)) from error
        raise OSError(errno.EIO, text.removeprefix("System error : ").rstrip(".")) from error


def without_peak_chunk(sound: soundfile.SoundFile) -> None:
    """Keep libsndfile from writing a PEAK chunk, which holds the time of day: same sound, same bytes.

    Source: SFC_SET_ADD_PEAK_CHUNK = 0x1050 in libsndfile's command interface. python-soundfile has no public call for
    it.
    """
    soundfile._snd.sf_command(sound._file, 0x1050, soundfile._ffi.NULL, 0)
