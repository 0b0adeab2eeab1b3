"""A browser for the tests of the page, and scripts run in a folder."""

import contextlib
import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from fixtures_runs import ROOT, SCRIPTS, keeping_signals
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from unravel_lib.cli import run as cli

HOSTILE = "<img src=x onerror=alert(1)>"  # as a file name


def run_in(folder: Path, *command: object) -> str:
    """Run a script in this process and a folder; returns stdout: run_in(folder, "encoder.py", "--input", "x.wav")."""
    script, *args = map(str, command)
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogateescape") for _ in range(2))
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        patch.object(sys, "argv", [str(ROOT / script), *args]),
        keeping_signals(),
        pytest.raises(SystemExit) as left,
    ):
        cli.run(SCRIPTS[script.removesuffix(".py")].main, args)
    for stream in (out, err):
        stream.seek(0)
    assert left.value.code == 0, err.read()
    return out.read()


class Browser:
    """Chromium, driven by selenium."""

    def __init__(self) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        for argument in (
            "headless=new",
            "no-sandbox",
            "disable-dev-shm-usage",
            "disable-gpu",
            "mute-audio",
            "hide-scrollbars",
        ):
            options.add_argument(f"--{argument}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
        self.driver.set_script_timeout(30)

    def open(self, page: Path, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Open a page by file://, in a window of this size, without stars; forgets earlier logs."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get(page.as_uri())
        self.js("localStorage.clear()")
        self.requests(), self.console()
        self.driver.get(page.as_uri())

    def js(self, code: str, *args: object) -> Any:
        """Run JavaScript; returns what it returns, or what its promise gives."""
        text = "const done = arguments[arguments.length - 1], args = [...arguments].slice(0, -1);"
        text += "(async () => {" + code + "})().then((v) => done({v}), (e) => done({error: String(e)}))"
        result = self.driver.execute_async_script(text, *args)
        assert "error" not in result, result
        return result.get("v")

    def console(self) -> list[str]:
        """What the page has complained about since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """The URLs that were asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
