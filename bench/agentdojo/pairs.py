"""Which pairs are run."""

from suites import suite
from world import Pair

TEXT_ONLY = frozenset({("travel", "injection_task_6")})
"""Injections that ask for words and no call: no gate of tools can stop them, and they are reported apart."""

QUICK = 7
"""`--quick` takes each seventh task and pair, in the suite's order, beginning with the first."""


def tasks(name: str, quick: bool = False) -> list[Pair]:
    """The user's tasks of a suite, without an attack."""
    return [Pair(name, user) for user in suite(name).user_tasks][:: QUICK if quick else 1]


def attacks(name: str, quick: bool = False) -> list[Pair]:
    """Every user's task with every injection."""
    of = suite(name)
    return [Pair(name, user, injection) for user in of.user_tasks for injection in of.injection_tasks][:: QUICK if quick else 1]


def text_only(pair: Pair) -> bool:
    """Whether the pair is one of those reported apart."""
    return (pair.suite, pair.injection) in TEXT_ONLY
