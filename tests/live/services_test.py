"""TCP and web services: wgvitals-execd beside Telegraf's own inputs.net_response and inputs.http_response."""

import contextlib
import http.server
import json
import pathlib
import socket
import ssl
import threading
import time
import unittest

import bed
import telegraf
from bed import wait_until
from line_protocol import Record, select
from programs import Execd, once, write
from telegraf import Telegraf

FAMILIES = ("net_response", "http_response")
OURS = {"connect_ms", "tls_ms", "first_byte_ms", "certificate_expiry_s"}
DAYS = 86400


class Pages(http.server.BaseHTTPRequestHandler):
    """/ says hello, /go leads there, /none is none, /half breaks off, /slow never answers."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/slow":
            time.sleep(3)
            return
        status = {"/go": 302, "/none": 404}.get(path, 200)
        body = b'{"status": "up"}\n'
        self.send_response(status)
        if path == "/go":
            self.send_header("Location", "/")
        self.send_header("Content-Length", str(len(body) * (2 if path == "/half" else 1)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass


class WebServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_) -> None:  # who does not trust us hangs up
        pass


class Listener:
    """Takes connections and says `banner` to each; keeps them, so that one without a banner hears nothing."""

    def __init__(self, banner: bytes = b"") -> None:
        self.banner, self.kept = banner, []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self.socket.accept()[0]
                connection.sendall(self.banner)
                self.kept = [*self.kept[-200:], connection]


class ServicesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bed = cls.enterClassContext(bed.Bed())
        cls.certificate = cls.make_certificate()
        cls.web, cls.secure = cls.serve(), cls.serve(cls.certificate)
        cls.mail, cls.silent = Listener(b"220 mail.example ESMTP\r\n"), Listener()
        with socket.create_server(("127.0.0.1", 0)) as once_open:
            cls.closed = once_open.getsockname()[1]

    @classmethod
    def make_certificate(cls) -> pathlib.Path:
        """Certificate and key of 127.0.0.1, good for ten days."""
        path = cls.bed.dir / "server.pem"
        words = (
            f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 10 -keyout {path} "
            f"-out {path}.crt -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
        )
        cls.bed.here.run("openssl", *words.split())
        path.write_text(path.read_text() + pathlib.Path(f"{path}.crt").read_text())
        return path

    @classmethod
    def serve(cls, certificate: pathlib.Path | None = None) -> int:
        server = WebServer(("127.0.0.1", 0), Pages)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cls.addClassCleanup(server.server_close)
        cls.addClassCleanup(server.shutdown)
        return server.server_address[1]

    # Blocks as options, which both programs take.

    def tcp_blocks(self) -> list[dict]:
        local = lambda port: f"127.0.0.1:{port}"
        blocks = [
            {"address": local(self.mail.port)},
            {"address": local(self.closed)},
            {"address": f"localhost:{self.mail.port}", "expect": "^220 .*ESMTP"},
            {"address": f"none.invalid:{self.mail.port}"},
            {"address": f":{self.closed}", "expect": "x"},
            {"address": local(self.silent.port), "expect": "x", "send": "hi", "read_timeout": "300ms"},
            {"address": f"localhost:{self.silent.port}"},
            {"address": local(self.web), "send": "GET / HTTP/1.0\r\n\r\n", "expect": "404"},
        ]
        return [{"timeout": "5s", "read_timeout": "5s"} | block for block in blocks]

    def http_blocks(self) -> list[dict]:
        web = f"http://127.0.0.1:{self.web}"
        secure = f"https://127.0.0.1:{self.secure}"
        match, ca = {"response_string_match": r'"status": *"up"'}, {"tls_ca": f"{self.certificate}.crt"}
        return [
            {"urls": [f"{web}/"]} | match | {"response_status_code": 200},
            {"urls": [f"{web}/go"]},
            {"urls": [f"{web}/go?follow"], "follow_redirects": True} | match,
            {"urls": [f"{web}/none"], "response_status_code": 200},
            {"urls": [f"{web}/none?text"], "response_string_match": "down", "response_status_code": 404},
            {"urls": [f"{web}/half"]} | match,
            {"urls": [f"{web}/slow"], "response_timeout": "1s"},
            {"urls": [f"http://127.0.0.1:{self.closed}"]},
            {"urls": ["http://none.invalid/"]},
            {"urls": [f"{secure}/?untrusted"]},
            {"urls": [f"{secure}/"]} | ca | match,
            {"urls": [f"{secure}/?skip"], "insecure_skip_verify": True},
            {"urls": [f"https://127.0.0.1:{self.web}/"]},
        ]

    def blocks(self, table: str, blocks: list[dict], **more) -> str:
        lines = []
        for block in blocks:
            lines += [f"[[inputs.{table}]]"]
            lines += [f"  {key} = {json.dumps(value)}" for key, value in (block | more).items()]
        return "\n".join(lines) + "\n"

    def config(self, **more) -> str:
        return (
            '[[inputs.wgvitals]]\n  interface_include = ["none"]\n'
            + self.blocks("wgvitals.tcp", self.tcp_blocks(), **more)
            + self.blocks("wgvitals.http", self.http_blocks(), **more)
        )

    def shape(self, record: Record) -> tuple:
        """All that two probes of one service have in common."""
        fields = {
            field: value if field != "response_time" else value[0]
            for field, value in record.fields.items()
            if field not in OURS
        }
        return record.name, sorted(record.tags.items()), sorted(fields.items())

    def of_services(self, records: list[Record]) -> list[Record]:
        return [record for record in records if record.name in FAMILIES]

    def test_as_telegrafs_own_plugins(self):
        ours = telegraf.sample_block(write(self.bed, self.config()))
        theirs = self.blocks("net_response", self.tcp_blocks(), protocol="tcp")
        theirs += self.blocks("http_response", self.http_blocks())
        agent = Telegraf(self.bed, TELEGRAF, theirs)
        records = self.of_services(agent.test())
        self.assertEqual(len(records), len(self.tcp_blocks()) + len(self.http_blocks()))
        expected = {repr(self.shape(record)) for record in records}
        self.assertEqual(len(expected), len(records))
        results = {record.tags["result"] for record in records}
        self.assertLessEqual({"success", "connection_failed", "read_failed", "string_mismatch"}, results)
        self.assertLessEqual({"timeout", "dns_error", "body_read_error"}, results)

        agent = Telegraf(self.bed, TELEGRAF, ours)
        with agent:
            seen = lambda: {repr(self.shape(record)) for record in self.of_services(agent.records())}
            wait_until(lambda: expected <= seen(), f"as Telegraf: missing {expected - seen()}", 30)
            self.assertLessEqual(seen(), expected)

    def test_once(self):
        records = once(self.bed, "--uint", config=self.config())
        self.assertEqual(
            len(self.of_services(records)), len(self.tcp_blocks()) + len(self.http_blocks())
        )
        (secure,) = select(records, "http_response", server=f"https://127.0.0.1:{self.secure}/")
        self.assertEqual(secure["result_type"], "success")
        self.assertTrue(9 * DAYS < secure["certificate_expiry_s"] <= 10 * DAYS)
        self.assertGreater(secure["tls_ms"], 0)
        self.assertGreater(secure["first_byte_ms"], secure["connect_ms"])
        (plain,) = select(records, "http_response", server=f"http://127.0.0.1:{self.web}/")
        self.assertTrue(0 < plain["connect_ms"] <= plain["first_byte_ms"] <= 1000 * plain["response_time"] + 5)
        self.assertNotIn("tls_ms", plain.fields)
        self.assertNotIn("certificate_expiry_s", plain.fields)

    def test_a_hung_service_holds_no_other(self):
        config = (
            '[[inputs.wgvitals]]\n  interface_include = ["none"]\n'
            + self.blocks("wgvitals.tcp", [{"address": [f"127.0.0.1:{self.mail.port}"]}], interval="200ms")
            + self.blocks(
                "wgvitals.tcp",
                [{"address": [f"127.0.0.1:{self.silent.port}"], "expect": "x", "read_timeout": "60s"}],
            )
            + self.blocks(
                "wgvitals.http",
                [{"urls": [f"http://127.0.0.1:{self.web}/slow"], "response_timeout": "60s"}],
            )
            + self.blocks("wgvitals.http", [{"urls": [f"http://127.0.0.1:{self.web}/"]}], interval="200ms")
        )
        with Execd(self.bed, config) as execd:
            for _ in range(3):
                time.sleep(1)
                services = self.of_services(execd.gather())
                self.assertEqual([record["result_type"] for record in services], ["success"] * 2, services)


if __name__ == "__main__":
    TELEGRAF = telegraf.build()
    bed.need({"openssl": "openssl"})
    bed.main()
