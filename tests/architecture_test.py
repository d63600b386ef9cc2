#!/usr/bin/env python3
"""Who may include whom: the folders of the engine in their order, and the top folders among each other. Reads #include lines only."""
import pathlib
import re
import sys

# A folder of the engine includes only itself and folders before it. Folders on one line are independent of each other.
ENGINE = ["base", "tensor", "onednn", "kernels", "params", "graph", "ops", "plan", "layers", "models", "optim", "image",
          "text", "environments", "data", "checkpoint", "huggingface", "tasks", "predict", "export", "train", "job"]
# What the folders of the server may reach in the engine beside base.
SERVER_TO_ENGINE = {"translate", "worker"}
# What the client may include of the other top folders: pictures are shown in a terminal; the file of a maze is read; the way a worker is started, TensorBoard's files,
# what a sweep does next and what a program says of its command line are shared with the server.
CLIENT_MAY = ("hone/v1/", "client/", "engine/base/", "engine/environments/", "engine/image/", "server/command_line/", "server/event_files/", "server/sweeps/", "server/worker_process/")

INCLUDE = re.compile(r'^\s*#include "([^"]+)"', re.M)


def problems(root):
    for path in sorted(root.glob("*/**/*.[ch]*")):
        parts = path.relative_to(root).parts
        if parts[0] not in ("engine", "server", "client") or path.suffix not in (".h", ".cc"):
            continue
        for target in INCLUDE.findall(path.read_text()):
            where = f"{path.relative_to(root)} includes {target}"
            if target.startswith("tests/"):
                yield f"{where}: nothing includes tests"
            if parts[0] == "engine":
                if target.startswith(("server/", "client/", "hone/v1/")):
                    yield f"{where}: the engine knows no proto, server or client"
                elif target.startswith("engine/") and target.count("/") > 1:
                    there = target.split("/")[1]
                    if there not in ENGINE or parts[1] not in ENGINE:
                        yield f"{where}: a folder that is not in the list of this test"
                    elif ENGINE.index(there) > ENGINE.index(parts[1]):
                        yield f"{where}: {there} comes after {parts[1]}"
            if parts[0] == "server" and parts[1] not in SERVER_TO_ENGINE:
                if target.startswith("engine/") and not target.startswith("engine/base/"):
                    yield f"{where}: only translate and worker reach the engine"
            if parts[0] == "server" and target.startswith("client/") and not target.startswith("client/jobfile/"):
                yield f"{where}: the server knows no client, but how a job file is read"
            if parts[0] == "client" and "/" in target and not target.startswith(CLIENT_MAY):
                if target.split("/")[0] in ("engine", "server"):
                    yield f"{where}: the client knows the protos, and how a worker is started"


def dnnl_users(root):
    for path in sorted(root.glob("*/**/*.[ch]*")):
        parts = path.relative_to(root).parts
        if parts[0] in ("engine", "server", "client") and parts[:2] != ("engine", "onednn"):
            if re.search(r"#include <(oneapi/)?dnnl", path.read_text()):
                yield f"{path.relative_to(root)} includes oneDNN: only engine/onednn does"


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    found = list(problems(root)) + list(dnnl_users(root))
    print("\n".join(found) or "every include is allowed")
    sys.exit(1 if found else 0)


main()
