"""`make test-cluster`: the workflow on a real Slurm makes the bytes that it makes on this machine alone."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import slurm
from fixtures_runs import ROOT
from projects import Project, needs_snakemake

MISSING = slurm.what_is_missing()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(MISSING is not None, reason=f"NO CLUSTER IS TESTED: {MISSING}"),
    needs_snakemake,
]

# This Slurm keeps no accounts and no history of jobs, which `sacct` needs; clusters do.
TO_SLURM = ("--workflow-profile", ROOT / "workflow" / "profiles" / "slurm", "--slurm-no-account")
TO_SLURM += ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", 2)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Slurm of two nodes."""
    with slurm.running(tmp_path_factory.mktemp("slurm")):
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the project lies while it runs: sidecars state absolute paths."""
    return tmp_path_factory.mktemp("home") / "a project"


@pytest.fixture(scope="module")
def local(place: Path) -> Project:
    """The project after a run without Slurm."""
    code, output = Project(place).make(20).run()
    assert code == 0, output
    return Project(place.rename(place.with_name("local")))


@pytest.fixture
def project(place: Path, local: Project) -> Iterator[Project]:
    """The same project in the same place, in which nothing has run."""
    yield Project(place).make(20)
    place.rename(place.with_name(f"used at {time.time_ns()}"))


def nodes_of_jobs() -> dict[str, str]:
    """Return the name of each job that Slurm remembers as completed, and its node."""
    done = subprocess.run(["scontrol", "--oneliner", "show", "job"], capture_output=True, text=True, check=True)
    jobs = [dict(part.split("=", 1) for part in line.split() if "=" in part) for line in done.stdout.splitlines()]
    return {job["JobId"]: job.get("NodeList", "") for job in jobs if job.get("JobState") == "COMPLETED"}


def test_slurm_makes_the_same_bytes(cluster: None, local: Project, project: Project) -> None:
    before = nodes_of_jobs()
    code, output = project.run(*TO_SLURM)
    assert code == 0, output
    assert project.results() == local.results()
    jobs = {job: node for job, node in nodes_of_jobs().items() if job not in before}
    assert len(jobs) == 2 + 1 + 2 + 2 + 1  # encode, statistics, generate, decode, page
    assert set(jobs.values()) == {"node1", "node2"}


def test_after_a_kill_it_goes_on(cluster: None, local: Project, project: Project) -> None:
    """Snakemake is killed, and so is a job: the next run does what is missing."""
    process = project.start(*TO_SLURM)
    latents = project.folder / "out" / "latents"
    while process.poll() is None and len(list(latents.glob("*.json"))) < 5:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    subprocess.run(["scancel", "--user", "root", "--signal=KILL", "--full"], check=True)
    subprocess.run(["scancel", "--user", "root"], check=True)
    notes = list(latents.glob("*.json"))
    before = {path: path.stat().st_mtime_ns for note in notes for path in latents.glob(f"{note.stem}.*")}
    assert 5 <= len(notes) < 20, "it was not killed in the middle"
    assert project.run("--unlock")[0] == 0
    code, output = project.run(*TO_SLURM)
    assert code == 0, output
    assert project.results() == local.results()
    assert [path.name for path, time_ in before.items() if path.stat().st_mtime_ns != time_] == []
