"""A Slurm of two nodes on one machine, without systemd, in a folder of its own.

Debian's packages are all that is needed. Both nodes are this machine: two node daemons with names
and ports of their own. Memory limits are kept by polling, as there need be no cgroup to write to.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
NODES = ("node1", "node2")

CONFIGURATION = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdSpoolDir={folder}/spool-%n
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdLogFile={folder}/slurmd-%n.log
# What needs neither cgroups nor a database.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
# Memory is looked at each second, and a job that has too much is killed.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
# A dead node is noticed within seconds.
SlurmdTimeout=10
SlurmctldTimeout=10
ReturnToService=2
# Tests look at what became of jobs at their end.
MinJobAge=7200
KillWait=2
SchedulerParameters=sched_min_interval=100000
{nodes}
PartitionName=all Nodes=node[1-2] Default=YES MaxTime=INFINITE State=UP
"""


class Unavailable(Exception):
    """This machine cannot have a Slurm; the text says why."""


def install() -> None:
    """Install Slurm where it is missing.

    Raises
    ------
    Unavailable
        When this process may not, or the packages cannot be had.
    """
    if os.geteuid() != 0:
        raise Unavailable("starting Slurm's daemons needs root")
    if all(shutil.which(program) for program in PROGRAMS):
        return
    if shutil.which("apt-get") is None:
        raise Unavailable(f"Slurm is not installed, and there is no apt-get for {PACKAGES}")
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES],
    ):
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        )
        if done.returncode:
            raise Unavailable(f"{' '.join(command)} failed: {done.stderr.strip()[-300:]}")


class Cluster:
    """A controller and two nodes.

    Parameters
    ----------
    folder : Path
        Where their state, sockets and logs lie; its path must be short (of a socket, at most 107
        characters).
    memory_mb : int
        Memory of each node.
    """

    def __init__(self, folder: Path, memory_mb: int = 9000):
        self.folder = folder
        (folder / "state").mkdir(parents=True)
        controller, *ports = _free_ports(1 + len(NODES))
        host = socket.gethostname().split(".")[0]
        nodes = "\n".join(
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1"
            f" RealMemory={memory_mb} State=UNKNOWN"
            for node, port in zip(NODES, ports, strict=True)
        )
        text = CONFIGURATION.format(folder=folder, controller=controller, nodes=nodes)
        (folder / "slurm.conf").write_text(text)
        # Snakemake's plugin takes SLURM_CONF, like all of Slurm's variables, from a job's srun.
        srun = folder / "bin/srun"
        srun.parent.mkdir()
        srun.write_text(
            f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n'
        )
        srun.chmod(0o755)
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> Mapping[str, str]:
        """What Slurm's commands need to find this cluster."""
        # Without the environment's folder on PATH, as a user who has not activated it.
        path = f"{self.folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def start(self) -> None:
        """Start everything; return when both nodes are idle."""
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        self._start(
            "munged",
            "munged",
            "--foreground",
            # The folder's parents are not as strict as it wants them.
            "--force",
            f"--key-file={key}",
            f"--socket={self.folder}/munge.socket",
            f"--pid-file={self.folder}/munged.pid",
            f"--log-file={self.folder}/munged.log",
            f"--seed-file={self.folder}/munged.seed",
        )
        self.wait(lambda: (self.folder / "munge.socket").exists())
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        self.wait_until_idle()

    def start_controller(self) -> None:
        """Start the controller; it knows the jobs of one that died."""
        self._start("slurmctld", "slurmctld", "-D")

    def start_node(self, node: str) -> None:
        """Start a node's daemon."""
        self._start(node, "slurmd", "-D", "-N", node)

    def kill(self, daemon: str) -> None:
        """Kill a daemon (`slurmctld` or a node) with SIGKILL; a node's jobs run on."""
        process = self._daemons.pop(daemon)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """End all jobs and daemons."""
        if "slurmctld" in self._daemons:
            self.command("scancel", "--user=root")
            self.wait(lambda: not self.jobs(), seconds=30)
        for process in reversed(list(self._daemons.values())):
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._daemons.clear()

    def command(self, *arguments: str) -> str:
        """Run one of Slurm's commands; return what it says."""
        done = subprocess.run(
            arguments, env=self.environment, capture_output=True, text=True, check=False
        )
        return done.stdout

    def jobs(self, state: str = "PENDING,RUNNING,COMPLETING") -> dict[str, tuple[str, str]]:
        """Return comment (it names rule and wildcards) and node of the jobs in a state, by id."""
        told = self.command("squeue", "-h", f"--states={state}", "-o", "%i|%k|%N")
        split = (line.split("|") for line in told.splitlines())
        return {number: (comment, node) for number, comment, node in split}

    def running(self, rule: str) -> list[tuple[str, str]]:
        """Return id and node of the jobs of a rule that run now."""
        return [
            (number, node)
            for number, (comment, node) in self.jobs("RUNNING").items()
            if comment.startswith(f"rule_{rule}_")
        ]

    def state(self, node: str) -> str:
        """Return the state of a node, as `idle` or `down*`."""
        return self.command("sinfo", "-h", "-N", "-n", node, "-o", "%T").strip()

    def resume_drained(self) -> None:
        """Put nodes to work again that the controller has taken away, as an administrator does.

        One that gives numbers of jobs again, which it had not saved when it was killed, finds two
        jobs of one number on a node, and drains it.
        """
        for node in NODES:
            if self.state(node).startswith("dr"):
                self.command("scontrol", "update", f"nodename={node}", "state=resume")

    def wait_until_idle(self) -> None:
        """Wait until both nodes can take jobs."""
        self.wait(lambda: all(self.state(node) == "idle" for node in NODES))

    def wait(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Wait until a condition holds.

        Raises
        ------
        TimeoutError
            With the ends of the daemons' logs.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                logs = sorted(self.folder.glob("*.log"))
                ends = [f"{log.name}:\n{log.read_text()[-1500:]}" for log in logs]
                raise TimeoutError("\n".join(ends))
            time.sleep(0.2)

    def _start(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            self._daemons[name] = subprocess.Popen(
                command, env=self.environment, stdout=out, stderr=out, start_new_session=True
            )


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
