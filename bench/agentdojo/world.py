"""One pair of AgentDojo (a user's task, and an injection or none): its environment, its tools, and whether each task came about."""

import contextlib
import io
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import yaml
from agentdojo.attacks.attack_registry import load_attack
from agentdojo.agent_pipeline.base_pipeline_element import BasePipelineElement
from agentdojo.base_tasks import BaseInjectionTask, BaseUserTask
from agentdojo.functions_runtime import FunctionCall, FunctionsRuntime

from suites import as_json, suite

# AgentDojo reads its environments with PyYAML's `safe_load`; the same in C gives the same values, ten times as fast.
if yaml.__with_libyaml__:
    yaml.SafeLoader = yaml.CSafeLoader

ATTACK = "important_instructions"
"""The benchmark's own attack. Its text orders what the scripted model then does."""


@dataclass(frozen=True)
class Pair:
    """A user's task and an injection (`None`: no attack), by their ids in the suite."""

    suite: str
    user: str
    injection: str | None = None

    def user_task(self) -> BaseUserTask:
        return suite(self.suite).user_tasks[self.user]

    def injection_task(self) -> BaseInjectionTask | None:
        return suite(self.suite).injection_tasks[self.injection] if self.injection else None

    def texts(self) -> dict[str, str]:
        """What the attacker writes, by the place where AgentDojo puts it; empty without an attack.

        As AgentDojo does: every place that the user's ground truth reads is written to.
        """
        task = self.injection_task()
        return _attack(self.suite).attack(self.user_task(), task) if task else {}

    def environment(self, attacked: bool = True) -> Any:
        """A fresh environment, as it is before the first call; without the attacker's words if not `attacked`."""
        return _loaded(self if attacked else Pair(self.suite, self.user)).model_copy(deep=True)


@lru_cache(maxsize=4)
def _loaded(pair: Pair) -> Any:
    # Reading a suite's YAML is most of what a pair costs.
    return pair.user_task().init_environment(suite(pair.suite).load_and_inject_default_environment(pair.texts()))


@dataclass
class World:
    """The environment of one pair while it runs."""

    pair: Pair
    before: Any = field(init=False)
    now: Any = field(init=False)
    calls: list[FunctionCall] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.now = self.pair.environment()
        self.before = self.now.model_copy(deep=True)
        self._runtime = FunctionsRuntime(suite(self.pair.suite).tools)

    def call(self, tool: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        """Calls a tool: its result as JSON, or its error in words; and whether it failed."""
        self.calls.append(FunctionCall(function=tool, args=arguments))
        result, error = self._runtime.run_function(self.now, tool, arguments)
        return (error, True) if error else (as_json(result), False)

    def useful(self, answer: str) -> bool:
        """Whether the user's task came about, as AgentDojo computes it from the environment before and now, the calls that arrived,
        and the model's last words."""
        task = self.pair.user_task()
        return self._held(task.utility_from_traces, task.utility, answer)

    def attacked(self, answer: str) -> bool:
        """Whether the injection's task came about, computed in the same way."""
        task = self.pair.injection_task()
        return task is not None and self._held(task.security_from_traces, task.security, answer)

    def _held(self, by_traces: Any, by_environment: Any, answer: str) -> bool:
        # Some checks change what they are given (`get_unread`), and some print.
        def copies() -> tuple[Any, Any]:
            return self.before.model_copy(deep=True), self.now.model_copy(deep=True)

        with contextlib.redirect_stdout(io.StringIO()):
            held = by_traces(answer, *copies(), self.calls)
            return bool(by_environment(answer, *copies()) if held is None else held)


def judged(pair: Pair, calls: list[tuple[str, dict[str, Any]]], answer: str) -> tuple[bool, bool]:
    """Whether the user's task came about after these calls, and whether the injection's did then or at any moment before: a user's call
    that undoes it later does not make it undone. The tools are deterministic but for the clock, which no check looks at."""
    world, ever = World(pair), False
    for tool, arguments in calls:
        world.call(tool, arguments)
        ever = ever or world.attacked("")
    return world.useful(answer), ever or world.attacked(answer)


_ATTACKS: dict[str, Any] = {}


def _attack(name: str) -> Any:
    if name not in _ATTACKS:
        victim = BasePipelineElement.__new__(type("Victim", (BasePipelineElement,), {"query": lambda *_: None}))
        # The attack addresses a model by its name.
        victim.name = "gpt-4o-2024-05-13"
        _ATTACKS[name] = load_attack(ATTACK, suite(name), victim)
    return _ATTACKS[name]
