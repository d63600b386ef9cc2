"""Hone's random numbers (engine/base/rng.h) in NumPy: the same rows held back for the test, the same numbers to draw from, on both sides."""
import numpy as np

WORD = np.uint64(0xFFFFFFFF)


def philox(counter, key):
    """Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011) of counters [n, 4]: [n, 4] words, as uint64."""
    c0, c1, c2, c3 = (counter[:, i].astype(np.uint64) for i in range(4))
    k0, k1 = key
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0), p1 & WORD, (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1), p0 & WORD
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1)


def key_of(seed, name):
    """Of a stream: the seed mixed with the name's FNV-1a hash."""
    value = 0xcbf29ce484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001b3 % 2**64
    value ^= seed * 0x9E3779B97F4A7C15 % 2**64
    return value % 2**32, value >> 32


def words(seed, name, index, count):
    """The first `count` words of a stream."""
    blocks = (count + 3) // 4
    counter = np.zeros((blocks, 4), np.uint64)
    counter[:, 0] = np.arange(blocks)
    counter[:, 2], counter[:, 3] = index % 2**32, index >> 32
    return philox(counter, key_of(seed, name)).ravel()[:count]


def drawing_noise(count, latent, seed=1):
    """What drawings 0 to count − 1 of a seed are drawn from (engine/tasks/drawing.h): f32 [count, latent]."""
    blocks = (2 * latent + 3) // 4
    counter = np.zeros((count, blocks, 4), np.uint64)
    counter[..., 0] = np.arange(blocks)
    counter[..., 2] = np.arange(count)[:, None]
    stream = philox(counter.reshape(-1, 4), key_of(seed, "drawing")).reshape(count, -1)[:, :2 * latent].astype(np.float64)
    u, v = (stream[:, 0::2] + 0.5) * 2.0**-32, stream[:, 1::2] * 2.0**-32
    return (np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v)).astype(np.float32)


class Stream:
    """Whole numbers below a bound, one after another (Lemire's method)."""
    def __init__(self, seed, name):
        self.seed, self.name, self.words, self.used = seed, name, [], 0

    def next64(self):
        if self.used + 2 > len(self.words):
            self.words = words(self.seed, self.name, 0, 2 * len(self.words) + 4096).tolist()
        high, low = self.words[self.used:self.used + 2]
        self.used += 2
        return high << 32 | low

    def below(self, bound):
        product = self.next64() * bound
        threshold = -bound % 2**64 % bound
        while product % 2**64 < threshold:
            product = self.next64() * bound
        return product >> 64


def take(rows, count, labels, stream):
    """Takes `count` rows, each class by its share, as Take of engine/data/prepare.cc; gives (rest, taken), both ascending."""
    groups = [[row for row in rows if labels is None or labels[row] == group] for group in range(1 if labels is None else max(labels) + 1)]
    quota = [count * len(group) // len(rows) for group in groups]
    by_remainder = sorted(range(len(groups)), key=lambda g: (-(count * len(groups[g]) % len(rows)), g))
    for group in by_remainder[:count - sum(quota)]:
        quota[group] += 1
    rest, taken = [], []
    for group, most in zip(groups, quota):
        for i in range(len(group), 1, -1):
            j = stream.below(i)
            group[i - 1], group[j] = group[j], group[i - 1]
        taken += group[:most]
        rest += group[most:]
    return sorted(rest), sorted(taken)


def split(size, seed, labels=None, test_fraction=0.2, validation_fraction=0.0):
    """The rows of a table without a test part: (train, validation, test)."""
    share = lambda fraction, rows: int(fraction * len(rows) + 0.5)  # noqa: E731
    train, test = take(list(range(size)), share(test_fraction, range(size)), labels, Stream(seed, "split test"))
    validation = []
    if validation_fraction > 0:
        train, validation = take(train, share(validation_fraction, train), labels, Stream(seed, "split validation"))
    return train, validation, test
