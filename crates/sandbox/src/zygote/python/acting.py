# The action: becomes what `python3` with the same words would have become, down to the streams, the names and the end.

import builtins

# Names of the modules that were there before the action. What it imports itself is taken down at its end.
known = set()


def act(conversation):
    """Waits for the plan of the box, and becomes its command. Never returns."""
    data, streams, _, _ = socket.recv_fds(conversation, MAX_MESSAGE, 3)
    if not data:
        os._exit(0)
    try:
        run, start = prepare(conversation, data, streams)
    except Refused as error:
        conversation.send(failed(*error.args))
        os._exit(127)
    except BaseException as error:
        conversation.send(failed(2, str(error) or repr(error)))
        os._exit(127)
    # The end of this conversation means that the command runs.
    conversation.close()
    finish(top(run, *start))


def rehearse():
    """Does with nothing what `act` will do: memory that a process changes is copied for it, so now, while nobody waits."""
    os.environ.clear()
    os.environ.update(USUAL)
    found("python3")
    open_streams()
    execute({"__builtins__": builtins}, "<string>", "")


class Refused(Exception):
    """The command does not start: the kind, and why."""


def prepare(conversation, data, streams):
    """Everything up to the first line of the action. Returns what runs it."""
    ((words, env, folder, _, mounts, limits, *_),), _ = decode(data)
    limit(limits + [None] * (9 - len(limits)))
    enclose([at for at, _, access in mounts if access != READ_ONLY])
    try:
        os.chdir(folder)
    except OSError as error:
        raise Refused(1, f"its working folder {folder}: {said(error)}") from None
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.umask(0o022)
    given = {name for name, _ in env}
    env = env + [[name, value] for name, value in USUAL if name not in given]
    os.environ.clear()
    os.environ.update(env)
    program = found(words[0])
    try:
        return prepare_python(program, words)
    except Cold as why:
        conversation.send(cold(str(why)))
        os.set_inheritable(SEED, False)
        try:
            # What the interpreter ignores for itself is not ignored by programs.
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            os.execve(program, words, dict(env))
        except OSError as error:
            raise Refused(1, said(error)) from None


class Cold(Exception):
    """The action needs something that only a new interpreter does."""


def prepare_python(program, words):
    """What `python3` with these words runs. The launcher has looked at the words, not at files."""
    # Found anew: the home may be another.
    site.USER_BASE = site.USER_SITE = None
    if os.path.isdir(site.getusersitepackages()):
        raise Cold("its home has Python packages of its own")
    if "TZ" in os.environ:
        time.tzset()
    sys.executable = sys._base_executable = program
    sys.orig_argv = list(words)
    main = types.ModuleType("__main__")
    main.__dict__.update(__builtins__=builtins, __loader__=importlib.machinery.BuiltinImporter, __annotations__={})
    what, rest = (words[1:2] or [""])[0], words[2:]
    sys.argv = [what, *rest]
    run, path = execute, ""
    if what == "-c":
        sys.argv = ["-c", *rest[1:]]
        start = (main.__dict__, "<string>", rest[0])
    elif what == "-m":
        sys.argv = ["-m", *rest[1:]]
        run, path, start = runpy._run_module_as_main, os.getcwd(), (rest[0],)
    elif what in ("", "-"):
        main.__file__ = "<stdin>"
        start = (main.__dict__, "<stdin>", None)
    else:
        path = os.path.dirname(os.path.realpath(what))
        start = (main.__dict__, name_in(main, what), text_of(what))
    sys.path[0] = path
    open_streams()
    sys.modules["__main__"] = main
    return run, start


def found(program):
    """Where a program is; the launcher has seen that there is one."""
    folders = [] if "/" in program else os.environ["PATH"].split(":")
    paths = (os.path.join(folder, program) for folder in folders if folder.startswith("/"))
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), program)


def importable(file):
    """Whether a hook takes a file for a place of modules, as it does an archive."""

    def by(hook):
        try:
            hook(file)
        except ImportError:
            return False
        return True

    return by


def text_of(file):
    """The text of a program in a file."""
    if file.endswith(".pyc") or os.path.isdir(file) or any(map(importable(file), sys.path_hooks)):
        raise Cold("its program is not a file of text")
    try:
        with open(file, "rb") as source:
            return source.read()
    except OSError as error:
        raise Cold(f"its program cannot be read: {said(error)}") from None


def name_in(main, file):
    """Tells the module where it is from."""
    full = os.path.join(os.getcwd(), file)
    main.__file__, main.__cached__ = full, None
    main.__loader__ = importlib.machinery.SourceFileLoader("__main__", full)
    return full


def execute(names, name, source):
    """Runs a text as the main program. That of standard input is read now, when whoever writes it knows that it is read."""
    if source is None:
        with open(0, "rb", closefd=False) as opened:
            source = opened.read()
    exec(compile(source, name, "exec", dont_inherit=True), names)


def open_streams():
    """Like those of a new interpreter; only what these descriptors are is not known to it before."""
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        like = getattr(sys, name)
        below = open(number, mode + "b", closefd=False)
        below.raw.name = f"<{name}>"
        line_buffering = number == 2 or below.isatty()
        stream = io.TextIOWrapper(below, like.encoding, like.errors, newline="\n", line_buffering=line_buffering)
        stream.mode = mode
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def top(run, *start):
    """Runs it as the interpreter runs its main program. Returns the status to end with, `None` for an interrupt."""
    try:
        run(*start)
        return 0
    except SystemExit as end:
        return status(end)
    except BaseException as error:
        raised = error
    # Told outside of the handler, as there is none in an interpreter.
    return tell(raised)


def without_own_lines(error):
    """An exception, without the lines of this program that its trace begins with."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals is globals():
        trace = trace.tb_next
    return error.with_traceback(trace)


def tell(raised):
    """What an interpreter says of an exception that nobody took."""
    kind, trace = type(raised), without_own_lines(raised).__traceback__
    sys.last_type, sys.last_value, sys.last_traceback = kind, raised, trace
    if sys.version_info >= (3, 12):
        sys.last_exc = raised
    try:
        sys.excepthook(kind, raised, trace)
    except SystemExit as end:
        return status(end)
    except BaseException as error:
        print("Error in sys.excepthook:", file=sys.stderr)
        sys.__excepthook__(type(error), without_own_lines(error), error.__traceback__)
        print("\nOriginal exception was:", file=sys.stderr)
        sys.__excepthook__(kind, raised, trace)
    return None if kind is KeyboardInterrupt else 1


def status(end):
    """What an exit's value means."""
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        # What is too long for a C `long` counts as -1.
        return end.code & 0xFF if -1 << 63 <= end.code < 1 << 63 else 0xFF
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        print(end.code, file=sys.stderr)
    return 1


def finish(code):
    """Ends as an interpreter does, except that it does not take down what the zygote had imported."""
    if "threading" in sys.modules:
        with contextlib.suppress(BaseException):
            sys.modules["threading"]._shutdown()
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    flushed = flush()
    for name in ("path", "argv", "last_type", "last_value", "last_traceback", "path_hooks", "path_importer_cache", "meta_path"):
        setattr(sys, name, None)
    # From the last one on: looking at all of them would copy the memory of each.
    added = itertools.islice(reversed(sys.modules.values()), max(len(sys.modules) - len(known), 0))
    for module in [*added, sys.modules.get("__main__")]:
        forget(module)
    gc.collect()
    if not (flush() and flushed):
        code = 120
    if code is None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    # Of the C library: what its streams hold is written, and its own functions for the end are called.
    _alone.exit(code)


def flush():
    """Whether what was printed could be written."""
    whole = True
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not getattr(stream, "closed", False):
                stream.flush()
        except BaseException as error:
            whole = False
            if stream is sys.stdout:
                with contextlib.suppress(BaseException):
                    sys.unraisablehook(types.SimpleNamespace(
                        exc_type=type(error), exc_value=error, exc_traceback=None, err_msg=None, object=stream))
    return whole


def forget(module):
    """Lets go of what a module names: private names first, and those that others need last."""
    names = getattr(module, "__dict__", {})
    for private in (True, False):
        for name in list(names):
            if name != "__builtins__" and (private is False or name[:1] == "_" != name[1:2]):
                names[name] = None
