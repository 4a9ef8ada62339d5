"""Looks for known secrets in text, files, cores and the memory of processes."""

from __future__ import annotations

import base64
import pathlib
import re
import signal
import subprocess

from bed import wait_until

CHUNK = 1 << 20


def forms(key: str) -> dict[str, bytes]:
    """A base64 key in every form it could be leaked in."""
    raw = base64.b64decode(key)
    return {
        "raw": raw,
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "base64": key.rstrip("=").encode(),
        "url-safe base64": base64.urlsafe_b64encode(raw).rstrip(b"="),
    }


class Scanner:
    def __init__(self, secrets: dict[str, str]) -> None:
        """The secrets' names and base64 keys."""
        self._needles = {
            f"{name} ({form})": text for name, key in secrets.items() for form, text in forms(key).items()
        }

    def bytes(self, data: bytes) -> set[str]:
        """What was found."""
        return {name for name, needle in self._needles.items() if needle in data}

    def text(self, *texts: str) -> set[str]:
        return set().union(*(self.bytes(text.encode()) for text in texts))

    def stream(self, stream, size: int | None = None) -> set[str]:
        found: set[str] = set()
        tail = b""
        while part := stream.read(CHUNK if size is None else min(CHUNK, size)):
            size = None if size is None else size - len(part)
            found |= self.bytes(tail + part)
            tail = part[-128:]  # longer than any needle
        return found

    def tree(self, path: pathlib.Path) -> set[str]:
        """All files in a folder, and their names."""
        found: set[str] = set()
        for file in path.rglob("*"):
            found |= self.text(str(file))
            if file.is_file():
                with open(file, "rb") as stream:
                    found |= self.stream(stream)
        return found

    def memory(self, pid: int) -> set[str]:
        """Everything that the process has mapped and that can be read."""
        return {name for name, _ in self.places(pid)}

    def places(self, pid: int) -> list[tuple[str, set[str]]]:
        """The same, with the flags (proc(5), VmFlags) of the mapping that each is in."""
        found: list[tuple[str, set[str]]] = []
        smaps = pathlib.Path(f"/proc/{pid}/smaps").read_text()
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for line, flags in re.findall(r"(?ms)^(\w+-\w+ [^\n]*)\n.*?^VmFlags: ([^\n]*)", smaps):
                start, end = (int(address, 16) for address in re.match(r"(\w+)-(\w+)", line).groups())
                if line.endswith(("[vvar]", "[vvar_vclock]", "[vsyscall]")) or line.split()[1][0] != "r":
                    continue
                memory.seek(start)
                found += [(name, set(flags.split())) for name in self.stream(memory, end - start)]
        return found


def core_of(process: subprocess.Popen, folder: pathlib.Path) -> pathlib.Path:
    """The core of a process that runs in `folder`, by SIGSEGV; by gdb, where the kernel sends cores elsewhere."""
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern.startswith("|") or "/" in pattern:
        path = folder / f"core.{process.pid}"
        subprocess.run(
            ["gdb", "-batch", "-p", str(process.pid), "-ex", f"generate-core-file {path}"],
            check=True,
            capture_output=True,
        )
        process.kill()
        process.wait()
        return path
    process.send_signal(signal.SIGSEGV)
    if process.wait(20) != -signal.SIGSEGV:
        raise RuntimeError(f"ended with {process.returncode} instead of a core")
    return wait_until(
        lambda: next((path for path in folder.iterdir() if "core" in path.name), None), "a core"
    )
