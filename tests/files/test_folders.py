"""The folder of one run: never shared, and what is left in it from an earlier run."""

import threading
from pathlib import Path

import pytest

from unravel_lib.files import output


def test_two_runs_at_the_same_moment_never_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(output.datetime.datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Stopped":
            return cls(2026, 1, 2, 3, 4, 5)

    monkeypatch.setattr(output.datetime, "datetime", Stopped)
    got: list[Path] = []
    threads = [
        threading.Thread(target=lambda: got.append(output.make_run_folder(tmp_path, None, False, "x")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(got)) == 8
    assert sorted(path.name for path in got)[:2] == ["2026-01-02_03-04-05_x", "2026-01-02_03-04-05_x_2"]
