"""A running `wgvitals serve`."""

from __future__ import annotations

import pathlib
import signal

from bed import Bed, program, wait_until
from programs import toml, write


class Serve:
    def __init__(
        self,
        bed: Bed,
        form: str,
        output: str,
        *arguments: str,
        config: str = "",
        interval: str = "200ms",
        prefix: tuple[str, ...] = (),
    ) -> None:
        self.log = bed.dir / "serve.log"
        command = [*prefix, program("wgvitals"), "serve", "--format", form, "--output", output]
        command += ["--interval", interval, "--config", write(bed, config or toml(), "serve.toml")]
        with open(self.log, "w") as log:
            self.process = bed.here.start(*command, *arguments, stdout=log, stderr=log)

    def __enter__(self) -> Serve:
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def said(self) -> str:
        return self.log.read_text()

    @property
    def memory(self) -> int:
        """The most resident bytes so far."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    @property
    def descriptors(self) -> int:
        return len(list(pathlib.Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def hears(self, text: str, seconds: float = 30) -> None:
        wait_until(lambda: text in self.said, f"{text!r} from wgvitals serve", seconds)

    def end(self, how: int = signal.SIGTERM, seconds: float = 1) -> int:
        """Its exit status."""
        self.process.send_signal(how)
        return self.process.wait(seconds)
