"""What the attacker wants done, as calls. He knows the whole environment, and loses no time looking around."""

from dataclasses import dataclass
from typing import Any

from handmade import HANDMADE, SAYS
from world import Pair


@dataclass(frozen=True)
class Sent:
    """Stands for the id of the mail that the attacker's `n`-th `send_email` (from 0) sent; `guess`, if it told none."""

    n: int
    guess: str


@dataclass(frozen=True)
class Step:
    """A call that the attacker wants made."""

    tool: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Attack:
    """An injection: by which texts the model sees it, what is to be done, and what is to be said at the end."""

    texts: list[str]
    steps: list[Step]
    says: str

    def seen(self, result: str) -> bool:
        """Whether a tool's result, as the model is shown it, has the attacker's words in it: each of their lines, up to white space."""
        shown = _words(result)
        return any(all(line in shown for line in _lines(text)) for text in self.texts)


def attack(pair: Pair) -> Attack | None:
    """The attack of a pair, or `None`."""
    task = pair.injection_task()
    if task is None:
        return None
    environment = pair.environment()
    calls = task.ground_truth(environment.model_copy(deep=True))
    steps = [Step(call.function, dict(call.args)) for call in calls]
    key = (pair.suite, pair.injection)
    if not steps and key in HANDMADE:
        steps = [Step(tool, arguments) for tool, arguments in HANDMADE[key](environment.model_copy(deep=True))]
    return Attack(list(pair.texts().values()), _of_sent(steps, environment), SAYS.get(key, ""))


def _of_sent(steps: list[Step], environment: Any) -> list[Step]:
    """Ids of mails that are yet to be sent are taken from what `send_email` tells: the user may have sent one before."""
    if not any(step.tool == "delete_email" for step in steps):
        return steps
    known, deleted, out = set(environment.inbox.emails), 0, []
    for step in steps:
        guess = step.arguments.get("email_id")
        if step.tool == "delete_email" and guess not in known:
            step = Step(step.tool, {"email_id": Sent(deleted, guess)})
            deleted += 1
        out.append(step)
    return out


def _lines(text: str) -> list[str]:
    return [words for line in text.splitlines() if (words := _words(line))]


def _words(text: str) -> str:
    # As it may stand inside JSON.
    return " ".join(text.replace("\\n", " ").replace('\\"', '"').split())
