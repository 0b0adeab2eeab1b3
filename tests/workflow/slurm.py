"""A Slurm of two nodes with one CPU each, on this machine, without systemd: munged, slurmctld and two slurmd."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch")
CONFIG_FILE = Path("/etc/slurm/slurm.conf")  # the jobs of Snakemake find no other: it drops SLURM_CONF
CONFIG = """\
ClusterName=unravel
SlurmctldHost={host}
SlurmUser=root
SlurmdUser=root
SlurmctldPort={port0}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
MinJobAge=3600
NodeName=node1 NodeHostname={host} Port={port1} CPUs=1 RealMemory=4000
NodeName=node2 NodeHostname={host} Port={port2} CPUs=1 RealMemory=4000
PartitionName=main Nodes=ALL Default=YES State=UP
"""


def what_is_missing() -> str | None:
    """Say why no Slurm can be started here, or None."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed (apt install slurm-wlm munge)"
    if os.getuid() != 0:
        return "only root can start one"
    if CONFIG_FILE.exists():
        return f"{CONFIG_FILE} exists: this machine has a Slurm of its own"
    return None


@contextlib.contextmanager
def running(folder: Path) -> Iterator[None]:
    """Start Slurm with its files in `folder`, wait until both nodes are idle, and end it after the block."""
    (folder / "munge").mkdir(mode=0o700)
    (folder / "munge" / "key").write_bytes(os.urandom(128))
    (folder / "munge" / "key").chmod(0o400)
    (folder / "state").mkdir()
    ports = dict(zip(("port0", "port1", "port2"), free_ports(3), strict=True))
    munge = [f"--{name}={folder}/munge/{file}" for name, file in FILES_OF_MUNGE.items()]
    started: list[subprocess.Popen[bytes]] = []
    try:
        CONFIG_FILE.parent.mkdir(exist_ok=True)
        CONFIG_FILE.write_text(CONFIG.format(folder=folder, host=socket.gethostname().split(".")[0], **ports))
        for number, command in enumerate(
            (
                ["munged", "--force", "--foreground", *munge],
                ["slurmctld", "-D"],
                ["slurmd", "-D", "-N", "node1"],
                ["slurmd", "-D", "-N", "node2"],
            )
        ):
            with open(folder / f"output {number}", "wb") as output:
                started.append(subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True))
            time.sleep(1)
        wait_for_nodes(folder)
        yield
    finally:
        for process in reversed(started):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()
        CONFIG_FILE.unlink(missing_ok=True)


FILES_OF_MUNGE = {
    "socket": "socket",
    "key-file": "key",
    "pid-file": "pid",
    "log-file": "log",
    "seed-file": "seed",
}


def free_ports(count: int) -> list[int]:
    """Find ports on which nothing listens."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("", 0))
        return [one.getsockname()[1] for one in sockets]


def wait_for_nodes(folder: Path, seconds: float = 60) -> None:
    """Wait until both nodes take jobs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done = subprocess.run(["sinfo", "--noheader", "--format=%D %t"], capture_output=True, text=True)
        if done.stdout.strip() == "2 idle":
            return
        time.sleep(0.5)
    logs = "".join(path.read_text(errors="replace")[-2000:] for path in folder.glob("*.log"))
    raise RuntimeError(f"Slurm does not start: {done.stdout}{done.stderr}{logs}")
