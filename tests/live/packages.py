"""Debian packages unpacked into bed.BEDS: of programs whose packages would start a service when installed."""

from __future__ import annotations

import fcntl
import os
import pathlib
import shutil
import subprocess
import sys

from bed import BEDS

PACKAGES = BEDS / "packages"


def unpacked(package: str, finish=lambda root: None) -> pathlib.Path:
    """The folder of its files, fetched where it is not there yet; finish(folder) is its last touch.

    Safe to interrupt, and to call from several tests at once. To be called before bed.main(), behind which
    there is no network.
    """
    target, scratch = PACKAGES / package, PACKAGES / "tmp"
    PACKAGES.mkdir(parents=True, exist_ok=True)
    with open(PACKAGES / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            print(f"fetching {package} into {PACKAGES}, once", file=sys.stderr)
            shutil.rmtree(scratch, ignore_errors=True)  # of a run that was interrupted
            scratch.mkdir()
            apt("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package, cwd=scratch)
            [deb] = scratch.glob("*.deb")
            root = scratch / "root"
            call("dpkg", "-x", str(deb), str(root))
            finish(root)
            root.rename(target)  # last: a folder of this name is complete
            shutil.rmtree(scratch)
    return target


def apt(*command: str, **options) -> str:
    """Once more with new lists where it fails: they may be missing, or older than the archive."""
    try:
        return call(*command, **options)
    except RuntimeError:
        call("apt-get", "-q", "update")
        return call(*command, **options)


def call(*command: str, **options) -> str:
    """What a program prints; what it complains of is raised."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PATH": path, "LC_ALL": "C"}, **options
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout
