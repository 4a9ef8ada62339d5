#!/usr/bin/env python3
"""The guest bed: boots Debian's cloud kernel, which has WireGuard, in an emulator and runs a shell script inside.

    result = guest.run_for(cls, "shapes", files={"/peers.conf": text})
    result.text("one/wg.txt")            # a file that the script left in /out
    result.console                       # what the guest said

By hand: `guest.py shell [SCENARIO]` and `guest.py run SCENARIO`; see README.md.
Environment: WGVITALS_BIN, the folder of our programs; WGVITALS_BEDS, a cache for the kernel; by default below build/.
"""
from __future__ import annotations

import contextlib
import dataclasses
import lzma
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "live"))
import packages

BUILD = HERE.parents[1] / "build"
PROGRAMS = ("wgvitals", "wgvitals-execd")
TOOLS = ("bash", "busybox", "conntrack", "ip", "nft", "nsenter", "ping", "setcap", "setpriv", "strace", "tc",
         "unshare", "wg")
# Loaded by init; the others a scenario loads when it wants them.
BOOT_MODULES = ("virtio_pci", "virtio_console")
MODULES = (*BOOT_MODULES, "dummy", "nf_conntrack_netlink", "nft_chain_nat", "nft_masq", "nft_reject_ipv4", "sch_netem",
           "veth", "wireguard")

signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that temporary folders go


class GuestError(Exception):
    """The bed or the guest failed: nothing can be said about our programs."""


@dataclasses.dataclass
class Result:
    folder: pathlib.Path
    console: str
    seconds: float

    def bytes(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def text(self, name: str) -> str:
        return (self.folder / name).read_text()


def _tool(name: str) -> str:
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise GuestError(f"{name} is missing; packaging/dependencies.sh installs it")
    return path


def _call(*command: str, **options) -> str:
    done = subprocess.run([_tool(command[0]), *command[1:]], capture_output=True, text=True, **options)
    if done.returncode:
        raise GuestError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


# --- the kernel -------------------------------------------------------------------------------------------------------

# Debian 12's own, and the newer one that its security archive has: the package that stands for it, its version.
KERNELS = {"usual": ("linux-image-cloud-amd64", "6.1"), "newer": ("linux-image-6.12-cloud-amd64", "6.12")}


def _package(meta: str) -> str:
    """The package that a meta package stands for today, such as linux-image-6.1.0-56-cloud-amd64."""
    said = packages.apt("apt-cache", "depends", meta)
    found = re.search(r"Depends: (linux-image-\d\S+)", said)
    if not found:
        raise GuestError(f"apt knows no kernel behind {meta}")
    return found.group(1)


def kernel(which: str = "usual") -> pathlib.Path:
    """The folder of an unpacked kernel of KERNELS (boot/, lib/modules/); fetched where none is there yet."""
    meta, version = KERNELS[which]
    there = packages.PACKAGES.glob(f"linux-image-{version}.*")
    ready = sorted(there, key=lambda path: path.stat().st_mtime)
    package = ready[-1].name if ready else _package(meta)
    return packages.unpacked(package, lambda root: _call("depmod", "-b", str(root),
                                                         package.removeprefix("linux-image-")))


# --- the initramfs ----------------------------------------------------------------------------------------------------

class Initramfs:
    """The kernel's "newc" archive, built in memory."""

    def __init__(self):
        self._parts: list[bytes] = []
        self._names: set[str] = set()

    def _add(self, name: str, mode: int, data: bytes = b"") -> None:
        numbers = (len(self._names), mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % number for number in numbers) + name.encode() + b"\0"
        self._parts += [head, b"\0" * (-len(head) % 4), data, b"\0" * (-len(data) % 4)]
        self._names.add(name)

    def _parents(self, name: str) -> None:
        for folder in reversed(pathlib.PurePosixPath(name).parents):
            if str(folder) not in (".", *self._names):
                self._add(str(folder), stat.S_IFDIR | 0o755)

    def file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        name = path.lstrip("/")
        if name in self._names:
            return
        self._parents(name)
        self._add(name, stat.S_IFREG | mode, data)

    def link(self, path: str, target: str) -> None:
        name = path.lstrip("/")
        if name not in self._names:
            self._parents(name)
            self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def program(self, source: str, path: str) -> None:
        """A program or a library with the libraries that it loads, or a script."""
        data = pathlib.Path(source).read_bytes()
        self.file(path, data, 0o755)
        if not data.startswith(b"\x7fELF"):
            return
        libraries = subprocess.run(["ldd", source], capture_output=True, text=True).stdout
        if "not found" in libraries:
            raise GuestError(f"{source} lacks a library:\n{libraries}")
        for library in re.findall(r"(/\S+) \(0x", libraries):
            self.file(library, pathlib.Path(library).read_bytes(), 0o755)

    def done(self) -> bytes:
        self._add("TRAILER!!!", 0)
        return b"".join(self._parts)


def library(name: str) -> dict[str, str]:
    """For `programs`: one that a program loads only when it wants it."""
    found = re.search(rf"{re.escape(name)} .*=> (\S+)", _call("ldconfig", "-p"))
    if not found:
        raise GuestError(f"{name} is missing")
    return {found.group(1): found.group(1)}


def python(script: pathlib.Path, *late: str) -> tuple[str, dict[str, str]]:
    """This interpreter's path, and what a script of ours takes to run: for `programs`, at the same paths. `late` are
    modules that are loaded only when they are wanted."""
    interpreter = os.path.realpath(sys.executable)
    load = (f"import sys; sys.path.insert(0, {str(script.parent)!r}); import {', '.join((script.stem, *late))}\n"
            "for module in list(sys.modules.values()): print(getattr(module, '__file__', None) or '')")
    said = _call(interpreter, "-SB", "-c", load)
    paths = [interpreter, str(script), *(path for path in said.splitlines() if path.startswith("/"))]
    return interpreter, {path: path for path in paths}


def _module(path: str) -> str:
    return pathlib.Path(path).name.removesuffix(".xz")


def _initramfs(root: pathlib.Path, scenario: pathlib.Path, files: dict[str, str | bytes],
               programs_too: dict[str, str]) -> bytes:
    image = Initramfs()
    image.file("/init", (HERE / "init").read_bytes(), 0o755)
    image.file("/scenario.sh", scenario.read_bytes())
    image.file("/common.sh", (HERE / "scenarios/common.sh").read_bytes())
    for path, data in files.items():
        image.file(path, data.encode() if isinstance(data, str) else data)
    for tool in TOOLS:
        image.program(_tool(tool), f"/bin/{tool}")
    programs = pathlib.Path(os.environ.get("WGVITALS_BIN", BUILD / "release"))
    for program in PROGRAMS:
        if not (programs / program).is_file():
            raise GuestError(f"{programs / program} is missing: build the programs first")
        with tempfile.NamedTemporaryFile() as stripped:
            _call("strip", "-o", stripped.name, str(programs / program))
            image.program(stripped.name, f"/bin/{program}")
    for path, source in programs_too.items():
        image.program(source, path)
    for applet in _call("busybox", "--list").split():
        image.link(f"/bin/{applet}", "busybox")  # what has a program of its own already keeps it

    [version] = os.listdir(root / "lib/modules")
    for module in MODULES:
        shown = _call("modprobe", "-d", str(root), "-S", version, "--show-depends", module)
        paths = re.findall(r"^insmod (\S+)", shown, re.MULTILINE)
        for path in paths:
            data = pathlib.Path(path).read_bytes()  # newer kernels' are compressed
            image.file(f"/modules/{_module(path)}", lzma.decompress(data) if path.endswith(".xz") else data)
        image.file(f"/modules/{module}.order", "".join(f"{_module(path)}\n" for path in paths).encode())
    image.file("/modules/boot", " ".join(BOOT_MODULES).encode() + b"\n")
    return image.done()


# --- the emulator -----------------------------------------------------------------------------------------------------

# The processors; COUNTED: one, the clock of which advances by a nanosecond an instruction and jumps where it would be
# idle; random numbers are the same in each run.
TWO = ("-smp", "2")
COUNTED = ("-smp", "1", "-icount", "shift=0,sleep=off", "-rtc", "clock=vm", "-seed", "1")


def _qemu(root: pathlib.Path, initrd: pathlib.Path, results: pathlib.Path, memory_mb: int, options: str,
          processors: tuple[str, ...]) -> list[str]:
    [vmlinuz] = (root / "boot").glob("vmlinuz-*")
    return [
        # The emulator never outlives the test, however that ends.
        _tool("setpriv"), "--pdeathsig", "KILL", "--", _tool("qemu-system-x86_64"),
        # Threads of their own for the processors hang when the kernel patches itself under load.
        "-accel", "tcg,thread=single", "-cpu", "max,-cx16", *processors, "-m", str(memory_mb),
        "-nodefaults", "-display", "none", "-no-reboot",
        "-device", "virtio-serial", "-chardev", f"file,id=results,path={results}",
        "-device", "virtserialport,chardev=results",
        "-kernel", str(vmlinuz), "-initrd", str(initrd),
        "-append", f"console=ttyS0 quiet panic=-1 oops=panic {options}",
    ]


def _verdict(console: str, status: pathlib.Path, timed_out: bool, timeout: float) -> str | None:
    """What went wrong with the guest itself."""
    panic = re.search(r"Kernel panic.*", console)
    if panic:
        return f"the guest's kernel died: {panic.group(0).strip()}"
    if timed_out:
        return f"the guest was not done after {timeout:.0f} s"
    if not status.exists():
        return "the guest ended without results"
    if status.read_text().strip() != "0":
        return f"the scenario failed with status {status.read_text().strip()}"
    return None


@contextlib.contextmanager
def _prepared(scenario: str, files: dict[str, str | bytes], memory_mb: int, options: str,
              processors: tuple[str, ...] = TWO, programs: dict[str, str] | None = None, which: str = "usual"):
    script = HERE / "scenarios" / f"{scenario}.sh"
    if not script.is_file():
        raise GuestError(f"there is no {script}")
    root = kernel(which)
    with tempfile.TemporaryDirectory(prefix="wgvitals-guest-") as work:
        initrd = pathlib.Path(work) / "initrd"
        initrd.write_bytes(_initramfs(root, script, files, programs or {}))
        results = pathlib.Path(work) / "results.tar"
        yield results, _qemu(root, initrd, results, memory_mb, options, processors)


def run(scenario: str, folder: pathlib.Path, *, files: dict[str, str | bytes] | None = None,
        programs: dict[str, str] | None = None, timeout: float = 400, memory_mb: int = 1024,
        processors: tuple[str, ...] = TWO, kernel: str = "usual") -> Result:
    """Boots, runs scenarios/<scenario>.sh (or another path, without its .sh) and unpacks its /out into `folder`.

    `files` are placed into the guest (absolute path: contents), and `programs` with the libraries that they load
    (absolute path there: path here). `processors` may be COUNTED, `kernel` one of KERNELS. Raises
    GuestError unless the script ended with 0.
    """
    began = time.monotonic()
    with _prepared(scenario, files or {}, memory_mb, "", processors, programs, kernel) as (results, command):
        timed_out = False
        console_path = results.with_name("console")
        with open(console_path, "wb") as console_file:
            process = subprocess.Popen([*command, "-serial", "stdio"], stdin=subprocess.DEVNULL,
                                       stdout=console_file, stderr=subprocess.STDOUT)
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                timed_out = True
            finally:
                process.kill()
                process.wait()
        console = console_path.read_text(errors="replace")
        with contextlib.suppress(tarfile.ReadError, FileNotFoundError), tarfile.open(results) as archive:
            archive.extractall(folder)
    problem = _verdict(console, folder / "status", timed_out, timeout)
    if problem:
        raise GuestError(f"{scenario}: {problem}\n--- end of the guest's console ---\n{console[-4000:]}")
    return Result(folder, console, time.monotonic() - began)


def run_for(test: type[unittest.TestCase], scenario: str, **options) -> Result:
    """run() in setUpClass: the results are kept as long as the class, or for ever where WGVITALS_GUEST_KEEP is set."""
    folder = tempfile.mkdtemp(prefix=f"wgvitals-{pathlib.Path(scenario).name}-")
    if os.environ.get("WGVITALS_GUEST_KEEP"):
        print(f"guest: results are in {folder}", file=sys.stderr)
    else:
        test.addClassCleanup(shutil.rmtree, folder)
    result = run(scenario, pathlib.Path(folder), **options)
    print(f"guest: {result.seconds:.1f} s", file=sys.stderr)
    return result


def shell(scenario: str, memory_mb: int = 1024) -> int:
    """Boots into a shell on this terminal, with the scenario as /scenario.sh."""
    with _prepared(scenario, {}, memory_mb, "shell") as (_, command):
        return subprocess.run([*command, "-serial", "mon:stdio"]).returncode


def main(arguments: list[str]) -> int:
    match arguments:
        case ["shell"]:
            return shell("shell")
        case ["shell", scenario]:
            return shell(scenario)
        case ["run", scenario]:
            folder = pathlib.Path(tempfile.mkdtemp(prefix=f"wgvitals-{scenario}-"))
            result = run(scenario, folder)
            print(result.console, f"{result.seconds:.1f} s; results in {folder}", sep="\n")
            return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except GuestError as error:
        sys.exit(f"guest: {error}")
