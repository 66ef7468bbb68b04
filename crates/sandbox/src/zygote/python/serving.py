# The zygote: imports what actions usually import and what costs a fork little, then forks when it is told to. It reads nothing that a caller wrote: a
# message to it is one byte, the number of descriptors of a box that stand beside it.

import _thread
import atexit
import base64
import bisect
import collections
import contextlib
import copy
import csv
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import gc
import heapq
import importlib.machinery
import io
import itertools
import json
import math
import operator
import random
import re
import runpy
import signal
import site
import statistics
import string
import sys
import textwrap
import time
import traceback
import types
import typing


def files():
    """What was loaded; when one of these changes, the zygote is of yesterday."""
    loaded = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    return sorted({sys.executable} | {path for path in loaded if path and path.startswith("/")})


def fork(message):
    """Makes the seed of a box, in two steps, so that it belongs to the init of the box."""
    seed, *rest = message
    namespaces, groups = rest[: len(NAMESPACES)], rest[len(NAMESPACES) :]
    # Holds for what is forked, not for this process.
    enter(namespaces[0], NAMESPACES[0])
    # The process between only forks: it does without what Python sets right in a fork, which costs more than the fork.
    between = _alone.fork()
    if between < 0:
        raise Fault("forking into a box")
    if between:
        return
    where = seed
    try:
        # The conversation of this process is no more the zygote's, but that with the box's init.
        channel.detach()
        os.dup2(seed, SEED)
        where = SEED
        # The zygote waits for no child; those who come after do.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for group in groups:
            os.write(group, b"0")
        if os.fork():
            os._exit(0)
        conversation = become_seed(namespaces)
        rehearse()
        conversation.send(forked(os.getpid()))
    except BaseException as error:
        with contextlib.suppress(OSError):
            socket.socket(fileno=where).send(failed(2, str(error) or repr(error)))
        os._exit(127)
    try:
        act(conversation)
    finally:
        # Whatever an action did to Python: this is no zygote.
        _alone._exit(1)


def serve(channel):
    """Forks until the launcher is gone."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, 16, 32)
        if not message:
            end()
        # Without all of them a fork would stand outside of something; then the init hears that there is none.
        if len(descriptors) == message[0]:
            # A box that is dead already cannot be forked into, and its end is seen by who waits for it.
            with contextlib.suppress(Fault, OSError):
                fork(descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def end():
    """Leaves when the processes between have ended: while they are there, even dead, boxes cannot end."""
    try:
        while True:
            os.wait()
    except ChildProcessError:
        os._exit(0)


def begin(channel):
    control("closing its own files", PR_SET_DUMPABLE, 0)
    control("tying this process to its parent", PR_SET_PDEATHSIG, SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if _thread._count():
        raise Fault("something that the interpreter loads at its start has started a thread")
    del sys.modules["__main__"].channel
    known.update(sys.modules)
    # Nothing of this is looked at again when garbage is collected, so its memory stays shared.
    gc.collect()
    gc.freeze()
    channel.send(b"\0".join([b"ready", *map(os.fsencode, files())]))
    serve(channel)


try:
    begin(channel)
except Exception as error:
    channel.send(b"failed\0" + (str(error) or repr(error)).encode()[:1000])
    os._exit(1)
