"""Where the files of a data set of the catalogue are: in the folder of HONE_DATA_DIR, or in Hone's cache of downloads."""
import os
import pathlib

IDX = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
LANGUAGES = ["Arabic", "Chinese", "Czech", "Dutch", "English", "French", "German", "Greek", "Irish", "Italian", "Japanese", "Korean", "Polish",
             "Portuguese", "Russian", "Scottish", "Spanish", "Vietnamese"]
FILES = {**{name: [f"{name}/{file}" for file in IDX] for name in ("mnist", "fashion-mnist")},
         "wine": ["tabular/wine.csv"], "california-housing": ["tabular/california_housing.csv"],
         "movielens-100k": ["movielens/ml-100k.zip"], "tiny-shakespeare": ["tinyshakespeare/input.txt"],
         "tatoeba-eng-fra": ["eng-fra/fra.txt.gz"],
         "sst2": [f"sst2/{part}.tsv" for part in ("train", "dev", "test")], "ag-news-test": ["ag-news/test.csv"],
         "names": [f"names/{language}.txt" for language in LANGUAGES],
         **{name: [f"timeseries/{name}.csv"] for name in ("airline-passengers", "daily-min-temperatures")}}


def find(name):
    """The files of a data set, or None where one is missing."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "hone" / name
    mirror = os.environ.get("HONE_DATA_DIR")
    for places in ([[pathlib.Path(mirror, file) for file in FILES[name]]] if mirror else []) + [[cache / pathlib.Path(f).name for f in FILES[name]]]:
        if all(place.is_file() for place in places):
            return places
    return None
