"""Conformance of the installed kernel `rust`: jupyter_kernel_test over real cells.

Needs the kernelspec on JUPYTER_PATH. Run with: python -m unittest tests/kernel/test_kernel.py
"""

import faulthandler
import unittest

import jupyter_kernel_test
from jupyter_kernel_test.msgspec_v5 import validate_message

# The base classes wait without a bound in places; a kernel that hangs must fail the run.
faulthandler.dump_traceback_later(600, exit=True)


class RustKernelTests(jupyter_kernel_test.KernelTests):
    kernel_name = "rust"
    language_name = "rust"
    file_extension = ".rs"

    code_hello_world = 'println!("hello, world");'
    code_stderr = 'eprintln!("to stderr");'
    code_generate_error = 'panic!("on purpose")'
    code_execute_result = [
        {"code": "1 + 2 * 3", "result": "7"},
        {"code": '"text".len()', "result": "4"},
    ]
    code_display_data = [
        {"code": 'display_mime("text/html", "<b>bold</b>");', "mime": "text/html"},
        {"code": "display(&vec![1, 2]);", "mime": "text/plain"},
    ]
    code_clear_output = "clear_output(true);"

    completion_samples = [
        {"text": "whi", "matches": {"while"}},
        {"text": "String::new().is_em", "matches": {"is_empty"}},
        {"text": "use std::collections::HashM", "matches": {"HashMap"}},
        {"text": ":va", "matches": {"vars"}},
        {"text": ":dep se", "matches": set()},
    ]
    code_inspect_sample = "String::new"
    complete_code_samples = ["1 + 1", "let x = 1;", "fn f() { }", "// comment", ""]
    incomplete_code_samples = ["fn f() {", "let x =", "vec![1,", '"open']
    invalid_code_samples = ["}", "f(1 +)", "let = 1;"]

    # No code_page_something: the protocol calls payloads deprecated, and this kernel sends none.

    code_history_pattern = "1 + ? *3"
    supported_history_operations = ("tail", "range", "search")

    def test_completion(self):
        # A completion does not wait until the analyzer has read all sources, an inspection does.
        self.flush_channels()
        self.kc.inspect(self.code_inspect_sample)
        self.get_non_kernel_info_reply(timeout=15)
        super().test_completion()

    def test_compile_error(self):
        self.flush_channels()
        reply, outputs = self.execute_helper("let wrong: u8 = true;")
        self.assertEqual(reply["content"]["status"], "error")
        self.assertEqual([output["msg_type"] for output in outputs], ["error"])

    def test_comm_info(self):
        self.flush_channels()
        msg_id = self.kc.comm_info()
        reply = self.get_non_kernel_info_reply(timeout=15)
        validate_message(reply, "comm_info_reply", msg_id)
        self.assertEqual(reply["content"]["comms"], {})

    def test_variables_survive_an_error(self):
        self.flush_channels()
        self.execute_helper("let kept = 41;")
        self.execute_helper(self.code_generate_error)
        _, outputs = self.execute_helper("kept + 1")
        self.assertEqual(outputs[-1]["content"]["data"]["text/plain"], "42")


class RustIopubWelcomeTests(jupyter_kernel_test.IopubWelcomeTests):
    kernel_name = "rust"
    support_iopub_welcome = True


class RustShutdownTests(unittest.TestCase):
    def test_shutdown_replies_and_ends_the_process(self):
        manager, client = jupyter_kernel_test.start_new_kernel(kernel_name="rust")
        self.addCleanup(manager.shutdown_kernel, now=True)
        self.addCleanup(client.stop_channels)
        msg_id = client.shutdown()
        reply = client.get_control_msg(timeout=15)
        validate_message(reply, "shutdown_reply", msg_id)
        self.assertEqual(manager.provisioner.process.wait(timeout=15), 0)


if __name__ == "__main__":
    unittest.main()
