"""Each row of the README's table of rights: what an unprivileged user is told without it, and gets with it.

The row of the kernel's peers is tested in the guest, which always has such a kernel.
"""

import pathlib
import re
import shutil
import unittest

import bed
import fake_uapi
from bed import AS_NOBODY, WIREGUARD_GO, program
from fake_uapi import FakeUapi
from line_protocol import select
from programs import Execd, toml, write
from star import Star


class RightsTest(unittest.TestCase):
    def setUp(self):
        self.bed = self.enterContext(bed.Bed())

    def command(self, name: str, capabilities: str = "") -> list[str]:
        """A copy of the program with these file capabilities, run as nobody."""
        copy = self.bed.dir / name
        copy.unlink(missing_ok=True)
        shutil.copy(program(name), copy)
        if capabilities:
            self.bed.here.run("setcap", f"{capabilities}=p", str(copy))
        return [*AS_NOBODY, "--inh-caps=-all", str(copy)]

    def execd(self, config: str = "", capabilities: str = "") -> Execd:
        command = self.command("wgvitals-execd", capabilities)
        return self.enterContext(Execd(self.bed, config, command=command))

    def check(self, capabilities: str = "") -> dict[str, str]:
        """What `wgvitals check` says of each right: given or MISSING."""
        command = [*self.command("wgvitals", capabilities), "check", write(self.bed, toml())]
        done = self.bed.here.run(*command, check=False)
        rows = r"(?m)^  (kernel peers|userspace sockets|names in files|namespaces) .*(given|MISSING)$"
        return dict(re.findall(rows, done.stdout))

    def refused(self, execd: Execd, *words: str) -> None:
        """In one line, which is not repeated, and all else goes on."""
        for _ in range(3):
            self.assertTrue(select(execd.gather(), "wgvitals", collector="engine"))
        complaints = [line for line in execd.said.splitlines() if re.match("[EW]! ", line)]
        lines = [line for line in complaints if all(word in line for word in words)]
        self.assertEqual(len(lines), 1, execd.said)

    def test_userspace_sockets(self):
        star = Star(self.bed, spokes=1, daemon=WIREGUARD_GO)
        self.refused(self.execd(), str(star.hub.socket), "Permission denied")
        self.assertEqual(self.check()["userspace sockets"], "MISSING")
        # A change of the socket's owner or mode would end wireguard-go. This is what root has over it:
        execd = self.execd(capabilities="cap_dac_override")
        key = star.spokes[0].device.keys.public
        self.assertEqual(len(select(execd.gather(), "wireguard_peer", public_key=key)), 2)
        self.assertEqual(execd.said, "")
        self.assertEqual(self.check("cap_dac_override")["userspace sockets"], "given")

    def test_folder_of_sockets(self):
        folder = self.bed.dir / "closed"
        folder.mkdir(mode=0o700)
        self.enterContext(FakeUapi(folder, "wg1", fake_uapi.healthy(1)))
        self.refused(self.execd(toml(uapi_dir=str(folder))), str(folder))

    def test_names(self):
        path = pathlib.Path(write(self.bed, "", "wg0.conf"))
        path.chmod(0o600)
        path.write_text("# friendly_name = laptop\n[Peer]\n")
        self.refused(self.execd(toml(names_files=[str(path)])), str(path))

    def test_namespaces(self):
        far = self.bed.host("far", own_sockets=False)
        far.device("wg9", "10.79.0.1/24", daemon=WIREGUARD_GO)
        config = toml(netns=["far"])
        execd = self.execd(config, capabilities="cap_net_admin")
        self.refused(execd, "far", "CAP_SYS_ADMIN")
        self.assertNotIn("CAP_NET_ADMIN", execd.said)  # that one it has
        self.assertEqual(self.check()["namespaces"], "MISSING")
        execd = self.execd(config, capabilities="cap_dac_override,cap_sys_admin")
        self.assertTrue(select(execd.gather(), "wireguard_device", name="wg9", netns="far"))
        self.assertEqual(execd.said, "")
        self.assertEqual(self.check("cap_sys_admin")["namespaces"], "given")


if __name__ == "__main__":
    bed.need({"setcap": "libcap2-bin"})
    bed.main()
