#!/usr/bin/env python3
"""Makes translation_scores.json, the golden numbers of tests/engine/text_scores_test.cc: BLEU, chrF and the words of sacreBLEU.

    ~/.cache/hone/sacrebleu/bin/python tests/golden/translation_scores.py > tests/golden/translation_scores.json
"""
import json
import random

from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

LINES = [
    "Hello, world!",
    "It costs 1,000.50 euros, not 5.",
    "the years 1990-1995, well-known; half-way",
    "don't \"quote\" &quot;me&quot; &amp;lt; &lt;b&gt; & co.",
    "l'été dernier, j'ai vu 3 films… «bons» !",
    "e.g. ... U.S.A. ,, .5 5. a,b 1,a a,1 .,",
    "tab\tand\u00a0no-break\u202fspace\u3000wide\u001fgap \n",
    "split-\nline and\nbreak <skipped> end",
    "日本語。テキスト, 2020-12",
    "[brackets] {braces} (round) a/b a\\b ~x ^y `z` @you #1 $2 50% 3*4 +5 =6 <7> |8|",
    "",
    "   ",
]

FRENCH = ["je suis fatigué .", "tu as un chat noir .", "nous allons à la plage demain .", "elle n'aime pas le café .", "où est la gare ?",
          "il pleut depuis ce matin , n'est-ce pas ?", "merci !", "les enfants jouent dans le jardin ."]
OTHERS = ["je suis épuisé.", "tu possèdes un chat noir.", "demain, nous irons à la plage.", "elle déteste le café.", "la gare, où est-elle ?",
          "Il pleut depuis ce matin, non ?", "Merci beaucoup !", "les petits jouent au jardin."]
GUESSES = ["je suis fatigué .", "tu as chat noir .", "nous allons la plage .", "elle n'aime pas le thé .", "où est gare ?", "il pleut ce matin .",
           "merci", "les enfants jouent jouent dans le jardin"]


def drawn(seed, lines):
    """Lines of a few words, in any order, and one to three references of each."""
    draw = random.Random(seed)
    words = "le la un une chat chien mange dort voit grand petit . , et l'eau 3,5 2-1".split()
    text = lambda least, most: " ".join(draw.choice(words) for _ in range(draw.randint(least, most)))
    return [text(0, 12) for _ in range(lines)], [[text(1, 12) for _ in range(draw.randint(1, 3))] for _ in range(lines)]


CASES = {
    "one reference of each": (GUESSES, [[line] for line in FRENCH]),
    "two references of each": (GUESSES, [list(pair) for pair in zip(FRENCH, OTHERS)]),
    "another number of references of each": (GUESSES, [[a] if i % 2 else [a, b] for i, (a, b) in enumerate(zip(FRENCH, OTHERS))]),
    "the references themselves": (FRENCH, [[line] for line in FRENCH]),
    "nothing in common": (["aaa bbb ccc ddd"], [["eee fff ggg hhh"]]),
    "no piece of three words in common": (["le chat dort ici bien", "un chien"], [["le chat mange la dort ici"], ["un chien noir"]]),
    "lines too short for four words": (["oui .", "non"], [["oui ."], ["non ."]]),
    "lines that are empty": (["", "le chat dort bien ici"], [["rien"], ["le chat dort bien ici"]]),
    "longer than the references": (["le chat noir dort dort dort sur le lit du roi"], [["le chat noir dort", "le chat noir dort sur le lit"]]),
    "references that are equally far": (["un deux trois quatre cinq"], [["un deux trois quatre cinq six", "un deux trois quatre"]]),
    "capitals and accents": (["Été comme Hiver , à Paris ."], [["été comme hiver, à Paris."]]),
    "drawn words": drawn(1, 40),
    "other drawn words": drawn(2, 7),
}


def scores(hypotheses, references):
    most = max(map(len, references))
    streams = [[line[i] if i < len(line) else None for line in references] for i in range(most)]
    bleu, chrf = BLEU(), CHRF()
    found = {"hypotheses": hypotheses, "references": references, "bleu": bleu.corpus_score(hypotheses, streams).score,
             "chrf": chrf.corpus_score(hypotheses, streams).score}
    # Without the version, which is not ours.
    for name, metric in (("bleu_signature", bleu), ("chrf_signature", chrf)):
        found[name] = str(metric.get_signature()).rsplit("|version", 1)[0]
    return found


tokenize = Tokenizer13a()
print(json.dumps({"words": [{"line": line, "words": tokenize(line.rstrip()).split()} for line in LINES],
                  "cases": {name: scores(*case) for name, case in CASES.items()}}, indent=1, ensure_ascii=False))
