#!/usr/bin/env python3
"""deploy/sbom, which lists what is in an image, by SPDX's own reader.

    sbom_test.py SOURCE_DIR

The reader comes from a virtual environment outside the checkout (tests/support/environments.py sbom). Without it: exit code 77.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import environments  # noqa: E402
from honed import SKIPPED, run_tests  # noqa: E402

SOURCE = pathlib.Path(sys.argv[1])
READER = environments.folder("sbom") / "bin" / "pyspdxtools"
if not READER.exists():
    print(f"SKIPPED: no reader of SPDX. To run this test:\n    {environments.how_to_make('sbom')}")
    sys.exit(SKIPPED)
# In the place of podman: what an image would be asked, this machine is, with programs of its own in the place of Hone's.
RUNNER = """#!/bin/sh
while [ "$1" != sh ]; do shift; done
exec sh -c "$(printf '%s' "$3" | sed "s#/usr/local/bin#{programs}#; s#honed --version#echo honed 1.2.3#")"
"""


class Sbom(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="hone-sbom-")
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = pathlib.Path(temporary.name)
        (cls.folder / "programs").mkdir()
        for name in ("hone", "honed", "hone-worker", "hone-sentencepiece"):
            (cls.folder / "programs" / name).write_text(name, encoding="utf-8")
        runner = cls.folder / "runner"
        runner.write_text(RUNNER.format(programs=cls.folder / "programs"), encoding="utf-8")
        runner.chmod(0o755)
        cls.file = cls.folder / "hone.spdx.json"
        cls.command = [SOURCE / "deploy" / "sbom", "--image", "registry.example.org/hone:1", "--runner", runner]
        subprocess.run([*cls.command, "--to", cls.file], check=True, capture_output=True)
        cls.document = json.loads(cls.file.read_text(encoding="utf-8"))

    def test_a_reader_of_spdx_finds_nothing_wrong(self):
        done = subprocess.run([READER, "--infile", self.file, "--version", "SPDX-2.3"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_reader_finds_what_is_wrong(self):
        wrong = dict(self.document, dataLicense="MIT")
        path = self.folder / "wrong.spdx.json"
        path.write_text(json.dumps(wrong), encoding="utf-8")
        self.assertNotEqual(subprocess.run([READER, "--infile", path], capture_output=True, check=False).returncode, 0)

    def test_every_installed_package_is_in_it(self):
        listed = subprocess.run(["dpkg-query", "-W", "-f", r"${db:Status-Status} ${Package} ${Version}\n"], capture_output=True, text=True, check=True).stdout
        installed = {tuple(line.split()[1:]) for line in listed.splitlines() if line.startswith("installed ")}
        told = {(one["name"], one["versionInfo"]) for one in self.document["packages"] if "externalRefs" in one}
        self.assertEqual(told, installed)

    def test_the_programs_are_in_it_by_their_digest(self):
        files = {one["packageFileName"]: one["checksums"][0]["checksumValue"] for one in self.document["packages"] if "packageFileName" in one}
        self.assertEqual(len(files), 4)
        self.assertEqual(files["/usr/local/bin/hone"], "6528f84b7b8653d76da038054bd4338080d5f616981c99b5bc602a17db492b41")

    def test_the_version_is_what_the_server_says(self):
        self.assertEqual(next(one["versionInfo"] for one in self.document["packages"] if one["name"] == "hone"), "1.2.3")

    def test_the_same_image_has_the_same_document(self):
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
        first, second = (subprocess.run(self.command, check=True, capture_output=True, env=environment).stdout for _ in range(2))
        self.assertEqual(first, second)

    def test_an_image_that_is_not_there_is_told(self):
        done = subprocess.run([SOURCE / "deploy" / "sbom", "--runner", "false"], capture_output=True, text=True, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("false run", done.stderr)


run_tests(*sys.argv[2:])
