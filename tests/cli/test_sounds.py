"""The table of levels of decoded sounds."""

import csv
import logging
from pathlib import Path

import pytest

from unravel_lib.cli.sounds import MAX_ROWS, QUIETEST, log_levels
from unravel_lib.files.sidecar import SoundSidecar, read_sidecar, write_sidecar


def test_of_many_sounds_those_that_may_need_a_look_are_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The quietest, and those that are silent, static or clipped; levels.csv has all."""
    odd = {3: {"loudness": None, "silent": True}, 30: {"peak": 1.5}, 31: {"static": True}}
    for number in range(MAX_ROWS + 1):
        path = tmp_path / f"{number:03}.wav"
        path.touch()
        facts = {"peak": 0.5, "loudness": -10.0 - number, "frames": 4, "compression": 2048, "sample_rate": 44100}
        write_sidecar(path, SoundSidecar(**facts | odd.get(number, {})))  # type: ignore[arg-type]
    sounds = sorted(tmp_path.glob("*.wav"))
    with caplog.at_level(logging.INFO, "unravel_lib"):
        log_levels({path: read_sidecar(path) for path in sounds}, None, tmp_path / "levels.csv")
    table, summary, place = (record.getMessage() for record in caplog.records)
    shown = [line.split()[-1] for line in table.splitlines()[1:]]
    quietest = [f"{number:03}.wav" for number in range(MAX_ROWS, 28, -1) if number not in odd][:QUIETEST]
    assert shown == ["003.wav", *sorted([*quietest, "030.wav", "031.wav"], reverse=True)]
    assert summary.startswith("41 sounds: -50.0 to -10.0 LUFS") and place.endswith("levels.csv")
    rows = list(csv.DictReader((tmp_path / "levels.csv").read_text().splitlines()))
    assert [row["sound"] for row in rows] == [path.name for path in sounds]
    assert (rows[30]["peak"], rows[30]["marks"], rows[5]["lufs"]) == ("1.5", "clipped", "-15.0")
    caplog.clear()
    with caplog.at_level(logging.INFO, "unravel_lib"):
        log_levels({path: read_sidecar(path) for path in sounds[:MAX_ROWS]}, None, tmp_path / "levels.csv")
    assert len(caplog.messages) == 1 and len(caplog.messages[0].splitlines()) == MAX_ROWS + 1
