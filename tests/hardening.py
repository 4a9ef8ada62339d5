#!/usr/bin/env python3
"""hardening.py PROGRAM|LIBRARY...: what the linker was asked for is in the files, as readelf(1) shows it."""

import re
import subprocess
import sys


def readelf(path: str, *what: str) -> str:
    return subprocess.run(["readelf", "-W", *what, path], check=True, capture_output=True, text=True).stdout


def exports(path: str) -> list[str]:
    rows = [line.split() for line in readelf(path, "--dyn-syms").splitlines()]
    return [row[7] for row in rows if len(row) > 7 and row[4] in ("GLOBAL", "WEAK") and row[6].isdigit()]


def problems(path: str) -> list[str]:
    header, segments = readelf(path, "-h"), readelf(path, "-l")
    dynamic, symbols = readelf(path, "-d"), readelf(path, "-s")
    library = path.endswith(".so")
    checks = {
        "is not position-independent": re.search(r"Type:\s+DYN", header),
        "binds late: a resolver would spill registers, and keys, to the stack": "NOW" in dynamic,
        "has no read-only relocations": "GNU_RELRO" in segments,
        "has an executable stack": re.search(r"GNU_STACK.* RW ", segments),
        "has a segment that is written and executed": not re.search(r"LOAD.* RWE ", segments),
        "has no stack protector": "__stack_chk_fail" in symbols,
        "was built without _FORTIFY_SOURCE": re.search(r"__\w+_chk@", symbols),
        "looks for libraries in a folder of the build": not re.search(r"RPATH|RUNPATH", dynamic),
        "exports more than module_register": not library or exports(path) == ["module_register"],
        "needs the C++ runtime at load time": not library or "libstdc++" not in dynamic,
    }
    return [f"{path} {problem}" for problem, good in checks.items() if not good]


if __name__ == "__main__":
    found = [problem for path in sys.argv[1:] for problem in problems(path)]
    print("\n".join(found) or f"{len(sys.argv) - 1} files are as they should be")
    sys.exit(1 if found or len(sys.argv) < 2 else 0)
