# System calls that Python does not wrap. Their numbers, and all that the rest of the sandbox knows too, stand in lines that
# `program.rs` puts before this file.

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
# The same library, called without letting other threads run meanwhile.
_alone = ctypes.PyDLL(None)
_libc.syscall.restype = ctypes.c_long


class Fault(Exception):
    """A step that failed: what was tried, and what the system said."""

    code = 0


def _long(value):
    return ctypes.c_long(value) if isinstance(value, int) else value


def said(error):
    """An error of the system, in the words that the rest of the sandbox uses."""
    return f"{error.strerror} (os error {error.errno})"


def call(step, number, *arguments):
    """Makes a system call; `step` names it if it fails."""
    result = _libc.syscall(_long(number), *map(_long, arguments))
    if result < 0:
        code = ctypes.get_errno()
        fault = Fault(f"{step}: {said(OSError(code, os.strerror(code)))}")
        fault.code = code
        raise fault
    return result


def control(step, option, argument, *more):
    """`prctl(2)`; arguments that an option does not have must be zero."""
    rest = (*more, 0, 0, 0)[:3]
    return call(step, SYS_prctl, option, argument, *rest)


def memory(data):
    """Bytes at an address that the kernel can read; alive as long as what is returned."""
    return ctypes.create_string_buffer(data, len(data))


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


_instructions = memory(FILTER)
_filter = _Program(len(FILTER) // 8, ctypes.addressof(_instructions))


def load_filter():
    """Loads the filter of system calls that every command has."""
    call("loading the filter of system calls", SYS_seccomp, 1, 0, ctypes.byref(_filter))
