#!/usr/bin/env python3
"""Runs the cases of a suite natively, twice, and inside, in each placement, and tells the cases that pass natively each time
but not inside. conformance.sh calls it.

A *unit* is what is started at once and has one time limit; it tells the outcome of one case or more. Units run side by side,
and what did not pass in company is run again alone: only that counts then, natively and inside alike.
"""

import argparse
import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBOS = Path(os.environ.get("LIBOS_BIN", ROOT / "target/release/libos"))
# Inside, the first program is process 1, which nothing else may kill and whose group is everybody's by kill(2)'s rules; natively
# a case never is, so here it is a child, too, of a shell that does not mind what else it inherits.
CHILD = ["--", "/bin/sh", "-c", 'setsid "$@"; exit $?', "sh"]
WAYS = {
    "native": [],
    "again": [],
    "auto": [LIBOS, "--log", "warn", "--isolation", "auto", *CHILD],
    "always": [LIBOS, "--log", "warn", "--isolation", "always", *CHILD],
}
# A thread of a realtime policy that never blocks gets this many microseconds, so that no case can take the machine.
RTTIME = "1000000"


class Posix:
    """Open POSIX: a program a case, whose exit status says PASS by 0."""

    timeout = 240
    # Not run at all, on the host's account.
    left_out = {
        r"clock_settime/.*|pthread_cond_init/[12]-2|clock_getcpuclockid/2-1": "sets the machine's clock",
        r"sched_setparam/(2-1|2-2|9-1|10-1)|sched_yield/1-1|pthread_create/1-6|pthread_setschedparam/5-1|pthread_cancel/3-1":
            "spins under SCHED_FIFO on every CPU",
    }

    def __init__(self, directory):
        self.tree = directory / "posixtestsuite"

    def units(self):
        base = self.tree / "conformance"
        found = [p for p in base.rglob("*") if re.fullmatch(r"\d+-\d+\.(test|sh)", p.name)]
        for path in sorted(found):
            name = str(path.relative_to(base).with_suffix("")).removeprefix("interfaces/")
            if not any(re.fullmatch(cases, name) for cases in self.left_out):
                yield name

    def place(self, unit, scratch):
        return self.tree

    def command(self, unit):
        for base in ("conformance/interfaces", "conformance"):
            for start, suffix in (([], "test"), (["sh"], "sh")):
                path = f"{base}/{unit}.{suffix}"
                if (self.tree / path).exists():
                    return [*start, f"./{path}"]

    def environment(self):
        return {}

    def outcomes(self, unit, status, output):
        words = {0: "pass", 1: "fail", 2: "unresolved", 4: "unsupported", 5: "untested", None: "timeout"}
        return {unit: words.get(status, f"status {status}")}


class Busybox:
    """busybox's tests: a unit an applet, run by the suite's own runtest, which prints a line a case."""

    # Two of bc's cases write and read four million lines, a call each.
    timeout = 1800

    def __init__(self, directory):
        self.tree = directory / "busybox"

    def units(self):
        suite = self.tree / "testsuite"
        for path in sorted(suite.iterdir()):
            if path.is_dir() or path.suffix == ".tests":
                yield path.name.removesuffix(".tests")

    def place(self, unit, scratch):
        # The tests leave files beside themselves, so each run natively gets a copy.
        if scratch is None:
            return self.tree / "testsuite"
        for name in ("busybox", ".config"):
            shutil.copy2(self.tree / name, scratch / name)
        shutil.copytree(self.tree / "testsuite", scratch / "testsuite", symlinks=True)
        return scratch / "testsuite"

    def command(self, unit):
        return ["/bin/sh", "./runtest", unit]

    def environment(self):
        # As the package's own build runs them.
        return {
            "SKIP_KNOWN_BUGS": "y", "SKIP_INTERNET_TESTS": "y", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8",
            "SHELL": "/bin/sh", "ECHO": "/bin/echo",
        }

    def outcomes(self, unit, status, output):
        found = {}
        for line in output.splitlines():
            match = re.match(r"(PASS|FAIL|SKIPPED|UNTESTED): (.*)", line)
            if match:
                name, times = f"{unit}: {match[2]}", 1
                while name in found:
                    times += 1
                    name = f"{unit}: {match[2]} ({times})"
                found[name] = match[1].lower()
        if status is None:
            found[f"{unit}: (all)"] = "timeout"
        return found


SUITES = {"posix": Posix, "busybox": Busybox}


def run(suite, unit, way, keep):
    """One unit, one way: its outcomes, and its output in a file of `keep`."""
    with tempfile.TemporaryDirectory(prefix="suite-") as scratch:
        native = not WAYS[way]
        place = suite.place(unit, Path(scratch) if native else None)
        command = [*WAYS[way], *suite.command(unit)]
        if native:
            command = ["prlimit", f"--rttime={RTTIME}:{RTTIME}", *command]
        environment = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "USER", "TERM")}
        log = keep / way / (unit.replace("/", "_") + ".log")
        with open(log, "wb") as output:
            child = subprocess.Popen(
                command, cwd=place, env={**environment, **suite.environment()}, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )
            try:
                status = child.wait(suite.timeout)
            except subprocess.TimeoutExpired:
                status = None
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            child.wait()
        return suite.outcomes(unit, status, log.read_text(errors="replace"))


def run_all(suite, units, way, keep, jobs):
    """All units one way; those with a case that did not pass once more, alone."""
    (keep / way).mkdir(parents=True, exist_ok=True)
    results, start, terminal = {}, time.monotonic(), sys.stdout.isatty()

    def show(done, of, what):
        text = f"{way}: {what} {done}/{of}, {time.monotonic() - start:.0f} s"
        if terminal:
            print(f"\r\x1b[K{text}", end="", flush=True)
        elif done == of or done % 200 == 0:
            print(text, flush=True)

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(run, suite, unit, way, keep): unit for unit in units}
        for done, future in enumerate(concurrent.futures.as_completed(waiting), 1):
            results[waiting[future]] = future.result()
            show(done, len(units), "side by side")
    fine = {"pass", "skipped", "untested", "unsupported"} | ({"timeout"} if not WAYS[way] else set())
    alone = [u for u in units if not fine.issuperset(results[u].values())]
    for done, unit in enumerate(alone, 1):
        results[unit] = run(suite, unit, way, keep)
        show(done, len(alone), "alone")
    if terminal:
        print()
    return {case: outcome for of_unit in results.values() for case, outcome in of_unit.items()}


def read(table):
    """The outcomes that an earlier run left."""
    return dict(line.rsplit("\t", 1) for line in table.read_text().splitlines())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--only", metavar="REGEX", help="units whose names match as a whole")
    parser.add_argument("--ways", default="native,again,auto,always", help="some of native,again,auto,always")
    parser.add_argument("--jobs", type=int, default=6, help="units side by side; most of them sleep")
    arguments = parser.parse_args()

    os.nice(5)
    suite = SUITES[arguments.suite](arguments.directory)
    units = sorted(set(suite.units()))
    if arguments.only:
        units = [u for u in units if re.fullmatch(arguments.only, u)]
    keep = arguments.directory / f"{arguments.suite}.results"
    ways = {}
    for way in arguments.ways.split(","):
        table = keep / f"{way}.tsv"
        if WAYS[way] and (keep / "native.tsv").exists():
            # Nothing is learned inside from what does not pass natively.
            good = {case.split(": ")[0] for case, outcome in read(keep / "native.tsv").items() if outcome == "pass"}
            units = [u for u in units if u in good]
        ways[way] = run_all(suite, units, way, keep, arguments.jobs)
        if not arguments.only:
            table.write_text("".join(f"{case}\t{outcome}\n" for case, outcome in sorted(ways[way].items())))
    # What this run left out is as it was found before.
    for way in WAYS:
        table = keep / f"{way}.tsv"
        if way not in ways and table.exists():
            ways[way] = read(table)
    natively = [ways[w] for w in ("native", "again") if w in ways]
    passing = sorted(c for c in natively[0] if all(w.get(c) == "pass" for w in natively)) if natively else []
    if arguments.only:
        mine = {c for w in arguments.ways.split(",") for c in ways[w]}
        passing = [c for c in passing if c in mine]
    differences = []
    print(f"{arguments.suite}: {len(passing)} cases pass natively each time")
    inside = [w for w in ("auto", "always") if w in ways]
    for way in inside:
        good = sum(ways[way].get(c) == "pass" for c in passing)
        print(f"  --isolation {way}: {good} of them pass ({100 * good / max(len(passing), 1):.1f} %)")
    for case in passing:
        found = [ways[way].get(case, "absent") for way in inside]
        if any(outcome != "pass" for outcome in found):
            differences.append("| " + " | ".join([case.replace("|", "\\|"), *found]) + " |\n")
    head = "| case | " + " | ".join(inside) + " |\n|---|" + "---|" * len(inside) + "\n"
    if not arguments.only:
        (keep / "differences.md").write_text(head + "".join(differences))
    print(head + "".join(differences), end="")
    return 1 if differences else 0


sys.exit(main())
