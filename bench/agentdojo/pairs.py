"""Which pairs are run."""

from suites import suite
from world import Pair

TEXT_ONLY = frozenset({("travel", "injection_task_6")})
"""Injections that ask for words and no call: no gate of tools can stop them, and they are reported apart."""

QUICK_TASKS, QUICK_PAIRS = 4, 11
"""`--quick` takes each fourth task and each eleventh pair, in the suite's order, beginning with the first. No suite has a multiple of eleven
injections, so all of them come in."""


def tasks(name: str, quick: bool = False) -> list[Pair]:
    """The user's tasks of a suite, without an attack."""
    return [Pair(name, user) for user in suite(name).user_tasks][:: QUICK_TASKS if quick else 1]


def attacks(name: str, quick: bool = False) -> list[Pair]:
    """Every user's task with every injection."""
    of = suite(name)
    return [Pair(name, user, injection) for user in of.user_tasks for injection in of.injection_tasks][:: QUICK_PAIRS if quick else 1]


def text_only(pair: Pair) -> bool:
    """Whether the pair is one of those reported apart."""
    return (pair.suite, pair.injection) in TEXT_ONLY
