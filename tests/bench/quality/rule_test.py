#!/usr/bin/env python3
"""The rule by which our side counts as at least as good as PyTorch's."""
import unittest

from rule import as_good


class AsGood(unittest.TestCase):
    def test_equal_means_are_as_good(self):
        self.assertTrue(as_good([99.1, 99.2], [99.1, 99.2], 0)[0])

    def test_a_point_less_is_allowed_and_more_is_not(self):
        self.assertTrue(as_good([98.0] * 3, [99.0] * 3, 1)[0])
        self.assertFalse(as_good([97.9] * 3, [99.0] * 3, 1)[0])

    def test_a_better_side_passes_whatever_the_margin(self):
        self.assertTrue(as_good([99.9] * 3, [50.0] * 3, 0)[0])

    def test_a_distance_is_better_when_it_is_lower(self):
        self.assertTrue(as_good([10.0] * 3, [20.0] * 3, 0, lower_is_better=True)[0])
        self.assertFalse(as_good([23.0] * 3, [20.0] * 3, 2, lower_is_better=True)[0])

    def test_twice_the_standard_error_is_allowed_where_it_is_more_than_the_margin(self):
        # Each side has the variance 4 over three runs: the error of the difference is sqrt(8 / 3), twice that 3.266.
        ours, theirs = [8.0, 10.0, 12.0], [11.2, 13.2, 15.2]
        good, worse, allowed = as_good(ours, theirs, 1)
        self.assertTrue(good)
        self.assertAlmostEqual(worse, 3.2)
        self.assertAlmostEqual(allowed, 2 * (8 / 3) ** 0.5)
        self.assertFalse(as_good(ours, [x + 0.2 for x in theirs], 1)[0])

    def test_a_single_run_has_no_standard_error(self):
        self.assertEqual(as_good([1.0], [2.0], 0.5), (False, 1.0, 0.5))


unittest.main()
