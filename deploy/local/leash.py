"""Runs a program that must not outlive whoever started it: `leash.py SIGNAL PARENT_PID USER PROGRAM …`.

On Linux the kernel sends SIGNAL to the program when its parent dies, however it dies, kill -9 included.
Elsewhere only an orderly stop is covered. A separate program, because code between fork and exec
(`preexec_fn`) can deadlock in a parent with threads.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    signal_number, parent, user, program = int(argv[1]), int(argv[2]), argv[3], argv[4:]
    if user:
        become(user)
    # After the change of user, which clears it.
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:
        sys.exit("The process that started this one is gone.")
    os.execv(program[0], program)


def become(user: str) -> None:
    """Drop root's rights for good."""
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


if __name__ == "__main__":
    main(sys.argv)
