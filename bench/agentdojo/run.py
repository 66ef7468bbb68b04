"""The bench: every user's task and every attack through Stead.

    python run.py STEAD [--json] [--quick] [--no-plans] [--roles-only] [--jobs=N] [--minutes=N] [--records=FILE] [SUITE ...]

`STEAD` is the program. Without `--no-plans` everything is run with plans and without. `--roles-only` runs neither: the agent has its tools
and nothing asks. `--records` keeps what each run came to, and takes it from there the next time; after `--minutes` nothing new is begun.
Exits with 1 if something was not run. Keys: `README.md`.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from desk import Bench
from pairs import attacks, tasks
from records import Records, counts, digest
from runtime import Stead
from suites import SUITES
from world import Pair

USAGE = (
    "usage: python run.py STEAD [--json] [--quick] [--no-plans] [--roles-only] [--jobs=N] [--minutes=N] [--records=FILE] [SUITE ...]"
)

BATCH = 24
"""Pairs that one server is started for."""


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    stead: Path
    flags: frozenset[str]
    jobs: int
    minutes: float
    records: Path | None
    suites: tuple[str, ...]

    @property
    def modes(self) -> list[str]:
        if "--roles-only" in self.flags:
            return ["roles-only"]
        return ["no-plans"] if "--no-plans" in self.flags else ["plans", "no-plans"]


def asked(words: Sequence[str]) -> Asked | None:
    """Reads the command line; `None` if it is not one."""
    options = dict(word.split("=", 1) for word in words if word.startswith("--") and "=" in word)
    flags = frozenset(word for word in words if word.startswith("--") and "=" not in word)
    names = [word for word in words if not word.startswith("--")]
    known = options.keys() <= {"--jobs", "--minutes", "--records"} and flags <= {"--json", "--quick", "--no-plans", "--roles-only"}
    if not names or not known or set(names[1:]) - set(SUITES):
        return None
    try:
        jobs, minutes = int(options.get("--jobs", os.cpu_count() or 1)), float(options.get("--minutes", "inf"))
    except ValueError:
        return None
    file = options.get("--records")
    return Asked(Path(names[0]).resolve(), flags, max(1, jobs), minutes, Path(file) if file else None, tuple(names[1:]) or SUITES)


def batch(name: str, mode: str, pairs: Sequence[Pair], stead: Path, records: Records, until: float) -> list[str]:
    """Runs pairs of one suite, and says what went wrong."""
    wrong = []
    with (
        tempfile.TemporaryDirectory(prefix=f"agentdojo-{name}-") as folder,
        Stead(stead, Path(folder)) as started,
        Bench(name, mode, started, Path(folder)) as bench,
    ):
        for pair in pairs:
            if time.time() > until:
                break
            try:
                records.add(bench.run(pair))
            except RuntimeError as error:
                wrong.append(f"{mode}: {pair}: {error}")
    return wrong


def main(words: list[str]) -> int:
    it = asked(words)
    if it is None:
        print(USAGE, file=sys.stderr)
        return 2
    quick = "--quick" in it.flags
    with tempfile.TemporaryDirectory(prefix="agentdojo-") as folder:
        file = it.records or Path(folder) / "records.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        records = Records(file, digest(it.stead))
        wanted = [(mode, pair) for mode in it.modes for name in it.suites for pair in (*tasks(name, quick), *attacks(name, quick))]
        had = records.all()
        _run(it, [key for key in wanted if key not in had], records)
        had = records.all()
    got = {mode: [had[key] for key in wanted if key[0] == mode and key in had] for mode in it.modes}
    totals = {mode: counts(got[mode]) for mode in it.modes}
    missing = len(wanted) - sum(map(len, got.values()))
    keys = totals[it.modes[0]] | {mode.replace("-", "_"): totals[mode] for mode in it.modes[1:]}
    keys |= {"mode": it.modes[0], "quick": quick, "not_run": missing}
    print(json.dumps(keys) if "--json" in it.flags else "\n".join(f"{key}: {value}" for key, value in keys.items()))
    return 1 if missing else 0


def _run(it: Asked, left: list[tuple[str, Pair]], records: Records) -> None:
    until = time.time() + it.minutes * 60
    groups = groupby(left, lambda key: (key[0], key[1].suite))
    batches = []
    for (mode, name), keys in groups:
        pairs = [pair for _, pair in keys]
        batches += [(mode, name, pairs[at : at + BATCH]) for at in range(0, len(pairs), BATCH)]
    done = 0
    # Processes, for checks that print are kept quiet for a process as a whole.
    with ProcessPoolExecutor(it.jobs) as pool:
        waiting = {pool.submit(batch, name, mode, pairs, it.stead, records, until): len(pairs) for mode, name, pairs in batches}
        for future in as_completed(waiting):
            done += waiting[future]
            try:
                for wrong in future.result():
                    print(wrong, file=sys.stderr)
            except (RuntimeError, OSError) as error:
                print(error, file=sys.stderr)
            print(f"{done} of {len(left)}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
