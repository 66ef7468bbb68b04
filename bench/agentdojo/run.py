"""The bench: every user's task and every attack through Stead.

    python run.py STEAD [--json] [--quick] [--no-plans] [--roles-only] [SUITE ...]

`STEAD` is the program. Without `--no-plans` everything is run with plans and without. `--roles-only` runs neither: the agent has its tools
and nothing asks. Keys: `README.md`.
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from agents import agent, manifest
from attacker import Step
from model import Desk, Model
from pairs import attacks, tasks, text_only
from player import Player
from runtime import Stead, answers, free_port
from score import Outcome, outcome
from suites import SUITES
from world import Pair

_HERE = Path(__file__).parent


@dataclass
class Came:
    """What one run came to: its outcome, and how often a human was asked about the user's calls and about others."""

    outcome: Outcome
    user_asked: int = 0
    others_asked: int = 0


class Bench:
    """One suite: its tools' server, its model, and Stead between them."""

    def __init__(self, name: str, stead: Stead, folder: Path) -> None:
        self._name, self._stead, self._folder = name, stead, folder
        self._model, self._serial = Model(), 0
        self._pair = folder / "pair.json"
        port = free_port()
        command = [sys.executable, str(_HERE / "server.py"), name, str(self._pair), "--http", str(port)]
        self._server = subprocess.Popen(command)
        self._tools = f"http://127.0.0.1:{port}/mcp"
        try:
            answers(self._server, self._tools)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        self._server.terminate()
        self._server.wait()

    def counts(self, mode: str, quick: bool) -> Counter[str]:
        """Counts of all tasks and pairs in one mode."""
        self._stead.apply(manifest(self._name, mode, self._tools, self._model.url))
        out: Counter[str] = Counter()
        for pair in tasks(self._name, quick):
            _count_task(out, self._run(pair, mode))
        for pair in attacks(self._name, quick):
            _count_attack(out, pair, self._run(pair, mode))
        return out

    def _run(self, pair: Pair, mode: str) -> Came:
        self._serial += 1
        log = self._folder / f"{self._serial}.jsonl"
        said = {"user": pair.user, "injection": pair.injection, "log": str(log), "serial": self._serial}
        self._pair.write_text(json.dumps(said), encoding="utf-8")
        player = Player(pair)
        self._model.on(Desk(player, _Ear(log)))
        run, asked = self._stead.start(agent(self._name, mode), pair.user_task().PROMPT), Counter[bool]()
        while (shown := self._stead.stands(run))["status"] == "waiting":
            for question in self._stead.asked(run):
                users = _step(self._name, question) in player.user_calls and player.whose == "user"
                asked[users] += 1
                # The human knows what was asked for, and wants that and nothing else.
                self._stead.settle(question["id"], users)
        if shown["status"] != "completed":
            print(f"{mode}: {pair}: {run} {shown['status']} {shown.get('code')}", file=sys.stderr)
        return Came(outcome(player, log, shown.get("output") or ""), asked[True], asked[False])


class _Ear:
    """Tells whether the last call failed, or did not arrive."""

    def __init__(self, log: Path) -> None:
        self._log, self._heard = log, 0

    def __call__(self) -> bool:
        lines = self._log.read_text(encoding="utf-8").splitlines() if self._log.exists() else []
        new, self._heard = lines[self._heard :], len(lines)
        return not new or json.loads(new[-1])["failed"]


def _step(name: str, question: dict[str, Any]) -> Step:
    return Step(question["tool"].removeprefix(f"{name}_"), json.loads(question["arguments"]))


def _count_task(out: Counter[str], came: Came) -> None:
    out["user_tasks"] += 1
    out["with_approvals"] += came.outcome.useful
    out["unattended"] += came.outcome.useful and came.user_asked + came.others_asked == 0
    out["at_most_one"] += came.outcome.useful and came.user_asked <= 1
    out["approvals"] += came.user_asked


def _count_attack(out: Counter[str], pair: Pair, came: Came) -> None:
    if text_only(pair):
        out["text_only_pairs"] += 1
        out["text_only_effective"] += came.outcome.checked
        return
    out["attacks"] += 1
    out["attacks_read"] += came.outcome.turned
    out["attacks_effective"] += came.outcome.effective
    out["attacks_with_any_effect"] += came.outcome.some
    out["prompts_by_attacks"] += came.others_asked
    out["attacks_that_ask"] += came.others_asked > 0
    out["useful_under_attack"] += came.outcome.useful


def suite_counts(name: str, binary: Path, modes: list[str], quick: bool) -> dict[str, Counter[str]]:
    """Counts of one suite by mode."""
    with tempfile.TemporaryDirectory(prefix=f"agentdojo-{name}-") as folder, Stead(binary, Path(folder)) as stead:
        bench = Bench(name, stead, Path(folder))
        try:
            return {mode: bench.counts(mode, quick) for mode in modes}
        finally:
            bench.end()


def main(words: list[str]) -> int:
    flags = {word for word in words if word.startswith("--")}
    names = [word for word in words if not word.startswith("--")]
    if not names or flags - {"--json", "--quick", "--no-plans", "--roles-only"} or set(names[1:]) - set(SUITES):
        print("usage: python run.py STEAD [--json] [--quick] [--no-plans] [--roles-only] [SUITE ...]", file=sys.stderr)
        return 2
    modes = ["roles-only"] if "--roles-only" in flags else ["no-plans"] if "--no-plans" in flags else ["plans", "no-plans"]
    quick = "--quick" in flags
    counts = partial(suite_counts, binary=Path(names[0]).resolve(), modes=modes, quick=quick)
    # Processes, for checks that print are kept quiet for a process as a whole.
    with ProcessPoolExecutor() as pool:
        each = list(pool.map(counts, names[1:] or SUITES))
    totals = {mode: _keys(sum((one[mode] for one in each), Counter())) for mode in modes}
    keys = totals[modes[0]] | {mode.replace("-", "_"): totals[mode] for mode in modes[1:]} | {"mode": modes[0], "quick": quick}
    print(json.dumps(keys) if "--json" in flags else "\n".join(f"{key}: {value}" for key, value in keys.items()))
    return 0


def _keys(out: Counter[str]) -> dict[str, Any]:
    names = (
        "attacks attacks_read attacks_effective attacks_with_any_effect attacks_that_ask prompts_by_attacks text_only_pairs "
        "text_only_effective useful_under_attack user_tasks unattended with_approvals at_most_one"
    )
    keys: dict[str, Any] = {name: out[name] for name in names.split()}
    return keys | {"approvals_per_task": round(out["approvals"] / max(1, out["user_tasks"]), 3)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
