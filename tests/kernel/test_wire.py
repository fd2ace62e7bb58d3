"""Clients that behave badly, over libzmq: the kernel lives, its memory is bounded, and others are served.

Needs the kernelspec on JUPYTER_PATH. Run with: python -m unittest tests/kernel/test_wire.py
"""

import faulthandler
import os
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

import zmq
from jupyter_client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

faulthandler.dump_traceback_later(600, exit=True)

LIMIT = 60
MEGABYTE = 1 << 20
# What may wait for one subscriber, twice, and the kernel itself.
MOST_MEMORY = 300 * MEGABYTE


class WireTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.manager, cls.client = start_new_kernel(kernel_name="rust")

    @classmethod
    def tearDownClass(cls):
        cls.client.stop_channels()
        cls.manager.shutdown_kernel(now=True)

    def run_cell(self, code, **options):
        """Outputs of a cell, and its reply; the cell must succeed."""
        outputs = []
        reply = self.client.execute_interactive(
            code, output_hook=outputs.append, timeout=LIMIT, allow_stdin=False, **options
        )
        self.assertEqual(reply["content"]["status"], "ok", reply["content"])
        return outputs

    def printed(self, outputs):
        streams = [output for output in outputs if output["msg_type"] == "stream"]
        return len(streams), "".join(stream["content"]["text"] for stream in streams)

    def peak_memory(self):
        """The most bytes that the kernel's process ever held."""
        status = Path(f"/proc/{self.manager.provisioner.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    def other_client(self):
        # Not the manager's client(), which shares its session and thus its identity.
        client = BlockingKernelClient(connection_file=self.manager.connection_file)
        client.load_connection_file()
        client.start_channels()
        self.addCleanup(client.stop_channels)
        client.wait_for_ready(timeout=LIMIT)
        return client

    def test_ten_thousand_prints_are_few_messages(self):
        count, text = self.printed(self.run_cell('for i in 0..10_000 { println!("line {i}"); }'))
        self.assertLessEqual(count, 60)
        self.assertEqual(text, "".join(f"line {i}\n" for i in range(10_000)))

    def test_a_million_prints_keep_their_order_in_bounded_memory(self):
        _, text = self.printed(self.run_cell('for i in 0..1_000_000 { println!("{i}"); }'))
        self.assertEqual(text, "".join(f"{i}\n" for i in range(1_000_000)))
        self.assertLess(self.peak_memory(), MOST_MEMORY)

    def test_a_display_of_fifty_megabytes_arrives_whole(self):
        code = 'display_mime("text/plain", &"x".repeat(50 << 20));'
        outputs = self.run_cell(code)
        texts = [o["content"]["data"]["text/plain"] for o in outputs if o["msg_type"] == "display_data"]
        self.assertEqual([len(text) for text in texts], [50 * MEGABYTE])

    def test_a_subscriber_that_stops_reading_holds_up_no_other(self):
        context = zmq.Context()
        self.addCleanup(context.destroy, 0)
        stalled = context.socket(zmq.SUB)
        stalled.rcvhwm = 1
        stalled.connect(self.manager._make_url("iopub"))
        stalled.subscribe(b"")
        stalled.recv_multipart()
        code = 'let line = "x".repeat(1 << 20); for _ in 0..200 { println!("{line}"); }'
        _, text = self.printed(self.run_cell(code))
        self.assertEqual(len(text), 200 * (MEGABYTE + 1))
        self.assertLess(self.peak_memory(), MOST_MEMORY)

    def test_a_killed_client_is_no_matter(self):
        other = subprocess.Popen(
            [sys.executable, "-c", KILLED_CLIENT, self.manager.connection_file],
            stdout=subprocess.PIPE,
        )
        self.assertEqual(other.stdout.readline(), b"running\n")
        other.send_signal(signal.SIGKILL)
        other.wait()
        other.stdout.close()
        self.run_cell("let after = 1;")

    def test_the_newest_connection_of_an_identity_is_answered(self):
        context = zmq.Context()
        self.addCleanup(context.destroy, 0)
        session = self.client.session
        for _ in range(100):
            shell = context.socket(zmq.DEALER)
            # The next one takes over before this one is closed.
            self.addCleanup(shell.close, 0)
            shell.reconnect_ivl = -1
            shell.identity = b"one tab"
            shell.connect(self.manager._make_url("shell"))
            request = session.send(shell, "kernel_info_request", content={})
            self.assertTrue(shell.poll(LIMIT * 1000), "no reply")
            _, frames = session.feed_identities(shell.recv_multipart())
            reply = session.deserialize(frames)
            self.assertEqual(reply["parent_header"]["msg_id"], request["header"]["msg_id"])

    def test_completion_is_answered_while_a_cell_runs(self):
        other = self.other_client()
        running = self.client.execute("std::thread::sleep(std::time::Duration::from_secs(600));")
        self.wait_for_input(running)
        for client in (self.client, other):
            asked = client.complete("whil", 4)
            reply = client.get_shell_msg(timeout=LIMIT)
            self.assertEqual(reply["parent_header"]["msg_id"], asked)
            self.assertIn("while", reply["content"]["matches"])
        self.manager.interrupt_kernel()
        reply = self.client.get_shell_msg(timeout=LIMIT)
        self.assertEqual(reply["parent_header"]["msg_id"], running)
        self.assertEqual(reply["content"]["ename"], "Interrupted")

    def test_libzmq_heartbeats_are_answered(self):
        context = zmq.Context()
        self.addCleanup(context.destroy, 0)
        iopub = context.socket(zmq.SUB)
        iopub.heartbeat_ivl = 100
        iopub.heartbeat_timeout = 1000
        events = iopub.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        iopub.connect(self.manager._make_url("iopub"))
        iopub.subscribe(b"")
        iopub.recv_multipart()
        # Longer than a heartbeat may stay without an answer.
        self.assertFalse(events.poll(2500), "the connection was closed")

    def test_two_kernels_at_once_have_variables_of_their_own(self):
        manager, client = start_new_kernel(kernel_name="rust")
        self.addCleanup(manager.shutdown_kernel, now=True)
        self.addCleanup(client.stop_channels)
        self.run_cell("let mine = 1;")
        reply = client.execute_interactive("mine", timeout=LIMIT, output_hook=lambda _: None)
        self.assertEqual(reply["content"]["ename"], "compile error")
        self.run_cell("mine;")

    def wait_for_input(self, msg_id):
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            message = self.client.get_iopub_msg(timeout=LIMIT)
            if message["msg_type"] == "execute_input" and message["parent_header"]["msg_id"] == msg_id:
                return
        self.fail("the cell did not begin")


KILLED_CLIENT = """
import sys
from jupyter_client import BlockingKernelClient
client = BlockingKernelClient(connection_file=sys.argv[1])
client.load_connection_file()
client.start_channels()
client.wait_for_ready(timeout=60)
client.execute('for i in 0..100_000 { println!("{i}"); }')
while client.get_iopub_msg(timeout=60)["msg_type"] != "stream":
    pass
print("running", flush=True)
while True:
    client.get_iopub_msg()
"""


if __name__ == "__main__":
    unittest.main()
