"""PROBES.md: what `wgvitals probe handshake` says in each condition, server by server, as the tests saw it.

WGVITALS_UPDATE_GOLDEN=1 writes the column of the server that was tested, to be read as a change.
"""

from __future__ import annotations

import os
import pathlib
import unittest

from probe_conditions import CONDITIONS, Condition

FILE = pathlib.Path(__file__).with_name("PROBES.md")
KINDS = ("wireguard-go", "kernel")
NOT_HERE, UNSEEN = "—", "?"
HEAD = """# What a handshake probe says

Written by `tests/live/handshake_test.py` (wireguard-go) and `tests/guest/handshake_probe_test.py` (the kernel),
which put a real server into each condition (`tests/live/probe_conditions.py`). Several probes of one condition are
parted by `;`.

"""


def _rows() -> dict[str, dict[str, str]]:
    """The columns of each condition, as the file has them."""
    lines = [line for line in FILE.read_text().splitlines() if line.startswith("| ")] if FILE.exists() else []
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]
    return {row[0]: dict(zip(KINDS, row[2:])) for row in rows}


def _text(seen: dict[str, dict[str, str]]) -> str:
    def cell(what: Condition, kind: str) -> str:
        return NOT_HERE if what.only not in ("", kind) else seen.get(what.name, {}).get(kind, UNSEEN)

    rows = [("condition", "expected", *KINDS), ("---",) * (2 + len(KINDS))]
    rows += [(what.name, what.expected, *(cell(what, kind) for kind in KINDS)) for what in CONDITIONS]
    return HEAD + "".join("| " + " | ".join(row) + " |\n" for row in rows)


def judge(test: unittest.TestCase, kind: str, found: dict[str, dict]) -> None:
    """Each condition is as expected, and the file says what was seen."""
    chosen = [what for what in CONDITIONS if what.only in ("", kind)]
    test.assertEqual(set(found), {what.name for what in chosen})
    for what in chosen:
        with test.subTest(what.name):
            result = found[what.name]
            test.assertNotIn("fault", result, result.get("fault"))
            told = [one["answer"] | {"notes": one["notes"]} for one in result["said"]]
            test.assertEqual(result["seen"], what.expected, told)
            for one in result["said"]:
                fine = one["answer"]["outcome"] == "ok"
                test.assertEqual(one["status"], 0 if fine else 1, one)
                test.assertEqual(bool(one["answer"].get("advice")), not fine, one)
            for words in what.advice:
                test.assertIn(words, told[-1].get("advice", ""))
    rows = _rows()
    for what in chosen:
        if "seen" in found.get(what.name, {}):
            rows.setdefault(what.name, {})[kind] = found[what.name]["seen"]
    if os.environ.get("WGVITALS_UPDATE_GOLDEN"):
        FILE.write_text(_text(rows))
    test.maxDiff = None
    test.assertEqual(FILE.read_text(), _text(rows))


def judge_session(test: unittest.TestCase, session: dict) -> None:
    """Five echoes and their replies went through it, and the server takes it for a session, too."""
    answer, peer = session["answer"], session["peer"]
    told = answer["outcome"], answer["tunnel_sent"], answer["tunnel_received"], answer["tunnel_loss_percent"]
    test.assertEqual(told, ("ok", 5, 5, 0), session)
    test.assertGreaterEqual(peer["latest_handshake"], session["began"])
    test.assertLess(peer["latest_handshake"], session["began"] + 60)
    message, rest = divmod(peer["tx_bytes"] - 92, 5)
    test.assertEqual((rest, message % 16), (0, 0), peer)
    test.assertGreater(message, 32 + 28)
    keepalives = peer["rx_bytes"] - 148 - 5 * message
    test.assertIn(keepalives, (32, 64), peer)
