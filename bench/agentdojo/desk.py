"""One suite on stage: its tools' server, its model, and Stead between them. Each pair run here is one `Record`."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from agents import agent, manifest
from attacker import Step
from model import Desk, Model
from player import Player
from records import Record
from runtime import Stead, answers, free_port
from score import outcome
from server import Served
from world import Pair

LONGEST = 600.0
"""Seconds that one pair may take; one that takes longer has not been run."""


class Bench:
    """A suite in one mode (`agents.MODES`). A context manager."""

    def __init__(self, name: str, mode: str, stead: Stead, folder: Path) -> None:
        self._name, self._mode, self._stead, self._folder = name, mode, stead, folder
        self._model, self._serial = Model(), 0
        self._pair = folder / "pair.json"
        self._tools = Served(name, self._pair, free_port())

    def __enter__(self) -> "Bench":
        self._tools.__enter__()
        try:
            answers(self._tools.alive, self._tools.url)
            self._stead.apply(manifest(self._name, self._mode, self._tools.url, self._model.url))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        self._tools.__exit__()
        self._model.end()

    def run(self, pair: Pair) -> Record:
        """Runs a task or a pair to its end, with a human who knows what the user wants."""
        began = time.monotonic()
        self._serial += 1
        log = self._folder / f"{self._serial}.jsonl"
        said = {"user": pair.user, "injection": pair.injection, "log": str(log), "serial": self._serial}
        self._pair.write_text(json.dumps(said), encoding="utf-8")
        player = Player(pair)
        self._model.on(Desk(player, _Ear(log)))
        run, asked = self._stead.start(agent(self._name, self._mode), pair.user_task().PROMPT), Counter[bool]()
        until = began + LONGEST
        while (shown := self._stead.stands(run, until))["status"] == "waiting":
            for question in self._stead.asked(run):
                users = self._step(question) in player.user_calls and player.whose == "user"
                asked[users] += 1
                # The human knows what was asked for, and wants that and nothing else.
                self._stead.settle(question["id"], users)
        if shown["status"] != "completed":
            raise RuntimeError(f"{run} has {shown['status']}: {shown.get('code')}")
        came = outcome(player, log, shown.get("output") or "")
        log.unlink(missing_ok=True)
        return Record(
            mode=self._mode,
            suite=pair.suite,
            user=pair.user,
            injection=pair.injection,
            useful=came.useful,
            checked=came.checked,
            carried=came.carried,
            some=came.some,
            turned=came.turned,
            user_asked=asked[True],
            others_asked=asked[False],
            seconds=round(time.monotonic() - began, 2),
        )

    def _step(self, question: dict[str, Any]) -> Step:
        return Step(question["tool"].removeprefix(f"{self._name}_"), json.loads(question["arguments"]))


class _Ear:
    """Tells whether the last call failed, or did not arrive."""

    def __init__(self, log: Path) -> None:
        self._log, self._heard = log, 0

    def __call__(self) -> bool:
        lines = self._log.read_text(encoding="utf-8").splitlines() if self._log.exists() else []
        new, self._heard = lines[self._heard :], len(lines)
        return not new or json.loads(new[-1])["failed"]
