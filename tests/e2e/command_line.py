#!/usr/bin/env python3
"""The command line as a person meets it: contexts and login, completion in real shells, the manual pages, `hone top` in a terminal.

    command_line.py BIN_DIR SHARE_DIR SOURCE_DIR
"""
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from honed import LONGEST_SECONDS, Honed, free_port, run_tests, wait_until, write_mirror, write_sleeper  # noqa: E402

BIN, SHARE, SOURCE = map(pathlib.Path, sys.argv[1:4])
HONE, HONED = BIN / "hone", BIN / "honed"
JOB = SOURCE / "client" / "examples" / "wine-classification.yaml"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def clean_environment(folder, **more):
    """A person's, who has said nothing of hone yet."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HONE_", "HONED_"))}
    environment.pop("TRACEPARENT", None)
    environment.pop("NO_COLOR", None)
    return dict(environment, XDG_CONFIG_HOME=str(folder), TERM="xterm", PATH=f"{BIN}:{os.environ['PATH']}", **more)


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, arguments, environment, rows=30, columns=120):
        self.text = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(arguments[0], arguments, environment)
        self.resize(rows, columns)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys):
        """Forgets what was on the screen before."""
        self.read(0)
        self.text = ""
        os.write(self.fd, keys.encode())

    def read(self, seconds):
        """False: there is no more."""
        while select.select([self.fd], [], [], seconds)[0]:
            try:
                piece = os.read(self.fd, 65536)
            except OSError:
                return False
            if not piece:
                return False
            self.text += piece.decode(errors="replace")
            seconds = 0
        return True

    def plain(self):
        """Without what only moves, colours or rings."""
        return re.sub(r"\x1b\[[?\d;]*[A-Za-z]|[\x07\x08]", "", self.text)

    def wait_for(self, pattern):
        """In the text as it came, or in the plain one."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while not (re.search(pattern, self.text) or re.search(pattern, self.plain())):
            if not self.read(0.1) or time.monotonic() > deadline:
                raise AssertionError(f"there never was {pattern!r} in: {self.text[-4000:]!r}")

    def exit_code(self):
        deadline = time.monotonic() + LONGEST_SECONDS
        while time.monotonic() < deadline:
            self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.read(0)
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(f"it does not end: {self.text[-2000:]!r}")

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


class WithServer(unittest.TestCase):
    """A server whose first job takes the only slot and does nothing; another one waits behind it."""
    options = ()

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.folder = pathlib.Path(cls.scratch.name)
        write_mirror(cls.folder / "mirror")
        cls.address = f"127.0.0.1:{free_port()}"
        cls.environment = clean_environment(cls.folder / "config")
        cls.start_server()
        cls.addClassCleanup(lambda: cls.server.stop())

    @classmethod
    def start_server(cls):
        worker = cls.folder / "sleeper"
        if not worker.exists():
            worker = write_sleeper(cls.folder, BIN / "hone-worker")
        cls.server = Honed(HONED, cls.folder, "--worker", worker, "--jobs", 1, *cls.options, listen=cls.address,
                           environment=dict(cls.environment, HONE_DATA_DIR=str(cls.folder / "mirror")))

    @classmethod
    def hone(cls, *arguments, stdin="", **environment):
        return subprocess.run([HONE, *map(str, arguments)], capture_output=True, text=True, timeout=2 * LONGEST_SECONDS, check=False,
                              input=stdin, env=dict(cls.environment, **environment))

    @classmethod
    def submit(cls, name, **environment):
        done = cls.hone("--server", cls.address, "submit", JOB, "--set", f"display_name={name}", **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.split()[0]

    def state(self, job):
        return json.loads(self.hone("--server", self.address, "--output", "json", "jobs", "show", job).stdout)["state"]


class Contexts(WithServer):
    def setUp(self):
        shutil.rmtree(self.folder / "config", ignore_errors=True)

    def shown(self, *arguments, **environment):
        done = self.hone("--output", "json", *arguments, "config", "show", **environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_the_first_context_is_the_current_one_and_its_server_is_asked(self):
        made = self.hone("config", "set-context", "lab", "--server", self.address)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertEqual(self.hone("jobs", "list").returncode, 0)
        self.assertEqual(self.shown()["server"], {"value": self.address, "source": "context lab"})

    def test_a_flag_counts_before_a_variable_a_variable_before_the_context_and_that_before_the_default(self):
        self.assertEqual(self.shown()["project"]["source"], "default")
        self.hone("config", "set-context", "lab", "--server", self.address, "--project", "of-context")
        self.assertEqual(self.shown()["project"]["value"], "of-context")
        self.assertEqual(self.shown(HONE_PROJECT="of-variable")["project"],
                         {"value": "of-variable", "source": "variable HONE_PROJECT"})
        self.assertEqual(self.shown("--project", "of-flag", HONE_PROJECT="of-variable")["project"],
                         {"value": "of-flag", "source": "--project"})

    def test_a_named_context_counts_before_the_current_one(self):
        for name in ("a", "b", "c"):
            self.hone("config", "set-context", name, "--server", f"{name}:1")
        self.hone("config", "use-context", "b")
        self.assertEqual(self.shown()["server"]["value"], "b:1")
        self.assertEqual(self.shown(HONE_CONTEXT="a")["server"]["value"], "a:1")
        self.assertEqual(self.shown("--context", "c", HONE_CONTEXT="a")["server"]["value"], "c:1")

    def test_what_a_context_says_never_goes_to_another_server(self):
        token = self.folder / "token"
        token.write_text("hone_secret\n")
        token.chmod(0o600)
        self.hone("config", "set-context", "lab", "--server", "lab:1", "--token-file", token)
        self.assertEqual(self.shown("--server", "other:1")["token-file"]["value"], "")
        both = self.hone("--context", "lab", "--server", "other:1", "jobs", "list")
        self.assertEqual(both.returncode, 2, both.stderr)
        self.assertIn("other:1", both.stderr)
        self.assertIn("lab:1", both.stderr)

    def test_an_unknown_context_ends_with_2_and_names_the_known_ones(self):
        self.hone("config", "set-context", "staging", "--server", "a:1")
        for arguments in (["--context", "stagin", "jobs", "list"], ["config", "use-context", "stagin"],
                          ["config", "delete-context", "stagin"]):
            done = self.hone(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn("`staging`", done.stderr)

    def test_a_broken_file_is_named_with_its_line_and_stops_only_what_needs_a_server(self):
        path = self.folder / "config" / "hone" / "config.yaml"
        path.parent.mkdir(parents=True)
        path.write_text("contexts:\n  lab:\n    sever: a:1\n")
        path.chmod(0o600)
        done = self.hone("jobs", "list")
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"{path}:3:5: unknown key `sever`", done.stderr)
        self.assertEqual(self.hone("completion", "bash").returncode, 0)
        self.assertEqual(self.hone("--server", self.address, "jobs", "list").returncode, 0)

    def test_a_field_is_changed_and_the_others_stay(self):
        self.hone("config", "set-context", "lab", "--server", "a:1", "--tls", "--project", "p")
        self.hone("config", "set-context", "lab", "--server", "b:1")
        shown = self.shown()
        self.assertEqual((shown["server"]["value"], shown["tls"]["value"], shown["project"]["value"]), ("b:1", "yes", "p"))
        self.hone("config", "set-context", "lab", "--tls=false", "--project", "")
        shown = self.shown()
        self.assertEqual((shown["tls"]["value"], shown["project"]["value"]), ("no", ""))

    def test_a_deleted_context_is_no_longer_there(self):
        self.hone("config", "set-context", "lab", "--server", "a:1")
        self.assertEqual(self.hone("config", "delete-context", "lab").returncode, 0)
        self.assertEqual(json.loads(self.hone("--output", "json", "config", "list").stdout), {"contexts": []})


class Login(WithServer):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        made = subprocess.run([HONED, "token", "create", "--data-dir", cls.folder / "data", "--name", "anna", "--role", "submitter"],
                              capture_output=True, text=True, check=True)
        cls.token = made.stdout.strip()

    def setUp(self):
        shutil.rmtree(self.folder / "config", ignore_errors=True)
        self.hone("config", "set-context", "lab", "--server", self.address)
        self.file = self.folder / "config" / "hone" / "tokens" / "lab"

    def test_a_token_is_kept_for_its_owner_alone_and_shown_to_the_server(self):
        self.assertNotEqual(self.hone("jobs", "list").returncode, 0)
        done = self.hone("login", stdin=self.token + "\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o600)
        self.assertNotIn(self.token, done.stdout + done.stderr)
        self.assertEqual(self.hone("jobs", "list").returncode, 0)
        self.assertNotIn(self.token, (self.folder / "config" / "hone" / "config.yaml").read_text())

    def test_a_token_that_does_not_count_is_not_kept(self):
        self.assertNotEqual(self.hone("login", stdin="hone_wrong\n").returncode, 0)
        self.assertFalse(self.file.exists())

    def test_without_a_token_login_ends_with_2(self):
        self.assertEqual(self.hone("login", stdin="").returncode, 2)

    def test_in_a_terminal_the_token_is_not_shown(self):
        terminal = Terminal([str(HONE), "login"], self.environment)
        self.addCleanup(terminal.close)
        terminal.wait_for("token: ")
        terminal.press(self.token + "\r")
        self.assertEqual(terminal.exit_code(), 0, terminal.text)
        self.assertNotIn(self.token, terminal.text)
        self.assertTrue(self.file.exists())

    def test_a_file_that_others_may_read_is_refused(self):
        self.hone("login", stdin=self.token + "\n")
        self.file.chmod(0o644)
        done = self.hone("jobs", "list")
        self.assertEqual(done.returncode, 2)
        self.assertIn("others may read this file", done.stderr)

    def test_logout_forgets_the_token(self):
        self.hone("login", stdin=self.token + "\n")
        self.assertEqual(self.hone("logout").returncode, 0)
        self.assertFalse(self.file.exists())
        self.assertNotEqual(self.hone("jobs", "list").returncode, 0)


class Completion(WithServer):
    SHELLS = {"bash": (["bash", "--norc", "--noprofile", "-i"], "PS1='> '; bind 'set enable-bracketed-paste off'"),
              "zsh": (["zsh", "-f", "-i"], "PS1='> '; unsetopt zle_bracketed_paste; autoload -U compinit; compinit -u -D"),
              "fish": (["fish", "--no-config", "-i"], "function fish_prompt; echo '> '; end")}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.job = cls.submit("SLEEPS-in-completion")

    def shell(self, name):
        if shutil.which(name) is None:
            self.skipTest(f"no {name} here")
        arguments, begin = self.SHELLS[name]
        terminal = Terminal(arguments, dict(self.environment, HONE_SERVER=self.address, HOME=str(self.folder)))
        self.addCleanup(terminal.close)
        script = SHARE / "completions" / {"bash": "bash/{}", "zsh": "zsh/_{}", "fish": "fish/{}.fish"}[name]
        terminal.press(f"{begin}\r")
        for program in ("hone", "honed"):
            terminal.press(f"source {str(script).format(program)}\r")
        terminal.press("echo rea''dy\r")
        terminal.wait_for("ready")
        return terminal

    def try_words(self, name):
        terminal = self.shell(name)
        # What one word alone fits is written; the sign of the shell's own completion would be a file of that name.
        for line, done in (("hone jobs pau", "pause"), (f"hone watch {self.job[:9]}", self.job[9:]),
                           ("hone --output js", "json"), ("honed tok", "token"), ("honed token rev", "revoke"),
                           ("honed --log-for", "log-format")):
            terminal.press(f"\x15{line}\t")
            terminal.wait_for(re.escape(done))

    def test_bash(self):
        self.try_words("bash")

    def test_zsh(self):
        self.try_words("zsh")

    def test_fish(self):
        self.try_words("fish")

    def complete(self, *words, **environment):
        return self.hone("__complete", "fish", *words, **environment)

    def test_names_come_with_what_they_mean(self):
        self.assertIn(f"{self.job}\tSLEEPS-in-completion, running", self.complete("--server", self.address, "watch", "").stdout)

    def test_names_of_data_sets_models_and_contexts_are_known(self):
        table = self.folder / "few.csv"
        table.write_text("a,b\n1,2\n3,4\n5,6\n")
        self.assertEqual(self.hone("--server", self.address, "data", "put", "few", table).returncode, 0)
        self.assertIn("datasets/few", self.complete("--server", self.address, "data", "show", "").stdout)
        self.hone("config", "set-context", "lab", "--server", "a:1")
        self.assertIn("lab\ta:1", self.complete("config", "use-context", "").stdout)
        self.assertIn("lab\ta:1", self.complete("--context", "l").stdout)
        self.hone("config", "delete-context", "lab")

    def test_without_a_server_it_is_silent(self):
        done = self.complete("--server", "127.0.0.1:1", "watch", "")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))


class Manual(unittest.TestCase):
    PAGES = ("man1/hone.1", "man5/hone-job-file.5", "man8/honed.8", "man8/hone-worker.8")

    def test_mandoc_finds_nothing_wrong(self):
        if shutil.which("mandoc") is None:
            self.skipTest("no mandoc here")
        for page in self.PAGES:
            done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", SHARE / "man" / page], capture_output=True, text=True, check=False)
            self.assertEqual(done.stdout + done.stderr, "", page)

    def test_man_formats_them_without_a_warning(self):
        if shutil.which("man") is None or shutil.which("groff") is None:
            self.skipTest("no man here")
        for page in self.PAGES:
            done = subprocess.run(["man", "--warnings", "-l", SHARE / "man" / page], capture_output=True, text=True, check=False,
                                  env=dict(os.environ, MANROFFSEQ="", MANWIDTH="80", LC_ALL="C.UTF-8"))
            self.assertEqual((done.returncode, done.stderr), (0, ""), page)

    def test_every_command_of_help_is_in_the_page(self):
        page = (SHARE / "man" / "man1" / "hone.1").read_text()
        listed = subprocess.run([HONE, "--help"], capture_output=True, text=True, check=True).stdout.split("Subcommands:")[1]
        commands = re.findall(r"^  (\S+)", listed, re.M)
        self.assertGreater(len(commands), 10)
        for command in commands:
            self.assertIn(f".SS hone {command}\n", page)

    def test_the_fields_of_a_job_file_come_with_what_they_mean(self):
        page = (SHARE / "man" / "man5" / "hone-job-file.5").read_text()
        for field in ("batch_size", "epochs", "learning_rate", "dataset"):
            self.assertIn(f"\\fB{field}\\fR", page)
        self.assertLess(page.count("See its type."), page.count(".TP") / 2)

    def test_the_servers_commands_and_settings_are_in_its_page(self):
        page = (SHARE / "man" / "man8" / "honed.8").read_text()
        for text in (".SS honed token create", ".SS honed doctor", "HONED_DATA_DIR", "\\-\\-keep\\-jobs"):
            self.assertIn(text, page)
        self.assertLess(page.index(".SH COMMANDS"), page.index(".SH ENVIRONMENT"))


class Top(WithServer):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.running = cls.submit("SLEEPS-first")
        cls.waiting = cls.submit("waits-behind")

    def open(self, **environment):
        wait_until("the first job runs", lambda: self.state(self.running) == "RUNNING")
        terminal = Terminal([str(HONE), "--server", self.address, "top"], dict(self.environment, **environment))
        self.addCleanup(terminal.close)
        terminal.wait_for("SLEEPS-first")
        terminal.wait_for("waits-behind")
        return terminal

    def test_it_shows_what_runs_and_what_waits_and_gives_the_terminal_back(self):
        terminal = self.open()
        self.assertIn("\x1b[?1049h", terminal.text)
        self.assertRegex(terminal.text, "1 running, 1 in the queue")
        terminal.press("q")
        self.assertEqual(terminal.exit_code(), 0)
        self.assertIn("\x1b[?1049l", terminal.text)
        self.assertIn("\x1b[?25h", terminal.text)

    def test_an_interrupt_ends_it_with_4_and_gives_the_terminal_back(self):
        terminal = self.open()
        terminal.press("\x03")
        self.assertEqual(terminal.exit_code(), 4)
        self.assertIn("\x1b[?1049l", terminal.text)

    def test_without_colours_nothing_has_one(self):
        terminal = self.open(NO_COLOR="1")
        self.assertNotRegex(terminal.text, r"\x1b\[\d*m")

    def test_it_follows_the_size_of_the_terminal(self):
        terminal = self.open()
        terminal.resize(8, 40)
        terminal.press("")
        terminal.wait_for("hone")
        time.sleep(0.5)
        terminal.press("j")
        terminal.wait_for(r"▸")
        picture = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", terminal.text.split("\x1b[H")[-1])
        self.assertLessEqual(max(len(line) for line in picture.split("\r\n")), 40)
        self.assertLessEqual(picture.count("\r\n"), 7)

    def test_a_job_is_cancelled_when_y_confirms_it(self):
        job = self.submit("to-be-cancelled")
        terminal = self.open()
        terminal.press("/to-be\r")
        terminal.press("j")
        terminal.wait_for("▸")
        terminal.press("c")
        terminal.wait_for(f"cancel {job}")
        self.assertEqual(self.state(job), "QUEUED")
        terminal.press("y")
        wait_until("it is cancelled", lambda: self.state(job) == "CANCELLED")

    def test_a_job_is_paused_and_goes_on(self):
        terminal = self.open()
        terminal.press("/waits-behind\r")
        terminal.press("j")
        terminal.wait_for("▸")
        terminal.press("p")
        wait_until("it is paused", lambda: self.state(self.waiting) == "PAUSED")
        terminal.wait_for("paused")
        terminal.press("p")
        wait_until("it waits again", lambda: self.state(self.waiting) == "QUEUED")

    def test_a_job_is_watched_and_left(self):
        terminal = self.open()
        terminal.press("j")
        terminal.wait_for("▸")
        terminal.press("\r")
        terminal.wait_for(r"\x1b\[\?1049l")
        time.sleep(1)  # the watch begins
        terminal.press("\x03")
        terminal.wait_for("the job keeps running")
        terminal.press("\r")
        terminal.wait_for("waits-behind")
        terminal.press("q")
        self.assertEqual(terminal.exit_code(), 0)

    def test_where_this_is_no_terminal_it_is_one_plain_picture(self):
        done = self.hone("--server", self.address, "top")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("waits-behind", done.stdout)
        self.assertNotIn("\x1b", done.stdout)

    def test_as_json_it_is_the_jobs(self):
        done = self.hone("--server", self.address, "--output", "json", "top", "--once")
        names = [job["name"] for job in json.loads(done.stdout)["jobs"]]
        self.assertIn(self.running, names)
        self.assertIn(self.waiting, names)

    def test_without_a_server_once_ends_with_3(self):
        self.assertEqual(self.hone("--server", "127.0.0.1:1", "top", "--once").returncode, 3)


class TopAndAServerThatIsAway(WithServer):
    def test_it_is_said_and_the_server_comes_back(self):
        self.submit("SLEEPS-first")
        terminal = Terminal([str(HONE), "--server", self.address, "top"], self.environment)
        self.addCleanup(terminal.close)
        terminal.wait_for("SLEEPS-first")
        self.server.stop(signal.SIGKILL)
        terminal.wait_for("does not answer")
        type(self).start_server()

        def is_back():
            terminal.press("")
            terminal.read(0.5)
            return "SLEEPS-first" in terminal.text and "does not answer" not in terminal.text

        wait_until("it is shown again", is_back)


class Traces(WithServer):
    def log(self):
        return (self.folder / "honed.log").read_text().splitlines()

    def test_a_trace_goes_from_the_call_to_the_worker(self):
        job = self.submit("traced", TRACEPARENT=f"00-{TRACE}-b7ad6b7169203331-01").removeprefix("jobs/")

        def lines(what):
            return [line for line in self.log() if f"job={job}" in line and what in line]

        wait_until("the attempt ends", lambda: lines("attempt ended"))
        for what in ("rpc=CreateJob", '"attempt started"', '"attempt ended"'):
            self.assertIn(f"trace_id={TRACE}", lines(what)[0])
        worker = (self.folder / "data" / "runs" / job)
        self.assertTrue(any(TRACE in path.read_text() for path in worker.rglob("worker.log")))

    def test_what_is_no_trace_is_left_out(self):
        job = self.submit("untraced", TRACEPARENT="00-zz-b7ad6b7169203331-01").removeprefix("jobs/")
        calls = [line for line in self.log() if "rpc=CreateJob" in line and f"job={job}" in line]
        self.assertEqual(len(calls), 1)
        self.assertNotIn("trace_id", calls[0])


run_tests(*sys.argv[4:])
