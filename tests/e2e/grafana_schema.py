#!/usr/bin/env python3
"""The boards of deploy/grafana against Grafana's own schema, as Grafana's builder library for Python states it.

    grafana_schema.py SOURCE_DIR

The library comes from a virtual environment outside the checkout (HONE_GRAFANA_VENV, else the user's cache). Without it: exit code 77.
"""
import copy
import enum
import itertools
import json
import pathlib
import sys
import typing
import unittest

SKIPPED = 77
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import environments  # noqa: E402

environments.add_to_path("grafana")
try:
    from grafana_foundation_sdk.cog import plugins, runtime
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import dashboard, units
except ImportError as missing:
    print(f"SKIPPED: {missing}. To run this test:\n    {environments.how_to_make('grafana')}")
    sys.exit(SKIPPED)

SOURCE = pathlib.Path(sys.argv[1])
BOARDS = sorted((SOURCE / "deploy" / "grafana" / "dashboards").glob("*.json"))
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}  # of deploy/grafana/datasource.yaml
GRID_COLUMNS = 24
UNITS = set(itertools.chain.from_iterable(typing.get_args(hint) for hint in typing.get_type_hints(units).values()))


def lost(given, encoded, where=""):
    """What `given` has and `encoded` has not: the library drops keys that it does not know."""
    if isinstance(given, dict) and isinstance(encoded, dict):
        for key, value in given.items():
            if key in encoded:
                yield from lost(value, encoded[key], f"{where}.{key}")
            else:
                yield f"{where}.{key}: no such field"
    elif isinstance(given, list) and isinstance(encoded, list) and len(given) == len(encoded):
        for i, (one, other) in enumerate(zip(given, encoded)):
            yield from lost(one, other, f"{where}[{i}]")
    elif given != encoded:
        yield f"{where}: {given!r} became {encoded!r}"


def fits(value, hint):
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:
        return any(fits(value, one) for one in args)
    if origin is typing.Literal:
        return value in args
    if origin is list:
        return isinstance(value, list) and all(fits(item, args[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(fits(item, args[1]) for item in value.values())
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return value in [member.value for member in hint]
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return not isinstance(hint, type) or isinstance(value, hint)


def mistyped(model, where=""):
    """Fields of the library's objects whose values are not of the declared type."""
    if isinstance(model, (list, tuple)):
        for i, item in enumerate(model):
            yield from mistyped(item, f"{where}[{i}]")
    elif type(model).__module__.startswith("grafana_foundation_sdk.models") and not isinstance(model, enum.Enum):
        hints = typing.get_type_hints(type(model))
        for name, value in vars(model).items():
            if name in hints and not fits(value, hints[name]):
                yield f"{where}.{name}: {value!r} is no {hints[name]}"
            yield from mistyped(value, f"{where}.{name}")


def overlap(a, b):
    return a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]


def panel_problems(panel):
    where = f"panel {panel.get('title')!r}"
    if runtime.panelcfg_config(panel["type"]) is None:
        yield f"{where}: no panel type {panel['type']!r}"
    for owner in [panel, *panel["targets"]]:
        if owner["datasource"] != DATASOURCE:
            yield f"{where}: datasource {owner['datasource']}"
    if (unit := panel["fieldConfig"]["defaults"].get("unit")) not in UNITS:
        yield f"{where}: no unit {unit!r}"
    if len({target["refId"] for target in panel["targets"]}) != len(panel["targets"]):
        yield f"{where}: a refId twice"
    at = panel["gridPos"]
    if at["x"] < 0 or at["y"] < 0 or at["w"] < 1 or at["h"] < 1 or at["x"] + at["w"] > GRID_COLUMNS:
        yield f"{where}: gridPos {at} leaves the grid"


def problems(board):
    model = dashboard.Dashboard.from_json(board)
    yield from lost(board, json.loads(JSONEncoder().encode(model)))
    yield from mistyped(model)
    for panel in board["panels"]:
        yield from panel_problems(panel)
    for a, b in itertools.combinations(board["panels"], 2):
        if a["id"] == b["id"]:
            yield f"panels {a['title']!r} and {b['title']!r} have one id"
        if overlap(a["gridPos"], b["gridPos"]):
            yield f"panels {a['title']!r} and {b['title']!r} overlap"


class Boards(unittest.TestCase):
    def test_every_board_is_what_grafana_reads(self):
        self.assertTrue(BOARDS)
        for path in BOARDS:
            self.assertEqual(list(problems(json.loads(path.read_text(encoding="utf-8")))), [], path.name)

    def test_boards_have_ids_of_their_own(self):
        uids = [json.loads(path.read_text(encoding="utf-8"))["uid"] for path in BOARDS]
        self.assertEqual(len(set(uids)), len(uids))

    def test_the_datasource_of_the_boards_is_the_one_that_is_provisioned(self):
        text = (SOURCE / "deploy" / "grafana" / "datasource.yaml").read_text(encoding="utf-8")
        self.assertIn(f"uid: {DATASOURCE['uid']}, type: {DATASOURCE['type']}", text)

    def test_what_is_wrong_with_a_board_is_found(self):
        sound = json.loads(BOARDS[0].read_text(encoding="utf-8"))
        breakages = {
            "no such field": lambda b: b["panels"][0]["options"]["legend"].update(placment="bottom"),
            "is no ": lambda b: b["panels"][0]["options"]["legend"].update(placement="below"),
            "no panel type": lambda b: b["panels"][0].update(type="timeserie"),
            "datasource": lambda b: b["panels"][0]["targets"][0].update(datasource={"type": "prometheus", "uid": "other"}),
            "no unit": lambda b: b["panels"][0]["fieldConfig"]["defaults"].update(unit="secs"),
            "leaves the grid": lambda b: b["panels"][0]["gridPos"].update(w=25),
            "overlap": lambda b: b["panels"][1]["gridPos"].update(x=0),
        }
        for word, breakage in breakages.items():
            board = copy.deepcopy(sound)
            breakage(board)
            self.assertIn(word, "\n".join(problems(board)))


plugins.register_default_plugins()
unittest.main(argv=sys.argv[:1])
