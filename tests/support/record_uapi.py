"""Records what real userspace daemons answer to `get=1`, with all secrets zeroed, into tests/fixtures/uapi/.

Usage: python3 record_uapi.py [DIRECTORY]
Needs root, and wireguard-go and boringtun-cli (cargo install boringtun-cli) in PATH.
"""

import pathlib
import re
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "live"))
import bed  # noqa: E402
from star import Star  # noqa: E402


def without_secrets(answer: str) -> str:
    """A key that is set and must be seen as set becomes a pattern, every other one zeros of the same length."""
    answer = re.sub(r"^private_key=.*$", "private_key=" + "0" * 64, answer, flags=re.M)
    return re.sub(r"^preshared_key=(?!0{64}$).*$", "preshared_key=" + "ab" * 32, answer, flags=re.M)


def main() -> None:
    directory = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else TESTS / "fixtures" / "uapi"
    directory.mkdir(parents=True, exist_ok=True)
    bed.need(bed.TOOLS | {"boringtun-cli": "boringtun-cli (with cargo)"})
    bed.enter()
    for daemon in (bed.WIREGUARD_GO, bed.BORINGTUN):
        with bed.Bed() as world:
            star = Star(world, daemon=daemon)
            time.sleep(3)  # so that a handshake's age is seconds, not nothing
            text = without_secrets(star.hub.ask())
        (directory / f"{daemon[0].removesuffix('-cli')}.txt").write_text(text)


if __name__ == "__main__":
    main()
