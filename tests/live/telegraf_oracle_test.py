"""The same Telegraf reads the same tunnels through wgvitals-execd and through its own inputs.wireguard, the oracle."""

import unittest

import bed
import telegraf
from bed import wait_until
from line_protocol import Record, select
from programs import toml, write
from star import Star
from telegraf import Telegraf

THEIRS = {
    "wireguard_device": {"listen_port", "firewall_mark", "peers"},
    "wireguard_peer": {
        "persistent_keepalive_interval_ns",
        "protocol_version",
        "allowed_ips",
        "endpoint",
        "allowed_peer_cidr",
        "last_handshake_time_ns",
        "rx_bytes",
        "tx_bytes",
    },
}
NEVER = -6795364578871345152  # what Go makes of its zero time


def seen_by(records: list[Record], reader: str) -> dict[int, list[Record]]:
    """By time, the records of one reader, without the tag that told it."""
    times: dict[int, list[Record]] = {}
    for record in records:
        tags = dict(record.tags)
        if tags.pop("reader", "") == reader and record.name in THEIRS:
            times.setdefault(record.timestamp, []).append(
                Record(record.name, tags, record.fields, record.timestamp)
            )
    return times


def ordered(records: list[Record]) -> list[str]:
    return sorted(
        repr((record.name, sorted(record.tags.items()), sorted(record.fields.items()))) for record in records
    )


class OracleTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bed = cls.enterClassContext(bed.Bed())
        cls.star = Star(cls.bed)

    def telegraf(self, block_extra: str = "", **options) -> Telegraf:
        block = telegraf.sample_block(write(self.bed, toml(handshake_never="telegraf", **options)))
        return Telegraf(
            self.bed,
            TELEGRAF,
            block + block_extra + '  [inputs.execd.tags]\n    reader = "ours"\n'
            '[[inputs.wireguard]]\n  [inputs.wireguard.tags]\n    reader = "theirs"\n',
        )

    def quiet_moment(self, agent: Telegraf) -> tuple[list[Record], list[Record]]:
        """Both views of one gather in the middle of three that changed nothing."""

        def search():
            theirs, ours = (seen_by(agent.records(), reader) for reader in ("theirs", "ours"))
            times = sorted(theirs)
            for before, now, after in zip(times, times[1:], times[2:]):
                if now in ours and ordered(theirs[before]) == ordered(theirs[now]) == ordered(theirs[after]):
                    return theirs[now], ours[now]

        with agent:
            return wait_until(search, "three equal gathers", 30)

    def compare(self, theirs: list[Record], ours: list[Record]) -> None:
        """To each line of theirs one of ours, with the same tags and all of its fields in type and value."""
        self.assertEqual(len(ours), len(theirs))
        for line in theirs:
            same = [
                record
                for record in ours
                if (record.name, record.tags) == (line.name, line.tags)
                and line.fields.keys() <= record.fields.keys()
            ]
            self.assertEqual(len(same), 1, f"{line} in {ours}")
            self.assertEqual({field: same[0].fields[field] for field in line.fields}, line.fields)
            self.assertFalse(
                THEIRS[line.name] & same[0].fields.keys() - line.fields.keys(), "a field of the other line"
            )

    def test_every_field_of_theirs(self):
        theirs, ours = self.quiet_moment(self.telegraf())
        for name, fields in THEIRS.items():
            self.assertEqual({field for record in select(theirs, name) for field in record.fields}, fields)
        peers = select(theirs, "wireguard_peer")
        self.assertEqual(len(peers), 2 * (len(self.star.spokes) + 1))
        for field in (
            "rx_bytes",
            "tx_bytes",
            "last_handshake_time_ns",
        ):  # all differ, so that a swap would show
            values = [record[field] for record in peers if field in record.fields]
            self.assertEqual(len(set(values)), len(values), field)
        self.assertIn(
            NEVER,
            [
                record.fields.get("last_handshake_time_ns", ("", 0))[1]
                for record in select(ours, "wireguard_peer", public_key=self.star.silent)
            ],
        )
        self.compare(theirs, ours)

    def test_upstream_parser(self):
        self.compare(*self.quiet_moment(self.telegraf('  influx_parser_type = "upstream"\n')))

    def test_friendly_name_is_only_added(self):
        key = self.star.spokes[0].device.keys.public
        theirs, ours = self.quiet_moment(self.telegraf(names={key: "Böb's, laptop = home"}))
        named = [
            record.tags.pop("friendly_name", None)
            for record in select(ours, "wireguard_peer", public_key=key)
        ]
        self.assertEqual(named, ["Böb's, laptop = home"] * 2)
        self.compare(theirs, ours)

    def test_test_mode(self):
        """`telegraf --test` asks once and stops at once."""
        for _ in range(5):
            records = [record for record in self.telegraf().test() if record.tags.get("reader") == "ours"]
            self.assertEqual(len(select(records, "wireguard_device", name="wg0")), 2)
            self.assertEqual(
                len(select(records, "wireguard_peer", device="wg0")), 2 * (len(self.star.spokes) + 1)
            )


if __name__ == "__main__":
    TELEGRAF = telegraf.build()
    bed.main()
