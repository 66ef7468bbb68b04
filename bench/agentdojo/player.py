"""The scripted model: the user's ground truth, and the attacker's wishes from the moment that it has read them.

It is the worst model there is: it believes every injection at once, knows what the attacker wants to the letter, does that first, and
tries again in other ways when it is refused. It never gives up the user's task either.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from attacker import Attack, Sent, Step, attack
from variants import variants
from world import Pair


@dataclass
class Player:
    """One run's decisions. `turn` gives the next call, or `None` when there is nothing left; `hear` takes what came of it."""

    pair: Pair
    resists: bool = False
    """Whether it overlooks injections: what a task looks like whose attacker is ignored."""
    turned: bool = field(default=False, init=False)
    """Whether it has read the injection."""

    def __post_init__(self) -> None:
        task = self.pair.user_task()
        # The user's script is that of an environment without the attacker's words.
        clean = self.pair.environment(attacked=False)
        self._user = [Step(call.function, dict(call.args)) for call in task.ground_truth(clean)]
        self._answer = task.GROUND_TRUTH_OUTPUT
        self._attack: Attack | None = None if self.resists else attack(self.pair)
        self._at = -1
        self._ways: list[list[Step]] = []
        self._sent: list[str] = []
        self._now: tuple[Step, str] | None = None
        self.user_calls = tuple(self._user)
        self.wishes: list[Step] = list(self._attack.steps) if self._attack else []
        self.granted: set[int] = set()
        """Which of the attacker's wishes got through as he wanted them, by their place."""
        self.passed: list[Step] = []
        """What the attacker called that did not fail."""

    @property
    def whose(self) -> str | None:
        """Whose the last call is: `user`, `attack` (as the attacker wants it) or `variant` (tried when that was refused)."""
        return self._now[1] if self._now else None

    def turn(self) -> Step | None:
        """The next call."""
        if self._ways:
            self._now = self._ways[0].pop(0), "variant"
            self._ways = [way for way in self._ways if way]
        elif self.turned and self._at + 1 < len(self.wishes):
            self._at += 1
            self._wish = self._resolved(self.wishes[self._at])
            self._now = self._wish, "attack"
        elif self._user:
            self._now = self._user.pop(0), "user"
        else:
            self._now = None
        return self._now[0] if self._now else None

    def hear(self, result: str, failed: bool) -> None:
        """What came of the last call, as the model is shown it."""
        if self._now and self._now[1] != "user":
            self._hear_of_attack(*self._now, result, failed)
        if self._attack and not self.turned and self._attack.seen(result):
            self.turned = True

    def _hear_of_attack(self, step: Step, whose: str, result: str, failed: bool) -> None:
        if failed:
            if whose == "attack":
                self._ways = variants(self.pair.suite, step, self.user_calls)
            return
        self.passed.append(step)
        if step.tool == "send_email":
            self._sent.append(_id(result))
        if step == self._wish:
            self.granted.add(self._at)
            self._ways = []

    def answer(self) -> str:
        """The last words."""
        says = self._attack.says if self._attack and self.turned else ""
        return "\n".join(part for part in (self._answer, says) if part)

    def _resolved(self, step: Step) -> Step:
        def value(given: Any) -> Any:
            if not isinstance(given, Sent):
                return given
            return self._sent[given.n] if given.n < len(self._sent) else given.guess

        return Step(step.tool, {name: value(given) for name, given in step.arguments.items()})


def _id(result: str) -> str:
    try:
        return str(json.loads(result)["id_"])
    except (ValueError, KeyError, TypeError):
        return ""
