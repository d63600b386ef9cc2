#!/usr/bin/env python3
"""Sentence pairs are cleaned and taken here as Hone does it, and the rate of a step is Hone's."""
import gzip
import pathlib
import tempfile
import unittest
from unittest import mock

import pairs
from schedule import rate_factor


class Cleaning(unittest.TestCase):
    def test_letters_are_composed_and_small_and_spaces_are_one(self):
        self.assertEqual(pairs.clean(" Cafe\u0301 \u202f!\t ", {"normalization": "NFC", "lower_case": True, "white_space": True}), "caf\u00e9 !")

    def test_nothing_is_changed_unasked(self):
        self.assertEqual(pairs.clean(" A  b ", {}), " A  b ")


class Reading(unittest.TestCase):
    def test_the_first_pairs_that_are_short_enough_are_taken(self):
        lines = "a\tx\na b c\tx\nb\ty\nc\tz\n"
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "p.txt.gz"
            path.write_bytes(gzip.compress(lines.encode()))
            with mock.patch.object(pairs, "find", lambda _: [path]), \
                    mock.patch.object(pairs, "divide", lambda count, *_: (list(range(count)), [], [])):
                read = pairs.read({"dataset": "p", "pairs": {"first": 2, "max_source_tokens": 2}}, 1)
        self.assertEqual(len(read.train), 2)
        self.assertEqual(sorted(read.vocabularies[0]), ["a", "b"])


class Rate(unittest.TestCase):
    def test_it_rises_then_falls_to_its_end(self):
        schedule = {"warmup_steps": 2, "cosine": {"final_factor": 0.5}}
        self.assertEqual([round(rate_factor(schedule, step, 5), 3) for step in range(5)], [0.5, 1, 1, 0.75, 0.5])

    def test_without_a_schedule_it_stays(self):
        self.assertEqual([rate_factor({}, step, 3) for step in range(3)], [1, 1, 1])


unittest.main()
