#!/usr/bin/python3
"""schemathesis against honed: requests made from /v1/openapi.json, good ones and bad ones. No answer may be the server's own fault, all have the
content types and forms that the file says.

    http_fuzz.py BIN [--examples N] [--seconds N]

It comes from an environment outside the checkout (tests/support/environments.py schemathesis); without it exit code 77.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import environments  # noqa: E402
from honed import SKIPPED, Honed, write_mirror  # noqa: E402

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("--examples", type=int, default=4, help="of each operation, in a round")
    parser.add_argument("--seconds", type=int, default=0, help="rounds with new seeds until then; 0: one")
    options = parser.parse_args()
    program = environments.folder("schemathesis") / "bin" / "schemathesis"
    if not program.exists():
        print(f"skipped: no schemathesis; make it by {environments.how_to_make('schemathesis')}", file=sys.stderr)
        return SKIPPED
    with tempfile.TemporaryDirectory(prefix="hone-fuzz-") as folder:
        # A queue with a bound and short waits: what the requests make stays small.
        server = Honed(options.bin / "honed", folder, "--data-mirror", write_mirror(pathlib.Path(folder) / "mirror"), "--max-queued-jobs", "50")
        try:
            return rounds(program, server, options)
        finally:
            server.stop()


def rounds(program, server, options):
    end = time.monotonic() + options.seconds
    seed = 1
    while True:
        done = subprocess.run(
            [program, "run", f"{server.http_url}/v1/openapi.json", "--checks", CHECKS, "--max-examples", str(options.examples), "--seed", str(seed),
             # Its phase "coverage" takes longer for the messages of a job file than there is time.
             "--phases", "fuzzing", "--workers", "2", "--request-timeout", "30", "--suppress-health-check", "all", "--no-color"],
            cwd=server.folder, check=False)  # where it leaves what it has found
        if server.process.poll() is not None:
            print(f"honed has ended with {server.process.returncode}", file=sys.stderr)
            return 1
        if done.returncode != 0 or time.monotonic() >= end:
            return done.returncode
        seed += 1


sys.exit(main())
