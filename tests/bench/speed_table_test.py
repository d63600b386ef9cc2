#!/usr/bin/env python3
"""What the table of `make bench` says of measurements: ratios, goals, which rows are asked for, how times become one number."""
import json
import unittest

from speed_table import Check, Goal, Row, add_rss_goal, as_json, compare, markdown, wanted
from timing import timing_of


def runs(*times, **others):
    return [{"step_ms": time, **others} for time in times]


class Compare(unittest.TestCase):
    def test_the_best_way_has_the_lowest_median_not_the_lowest_round(self):
        row = compare("a", runs(1, 1, 1), {"eager": runs(1, 9, 9), "compile": runs(4, 4, 4)})
        self.assertEqual((row.way, row.theirs), ("compile", 4))

    def test_a_ratio_is_taken_round_by_round(self):
        row = compare("a", runs(1, 2, 4), {"eager": runs(3, 4, 8)})
        self.assertEqual((row.ratio, row.least_ratio, row.most_ratio), (2, 2, 3))

    def test_of_a_rate_more_is_better(self):
        rates = {"eager": runs(10, 10, 10), "compile": runs(5, 5, 5)}
        row = compare("a", runs(40, 40, 40), rates, more_is_better=True)
        self.assertEqual((row.way, row.ratio), ("eager", 4))

    def test_without_pytorch_there_is_no_ratio_and_its_goal_is_neither_reached_nor_missed(self):
        row = compare("a", runs(1, 1, 1), {}, goal=Goal(2))
        self.assertIsNone(row.ratio)
        self.assertEqual(row.missed(), [])
        self.assertIn("0 of 1 goals reached", markdown([row]))

    def test_steps_of_all_rounds_are_counted(self):
        row = compare("a", runs(1, 1, steps=10, spread=0.1), {"eager": runs(2, 2, steps=7, spread=0.3)})
        self.assertEqual((row.steps, row.spread), ((20, 14), (0.1, 0.3)))

    def test_pytorch_has_the_same_operations_in_its_own_time(self):
        row = compare("a", runs(1, 1, mfu=0.8), {"eager": runs(4, 4)})
        self.assertEqual(row.mfu, (0.8, 0.2))

    def test_memory_is_a_share_of_pytorchs(self):
        row = compare("a", runs(1, peak_rss_mb=100), {"eager": runs(2, peak_rss_mb=500)})
        add_rss_goal(row, 0.25)
        self.assertEqual(row.missed(), [])
        add_rss_goal(row, 0.1)
        self.assertEqual([what for what, _, _ in row.missed()], ["RSS ÷ PyTorch's"])


class Goals(unittest.TestCase):
    def test_a_goal_is_reached_at_its_value(self):
        self.assertEqual((Goal(2).verdict(2.0), Goal(2).verdict(1.99)), ("ok (≥ 2)", "MISSED (≥ 2)"))
        self.assertEqual((Goal(1.05, least=False).verdict(1.05), Goal(1.05, least=False).verdict(1.06)), ("ok (≤ 1.05)", "MISSED (≤ 1.05)"))


class Wanted(unittest.TestCase):
    def test_nothing_asked_for_is_everything(self):
        self.assertTrue(wanted("", "lstm f32", "sequences"))

    def test_a_part_of_a_name_a_group_and_a_pattern_ask_for_a_row(self):
        self.assertTrue(wanted("lstm", "lstm f32", "sequences"))
        self.assertTrue(wanted("sequences", "lstm f32", "sequences"))
        self.assertTrue(wanted("gru, minilm*bf16", "minilm_lengths bf16", "sequences"))

    def test_other_rows_are_not_asked_for(self):
        self.assertFalse(wanted("minilm*bf16", "minilm f32", "sequences"))
        self.assertFalse(wanted("gan", "lstm f32", "sequences"))


class Written(unittest.TestCase):
    ROWS = [Row("a", ours=2.0, theirs=5.0, way="eager f32", ratio=2.5, least_ratio=2.4, most_ratio=2.6, goal=Goal(3),
                checks=[Check("rows over tokens", 1.01, Goal(1.05, least=False)), Check("shapes", 11)])]

    def test_every_line_of_the_table_has_as_many_cells(self):
        lines = [line for line in markdown(self.ROWS + [Row("b")]).splitlines() if line.startswith("|")]
        self.assertEqual({line.count("|") for line in lines}, {11})

    def test_what_was_missed_is_listed(self):
        self.assertIn("1 of 2 goals reached; missed:\n- a: ratio 2.5 instead of ≥ 3", markdown(self.ROWS))

    def test_a_file_has_each_goal_and_whether_it_is_reached(self):
        stored = json.loads(json.dumps(as_json(self.ROWS, {"rounds": 3})))
        self.assertEqual(stored["rounds"], 3)
        self.assertEqual([(goal["what"], goal["reached"]) for goal in stored["rows"][0]["goals"]], [("ratio", False), ("rows over tokens", True)])
        self.assertEqual(stored["rows"][0]["besides"], {"shapes": 11})


class Times(unittest.TestCase):
    def test_steps_that_differ_count_equally(self):
        timing = timing_of([0.001, 0.010, 0.001, 0.010, 0.002, 0.010], kinds=2)
        self.assertAlmostEqual(timing["step_ms"], 5.5)
        self.assertEqual(timing["steps"], 6)

    def test_times_of_several_steps_are_divided(self):
        timing = timing_of([0.020] * 5, steps_each=10)
        self.assertAlmostEqual(timing["step_ms"], 2)
        self.assertEqual((timing["steps"], timing["spread"]), (50, 0))

    def test_the_spread_is_of_times_over_the_median_of_their_own_kind(self):
        self.assertAlmostEqual(timing_of([1, 10, 1, 10, 1, 10, 1, 10], kinds=2)["spread"], 0)
        self.assertAlmostEqual(timing_of([0.9, 0.9, 1, 1, 1, 1, 1.2, 1.2])["spread"], 0.2)


unittest.main()
