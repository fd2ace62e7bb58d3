"""Whole notebooks by nbclient, and the terminal of jupyter_console.

Needs the kernelspec on JUPYTER_PATH. Run with: python -m unittest tests/kernel/test_notebook.py
"""

import asyncio
import faulthandler
import subprocess
import sys
import unittest

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat.v4 import new_code_cell, new_notebook

faulthandler.dump_traceback_later(600, exit=True)

LIMIT = 120


def run(sources, **options):
    """Runs cells (sources, or cells with tags) as a notebook; gives the notebook with its outputs."""
    cells = [new_code_cell(cell) if isinstance(cell, str) else cell for cell in sources]
    notebook = new_notebook(cells=cells)
    NotebookClient(notebook, kernel_name="rust", **{"timeout": LIMIT, **options}).execute()
    nbformat.validate(notebook)
    return notebook


def text(cell):
    """What a cell printed, and its results as plain text."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "".join(texts)


class NotebookTests(unittest.TestCase):
    def test_a_notebook_of_sixty_cells_runs_to_its_end(self):
        sources, expected = ["let mut sum = 0u64;"], [""]
        for n in range(1, 15):
            sources += [
                f"fn add_{n}(to: u64) -> u64 {{ to + {n} }}",
                f"sum = add_{n}(sum);",
                f'println!("sum {{sum}} after {n}");',
                "sum",
            ]
            total = n * (n + 1) // 2
            expected += ["", "", f"sum {total} after {n}\n", str(total)]
        sources += [
            new_code_cell('panic!("on purpose")', metadata={"tags": ["raises-exception"]}),
            'display_mime("text/html", "<b>bold</b>");',
            "sum",
        ]
        notebook = run(sources)
        self.assertEqual(len(notebook.cells), 60)
        self.assertEqual([text(cell) for cell in notebook.cells[:57]], expected)
        failed, shown, last = notebook.cells[57:]
        self.assertEqual([output.ename for output in failed.outputs], ["panic"])
        self.assertEqual(shown.outputs[0].data["text/html"], "<b>bold</b>")
        self.assertEqual(text(last), "105")
        counts = [cell.execution_count for cell in notebook.cells]
        self.assertEqual(counts, list(range(1, 61)))

    def test_an_error_ends_a_notebook_and_names_its_place(self):
        with self.assertRaises(CellExecutionError) as raised:
            run(["let x = 1;", "let y: u8 = x.wrong();", "x"])
        self.assertEqual(raised.exception.ename, "compile error")
        self.assertIn("Cell [2]:1:", str(raised.exception))

    def test_a_cell_that_takes_too_long_is_interrupted_and_the_notebook_goes_on(self):
        endless = 'println!("begun"); loop {}'
        notebook = run(["let kept = 41;", endless, "kept + 1"], timeout=10, interrupt_on_timeout=True, allow_errors=True)
        _, endless, last = notebook.cells
        self.assertEqual(endless.outputs[0].text, "begun\n")
        self.assertEqual(endless.outputs[-1].ename, "Interrupted")
        self.assertEqual(text(last), "42")

    def test_a_cell_that_takes_too_long_ends_the_notebook(self):
        with self.assertRaises(CellTimeoutError):
            run(["loop {}"], timeout=5)

    def test_two_notebooks_run_at_once(self):
        async def both():
            notebooks = [new_notebook(cells=[new_code_cell(f"let mine = {n};"), new_code_cell("mine")]) for n in (1, 2)]
            clients = [NotebookClient(notebook, kernel_name="rust", timeout=LIMIT) for notebook in notebooks]
            await asyncio.gather(*(client.async_execute() for client in clients))
            return [text(notebook.cells[1]) for notebook in notebooks]

        self.assertEqual(asyncio.run(both()), ["1", "2"])


class ConsoleTests(unittest.TestCase):
    def test_jupyter_console_runs_a_session(self):
        lines = ["let x = 20;", "fn double(n: i32) -> i32 { n * 2 }", 'println!("printed");', "double(x) + 2", "y", ""]
        console = subprocess.run(
            [sys.executable, "-m", "jupyter_console", "--kernel=rust", "--simple-prompt", "--no-confirm-exit"],
            input="\n".join(lines), capture_output=True, text=True, timeout=LIMIT,
        )
        self.assertEqual(console.returncode, 0, console.stderr)
        self.assertIn("printed\n", console.stdout)
        self.assertIn("Out[4]: 42\n", console.stdout)
        self.assertIn("cannot find value `y`", console.stderr)


if __name__ == "__main__":
    unittest.main()
