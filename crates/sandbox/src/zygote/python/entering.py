# The forked process: into the namespaces of a box, and down to the rights of a command. The order and the extent are those
# of `seed.rs` and `privileges.rs`; the tests lay both side by side.

import errno
import resource
import select
import socket

# Namespaces in the order in which their descriptors come, that of processes first.
NAMESPACES = (
    ("processes", CLONE_NEWPID),
    ("messages", CLONE_NEWIPC),
    ("the name", CLONE_NEWUTS),
    ("the network", CLONE_NEWNET),
    ("control groups", CLONE_NEWCGROUP),
    ("mounts", CLONE_NEWNS),
)
# Where the socket to the box's init stands.
SEED = 3


def enter(namespace, which):
    name, kind = which
    call(f"entering the namespace of {name}", SYS_setns, namespace, kind)


def keep_only_seed():
    """Closes all but the socket to the init, and the standard streams, which lead nowhere."""
    call("closing descriptors", SYS_close_range, SEED + 1, 0xFFFF_FFFF, 0)


def write_own(file, text, step):
    """Writes a file of its own in /proc."""
    try:
        with open(f"/proc/self/{file}", "w") as opened:
            opened.write(text)
    except OSError as error:
        raise Fault(f"{step}: {said(error)}") from None


def own_user_namespace():
    """Below the one that owns everything else of the box."""
    control("opening its own files", PR_SET_DUMPABLE, 1)
    write_own("oom_score_adj", DIES_FIRST, "standing first in line when memory is short")
    call("making the user namespace of a sandbox", SYS_unshare, CLONE_NEWUSER)
    for file, text in (("setgroups", "deny"), ("uid_map", MAP), ("gid_map", MAP)):
        write_own(file, text, f"writing {file}")


def drop_rights():
    """No capability, none to get back, no new privileges."""
    control("dropping ambient capabilities", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    for bit in range(64):
        try:
            control("dropping capabilities", PR_CAPBSET_DROP, bit)
        except Fault as fault:
            # The first that the kernel does not know ends the list.
            if fault.code != errno.EINVAL:
                raise
            break
    call("dropping capabilities", SYS_capset, memory(CAPABILITIES_OF_SELF), memory(bytes(24)))
    control("forbidding new privileges", PR_SET_NO_NEW_PRIVS, 1)


def be_of_the_init():
    """Waits until the process between has ended and the box's init is the one above, then dies with it."""
    while (parent := os.getppid()) != 1:
        try:
            above = os.pidfd_open(parent)
        except ProcessLookupError:
            continue
        select.select([above], [], [])
        os.close(above)
    control("tying this process to its parent", PR_SET_PDEATHSIG, SIGKILL)


def become_seed(namespaces):
    """Gives everything up. What is returned is the conversation with the box's init."""
    for namespace, which in zip(namespaces[1:], NAMESPACES[1:]):
        enter(namespace, which)
    keep_only_seed()
    own_user_namespace()
    drop_rights()
    be_of_the_init()
    os.setsid()
    load_filter()
    return socket.socket(fileno=SEED)


def limit(limits):
    """Both bounds of each, so that nothing can be raised again. `limits` as in `wire/plan.rs`."""

    def set_both(what, value):
        most = resource.getrlimit(what)[1]
        bound = value if most == resource.RLIM_INFINITY else min(most, value)
        # Beyond what Python can say there is no bound.
        bound = bound if bound < 1 << 63 else resource.RLIM_INFINITY
        try:
            resource.setrlimit(what, (bound, bound))
        except (OSError, ValueError) as error:
            raise Fault(f"setting a resource limit: {error}") from None

    _, pids, _, _, _, file, open_files, _, count = limits
    for what, value in FIXED:
        set_both(what, value)
    set_both(resource.RLIMIT_NOFILE, max(open_files, 4))
    set_both(resource.RLIMIT_FSIZE, file)
    if count and pids is not None:
        set_both(resource.RLIMIT_NPROC, max(pids - 1, 0))


def enclose(writable):
    """Landlock: everything may be read, these places written (`landlock.rs`)."""
    if not LANDLOCK_FILES:
        return
    step = "setting Landlock's rules"
    asked = memory(struct.pack("=QQQ", LANDLOCK_FILES, 0, LANDLOCK_SCOPES))
    rules = call(step, SYS_landlock_create_ruleset, asked, 24, 0)

    def allow(path, rights):
        try:
            folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError as error:
            raise Fault(f"{step}: {path}: {said(error)}") from None
        rule = memory(struct.pack("=Qi", rights, folder))
        call(step, SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, rule, 0)
        os.close(folder)

    allow("/", LANDLOCK_READ)
    for path in (*WRITABLE, *writable):
        allow(path, LANDLOCK_FILES)
    call(step, SYS_landlock_restrict_self, rules, 0)
    os.close(rules)
