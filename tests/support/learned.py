"""What tests of a task drive: `hone` here, a server on a folder of its own, and a job of it that has ended. Their scripts are called with
HONED HONE SOURCE_DIR."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from honed import LONGEST_SECONDS, Honed

HONED, HONE, SOURCE = sys.argv[1:4]
EXAMPLES = pathlib.Path(SOURCE) / "client" / "examples"


def hone(*arguments):
    return subprocess.run([HONE, *map(str, arguments)], capture_output=True, text=True, timeout=3 * LONGEST_SECONDS, check=False)


def here(path):
    """A job's data are this file or folder, in the place of the catalogue's."""
    return ["--set", "data.dataset=", "--set", f"data.path={path}"]


def last_json(done):
    """The result of a command with --output json."""
    return json.loads(done.stdout.splitlines()[-1])


class AtServer(unittest.TestCase):
    """A server and a folder for all tests of a class, which says in `prepare` what lies there and is done before them."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.server = Honed(HONED, cls.folder, environment=dict(os.environ))
        cls.addClassCleanup(cls.server.stop)
        cls.begun = []
        cls.prepare()

    @classmethod
    def prepare(cls):
        pass

    @classmethod
    def begin(cls, done):
        """What all tests need: each fails where this command has failed."""
        cls.begun.append(done)
        return done

    @classmethod
    def at_server(cls, *arguments):
        return hone("--server", cls.server.address, *arguments)

    @classmethod
    def submit(cls, *arguments):
        """The job when it has ended; None where it was not taken or has failed."""
        done = cls.begin(cls.at_server("--output", "json", "submit", *arguments, "--follow"))
        return last_json(done) if done.returncode == 0 else None

    def setUp(self):
        for done in self.begun:
            self.succeeds(done)

    def succeeds(self, done):
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)
        return done

    def predictions(self, answer):
        """Of `predict` with --output json."""
        return last_json(self.succeeds(answer))["predictions"]
