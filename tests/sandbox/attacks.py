"""What an adversarial candidate would submit. Each snippet tries one thing, in `attempt`, and
reports how it went: the exception "GOT <something>" when it obtained what it wanted, "STOPPED
<why>" when it did not.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.sandbox.support import ESTIMATOR

REPORTING = (
    ESTIMATOR
    + """
def syscall(number, *arguments):
    result = libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

def zygote():
    return os.getppid() or 1 / 0  # 0: it lives in a process namespace that cannot be seen

def attempt(f):
    try:
        got = f()
    except BaseException as error:
        raise Exception("STOPPED %r" % error)
    raise Exception("STOPPED nothing" if got is None else "GOT %r" % (got,))
"""
)


@dataclass(frozen=True)
class Attack:
    """A snippet. `{secret}`, `{folder}` and `{port}` stand for a file, its folder and a TCP port of
    the host.

    `control`: without isolation the snippet must succeed. It is off where that would endanger the
    machine, and for forbidden system calls, whose signal proves by itself that the call was made.
    """

    name: str
    code: str
    control: bool = True

    def text(self, **values: object) -> str:
        """The code with the host's values filled in."""
        code = self.code
        for name, value in values.items():
            code = code.replace(f"{{{name}}}", repr(value))
        return REPORTING + code


ESCAPES = [
    Attack("reads a label file by its path", "attempt(lambda: open({secret}).read())"),
    Attack(
        "walks the disk for label files",
        """
def f():
    for folder, _, names in os.walk({folder}):
        for name in names:
            return open(os.path.join(folder, name)).read()
attempt(f)
""",
    ),
    Attack(
        "reads the environment of other processes",
        """
def f():
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                return open(f"/proc/{name}/environ", "rb").read(20)
            except OSError:
                pass
attempt(f)
""",
    ),
    Attack("reads the host's users", "attempt(lambda: open('/etc/passwd').readline())"),
    Attack(
        "loads the data set with its labels",
        "import sklearn.datasets as d; attempt(lambda: d.load_iris().target[0])",
    ),
    Attack(
        "traces the zygote",
        "attempt(lambda: libc.ptrace(0x4206, zygote(), 0, 0))",
        control=False,
    ),
    Attack(
        "reads the zygote's memory",
        "attempt(lambda: open('/proc/%d/mem' % zygote(), 'r+b').fileno())",
    ),
    Attack("signals the zygote", "attempt(lambda: os.kill(zygote(), 0) or 'sent')"),
    Attack(
        "changes the limits of the zygote",
        """
import resource
attempt(lambda: resource.prlimit(zygote(), resource.RLIMIT_NOFILE))
""",
    ),
    Attack(
        "takes the zygote's control socket",
        "attempt(lambda: syscall(438, os.pidfd_open(zygote()), 3, 0))",
        control=False,
    ),
    Attack(
        "finds inherited descriptors",
        """
def f():
    found = []
    for descriptor in range(4, 1024):
        try:
            os.fstat(descriptor)
            found.append(descriptor)
        except OSError:
            pass
    return found or None
attempt(f)
""",
        control=False,
    ),
    Attack(
        "stores in the kernel keyring",
        "attempt(lambda: syscall(248, b'user', b'zz', b'abc', 3, -5))",
        control=False,
    ),
    Attack(
        "locks a shared file",
        """
import fcntl
opened = os.open(os.__file__, os.O_RDONLY)
attempt(lambda: fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB) or "locked")
""",
    ),
    Attack(
        "watches shared files",
        "attempt(lambda: libc.inotify_init() if libc.inotify_init() >= 0 else None)",
    ),
    Attack(
        "looks into the page cache",
        """
libc.mmap.restype = ctypes.c_void_p
def f():
    descriptor = os.open(os.__file__, os.O_RDONLY)
    mapped = libc.mmap(None, ctypes.c_size_t(4096), 1, 2, descriptor, ctypes.c_long(0))
    address = ctypes.c_void_p(mapped)
    pages = ctypes.create_string_buffer(1)
    return "pages" if libc.mincore(address, ctypes.c_size_t(4096), pages) == 0 else None
attempt(f)
""",
    ),
    Attack(
        "writes a file", "attempt(lambda: os.unlink(open('/tmp/marl-canary', 'w').name) or 'wrote')"
    ),
    Attack("makes memory that no limit counts", "attempt(lambda: os.memfd_create('x'))"),
    Attack(
        "runs a shell",
        "import subprocess; attempt(lambda: subprocess.check_output(['/bin/sh', '-c', 'echo hi']))",
    ),
    Attack("starts a process", "attempt(lambda: os.fork() or os._exit(0))"),
    Attack(
        "connects by TCP",
        "attempt(lambda: socket.create_connection(('127.0.0.1', {port}), 1).fileno())",
    ),
    Attack("sends by UDP", "attempt(lambda: socket.socket(2, 2).sendto(b'x', ('127.0.0.1', 9)))"),
    Attack("opens a netlink socket", "attempt(lambda: socket.socket(16, 3, 0).fileno())"),
    Attack(
        "mounts over the packages",
        "attempt(lambda: libc.mount(b'x', b'/tmp', b'tmpfs', 0, None))",
        control=False,
    ),
    Attack("leaves its namespaces", "attempt(lambda: libc.unshare(0x10000000))", control=False),
]

# The rows of one fold's training part are the validation rows of the others: a candidate that can
# carry its training labels from fold to fold predicts pure noise perfectly.
_CARRYING = """
import hashlib, json
def key(row):
    return hashlib.md5(np.ascontiguousarray(row).tobytes()).hexdigest()[:12]

class Carrier(Base):
    def fit(self, X, y):
        known = load()
        known.update({key(row): int(label) for row, label in zip(X.to_numpy(), y)})
        self.known = known
        try:
            save(known)
        except BaseException:
            pass
        return super().fit(X, y)
    def predict_proba(self, X):
        return np.eye(2)[[self.known.get(key(row), 0) for row in X.to_numpy()]]

def build_pipeline():
    return Carrier()
"""
CARRIERS = [
    Attack(
        "in a file",
        """
PATH = "/tmp/marl-carrier.json"
def load():
    try:
        return json.load(open(PATH))
    except OSError:
        return {}
def save(known):
    json.dump(known, open(PATH, "w"))
"""
        + _CARRYING,
    ),
    Attack(
        "in names of links",
        """
FOLDER = "/tmp/marl-carrier"
def load():
    try:
        return {name[:12]: int(name[-1]) for name in os.listdir(FOLDER)}
    except OSError:
        return {}
def save(known):
    os.makedirs(FOLDER, exist_ok=True)
    for name, label in known.items():
        if not os.path.islink(f"{FOLDER}/{name}_{label}"):
            os.symlink("x", f"{FOLDER}/{name}_{label}")
"""
        + _CARRYING,
    ),
    Attack(
        "in System V shared memory",
        """
libc.shmat.restype = ctypes.c_void_p
def segment():
    identifier = libc.shmget(0x4D41524C, 1 << 20, 0o1666)
    address = libc.shmat(identifier, None, 0) if identifier >= 0 else None
    return None if address in (None, 2**64 - 1) else address
def load():
    address = segment()
    return json.loads(ctypes.string_at(address) or b"{}") if address else {}
def save(known):
    content, address = json.dumps(known).encode() + bytes(1), segment()
    if address:
        ctypes.memmove(address, content, len(content))
"""
        + _CARRYING,
    ),
    Attack(
        "in a module of the warm parent",
        """
def load():
    return dict(getattr(np, "stash", {}))
def save(known):
    np.stash = known
"""
        + _CARRYING,
        control=False,
    ),
]
