"""The random numbers of Hone that a golden run needs: engine/base/rng.h, ops/random_key.h and kernels/random_normal.h once more, in Python."""
import math

MASK = 2**32 - 1


def philox(counter, key):
    """Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011."""
    (a, b, c, d), (k0, k1) = counter, key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (p1 >> 32) ^ b ^ k0, p1 & MASK, (p0 >> 32) ^ d ^ k1, p0 & MASK
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return a, b, c, d


def words(number):
    return number & MASK, number >> 32 & MASK


def name_hash(name):
    """FNV-1a, 64 bits."""
    number = 0xCBF29CE484222325
    for byte in name.encode():
        number = (number ^ byte) * 0x100000001B3 % 2**64
    return number


class RandomStream:
    def __init__(self, seed, name, index=0):
        self.key = words((seed * 0x9E3779B97F4A7C15) % 2**64 ^ name_hash(name))
        self.index, self.used, self.block = index, 0, ()

    def bits(self):
        if self.used % 4 == 0:
            self.block = philox((*words(self.used // 4), *words(self.index)), self.key)
        self.used += 1
        return self.block[(self.used - 1) % 4]

    def wide(self):
        high = self.bits()
        return high << 32 | self.bits()

    def unit(self):
        return (self.bits() >> 8) / 2**24

    def below(self, bound):
        """Lemire's method, without what it does once in 2^64 / bound draws."""
        product = self.wide() * bound
        assert product % 2**64 >= bound
        return product >> 64


def seed_of_update(seed, update):
    return seed if update == 0 else RandomStream(seed, "update", update).wide()


def normals(seed, step, layer, count):
    """Of the op that `layer` names, SCOPE/KIND and its number there, in one run of a program."""
    low, high, _, _ = philox((*words(step), *words(name_hash(layer))), words(seed))
    numbers = []
    for block in range(-(-count // 4)):
        drawn = philox((*words(block), 0, 0), (low, high))
        for a, b in (drawn[:2], drawn[2:]):
            radius = math.sqrt(-2 * math.log(((a >> 8) + 0.5) / 2**24))
            angle = 2 * math.pi * (b >> 8) / 2**24
            numbers += [radius * math.cos(angle), radius * math.sin(angle)]
    return numbers[:count]
