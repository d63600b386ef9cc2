#!/usr/bin/env python3
"""The web page in Chromium, against a real server: what a person does there, with cuts in between; hostile names; what axe-core finds.

    page.py BIN [--screenshots FOLDER] [TEST…]

Chromium is the distribution's (HONE_CHROMIUM names another), what drives it an environment outside the checkout (tests/support/environments.py page); exit code 77
without them.
"""
import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
import urllib.request

TESTS = pathlib.Path(__file__).resolve().parent.parent
ROOT = TESTS.parent
sys.path.insert(0, str(TESTS / "support"))
import environments  # noqa: E402
from honed import SKIPPED, Honed, free_port, run_tests, wine_rows, write_mirror, write_sleeper  # noqa: E402

PARSER = argparse.ArgumentParser()
PARSER.add_argument("bin", type=pathlib.Path)
PARSER.add_argument("--screenshots", type=pathlib.Path)
PARSER.add_argument("tests", nargs="*")
OPTIONS = PARSER.parse_intermixed_args()

CHROMIUM = os.environ.get("HONE_CHROMIUM") or shutil.which("chromium")
environments.add_to_path("page")
try:
    import axe_playwright_python
    from playwright.sync_api import expect, sync_playwright
except ImportError:
    print(f"no page in a browser: its Python environment is missing ({environments.how_to_make('page')})", file=sys.stderr)
    sys.exit(SKIPPED)
if not CHROMIUM:
    print("no page in a browser: chromium is missing (deploy/install-packages deploy/packages-ci.txt)", file=sys.stderr)
    sys.exit(SKIPPED)

AXE = (pathlib.Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
LONGEST_MILLISECONDS = 120_000  # a busy machine may take long
WINE = """display_name: {name}
classification: {{}}
data: {{dataset: wine}}
model:
  layers:
    - dense: {{units: 16, activation: RELU}}
    - dense: {{units: 3}}
training: {{epochs: {epochs}, threads: 1, optimizer: {{adam: {{learning_rate: {rate}}}}}}}
"""
HOSTILE = ["<img src=x onerror=alert(1)>", "\"><script>alert(1)</script>", "</textarea><b>bold</b>", "{{7*7}} ${7*7} &lt;i&gt;", "\u202egnp.exe", "a" * 128, "'; DROP TABLE jobs; --"]
# What Chromium itself says about an answer that is an error, and about a server that is not there.
NETWORK = "Failed to load resource"


def setUpModule():
    global PLAYWRIGHT, BROWSER  # pylint: disable=global-variable-undefined
    PLAYWRIGHT = sync_playwright().start()
    # As root it has no sandbox of its own.
    BROWSER = PLAYWRIGHT.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else [])
    expect.set_options(timeout=LONGEST_MILLISECONDS)


def tearDownModule():
    BROWSER.close()
    PLAYWRIGHT.stop()


class Page(unittest.TestCase):
    """A server of its own for each test, and a tab. At the end nothing may have been wrong in the tab, nor asked for from elsewhere."""

    options = ()

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="hone-page-")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.mirror = write_mirror(self.folder / "mirror")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()
        self.addCleanup(lambda: self.server.stop())
        self.wrong = []
        self.tab = self.open()

    def start(self, listen="127.0.0.1:0"):
        self.server = Honed(OPTIONS.bin / "honed", self.folder, "--data-mirror", self.mirror, "--http-listen", f"127.0.0.1:{self.port}", *self.options, listen=listen)

    def open(self, **options):
        context = BROWSER.new_context(viewport={"width": 1280, "height": 860}, **options)
        self.addCleanup(context.close)
        context.set_default_timeout(LONGEST_MILLISECONDS)
        tab = context.new_page()
        tab.on("console", lambda message: self.wrong.append(message.text) if message.type in ("error", "warning") and NETWORK not in message.text else None)
        tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        tab.on("request", lambda request: None if request.url.startswith((self.url, "blob:", "data:")) else self.wrong.append(f"asks {request.url}"))
        return tab

    def tearDown(self):
        self.assertEqual(self.wrong, [])

    def token(self, name, role, project="default"):
        made = subprocess.run([OPTIONS.bin / "honed", "token", "create", "--data-dir", self.folder / "data", "--name", name, "--role", role, "--project", project], check=True, capture_output=True, text=True)
        return made.stdout.strip()

    def call(self, method, path, body=None, token=None, project=None):
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {}), **({"Hone-Project": project} if project else {})}
        asked = urllib.request.Request(f"{self.url}/v1/{path}", method=method, headers=headers, data=None if body is None else json.dumps(body).encode())
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.load(answer)

    def submit(self, name, epochs=5, rate=0.01, **more):
        return self.call("POST", "jobs", {"jobFile": WINE.format(name=json.dumps(name), epochs=epochs, rate=rate), **more})["name"]

    def go(self, place, tab=None):
        tab = tab or self.tab
        tab.goto(f"{self.url}/#/{place}")
        expect(tab.locator("main h1")).to_be_visible()

    def log_in(self, token):
        self.tab.goto(self.url)
        self.tab.get_by_label("Token").fill(token)
        self.tab.get_by_role("button", name="Log in").click()

    def write_job(self, text):
        self.tab.get_by_label("Job file").fill(text)

    def train(self, text):
        """Its job's page."""
        self.go("submit")
        self.write_job(text)
        expect(self.tab.get_by_text("This can be trained.")).to_be_visible()
        self.tab.get_by_role("button", name="Train it").click()

    def state(self):
        return self.tab.locator(".state .pill")


class Story(Page):
    def test_a_person_logs_in_submits_watches_through_a_kill_compares_tries_and_logs_out(self):
        token = self.token("anna", "submitter")
        self.tab.goto(self.url)
        self.tab.get_by_label("Token").fill("wrong")
        self.tab.get_by_role("button", name="Log in").click()
        expect(self.tab.get_by_role("alert")).to_contain_text("not accepted")
        self.log_in(token)
        expect(self.tab.get_by_text("No job yet.")).to_be_visible()

        self.train(WINE.format(name="first", epochs=15000, rate=0.002))
        expect(self.tab.get_by_role("heading", level=1, name="first")).to_be_visible()
        loss = self.tab.locator("figure.chart", has=self.tab.get_by_text("loss", exact=True))
        expect(loss.locator("canvas")).to_be_visible()

        self.server.stop(signal.SIGKILL)
        expect(self.tab.get_by_text("The server cannot be reached.")).to_be_visible()
        self.start(self.server.address)
        expect(self.tab.locator("#banner")).to_be_hidden()
        expect(self.state()).to_have_text("succeeded")
        steps = self.tab.locator(".facts", has_text="Step").get_by_text(re.compile(r"([\d,]+) of \1"))
        expect(steps).to_be_visible()
        loss.get_by_text("Numbers of loss").click()
        expect(loss.get_by_role("row", name=re.compile("^training")).get_by_role("cell").last).to_have_text(steps.inner_text().split(" of ")[1])

        self.tab.get_by_role("button", name="New job like this").first.click()
        expect(self.tab.get_by_label("Job file")).to_have_value(re.compile("display_name: first"))
        self.train(WINE.format(name="second", epochs=20, rate=0.02))
        expect(self.state()).to_have_text("succeeded")

        self.tab.get_by_role("link", name="Jobs", exact=True).first.click()
        for name in ("first", "second"):
            self.tab.get_by_label(f"Compare {name}").check()
        self.tab.get_by_role("button", name="Compare 2").click()
        expect(self.tab.get_by_role("row", name=re.compile("learning_rate"))).to_contain_text("0.02")
        expect(self.tab.locator("figure.chart canvas").first).to_be_visible()

        self.tab.get_by_role("link", name="second").click()
        self.tab.locator(".facts a[href^='#/models/']").click()
        for column, value in enumerate(wine_rows()[0].split(",")[:-1], 1):
            self.tab.get_by_label(f"column_{column}", exact=True).fill(value)
        self.tab.get_by_role("button", name="Ask").click()
        expect(self.tab.locator(".answer").get_by_role("row")).to_have_count(4)  # a head and three classes

        self.tab.get_by_role("button", name="Log out").click()
        expect(self.tab.get_by_role("heading", name="Log in to Hone")).to_be_visible()
        self.assertEqual(self.tab.evaluate("sessionStorage.getItem('hone.token')"), None)


class Access(Page):
    def test_a_viewer_is_told_why_a_button_is_off(self):
        viewer = self.token("vera", "viewer")
        name = self.call("POST", "jobs", {"jobFile": WINE.format(name="seen", epochs=1, rate=0.01)}, token=self.token("anna", "submitter"))["name"]
        self.log_in(viewer)
        self.tab.get_by_role("link", name="seen").click()
        expect(self.state()).to_have_text("succeeded")
        self.tab.get_by_role("button", name="Delete").click()
        self.tab.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(self.tab.get_by_role("button", name="Delete")).to_be_disabled()
        expect(self.tab.locator(".reason", has_text="operator")).to_be_visible()
        self.assertEqual(self.call("GET", name, token=viewer)["displayName"], "seen")

    def test_a_token_that_is_revoked_leads_to_the_login(self):
        self.log_in(self.token("anna", "submitter"))
        expect(self.tab.get_by_text("No job yet.")).to_be_visible()
        subprocess.run([OPTIONS.bin / "honed", "token", "revoke", "anna", "--data-dir", self.folder / "data"], check=True, capture_output=True)
        expect(self.tab.get_by_role("alert")).to_contain_text("not accepted")

    def test_who_is_bound_to_no_project_names_one(self):
        for project in ("default", "vision"):
            self.call("POST", "jobs", {"jobFile": WINE.format(name=f"of {project}", epochs=1, rate=0.01)}, project=project)
        self.go("jobs")
        expect(self.tab.locator("tbody tr a")).to_have_text(["of default"])
        self.tab.get_by_label("Project").fill("vision")
        self.tab.keyboard.press("Enter")
        expect(self.tab.locator("tbody tr a")).to_have_text(["of vision"])
        self.tab.get_by_role("link", name="of vision").click()
        expect(self.state()).to_have_text("succeeded")

    def test_an_admin_chooses_among_the_projects(self):
        token = self.token("root", "admin", "*")
        for project in ("default", "vision"):
            self.call("POST", "jobs", {"jobFile": WINE.format(name=f"of {project}", epochs=1, rate=0.01)}, token=token, project=project)
        self.log_in(token)
        self.tab.get_by_label("Project").select_option("vision")
        expect(self.tab.locator("tbody tr a")).to_have_text(["of vision"])

    def test_who_is_bound_to_a_project_stays_there(self):
        token = self.token("vera", "submitter", "vision")
        self.call("POST", "jobs", {"jobFile": WINE.format(name="ours", epochs=1, rate=0.01)}, token=token)
        self.log_in(token)
        expect(self.tab.locator("tbody tr a")).to_have_text(["ours"])
        self.tab.get_by_label("Project").fill("other")
        self.tab.keyboard.press("Enter")
        expect(self.tab.get_by_role("alert")).to_be_visible()
        expect(self.tab.locator("tbody tr a")).to_have_text(["ours"])

    def test_an_open_server_asks_for_no_token(self):
        self.tab.goto(self.url)
        expect(self.tab.get_by_text("No job yet.")).to_be_visible()


class Hostile(Page):
    def test_names_and_labels_are_text_wherever_they_stand(self):
        self.tab.on("dialog", lambda dialog: (self.wrong.append(f"says {dialog.message}"), dialog.dismiss()))
        jobs = {name: self.call("POST", "jobs", {"spec": {"displayName": name, "classification": {}, "data": {"dataset": "wine"}, "model": {"layers": [{"dense": {"units": 3}}]}, "training": {"epochs": 2},
                                                         "labels": {"of": name[:60]}}})["name"] for name in HOSTILE}
        self.go("jobs")
        for name, job in jobs.items():
            with self.subTest(name):
                link = self.tab.locator(f"a[href='#/{job}']")
                expect(link).to_have_text(name)
        self.assertEqual(self.tab.evaluate("document.querySelectorAll('main img, main script, main b, main i').length"), 0)
        self.go(jobs[HOSTILE[0]] + "/file")
        expect(self.tab.get_by_role("heading", level=1)).to_have_text(HOSTILE[0])
        expect(self.state()).to_have_text("succeeded")
        self.go("compare?jobs=" + ",".join(job.split("/")[1] for job in jobs.values()))
        expect(self.tab.locator(".jobkeys li")).to_have_count(len(HOSTILE))
        self.go("models")
        expect(self.tab.locator("tbody tr")).to_have_count(len(HOSTILE))
        self.assertEqual(self.tab.evaluate("document.querySelectorAll('main img, main script, main b, main i').length"), 0)

    def test_an_address_that_names_nothing_says_so(self):
        for place in ("jobs/%3Cimg%20src=x%3E", "nowhere", "jobs/%E0%A4%A", "models/x/y/z"):
            with self.subTest(place):
                self.go(place)
                expect(self.tab.locator("h1")).to_have_text(re.compile("Not found|no such page|did not work"))


class Pages(Page):
    def test_what_is_wrong_in_a_job_file_stands_at_its_line(self):
        self.go("submit")
        self.write_job(WINE.format(name="x", epochs=0, rate=0.01).replace("units: 16", "unitz: 16"))
        wrong = self.tab.locator("#problems li", has_text="unitz")
        expect(wrong).to_be_visible()
        wrong.get_by_role("button", name="Line 6").click()
        self.assertIn("unitz", self.tab.evaluate("(text => text.value.slice(text.selectionStart, text.selectionEnd))(document.activeElement)"))
        expect(self.tab.locator(".gutter .wrong")).to_have_text(["6"])
        self.write_job(WINE.format(name="x", epochs=1, rate=0.01))
        expect(self.tab.get_by_text("This can be trained.")).to_be_visible()

    def test_a_data_set_is_uploaded_read_and_deleted(self):
        table = self.folder / "people.csv"
        table.write_text("age,income,kind\n" + "".join(f"{20 + i % 50},{1000 + i},{'ab'[i % 2]}\n" for i in range(200)))
        self.go("datasets")
        self.tab.get_by_label("File").set_input_files(table)
        expect(self.tab.get_by_label("Name")).to_have_value("people")
        self.tab.get_by_role("button", name="Upload").click()
        self.tab.get_by_role("link", name="people").click()
        self.tab.get_by_role("button", name="Read all of it").click()
        expect(self.tab.get_by_text("Nothing is wrong with it.")).to_be_visible()
        expect(self.tab.get_by_role("columnheader", name="income")).to_be_visible()
        self.assertEqual(self.call("GET", "datasets/people")["sha256"], hashlib.sha256(table.read_bytes()).hexdigest())
        self.tab.get_by_role("button", name="Delete").click()
        self.tab.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(self.tab.get_by_text("Nothing uploaded yet.")).to_be_visible()

    def test_a_job_is_paused_resumed_and_cancelled(self):
        name = self.submit("long", epochs=200000)
        self.go(name)
        self.tab.get_by_role("button", name="Pause").click()
        expect(self.state()).to_have_text("paused")
        self.tab.get_by_role("button", name="Resume").click()
        expect(self.state()).to_have_text(re.compile("queued|running"))
        self.tab.get_by_role("button", name="Cancel").click()
        self.tab.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
        expect(self.state()).to_have_text("cancelled")
        expect(self.tab.get_by_role("button", name="Retry")).to_be_visible()

    def test_a_model_is_pinned_and_let_go(self):
        self.go(self.submit("kept", epochs=1))
        self.tab.locator(".facts a[href^='#/models/']").click()
        for button, pinned in (("Pin", True), ("Unpin", False)):
            self.tab.get_by_role("button", name=button, exact=True).click()
            expect(self.tab.get_by_role("button", name="Unpin" if pinned else "Pin", exact=True)).to_be_enabled()
            self.assertEqual(self.call("GET", "models")["models"][0].get("pinned", False), pinned)

    def test_a_dialog_that_is_left_deletes_nothing(self):
        name = self.submit("kept", epochs=1)
        self.go(name)
        expect(self.state()).to_have_text("succeeded")
        self.tab.get_by_role("button", name="Delete").click()
        self.tab.keyboard.press("Escape")
        expect(self.tab.get_by_role("dialog")).to_have_count(0)
        self.assertEqual(self.call("GET", name)["state"], "SUCCEEDED")

    def test_a_job_can_be_sent_with_the_keyboard_alone(self):
        self.go("jobs")
        self.tab.keyboard.press("Tab")
        for _ in range(40):
            if self.tab.evaluate("document.activeElement.textContent") == "New job":
                break
            self.tab.keyboard.press("Tab")
        self.tab.keyboard.press("Enter")
        expect(self.tab.get_by_text("This can be trained.")).to_be_visible()
        self.tab.get_by_label("Job file").focus()
        self.tab.keyboard.press("Control+Enter")
        expect(self.state()).to_have_text("succeeded")

    def test_a_tab_that_nobody_looks_at_gives_its_stream_back(self):
        self.go(self.submit("long", epochs=200000))
        expect(self.tab.locator(".live")).to_have_text("live")
        look = "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true}); document.dispatchEvent(new Event('visibilitychange')); }"
        self.tab.evaluate(look, True)
        expect(self.tab.locator(".live")).to_have_text("connecting…")
        self.tab.evaluate(look, False)
        expect(self.tab.locator(".live")).to_have_text("live")

    def test_the_skip_link_leads_to_the_content(self):
        self.go("jobs")
        self.tab.locator("#skip").focus()
        self.tab.keyboard.press("Enter")
        self.assertEqual(self.tab.evaluate("document.activeElement.id"), "main")


class ManyJobs(Page):
    def setUp(self):
        # A worker that holds its job back, so that the others wait.
        worker = pathlib.Path(tempfile.mkdtemp(prefix="hone-page-worker-"))
        self.addCleanup(shutil.rmtree, worker)
        self.options = ("--worker", write_sleeper(worker, OPTIONS.bin / "hone-worker"), "--jobs", "1")
        super().setUp()

    def test_a_thousand_jobs_are_shown_page_by_page(self):
        self.submit("SLEEPS")
        for number in range(1000):
            self.submit(f"job {number}")
        self.go("jobs")
        expect(self.tab.locator("tbody tr")).to_have_count(50)
        expect(self.tab.locator("tbody tr a").first).to_have_text("job 999")
        self.tab.get_by_role("button", name="Older").click()
        expect(self.tab.locator("tbody tr a").first).to_have_text("job 949")
        self.tab.get_by_role("button", name="Newer").click()
        expect(self.tab.locator("tbody tr a").first).to_have_text("job 999")
        self.tab.get_by_label("State").select_option("RUNNING")
        expect(self.tab.locator("tbody tr a")).to_have_text(["SLEEPS"])


class Seen(Page):
    """Every page, as it is looked at, heard and held in a hand."""

    def setUp(self):
        super().setUp()
        self.first = self.submit("first", epochs=60)
        self.second = self.submit("second", epochs=60, rate=0.001)
        sweep = self.call("POST", "sweeps", {"spec": {"displayName": "rates", "job": {"classification": {}, "data": {"dataset": "wine", "validationFraction": 0.2}, "model": {"layers": [{"dense": {"units": 3}}]},
                                                                                      "training": {"epochs": 4, "optimizer": {"adam": {}}}},
                                                      "axes": [{"field": "training.optimizer.adam.learning_rate", "logRange": {"from": 0.001, "to": 0.1, "count": 3}}], "objective": {"metric": "validation_accuracy"}, "grid": {}}})
        for name in (self.second, sweep["name"]):
            self.go(name)
            expect(self.tab.locator("main .pill").first).to_have_text("succeeded")
        model = self.call("GET", self.first)["model"]
        self.places = {"jobs": "jobs", "job": self.first, "layers": f"{self.first}/layers", "evaluation": f"{self.first}/evaluation", "artifacts": f"{self.first}/artifacts", "log": f"{self.first}/log",
                       "file": f"{self.first}/file", "compare": f"compare?jobs={self.first[5:]},{self.second[5:]}", "sweeps": "sweeps", "sweep": sweep["name"], "datasets": "datasets", "models": "models",
                       "model": model, "submit": "submit", "missing": "jobs/none"}

    def look(self, tab, name, place):
        self.go(place, tab)
        if name in ("job", "compare", "layers", "sweep"):
            expect(tab.locator("canvas").first).to_be_visible()
        if name == "submit":
            expect(tab.get_by_text("This can be trained.")).to_be_visible()
        tab.wait_for_timeout(300)  # what is still being drawn

    def test_axe_finds_nothing_serious_in_light_and_dark(self):
        for scheme in ("light", "dark"):
            tab = self.open(color_scheme=scheme)
            for name, place in self.places.items():
                with self.subTest(f"{name}, {scheme}"):
                    self.look(tab, name, place)
                    if OPTIONS.screenshots:
                        tab.screenshot(path=OPTIONS.screenshots / f"{name}-{scheme}.png", full_page=True)
                    tab.evaluate(AXE)
                    found = tab.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
                    self.assertEqual([(one["impact"], one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in ("serious", "critical")], [])

    def test_no_page_is_wider_than_a_phone(self):
        tab = self.open()
        tab.set_viewport_size({"width": 360, "height": 740})
        for name, place in self.places.items():
            with self.subTest(name):
                self.look(tab, name, place)
                if OPTIONS.screenshots:
                    tab.screenshot(path=OPTIONS.screenshots / f"{name}-phone.png", full_page=True)
                self.assertLessEqual(tab.evaluate("document.documentElement.scrollWidth"), 360)

    def test_a_curve_is_told_in_words_and_numbers(self):
        self.go(self.first)
        drawing = self.tab.get_by_role("img", name=re.compile(r"^loss: training from \S+ at step 1?\d* to \S+ at step [\d,]+"))
        expect(drawing).to_be_visible()


class Vendored(unittest.TestCase):
    def test_the_libraries_are_those_that_their_readme_names(self):
        folder = ROOT / "deploy" / "web-libraries"
        named = dict(re.findall(r"`(\S+?)` \| `([0-9a-f]{64})`", (folder / "README.md").read_text(encoding="utf-8")))
        there = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*/*.*") if path.suffix in (".js", ".css")}
        self.assertEqual(named, there)


if __name__ == "__main__":
    if OPTIONS.screenshots:
        OPTIONS.screenshots.mkdir(parents=True, exist_ok=True)
    run_tests(*OPTIONS.tests)
