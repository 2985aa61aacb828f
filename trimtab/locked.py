"""Runs a program without the right to the network: `python -I locked.py PROGRAM [ARGUMENT...]`, in whatever environment that is.

First of all, before any library is imported, a seccomp filter refuses sockets of every family but AF_UNIX, for good and for all
children. This file needs the standard library alone: what it runs are workers on libraries too old for Trimtab (design §4).
"""

import ctypes
import errno
import os
import platform
import runpy
import socket
import struct
import sys

_X32 = 0x40000000
# AUDIT_ARCH_*, the numbers of socket(2) and io_uring_setup(2), whether there are x32 calls beside the native ones
_MACHINES = {"x86_64": (0xC000003E, 41, 425, True), "aarch64": (0xC00000B7, 198, 425, False)}
_LOAD, _EQUAL, _LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def network_filter(machine: str) -> bytes:
    """The BPF program that lets everything pass but sockets beyond AF_UNIX: by socket(2), by io_uring, or by another ABI's calls.

    Offsets are those of `struct seccomp_data`: 0 the call's number, 4 the architecture, 16 the low half of the first argument.
    Raises SystemExit on a machine whose numbers are not known here.
    """
    if machine not in _MACHINES:
        msg = f"locked.py cannot lock the network on {machine!r}; known are {', '.join(_MACHINES)}"
        raise SystemExit(msg)
    architecture, make_socket, make_ring, x32 = _MACHINES[machine]
    program = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 0, 6, architecture),
        (_LOAD, 0, 0, 0),
        (_LEAST if x32 else _EQUAL, 4, 0, _X32 if x32 else make_ring),
        (_EQUAL, 3, 0, make_ring),
        (_EQUAL, 0, 3, make_socket),
        (_LOAD, 0, 0, 16),
        (_EQUAL, 1, 0, socket.AF_UNIX),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in program)


def lock_network() -> None:
    """Give the right to the network away, for this process and all that it starts; raises SystemExit where the kernel refuses."""
    code = network_filter(platform.machine())
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    nothing = ctypes.c_ulong(0)
    for call in (
        (_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), nothing, nothing, nothing),
        (_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), ctypes.byref(program), nothing, nothing),
    ):
        if libc.prctl(*call):
            msg = f"locked.py cannot lock the network: {os.strerror(ctypes.get_errno())}"
            raise SystemExit(msg)


def main() -> None:
    """Lock the network, then become the program."""
    if len(sys.argv) < 2:
        msg = "locked.py runs a program: python -I locked.py PROGRAM [ARGUMENT...]"
        raise SystemExit(msg)
    lock_network()
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
