"""Bad sound files: what users see (rows as `fixtures_rows` describes them)."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fixtures_rows import PICKLE, PNG, E, Row, bytes_of, folder, folder_with, in_a_fresh_folder, link_to, nothing, sound
from fixtures_runs import TONE, Make, Run, wav
from fixtures_sounds import ffmpeg_file

STOP = " copy it again, or open it in an audio editor and save what is left"


def m4a(cut: float) -> Make:
    data = ffmpeg_file(TONE[None], 44100, "aac", "ipod")
    return bytes_of(data[: int(len(data) * cut)])


def promised_rf64(path: Path) -> None:
    """An RF64 of 5 GB by its header; cut off after 1 MB."""
    with soundfile.SoundFile(path, "w", 44100, 2, "PCM_16", format="RF64") as file:
        file.write(np.zeros((1000, 2)))
    data = bytearray(path.read_bytes())
    at = data.index(b"ds64") + 8
    data[at : at + 24] = struct.pack("<QQQ", 5_000_000_096, 5_000_000_000, 1_250_000_000)
    path.write_bytes(data)


def ogg_without_its_last_page(path: Path) -> None:
    data = wav(np.resize(TONE, 200_000), 44100, "OGG", "VORBIS")
    path.write_bytes(data[: data.rindex(b"OggS")])


def header_chunk_of_4_gib(path: Path) -> None:
    """A WAV whose LIST chunk in front of the sound claims to have 4 GiB."""
    data = wav(TONE)
    path.write_bytes(data[:36] + b"LIST" + struct.pack("<I", 0xFFFFFFF0) + data[36:])


def pipe(path: Path) -> None:
    os.mkfifo(path)


NAN = np.where(np.arange(900) == 7, np.nan, 0.1)
INF = np.where(np.arange(900) == 8, -np.inf, 0.1)
NO_SOUND = "error: {in} is not a sound file of a format that is read, or is damaged: convert it to WAV"
HOLDS = "error: {in} holds no .wav .mp3 .ogg .aac .opus .aif .aiff .flac .m4a file, it "

SOUND_ROWS = [
    Row("missing path", E, nothing, "error: {in} does not exist: check the path (--input)", "-"),
    Row("empty folder", E, folder, HOLDS + "is empty (hidden files do not count)", "-", name="in"),
    Row(
        "folder without sound",
        E,
        folder_with("a.txt", "b.JPG", "README"),
        HOLDS
        + "holds .jpg, .txt, files without extension: "
        + "take another folder, or say which endings are sound (--extensions)",
        "-",
        name="in",
    ),
    Row("directory named x.wav", E, folder, HOLDS + "is empty (hidden files do not count)", "-"),
    Row(
        "pipe named x.wav",
        E,
        pipe,
        "error: {in} is neither a file nor a folder: give a file or a folder of files (--input)",
        "-",
    ),
    Row(
        "link to itself",
        E,
        link_to("x.wav"),
        "error: {in} is neither a file nor a folder: give a file or a folder of files (--input)",
        "-",
    ),
    Row("0 bytes", E, bytes_of(b""), "error: {in} is empty (0 bytes), expected a sound file"),
    Row("0 samples", E, sound([]), "error: {in} holds 0 samples, expected at least one"),
    Row("1 sample", E, sound([0.5]), "", ".descriptors .json .npy", 0),
    Row("64 channels", E, sound(np.ones((500, 64)) * 0.1), "", ".descriptors .json .npy", 0),
    Row("8 kHz", E, sound(TONE, 8000), "", ".descriptors .json .npy", 0),
    Row("384 kHz", E, sound(TONE, 384_000), "", ".descriptors .json .npy", 0),
    Row(
        "21 Hz",
        E,
        sound(TONE, 21),
        "error: {in} runs at 21 Hz, expected 1000 to 2000000: decode latent audio with decoder.py",
    ),
    Row(
        "4 GHz",
        E,
        sound(TONE[:9], 2_000_000_001),
        "error: {in} runs at 2000000001 Hz, expected 1000 to 2000000: is its header damaged?",
    ),
    Row("NaN", E, sound(NAN, subtype="FLOAT"), "error: {in} holds NaN or Inf at sample 7: repair or render it again"),
    Row("Inf", E, sound(INF, subtype="FLOAT"), "error: {in} holds NaN or Inf at sample 8: repair or render it again"),
    Row("WAV cut short", E, sound(TONE, cut=0.5), "error: {in} is cut short (29978 bytes of 60000):" + STOP),
    Row(
        "AIFF cut short",
        E,
        sound(TONE, format_="AIFF", cut=0.5),
        "error: {in} is cut short (29981 bytes of 60008):" + STOP,
    ),
    Row("RF64 of 5 GB cut short", E, promised_rf64, "error: {in} is cut short (4000 bytes of 5000000000):" + STOP),
    Row("FLAC cut short", E, sound(TONE, format_="FLAC", cut=0.5), "error: {in} is damaged: "),
    Row(
        "Ogg cut short",
        E,
        sound(np.resize(TONE, 200_000), format_="OGG", subtype="VORBIS", cut=0.8),
        "error: {in} is cut short (its last page is incomplete):" + STOP,
    ),
    Row(
        "Ogg cut between two pages",
        E,
        ogg_without_its_last_page,
        "error: {in} is cut short (it ends without an end-of-stream mark):" + STOP,
    ),
    Row(
        "CAF cut short",
        E,
        sound(TONE, format_="CAF", cut=0.5),
        "error: {in} is cut short (27956 bytes of 60004):" + STOP,
    ),
    Row("VOC", E, sound(TONE, format_="VOC"), NO_SOUND),
    Row("NIST", E, sound(TONE, format_="NIST"), NO_SOUND),
    Row(
        "MP3 cut short", E, sound(TONE, format_="MP3", subtype="MPEG_LAYER_III", cut=0.5), "error: {in} is cut short ("
    ),
    Row("M4A cut short", E, m4a(0.7), NO_SOUND),
    Row("M4A", E, m4a(1), "", ".descriptors .json .npy", 0),
    Row("header chunk of 4 GiB", E, header_chunk_of_4_gib, "error: {in} is cut short ("),
    Row("FLAC named .wav", E, sound(TONE, format_="FLAC"), "", ".descriptors .json .npy", 0),
    Row("text named .wav", E, bytes_of(b"RIFF nonsense"), NO_SOUND),
    Row("picture named .wav", E, bytes_of(PNG), NO_SOUND),
    Row("playlist named .wav", E, bytes_of(b"#EXTM3U\n/etc/passwd\n"), NO_SOUND),
    Row("pickle named .wav", E, bytes_of(PICKLE), NO_SOUND),
]


@pytest.mark.parametrize("row", SOUND_ROWS, ids=lambda row: row.given)
def test_sound(row: Row, run: Run, tmp_path: Path) -> None:
    in_a_fresh_folder(row, run, tmp_path)
