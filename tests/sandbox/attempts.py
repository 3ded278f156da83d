"""Many small attempts to reach beyond a fold, run one after another in a single child.

Each is an expression that returns something other than None when it got through. `{folder}` and
`{secret}` stand for a folder of the host and a file in it.
"""

from __future__ import annotations

import re

from tests.sandbox.attacks import REPORTING

_LISTED = """
read the machine's name            | open("/etc/hostname").read()
list the machine's records         | os.listdir("/var")
list files for everybody           | os.listdir("/tmp")
list shared memory                 | os.listdir("/dev/shm")
read own environment               | open("/proc/self/environ", "rb").read(1)
list own descriptors in /proc      | os.listdir("/proc/self/fd")
follow /proc to the program        | os.readlink("/proc/self/exe")
read the machine's memory use      | open("/proc/meminfo").read(9)
read the machine's load            | open("/proc/loadavg").read(9)
ask for the load                   | os.getloadavg()
ask for free memory                | libc.sysinfo(ctypes.create_string_buffer(256)) == 0 or None
ask for free disk space            | os.statvfs("/").f_bfree
read a device                      | open("/dev/zero", "rb").read(1)
read the network's devices         | os.listdir("/sys/class/net")
make a folder                      | os.mkdir({folder} + "/made") or "made"
make a link                        | os.symlink("x", {folder} + "/link") or "made"
make a hard link                   | os.link({secret}, {folder} + "/hard") or "made"
rename a file                      | os.rename({folder} + "/link", {folder} + "/moved") or "moved"
change rights                      | os.chmod({secret}, 0o644) or "changed"
change times                       | os.utime({secret}) or "changed"
shorten a file                     | os.truncate({folder} + "/hard", 5) or "shortened"
make a pipe with a name            | os.mkfifo({folder} + "/fifo") or "made"
make a file without a name         | os.open({folder}, os.O_TMPFILE | os.O_RDWR)
open for appending                 | os.open({secret}, os.O_WRONLY | os.O_APPEND)
change the folder                  | os.chdir({folder}) or "changed"
put a mark on a package            | os.utime(os.__file__, None) or "marked"
refer to itself by descriptor      | os.pidfd_open(os.getpid())
spawn a process                    | os.posix_spawn("/bin/true", ["true"], {})
start a worker                     | worker()
give way to others                 | os.nice(1)
ask for another scheduler          | os.sched_setscheduler(0, 3, os.sched_param(0)) or 1
move to a core                     | os.sched_setaffinity(0, os.sched_getaffinity(0)) or "moved"
queue messages                     | positive(libc.msgget(0, 0o1600))
share semaphores                   | positive(libc.semget(0, 1, 0o1600))
share memory by name               | positive(libc.shm_open(b"/marl-attempt", 0o102, 0o600))
signal by descriptor               | positive(libc.eventfd(0, 0))
a clock as a descriptor            | positive(libc.timerfd_create(1, 0))
poll many                          | __import__("select").epoll()
a pair of sockets                  | socket.socketpair()
a raw socket                       | socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
a socket of the packet layer       | socket.socket(17, socket.SOCK_RAW)
connect by TCP, version 6          | socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
lease a file                       | fcntl.fcntl(readable(), 1024, 0) or "leased"
watch a folder by signal           | fcntl.fcntl(os.open("/", os.O_RDONLY), 1026, 1) or "watched"
lock bytes of a file               | fcntl.lockf(readable(), fcntl.LOCK_SH) or "locked"
grow a pipe                        | fcntl.fcntl(os.pipe()[0], 1031, 1 << 16)
drop pages from the cache          | os.posix_fadvise(readable(), 0, 0, 4) or "dropped"
read pages ahead                   | need(libc.readahead(readable(), ctypes.c_long(0), 4096) == 0)
send a file to a file              | os.sendfile(os.pipe()[1], readable(), 0, 9)
splice a file                      | os.splice(readable(), os.pipe()[1], 9)
lock pages in memory               | need(libc.mlock(page(), 4096) == 0)
move pages out of memory           | need(libc.madvise(page(), 4096, 21) == 0)
merge equal pages                  | need(libc.madvise(page(), 4096, 12) == 0)
become readable to others          | need(libc.prctl(4, 1, 0, 0, 0) == 0)
another personality                | need(libc.personality(0x0040000) >= 0)
read the kernel's log size         | need(libc.klogctl(10, None, 0) > 0)
read the clock's discipline        | need(libc.adjtimex(ctypes.create_string_buffer(256)) >= 0)
another user                       | os.setresuid(os.getuid(), os.getuid(), os.getuid()) or "set"
other groups                       | os.setgroups([]) or "set"
a handle to a file                 | need(handle() == 0)
limits of a neighbour              | __import__("resource").prlimit(zygote(), 7)
priority of a neighbour            | need(os.getpriority(os.PRIO_PROCESS, zygote()) > -99)
memory of a neighbour              | open("/proc/%d/maps" % zygote()).read(1)
"""
HELPERS = """
import fcntl, multiprocessing
def need(true):
    return "got" if true else None
def positive(number):
    return number if number >= 0 else None
def readable():
    return os.open(os.__file__, os.O_RDONLY)
libc.mmap.restype = ctypes.c_void_p
def page():
    return ctypes.c_void_p(libc.mmap(None, 4096, 3, 0x22, -1, ctypes.c_long(0)))
def handle():
    space = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 136)
    mount = ctypes.byref(ctypes.c_int())
    return libc.name_to_handle_at(-100, os.__file__.encode(), space, mount, 0)
def worker():
    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    process.join()
    return "started"
through = ""
for expression in {expressions}:
    try:
        through += "0" if eval(expression) is None else "1"
    except BaseException:
        through += "0"
raise Exception("THROUGH " + through)
"""

ATTEMPTS: dict[str, str] = {
    name.strip(): code.strip()
    for name, _, code in (line.partition("|") for line in _LISTED.strip().splitlines())
}


def all_in_one(folder: str, secret: str) -> str:
    """A candidate that makes every attempt and says which got through."""
    values = {"{folder}": repr(folder), "{secret}": repr(secret)}
    filled = re.compile("|".join(map(re.escape, values)))
    expressions = [filled.sub(lambda found: values[found[0]], code) for code in ATTEMPTS.values()]
    return REPORTING + HELPERS.replace("{expressions}", repr(expressions))
