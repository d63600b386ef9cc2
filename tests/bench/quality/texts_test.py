#!/usr/bin/env python3
"""Texts become the tokens here that Hone makes of them."""
import unittest

import texts


class Tokens(unittest.TestCase):
    def test_an_apostrophe_inside_a_word_belongs_to_it(self):
        self.assertEqual(texts.WORD.findall("don't 'quote' it's-a_b 3.5"),
                         ["don't", "'", "quote", "'", "it's", "-", "a", "_", "b", "3", ".", "5"])

    def test_tags_leave_and_those_that_end_a_line_leave_a_space(self):
        self.assertEqual(texts.strip_html("a<b>b</b><br/>c<!-- d -->e <!doctype x>1 < 2 &lt;3"), "ab ce 1 < 2 <3")

    def test_references_become_characters_where_they_are_known(self):
        self.assertEqual(texts.strip_html("&amp;&#39;&#x41;&eacute;&nothing; #39; &"), "&'A\u00e9&nothing; #39; &")

    def test_of_equally_frequent_words_the_first_by_its_bytes_is_taken(self):
        vocabulary = texts.make_vocabulary(["b a c", "c"], {"words": {"vocabulary": 5, "split": "SPACES"}})
        self.assertEqual(vocabulary, {"c": 3, "a": 4})

    def test_characters_are_numbered_in_the_order_of_unicode(self):
        self.assertEqual(texts.make_vocabulary(["ba", "\u00e9"], {"characters": {}}), {"a": 3, "b": 4, "\u00e9": 5})

    def test_letters_become_small_one_by_one(self):
        self.assertEqual(texts.lower("\u0130STANBUL \u00c9"), "istanbul \u00e9")


unittest.main()
