"""The warm parent: imports everything once, holds no data, and forks one child for each fold.

Inside bubblewrap it is process 1 of its own namespace, so the kernel ignores signals to it from
inside and everything ends with it. The host asks for a child with a `control.Grant` and the child's
private socket; it gets a pidfd at once, and the wait status with the CPU time at the end. The
zygote never reads from that socket.

Usage: python -m inside.zygote CONTROL_DESCRIPTOR CONFIGURATION_JSON
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import NamedTuple

from . import child, control, forking, warm
from .lockdown import capabilities, landlock, libc, seccomp

_NULL = "/dev/null"


class Configuration(NamedTuple):
    """What the host decided. `locked`: children use Landlock and seccomp. `read`: what they may
    read, less `hidden`; `listed`: folders whose names they may list. `uid`: become this user (root
    only).
    """

    locked: bool
    read: list[str]
    hidden: list[str]
    listed: list[str]
    uid: int | None


def main(arguments: list[str]) -> None:
    """Warm up, report readiness and serve until the host hangs up."""
    host = socket.socket(fileno=int(arguments[0]))
    configuration = Configuration(**json.loads(arguments[1]))
    _become(configuration.uid)
    libc.prctl(
        libc.PR_SET_PDEATHSIG, signal.SIGKILL
    )  # the kernel forgot bubblewrap's when the user changed
    if os.getpid() != 1:
        libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
    warm.warm_up()
    lockdown = _prepare(configuration)
    null = os.open(_NULL, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)
    host.send(control.READY)
    _serve(host, lockdown)


def _become(uid: int | None) -> None:
    """Root becomes a user without a name: RLIMIT_NPROC does not bind root, and slots must not own
    each other.
    """
    if uid is not None:
        libc.prctl(libc.PR_SET_KEEPCAPS, 1)
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def _prepare(configuration: Configuration) -> child.Lockdown:
    if not configuration.locked:
        return child.Lockdown(None, None)
    capabilities.keep_only(capabilities.SYS_ADMIN)
    libc.prctl(libc.PR_SET_DUMPABLE, 0)  # children share our user: no reading of our memory
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    return child.Lockdown(
        landlock.create_ruleset(configuration.read, configuration.hidden, configuration.listed),
        seccomp.assemble(),
    )


def _serve(host: socket.socket, lockdown: child.Lockdown) -> None:
    fork = forking.best() if lockdown.program else os.fork
    while True:
        packet, descriptors, _, _ = socket.recv_fds(host, control.GRANT.size, 1)
        if not packet:
            return
        private = descriptors[0]
        process = fork()
        if process == 0:
            host.detach()
            child.run(private, control.Grant.unpack(packet), lockdown)
        os.close(private)
        if not _watch(host, process):
            return


def _watch(host: socket.socket, process: int) -> bool:
    """Hand the child to the host, wait for its end and report it. False when the host is gone."""
    pidfd = os.pidfd_open(process)
    socket.send_fds(host, [control.STARTED], [pidfd])
    ready, _, _ = select.select([pidfd, host], [], [])
    os.close(pidfd)
    if host in ready:  # the host has nothing to say now: it hung up
        os.kill(process, signal.SIGKILL)
        return False
    _, status, usage = os.wait4(process, 0)
    _kill_orphans()
    host.send(control.Ended(status, usage.ru_utime, usage.ru_stime).pack())
    return True


def _kill_orphans() -> None:
    """End what a child left behind. Only possible where nothing stops it from starting
    processes.
    """
    while True:
        try:
            orphan, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if orphan == 0:
            for process in _children():
                os.kill(process, signal.SIGKILL)


def _children() -> list[int]:
    if os.getpid() == 1:
        return [-1]  # everything in our namespace but ourselves
    listing = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return [int(process) for process in listing.split()]


if __name__ == "__main__":
    main(sys.argv[1:])
