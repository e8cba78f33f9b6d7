"""Runs the Autobahn suite against /ws-echo of the binary that SARANG_BIN names.

The suite needs Python 2.7, which it is given as the first argument. With --full the performance cases of group 9 run too.
"""

import json
import pathlib
import subprocess
import sys

from conftest import Server

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "target" / "autobahn" / "lib"
REPORTS = ROOT / "target" / "autobahn" / "reports"
PACKAGE = "autobahntestsuite==25.10.1"

# Groups 12 and 13 are about compression, which is not offered.
CASES = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
FULL = ["9.*"]

# The number of cases in the groups that always run; fewer results mean that the suite gave up.
CASES_MIN = 247

# Cases that may be NON-STRICT, with the reason. No other case may be.
ALLOWED = {}


def install(python):
    if not (LIBRARY / "autobahntestsuite").is_dir():
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--target", str(LIBRARY), PACKAGE],
            check=True,
        )


def run_suite(python, cases):
    server = Server("--echo")
    specification = REPORTS.parent / "fuzzingclient.json"
    REPORTS.mkdir(parents=True, exist_ok=True)
    specification.write_text(
        json.dumps(
            {
                "outdir": str(REPORTS),
                "servers": [{"agent": "sarang", "url": f"ws://{server.host}/ws-echo"}],
                "cases": cases,
                "exclude-cases": [],
                "exclude-agent-cases": {},
            }
        )
    )
    # Not PYTHONPATH: only a site directory makes the namespace packages of Python 2.7 work.
    start = f"import site; site.addsitedir({str(LIBRARY)!r}); from autobahntestsuite.wstest import run; run()"
    try:
        subprocess.run(
            [python, "-c", start, "-m", "fuzzingclient", "-s", str(specification)],
            cwd=REPORTS.parent,
            stdout=subprocess.DEVNULL,
            check=True,
        )
    finally:
        server.stop()
    return json.loads((REPORTS / "index.json").read_text())["sarang"]


def judge(results):
    """A sentence for every case that did not pass."""
    failures = []
    for case, result in results.items():
        for part in ("behavior", "behaviorClose"):
            verdict = result[part]
            if verdict in ("OK", "INFORMATIONAL") or (verdict == "NON-STRICT" and case in ALLOWED):
                continue
            failures.append(f"case {case}: {part} is {verdict}, see {REPORTS / result['reportfile']}")
    return failures


def main():
    python, cases = sys.argv[1], CASES + (FULL if "--full" in sys.argv else [])
    index = REPORTS / "index.json"
    index.unlink(missing_ok=True)
    install(python)
    results = run_suite(python, cases)
    failures = judge(results)
    print(f"Autobahn: {len(results)} cases, {len(failures)} failures")
    for failure in failures:
        print(failure)
    return 1 if failures or len(results) < CASES_MIN else 0


if __name__ == "__main__":
    sys.exit(main())
