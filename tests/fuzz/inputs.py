"""Fuzz targets: functions `bytes -> None` that must return, or raise an UnravelError.

Any other exception, more than 5 s or more than 2 GB is a failure.
"""

import atexit
import contextlib
import functools
import io
import logging
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import fixtures_runs as runs  # noqa: E402
import fixtures_sounds as sounds  # noqa: E402

import decoder  # noqa: E402
import encoder  # noqa: E402
import generator  # noqa: E402
import inspector  # noqa: E402
from unravel_lib import history, text  # noqa: E402
from unravel_lib.audio.blocks import resampled, to_channels  # noqa: E402
from unravel_lib.audio.read import open_audio  # noqa: E402
from unravel_lib.errors import UnravelError  # noqa: E402
from unravel_lib.files import sidecar  # noqa: E402
from unravel_lib.latents import formats  # noqa: E402
from unravel_lib.models.screening import object_table  # noqa: E402
from unravel_lib.models.screening.code import Code  # noqa: E402
from unravel_lib.models.screening.model_file import open_model  # noqa: E402

MEMORY = Path("/dev/shm")
PLACE = Path(tempfile.mkdtemp(prefix="fuzz", dir=MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else None))
atexit.register(shutil.rmtree, PLACE, ignore_errors=True)
MAX_BLOCKS = 50  # a small file may claim hours of sound


def _file(name: str, data: bytes) -> Path:
    path = PLACE / name
    path.write_bytes(data)
    return path


def read_npy(data: bytes) -> None:
    """Read latents; an accepted file must be finite and two-dimensional."""
    path = _file("x.npy", data)
    with contextlib.suppress(UnravelError):
        array = formats.load_latents(path)
        assert array.ndim == 2 and array.size and np.isfinite(np.asarray(array, np.float32)).all()
        formats.content_key(array)


def read_sidecar(data: bytes) -> None:
    """Read a sidecar; an accepted one can be written again, and what it tells can be printed."""
    path = PLACE / "side.npy"
    _file("side.json", data)
    path.touch()
    with contextlib.suppress(UnravelError):
        facts = sidecar.read_sidecar(path)
        if facts is not None:
            text.printable(facts.model or "")
            assert sidecar._as_text(facts, "x", path)
            for step in history.steps(path, facts):
                assert all(text.isprintable() for fact in step.facts for text in fact) and step.command.isprintable()
    assert not sidecar.complete_sidecar(path, sidecar.Sidecar(seed=1, source_sha256="0" * 64))


def read_audio(data: bytes) -> None:
    """Read a sound file with libsndfile or FFmpeg; what is accepted is finite."""
    path = _file("x.wav", data)
    with contextlib.suppress(UnravelError), open_audio(path) as sound:
        blocks = resampled(to_channels(sound.blocks(), 1), sound.sample_rate, 44100)
        for index, block in enumerate(blocks):
            assert block.dtype == np.float32 and block.shape[0] == 1 and np.isfinite(block).all()
            if index == MAX_BLOCKS:
                break


def read_damaged_sound(data: bytes) -> None:
    """Damage a whole sound as the bytes say; it is refused, or said to be odd, or gives the sound that is in it."""
    rng = np.random.default_rng(list(data))
    kind, whole, truth = _whole_sounds()[rng.integers(len(_whole_sounds()))]
    damaged = _damaged(kind, whole, rng)
    path, said = _file("damaged", damaged), []
    handler = logging.Handler()
    handler.emit = said.append  # type: ignore[method-assign]
    logging.getLogger("unravel_lib").addHandler(handler)
    try:
        with open_audio(path) as sound:
            found = np.concatenate(list(sound.blocks()), axis=1)
    except UnravelError:
        return
    finally:
        logging.getLogger("unravel_lib").removeHandler(handler)
    if not said and not _alike(found, truth):
        assert _alike(found, _by_ffmpeg(path, len(found))), (kind, found.shape, truth.shape)


def _alike(x: np.ndarray, y: np.ndarray) -> bool:
    """Return whether two sounds are equal but for the silence that a codec puts at the ends."""
    n = min(x.shape[1], y.shape[1])
    return max(x.shape[1], y.shape[1]) - n <= 2400 and np.abs(x[:, :n] - y[:, :n]).max(initial=0) < 1e-3


def _by_ffmpeg(path: Path, channels: int) -> np.ndarray:
    """Read a sound by FFmpeg's command line; nothing where that is not installed."""
    if not shutil.which("ffmpeg"):
        return np.zeros((channels, 0), np.float32)
    done = subprocess.run(["ffmpeg", "-v", "quiet", "-i", path, "-f", "f32le", "-"], capture_output=True, check=False)
    return np.frombuffer(done.stdout, np.float32).reshape(-1, channels).T


@functools.cache
def _whole_sounds() -> list[tuple[str, bytes, np.ndarray]]:
    """Return kind, bytes and samples of whole sounds."""
    x = np.random.default_rng(0).uniform(-0.4, 0.4, (2, 144_000)) * (np.arange(144_000) % 20_000 < 9000)
    wholes = [
        ("ogg", sounds.sndfile(x, 44100, "OGG", "VORBIS")),
        ("ogg", sounds.sndfile(x, 48000, "OGG", "OPUS")),
        ("ogg", sounds.ffmpeg_file(x, 44100, "flac", "ogg")),
        ("mp3", sounds.sndfile(x, 44100, "MP3", "MPEG_LAYER_III")),
        ("mp3", sounds.ffmpeg_file(x[:1], 24000, "libmp3lame", "mp3")),
        ("flac", sounds.sndfile(x, 44100, "FLAC", "PCM_16")),
        ("wav", sounds.sndfile(x, 44100, "WAV", "PCM_16")),
        ("wav", sounds.ffmpeg_file(x, 44100, "mp2", "wav")),
    ]
    found = []
    for kind, data in wholes:
        with open_audio(_file("whole", data)) as sound:
            found.append((kind, data, np.concatenate(list(sound.blocks()), axis=1)))
    return found


def _damaged(kind: str, data: bytes, rng: np.random.Generator) -> bytes:
    """Return a sound file with one damage: of its pages, its counts or its tags."""
    number = int(rng.choice([0, 1, 100, 5000, 60_000, 400_000, (1 << 31) - 1, (1 << 32) - 1]))
    four, tag = number.to_bytes(4, "little"), sounds.id3v2(_inner_sound(rng))
    at = int(rng.integers(2000, len(data)))
    anywhere = [
        lambda: data[:at],
        lambda: data[:at] + data[at + int(rng.integers(1, 4000)) :],
        lambda: sounds.replaced(data, at, bytes([data[at] ^ 1 << int(rng.integers(8))])),
        lambda: tag + data,
        lambda: data + sounds.ape_tag(_inner_sound(rng)),
    ]
    if kind == "ogg":
        pages = sounds.pages(data)
        k, j = sorted(rng.integers(2, len(pages), 2))
        dropped, doubled = pages[:k] + pages[k + 1 :], pages[: k + 1] + pages[k:]
        swapped = [*pages[:k], pages[j], *pages[k + 1 : j], *([pages[k]] if j > k else []), *pages[j + 1 :]]
        odd = [*pages[:k], sounds.with_granule(pages[k], number - 1), *pages[k + 1 :]]
        moved = [sounds.with_granule(p, sounds.granule(p) + number) if sounds.granule(p) > 0 else p for p in pages]
        new = (dropped, doubled, swapped, odd, moved)[rng.integers(5)]
        # The first page of sound may be missing where all are numbered: time may begin anywhere.
        numbered = rng.integers(2) and not (new is dropped and sounds.granule(pages[k - 1]) <= 0)
        anywhere += 4 * [lambda: b"".join(sounds.renumbered(new) if numbered else new)]
    elif kind == "mp3":
        place = sounds.mp3_counts(data) + 4 * int(rng.integers(2))
        anywhere = [anywhere[0], *anywhere[3:], *2 * [lambda: sounds.replaced(data, place, four[::-1])]]
    elif kind == "flac":
        fields = int.from_bytes(data[18:26], "big") >> 36 << 36 | number
        anywhere += 2 * [lambda: sounds.replaced(data, 18, fields.to_bytes(8, "big"))]
    else:
        places = (4, data.index(b"data") + 4)
        anywhere = [anywhere[0], *anywhere[3:], *2 * [lambda: sounds.replaced(data, int(rng.choice(places)), four)]]
    return anywhere[rng.integers(len(anywhere))]()


def _inner_sound(rng: np.random.Generator) -> bytes:
    """Return the bytes of a sound as an attached file."""
    return _whole_sounds()[rng.integers(len(_whole_sounds()))][1][:20_000]


def read_latent_audio(data: bytes) -> None:
    """Read latent audio."""
    path = _file("latent.wav", data)
    formats.has_rate_of_latents(path)
    with contextlib.suppress(UnravelError):
        array = formats.load_latent_audio(path, 64)
        assert array.ndim == 2 and array.size and np.isfinite(array).all()


def check_model(data: bytes) -> None:
    """Check a model file before it is loaded."""
    path = _file("x.ts", data)
    with contextlib.suppress(UnravelError), open_model(path) as file:
        file.check()
        file.member("version")


def check_model_parts(data: bytes) -> None:
    """Check the code and the object tables inside a model file."""
    code = Code({})
    with contextlib.suppress(ValueError):
        code = Code({"code/__torch__/x.py": data})
        code.check()
    with contextlib.suppress(ValueError):
        object_table.check("data.pkl", data, {str(key): 64 for key in range(4)}, code.classes)


def parse_arguments(data: bytes) -> None:
    """Parse arguments of all scripts: the parser returns, or exits with 0, or with 2 and one line."""
    which, *words = data.split(b"\0")
    argv = [os.fsdecode(word) for word in words[:12]]
    make = (encoder.build_parser, decoder.build_parser, generator.build_parser, inspector.build_parser)
    parser: Callable[..., object] = make[sum(which) % len(make)]
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        try:
            parser().parse(argv)  # type: ignore[attr-defined]
        except SystemExit as left:
            assert left.code in (0, 2)
            lines = err.getvalue().splitlines()
            assert len(lines) == (left.code == 2) and all(line.isprintable() for line in lines), lines


def parse_pattern_arguments(data: bytes) -> None:
    """Names, patterns and their options in generator.py."""
    from unravel_lib import tempo
    from unravel_lib.music.catalogue import PATTERNS

    words = [os.fsdecode(word) for word in data.split(b"\0")]
    with contextlib.suppress(UnravelError):
        names = [name for name, _ in PATTERNS.listing()]
        pattern = PATTERNS.find(names[len(words[0]) % len(names)].split()[0])
        pattern.read_options(words[1:8])
    with contextlib.suppress(UnravelError, ValueError):
        tempo.frames_for_bpm(float(words[0]), 44100.0, 2048)


def parse_step(data: bytes) -> None:
    """Read a step of a transform and try it; what passes can be applied."""
    from unravel_lib.music import steps

    words = os.fsdecode(data)
    at = np.ones(3), np.zeros(3)
    if ".py" not in words:  # it would be run
        with contextlib.suppress(UnravelError):
            step = steps.parse_step(words)
            steps.try_steps([step], 7, *at)
            loops = steps.transformed([np.ones((7, 3)), np.zeros((1, 3))], [step], *at, np.random.SeedSequence(0))
            assert all(loop.shape[1] == 3 for loop in loops if isinstance(loop, np.ndarray))


def _zip(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in members.items():
            file.writestr("m/" + name.replace("_", "."), data)
    return buffer.getvalue()


def _sound(format_: str, subtype: str, channels: int = 1) -> bytes:
    tone = 0.3 * np.sin(np.arange(600 * channels) / 9).reshape(-1, channels)
    return runs.wav(tone, 44100, format_, subtype)


def _wave() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(400))
    return buffer.getvalue()


def _adts() -> bytes:
    """Return bytes that FFmpeg takes for AAC."""
    return b"\xff\xf1\x50\x80\x02\x1f\xfc" * 40


def _sidecar() -> bytes:
    path = PLACE / "seed.npy"
    path.write_bytes(b"x")
    facts = sidecar.GeneratedSidecar(
        44100.0, 2048, 8, 3, "a.ts", "0" * 64, "x.wav", "0" * 64, 1, pattern_args={"a": 2.5}
    )
    return sidecar._as_text(facts, "x.npy", path).encode()


def _pocket(*endings: str) -> list[bytes]:
    with zipfile.ZipFile(ROOT / "unravel_lib" / "models" / "pocket" / "pocket.ts") as file:
        return [file.read(name) for name in file.namelist() if name.endswith(endings)]


Z = np.ones((1, 4, 5), np.float32)
TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "npy": (
        read_npy,
        [
            runs.npy(Z),
            runs.npy(Z[0].astype(">f8")),
            runs.npy(np.asfortranarray(Z[0])),
            runs.npy([{}]),
            runs.npy(Z.astype("f2")),
            runs.npy("a"),
        ],
    ),
    "sidecar": (read_sidecar, [_sidecar(), b"{}", b"[]", b'{"format": "unravel-sidecar", "format_version": 2}']),
    "audio": (
        read_audio,
        [
            _sound("WAV", "PCM_16"),
            _sound("WAV", "IMA_ADPCM"),
            _sound("AIFF", "PCM_24", 2),
            _sound("FLAC", "PCM_16"),
            _sound("OGG", "VORBIS"),
            _sound("MP3", "MPEG_LAYER_III"),
            _sound("RF64", "FLOAT"),
            _sound("CAF", "PCM_16"),
            _sound("W64", "PCM_16"),
            _sound("AU", "ULAW"),
            _wave(),
            _adts(),
            b"ID3\x03\0\0\0\0\0\x10" + bytes(40),
            struct.pack(">I", 24) + b"ftypM4A \0\0\0\0M4A isom" + bytes(64),
            b"#EXTM3U\nx.wav\n",
        ],
    ),
    "damaged sound": (read_damaged_sound, [bytes([i]) for i in range(20)]),
    "latent audio": (
        read_latent_audio,
        [
            formats.wav_header(3, 4, 21, "DOUBLE") + bytes(96),
            formats.wav_header(64, 2, 44100, "FLOAT") + bytes(512),
        ],
    ),
    "model": (
        check_model,
        [
            (ROOT / "unravel_lib" / "models" / "pocket" / "pocket.ts").read_bytes()[:3000],
            _zip(constants_pkl=b"\x80\x02.", version=b"3\n"),
            _zip(data_pkl=b"\x80\x02}q\0.", code_x_py=b"import torch\ntorch.save(1)\n"),
            b"PK\x05\x06" + bytes(18),
            struct.pack("<Q", 2) + b"{}",
            struct.pack("<Q", 1 << 40) + b"{}",
            b"version https://git-lfs",
        ],
    ),
    "model parts": (check_model_parts, [data for data in _pocket(".py", ".pkl") if len(data) < 20_000]),
    "arguments": (
        parse_arguments,
        [
            b"a\0--input\0x\0--seed\0" + b"1",
            b"b\0--input=\0--device\0cdua",
            b"c\0--bpm\0nan\0--pattern_args\0a=b",
            b"d\0--extensions\0.ts\0--jsn",
            b"e\0-h",
            b"f\0--\0-1\0--input",
            b"c\0--num_latents\0" + b"9" * 99,
        ],
    ),
    "pattern arguments": (
        parse_pattern_arguments,
        [b"120\0levels=3\0x=y", b"nan\0=\0a=b=c", b"xxxx\0amount=1e999\0mode=mirror"],
    ),
    "steps": (
        parse_step,
        [
            b"every 4 dims 0-1 euclid 3 8 1",
            b"sometimes 0.5 sieve 3@0|-(5@2&2@1)",
            b"lfo sine 0.25 1e3",
            b"chop 3",
            b"smooth 9",
            b"dims 0,2 echo 3 0.5",
        ],
    ),
}
