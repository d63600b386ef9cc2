"""Where the files of a data set of the catalogue are: in the folder of HONE_DATA_DIR, or in Hone's cache of downloads."""
import os
import pathlib

IDX = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
FILES = {**{name: [f"{name}/{file}" for file in IDX] for name in ("mnist", "fashion-mnist")},
         "wine": ["tabular/wine.csv"], "california-housing": ["tabular/california_housing.csv"],
         "movielens-100k": ["movielens/ml-100k.zip"], "tiny-shakespeare": ["tinyshakespeare/input.txt"],
         "ag-news-test": ["ag-news/test.csv"]}


def find(name):
    """The files of a data set, or None where one is missing."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "hone" / name
    mirror = os.environ.get("HONE_DATA_DIR")
    for places in ([[pathlib.Path(mirror, file) for file in FILES[name]]] if mirror else []) + [[cache / pathlib.Path(f).name for f in FILES[name]]]:
        if all(place.is_file() for place in places):
            return places
    return None
