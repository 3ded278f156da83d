"""Numbers of the Linux system calls that the seccomp filter names, and what it decides about each
by name.

A call that is in none of the lists and has no argument rule in `seccomp.py` fails with EPERM. The
x86-64 table is the one in use every day; the aarch64 table was written from the kernel's list and
has not been run.
"""

from __future__ import annotations

from dataclasses import dataclass

# Own memory, own descriptors, time, and reading files: harmless after Landlock and the resource
# limits.
FREE = """
read write close fstat stat lstat poll ppoll lseek mmap mprotect munmap brk rt_sigaction
rt_sigprocmask rt_sigreturn pread64 readv writev access select pselect6 sched_yield mremap
dup dup2 dup3 pause nanosleep getitimer alarm setitimer getpid recvmsg recvfrom exit uname getcwd
readlink readlinkat umask gettimeofday getrlimit getrusage times getuid getgid geteuid getegid
getppid getpgrp getpgid getsid sigaltstack arch_prctl gettid time sched_getaffinity getdents64
set_tid_address restart_syscall clock_gettime clock_getres clock_nanosleep exit_group newfstatat
faccessat faccessat2 set_robust_list getcpu getrandom membarrier statx rseq close_range
get_mempolicy pipe2
""".split()  # noqa: SIM905

# No honest pipeline makes these calls: the child dies of SIGSYS and the host reports the attempt as
# tampering.
TRIPWIRES = """
ptrace process_vm_readv process_vm_writev mount unshare setns bpf pidfd_getfd keyctl add_key
userfaultfd perf_event_open io_uring_setup pivot_root chroot init_module kexec_load
process_madvise
""".split()  # noqa: SIM905

# Their arguments are behind pointers, which a filter cannot read: "not implemented" makes libc use
# the older call.
UNREADABLE = ("clone3", "openat2")


@dataclass(frozen=True)
class Architecture:
    """One machine's audit number (linux/audit.h) and system call numbers."""

    audit: int
    numbers: dict[str, int]
    first_foreign: int | None = None  # numbers from here on belong to another ABI (x32)


def _table(text: str) -> dict[str, int]:
    return {name: int(number) for name, number in (item.split("=") for item in text.split())}


_X86_64 = _table("""
read=0 write=1 open=2 close=3 stat=4 fstat=5 lstat=6 poll=7 lseek=8 mmap=9 mprotect=10 munmap=11
brk=12 rt_sigaction=13 rt_sigprocmask=14 rt_sigreturn=15 ioctl=16 pread64=17 readv=19 writev=20
access=21 select=23 sched_yield=24 mremap=25 madvise=28 dup=32 dup2=33 pause=34 nanosleep=35
getitimer=36 alarm=37 setitimer=38 getpid=39 sendto=44 recvfrom=45 recvmsg=47 clone=56 exit=60
kill=62 uname=63 fcntl=72 getcwd=79 readlink=89 umask=95 gettimeofday=96 getrlimit=97 getrusage=98
times=100 ptrace=101 getuid=102 getgid=104 geteuid=107 getegid=108 getppid=110 getpgrp=111
getpgid=121 getsid=124 sigaltstack=131 pivot_root=155 prctl=157 arch_prctl=158 chroot=161
mount=165 init_module=175 gettid=186 time=201 futex=202 sched_getaffinity=204 getdents64=217
set_tid_address=218 restart_syscall=219 clock_gettime=228 clock_getres=229 clock_nanosleep=230
exit_group=231 tgkill=234 get_mempolicy=239 kexec_load=246 add_key=248 keyctl=250 openat=257
newfstatat=262 readlinkat=267 faccessat=269 pselect6=270 ppoll=271 unshare=272 set_robust_list=273
dup3=292 pipe2=293 perf_event_open=298 prlimit64=302 setns=308 getcpu=309 process_vm_readv=310
process_vm_writev=311 getrandom=318 bpf=321 userfaultfd=323 membarrier=324 statx=332 rseq=334
io_uring_setup=425 clone3=435 close_range=436 openat2=437 pidfd_getfd=438 faccessat2=439
process_madvise=440
""")

_AARCH64 = _table("""
getcwd=17 dup=23 dup3=24 fcntl=25 ioctl=29 mount=40 pivot_root=41 faccessat=48 chroot=51 openat=56
close=57 pipe2=59 getdents64=61 lseek=62 read=63 write=64 readv=65 writev=66 pread64=67
pselect6=72 ppoll=73 readlinkat=78 newfstatat=79 fstat=80 exit=93 exit_group=94 set_tid_address=96
unshare=97 futex=98 set_robust_list=99 nanosleep=101 getitimer=102 setitimer=103 kexec_load=104
init_module=105 clock_gettime=113 clock_getres=114 clock_nanosleep=115 ptrace=117
sched_getaffinity=123 sched_yield=124 restart_syscall=128 kill=129 tgkill=131 sigaltstack=132
rt_sigaction=134 rt_sigprocmask=135 rt_sigreturn=139 times=153 getpgid=155 getsid=156 uname=160
getrlimit=163 getrusage=165 umask=166 prctl=167 getcpu=168 gettimeofday=169 getpid=172 getppid=173
getuid=174 geteuid=175 getgid=176 getegid=177 gettid=178 sendto=206 recvfrom=207 recvmsg=212
brk=214 munmap=215 mremap=216 add_key=217 keyctl=219 clone=220 mmap=222 mprotect=226 madvise=233
get_mempolicy=236 perf_event_open=241 prlimit64=261 setns=268 process_vm_readv=270
process_vm_writev=271 getrandom=278 bpf=280 userfaultfd=282 membarrier=283 statx=291 rseq=293
io_uring_setup=425 clone3=435 close_range=436 openat2=437 pidfd_getfd=438 faccessat2=439
process_madvise=440
""")

ARCHITECTURES = {
    "x86_64": Architecture(0xC000003E, _X86_64, first_foreign=0x40000000),
    "aarch64": Architecture(0xC00000B7, _AARCH64),
}
