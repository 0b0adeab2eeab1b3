"""`pip install .`: a wheel, installed into a fresh environment, works in any folder."""

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from fixtures_runs import ROOT, TONE, wav
from packaging.requirements import Requirement

import unravel_lib

SCRIPTS = ("encoder", "generator", "decoder", "inspector")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel by the backend that pyproject.toml names."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"]
    subprocess.run([*pip, ROOT, "--wheel-dir", folder], check=True)
    [path] = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def place(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install it into an environment that sees the packages of this one; returns its folder of programs."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home)
    paths = sysconfig.get_paths(vars={"base": str(home), "platbase": str(home)})
    Path(paths["purelib"], "others.pth").write_text(sysconfig.get_paths()["purelib"])
    pip = [sys.executable, "-m", "pip", "--python", home, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True)
    return Path(paths["scripts"])


def test_the_wheel_holds_the_package_and_its_data_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    version = f"unravel_latents-{unravel_lib.__version__}"
    assert {name.partition("/")[0] for name in names} == {"unravel_lib", f"{version}.dist-info"}
    in_package = {str(path.relative_to(ROOT)) for path in (ROOT / "unravel_lib").rglob("*.*")}
    in_package = {name for name in in_package if "__pycache__" not in name}
    assert names >= in_package | {f"unravel_lib/scripts/{script}.py" for script in SCRIPTS}


def test_the_installed_programs_do_what_the_scripts_do_in_any_folder(place: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(program: str, *flags: object) -> list[Path]:
        command = [str(place / program), *map(str, flags)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [tmp_path / line for line in done.stdout.splitlines()]

    (tmp_path / "in.wav").write_bytes(wav(TONE))
    [latents] = run("unravel-encoder", "--input", "in.wav", "--output", "latents")
    flags = ("--embeddings", "--no_plots", "--num_loops", 1, "--run", "a")
    made = run("unravel-generator", "--input", "latents", "--output", "made", *flags)
    *_, sound = run("unravel-decoder", "--input", "latents", made[-1], "--output", "sound", "--page")
    run("unravel-inspector")
    for path in (latents, *made, sound, tmp_path / "sound" / "index.html"):
        assert path.is_file()
    (tmp_path / "notebook.py").write_text("import unravel_lib; print(unravel_lib.tempo, unravel_lib.__file__)")
    run("python", "notebook.py")
    here = subprocess.run(
        [place / "python", "-c", "import encoder"], cwd=tmp_path, env=environment, capture_output=True
    )
    assert b"No module named 'encoder'" in here.stderr


def test_requirements_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    listed = [Requirement(line) for line in lines if not line.startswith("#")]
    known = {one.name: one for one in map(Requirement, project["dependencies"])}
    assert [one.name for one in listed] == list(known)
    for one in listed:  # torchaudio's wheels import beside the torch of the same version only
        pair = {str(other.specifier) for other in listed if other.name in ("torch", "torchaudio")}
        pinned = str(one.specifier).removeprefix("==")
        assert one == known[one.name] or (pair == {f"=={pinned}"} and known[one.name].specifier.contains(pinned))
    assert str(known["torch"].specifier) == str(known["torchaudio"].specifier)
