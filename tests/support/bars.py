"""Pictures of bars in the place of the catalogue's MNIST, for tests that need pictures and no network: ten classes, told by where the bar is."""
import gzip
import struct

SIZE, CLASSES = 28, 10


def write_mnist(folder, rng):
    """IDX files as MNIST's: class c has a bright bar of two rows at 2 + 2 c."""
    folder.mkdir(parents=True)
    for name, count in (("train", 600), ("t10k", 200)):
        pixels, labels = bytearray(), bytearray()
        for i in range(count):
            kind = i % CLASSES
            labels.append(kind)
            for y in range(SIZE):
                for x in range(SIZE):
                    lit = 2 + 2 * kind <= y < 4 + 2 * kind and 4 <= x < 24
                    pixels.append(rng.randrange(180, 256) if lit else rng.randrange(20))
        with gzip.open(folder / f"{name}-images-idx3-ubyte.gz", "wb", compresslevel=1) as out:
            out.write(struct.pack(">IIII", 0x803, count, SIZE, SIZE) + pixels)
        with gzip.open(folder / f"{name}-labels-idx1-ubyte.gz", "wb") as out:
            out.write(struct.pack(">II", 0x801, count) + labels)
