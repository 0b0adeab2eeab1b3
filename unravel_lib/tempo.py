"""Frames <-> BPM: which tempi a loop of so many frames can have."""

import math
from fractions import Fraction

DEFAULT_SAMPLE_RATE = 44100  # Hz; what most RAVE models are trained at
DEFAULT_COMPRESSION = 2048  # audio samples per frame; what most RAVE models have
MAX_LATENTS = 1_000_000  # frames in the longest loop that is allowed
DEFAULT_LATENTS = 10  # frames in a loop at the usual compression; about half a second
FASTEST_ROW, SLOWEST_ROW = 1500, 60  # BPM; the table of tempi begins and ends there
STEPS = {600: 50, 240: 20, 120: 10, 60: 5, 24: 2, 0: 1}  # from so many frames on, it has a row every so many frames
SLOW, USUAL = 30, 80  # BPM; a loop slower than SLOW has several beats, so many that it has at least the USUAL tempo


def default_frames(compression: int) -> int:
    """Return the frames of a loop whose length nobody chose: about half a second at any compression."""
    return max(1, round(DEFAULT_LATENTS * DEFAULT_COMPRESSION / compression))


def exact_bpm(n_frames: int, sample_rate: float, compression: int, beats: int = 1) -> Fraction:
    """Return the tempo in BPM at which a loop of `n_frames` frames has so many beats, without any rounding.

    Parameters
    ----------
    n_frames : int
        Length of the loop, at least 1.
    sample_rate : float
        Of the model, in Hz.
    compression : int
        Audio samples per frame.
    beats : int
        Of the loop, at least 1.

    Raises
    ------
    ValueError
        `n_frames`, `sample_rate` or `compression` is not positive.

    Notes
    -----
    ``60 * (sample_rate / compression) / n_frames * beats``: frames per minute over frames per beat.
    """
    if n_frames < 1 or compression < 1 or not (math.isfinite(sample_rate) and sample_rate > 0):
        raise ValueError(f"expected positive values, got {n_frames}, {sample_rate}, {compression}")
    return 60 * Fraction(sample_rate) / compression / n_frames * beats


def frames_for_bpm(wanted: float, sample_rate: float, compression: int, beats: int = 1) -> int:
    """Find the length of a loop of `beats` beats, in frames, whose tempo comes nearest to `wanted` BPM.

    Of two equally near lengths it is the shorter.

    Raises
    ------
    ValueError
        `wanted` is not a positive number.
    """
    if not (math.isfinite(wanted) and wanted > 0):
        raise ValueError(f"expected a positive tempo, got {wanted}")
    ideal = exact_bpm(1, sample_rate, compression, beats) / Fraction(wanted)
    candidates = (max(1, math.floor(ideal)), max(1, math.ceil(ideal)))
    return min(candidates, key=lambda n: (abs(exact_bpm(n, sample_rate, compression, beats) - Fraction(wanted)), n))


def frames_for_seconds(wanted: float, sample_rate: float, compression: int) -> int:
    """Find the number of frames, at least 1, that is nearest to so many seconds."""
    return max(1, round(Fraction(wanted) * Fraction(sample_rate) / compression))


def format_bpm(value: Fraction) -> str:
    """Format a tempo with two decimals, rounded half up from the exact value (703.125 -> "703.13")."""
    hundredths = math.floor(value * 100 + Fraction(1, 2))
    return f"{hundredths // 100}.{hundredths % 100:02d}"


def double_time(n_frames: int, sample_rate: float, compression: int, beats: int = 1) -> str:
    """Format the tempo in BPM of half a loop; "-" for an odd number of frames, which has no half."""
    return "-" if n_frames % 2 else format_bpm(2 * exact_bpm(n_frames, sample_rate, compression, beats))


def beats_in(n_frames: int, sample_rate: float, compression: int) -> int:
    """Return how many beats a long loop has: the least power of two with which it has at least 80 BPM."""
    return 1 << max(0, math.ceil(math.log2(USUAL / exact_bpm(n_frames, sample_rate, compression))))


def table(sample_rate: float, compression: int, beats: int = 1) -> str:
    """Format the tempi that loops of `beats` beats can have as a table: frames, BPM, double time.

    It goes from 1500 BPM to the first tempo below 60 BPM; long loops in steps of several frames.
    """
    lines = [f"{'frames':>6}  {'BPM':>9}  {'double time':>11}"]
    n = max(1, math.ceil(exact_bpm(1, sample_rate, compression, beats) / FASTEST_ROW))
    while True:
        bpm = exact_bpm(n, sample_rate, compression, beats)
        lines.append(f"{n:>6}  {format_bpm(bpm):>9}  {double_time(n, sample_rate, compression, beats):>11}")
        if bpm < SLOWEST_ROW:
            return "\n".join(lines)
        step = next(step for least, step in STEPS.items() if n >= least)
        n += step - n % step
