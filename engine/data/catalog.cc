#include "engine/data/catalog.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace hone::engine::data {
namespace {

#define HONE_MNIST "https://ossci-datasets.s3.amazonaws.com/mnist/"
constexpr CatalogFile kMnist[] = {
    {"train-images-idx3-ubyte.gz", "mnist/train-images-idx3-ubyte.gz",
     HONE_MNIST "train-images-idx3-ubyte.gz",
     "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", 9912422},
    {"train-labels-idx1-ubyte.gz", "mnist/train-labels-idx1-ubyte.gz",
     HONE_MNIST "train-labels-idx1-ubyte.gz",
     "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", 28881},
    {"t10k-images-idx3-ubyte.gz", "mnist/t10k-images-idx3-ubyte.gz",
     HONE_MNIST "t10k-images-idx3-ubyte.gz",
     "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", 1648877},
    {"t10k-labels-idx1-ubyte.gz", "mnist/t10k-labels-idx1-ubyte.gz",
     HONE_MNIST "t10k-labels-idx1-ubyte.gz",
     "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", 4542},
};
#undef HONE_MNIST

#define HONE_FASHION                                                 \
  "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/" \
  "b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion/"
constexpr CatalogFile kFashion[] = {
    {"train-images-idx3-ubyte.gz", "fashion-mnist/train-images-idx3-ubyte.gz",
     HONE_FASHION "train-images-idx3-ubyte.gz",
     "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", 26421880},
    {"train-labels-idx1-ubyte.gz", "fashion-mnist/train-labels-idx1-ubyte.gz",
     HONE_FASHION "train-labels-idx1-ubyte.gz",
     "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", 29515},
    {"t10k-images-idx3-ubyte.gz", "fashion-mnist/t10k-images-idx3-ubyte.gz",
     HONE_FASHION "t10k-images-idx3-ubyte.gz",
     "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", 4422102},
    {"t10k-labels-idx1-ubyte.gz", "fashion-mnist/t10k-labels-idx1-ubyte.gz",
     HONE_FASHION "t10k-labels-idx1-ubyte.gz",
     "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", 5148},
};
#undef HONE_FASHION

constexpr CatalogFile kCifar10[] = {
    {"cifar-10-binary.tar.gz", "cifar-10/cifar-10-binary.tar.gz",
     "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
     "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", 170052171},
};

constexpr CatalogFile kCifar10Jpeg[] = {
    {"cifar10-jpeg-train-20k.tar.gz", "cifar10-jpeg/cifar10-jpeg-train-20k.tar.gz", "",
     "0ae64e4e0429958936153ffa42ffc218b8c59de45c50150bca980a526b544803", 6412198},
};

#define HONE_OPTDIGITS                                                         \
  "https://raw.githubusercontent.com/logicalapple/cs7641-Supervised-Learning/" \
  "62f33c6bdb37797a70e2e9180a4c4bd65c11c67a/"
constexpr CatalogFile kOptdigits[] = {
    {"optdigits.tra", "optdigits/optdigits.tra", HONE_OPTDIGITS "optdigits.tra",
     "83b5fd08ac1e96b0509c7fbac516c0259026240b432cc738dbd746e3a8549834", 564213},
    {"optdigits.tes", "optdigits/optdigits.tes", HONE_OPTDIGITS "optdigits.tes",
     "01eb9e7627f764dc96a2dc1dfcca661b33751eda5db9833e1ca531115309731e", 265286},
};
#undef HONE_OPTDIGITS

#define HONE_TABLES                                       \
  "https://raw.githubusercontent.com/jbrownlee/Datasets/" \
  "d20fcb6402ae34e653d4513b00f39257bb37ed7f/"
constexpr CatalogFile kIris[] = {
    {"iris.csv", "tabular/iris.csv", HONE_TABLES "iris.csv",
     "f5d0c11e5c78a69a20dbb80baf2b24703f59a6687595752abb397d23732647c5", 4549}};
constexpr CatalogFile kWine[] = {
    {"wine.csv", "tabular/wine.csv", HONE_TABLES "wine.csv",
     "e9c16b779f9194945067f65118da6afb317ef60c6515879c50124dc4f6cdd756", 10782}};
constexpr CatalogFile kRed[] = {
    {"winequality-red.csv", "tabular/winequality-red.csv", HONE_TABLES "winequality-red.csv",
     "c9614512e980f1cbd221c796daa97f00c4898c3cd1716863abac60f6cd1a522e", 84028}};
constexpr CatalogFile kWhite[] = {
    {"winequality-white.csv", "tabular/winequality-white.csv", HONE_TABLES "winequality-white.csv",
     "659d419fff887f225bf977d20520bb64a64cae203e460087f809721d4430ba27", 264255}};
constexpr CatalogFile kAirline[] = {
    {"airline-passengers.csv", "timeseries/airline-passengers.csv",
     HONE_TABLES "airline-passengers.csv",
     "8cb51be753a718d9be5d76d7e238cc224792754676adc21faa59e954b0201621", 2180}};
constexpr CatalogFile kTemperatures[] = {
    {"daily-min-temperatures.csv", "timeseries/daily-min-temperatures.csv",
     HONE_TABLES "daily-min-temperatures.csv",
     "8b9de63ed6789492bf497625e7f9beb96a63d367b4b0a21754006f749fa5e5da", 67921}};
#undef HONE_TABLES
constexpr CatalogFile kHousing[] = {
    {"california_housing.csv", "tabular/california_housing.csv",
     "https://raw.githubusercontent.com/ageron/handson-ml/"
     "b7051594afbb1d835f5e031af8664c4363878050/datasets/housing/housing.csv",
     "8a3727f4cf54ac1a327f69b1d5b4db54c5834ea81c6e4efc0d163300022a685e", 1423529}};

// SHA-256 and sizes as TensorFlow Datasets has them (url_checksums/movielens.txt).
#define HONE_MOVIELENS "https://files.grouplens.org/datasets/movielens/"
constexpr CatalogFile kMovieLens100k[] = {
    {"ml-100k.zip", "movielens/ml-100k.zip", HONE_MOVIELENS "ml-100k.zip",
     "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229", 4924029}};
constexpr CatalogFile kMovieLens1m[] = {
    {"ml-1m.zip", "movielens/ml-1m.zip", HONE_MOVIELENS "ml-1m.zip",
     "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20", 5917549}};
#undef HONE_MOVIELENS

constexpr CatalogFile kTinyShakespeare[] = {
    {"input.txt", "tinyshakespeare/input.txt",
     "https://raw.githubusercontent.com/karpathy/char-rnn/"
     "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/input.txt",
     "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed", 1115394}};

// SHA-256 and size as TensorFlow Datasets has them (imdb_reviews/checksums.tsv).
constexpr CatalogFile kImdb[] = {
    {"aclImdb_v1.tar.gz", "imdb/aclImdb_v1.tar.gz",
     "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
     "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe", 84125825}};

// SHA-256 and sizes as Hugging Face has them (datasets/ag_news/dataset_infos.json).
#define HONE_AG_NEWS                                           \
  "https://raw.githubusercontent.com/mhjabreel/CharCnn_Keras/" \
  "555590db4219b1243abb1918effd6a7425a2d75f/data/ag_news_csv/"
constexpr CatalogFile kAgNews[] = {
    {"train.csv", "ag-news/train.csv", HONE_AG_NEWS "train.csv",
     "76a0a2d2f92b286371fe4d4044640910a04a803fdd2538e0f3f29a5c6f6b672e", 29470338},
    {"test.csv", "ag-news/test.csv", HONE_AG_NEWS "test.csv",
     "521465c2428ed7f02f8d6db6ffdd4b5447c1c701962353eb2c40d548c3c85699", 1857427}};
constexpr CatalogFile kAgNewsTest[] = {kAgNews[1]};
#undef HONE_AG_NEWS

constexpr CatalogFile kSst2[] = {
    {"train.tsv", "sst2/train.tsv", "",
     "48eac26399f8456935f81dd9e3a745c1430adb6c62e233ccfe22db4a0d15d1d1", 3806081},
    {"dev.tsv", "sst2/dev.tsv", "",
     "54a9c12c77e402fc14d6a66a506f24d999f596b0176eb777c972cccc2f9cc4b0", 94931},
    {"test.tsv", "sst2/test.tsv", "",
     "4c395e34c8ae196d76abc3724c42336f2e17ad6dab6977be7a690f4c36b140ca", 192982}};

constexpr CatalogFile kTatoeba[] = {
    {"fra.txt.gz", "eng-fra/fra.txt.gz", "",
     "0b18e8738d744a3db9988bdd3546790101658824f67ec39d3d82dca2d741cc82", 2944757}};

// SHA-256 and sizes of the files at this commit.
#define HONE_MULTI30K                                   \
  "https://raw.githubusercontent.com/multi30k/dataset/" \
  "a3d2e0d26b56f3846f66a952536ffed4e401d05a/data/task1/raw/"
constexpr CatalogFile kMulti30k[] = {
    {"train.en.gz", "multi30k/train.en.gz", HONE_MULTI30K "train.en.gz",
     "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f", 568929},
    {"train.de.gz", "multi30k/train.de.gz", HONE_MULTI30K "train.de.gz",
     "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6", 637044},
    {"val.en.gz", "multi30k/val.en.gz", HONE_MULTI30K "val.en.gz",
     "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28", 21650},
    {"val.de.gz", "multi30k/val.de.gz", HONE_MULTI30K "val.de.gz",
     "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a", 24681},
    {"test_2016_flickr.en.gz", "multi30k/test_2016_flickr.en.gz",
     HONE_MULTI30K "test_2016_flickr.en.gz",
     "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9", 21077},
    {"test_2016_flickr.de.gz", "multi30k/test_2016_flickr.de.gz",
     HONE_MULTI30K "test_2016_flickr.de.gz",
     "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8", 22890}};
#undef HONE_MULTI30K

constexpr const char* kSentiments[] = {"negative", "positive"};
constexpr const char* kSubjects[] = {"World", "Sports", "Business", "Sci/Tech"};
constexpr const char* kSentence[] = {"sentence"};
constexpr const char* kTitleAndStory[] = {"column_2", "column_3"};
constexpr const char* kEnglishAndFrench[] = {"column_1", "column_2"};
constexpr const char* kEnglishAndGerman[] = {"en", "de"};

constexpr const char* kDigits[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
constexpr const char* kClothes[] = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                    "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};

constexpr Task kClasses = Task::kClassification;
constexpr CatalogEntry kCatalog[] = {
    {"mnist", "handwritten digits, 28x28 grey, 60,000 + 10,000",
     "none stated (LeCun, Cortes, Burges)", kMnist, "mnist", "", "", kClasses, kDigits, true},
    {"fashion-mnist", "articles of clothing, 28x28 grey, 60,000 + 10,000", "MIT (Zalando SE)",
     kFashion, "fashion-mnist", "", "", kClasses, kClothes, false},
    {"cifar-10",
     "photos of ten kinds, 32x32 RGB, 50,000 + 10,000, the official binary version",
     "none stated (Krizhevsky, 2009)",
     kCifar10,
     "cifar-10/cifar-10-binary.tar.gz",
     "cifar-10-binary.tar.gz",
     "",
     kClasses,
     {},
     false},
    {"cifar10-jpeg",
     "20,000 of CIFAR-10's training photos as JPEG; local mirror only",
     "none stated",
     kCifar10Jpeg,
     "cifar10-jpeg/cifar10-jpeg-train-20k.tar.gz",
     "cifar10-jpeg-train-20k.tar.gz",
     "",
     kClasses,
     {},
     false},
    {"sign-digits",
     "photos of hands signing digits, 100x100 RGB, 1,032 + 261; local mirror only",
     "Apache-2.0 (Mavi)",
     {},
     "sign-digits",
     "",
     "",
     kClasses,
     {},
     false},
    {"optdigits",
     "handwritten digits as 8x8 counts 0..16, 3,823 + 1,797",
     "CC BY 4.0 (UCI set 80)",
     kOptdigits,
     "optdigits",
     "",
     "",
     kClasses,
     {},
     false},
    {"iris",
     "four lengths of 150 flowers of three species",
     "CC BY 4.0 (UCI set 53)",
     kIris,
     "tabular/iris.csv",
     "iris.csv",
     "",
     kClasses,
     {},
     false},
    {"wine",
     "13 measurements of 178 wines of three growers",
     "CC BY 4.0 (UCI set 109)",
     kWine,
     "tabular/wine.csv",
     "wine.csv",
     "",
     kClasses,
     {},
     false},
    {"winequality-red",
     "11 measurements of 1,599 red wines and their score",
     "CC BY 4.0 (UCI set 186)",
     kRed,
     "tabular/winequality-red.csv",
     "winequality-red.csv",
     "",
     Task::kRegression,
     {},
     false},
    {"winequality-white",
     "11 measurements of 4,898 white wines and their score",
     "CC BY 4.0 (UCI set 186)",
     kWhite,
     "tabular/winequality-white.csv",
     "winequality-white.csv",
     "",
     Task::kRegression,
     {},
     false},
    {"california-housing",
     "20,640 districts of 1990 and their median house value",
     "none stated (StatLib)",
     kHousing,
     "tabular/california_housing.csv",
     "california_housing.csv",
     "median_house_value",
     Task::kRegression,
     {},
     false},
    {"movielens-100k",
     "100,000 ratings of 1,682 films by 943 people, 1997 and 1998",
     "research only: no redistribution, no commercial use without permission (GroupLens)",
     kMovieLens100k,
     "movielens/ml-100k.zip",
     "ml-100k.zip",
     "",
     Task::kRecommendation,
     {},
     false},
    {"movielens-1m",
     "1,000,209 ratings of 3,706 films by 6,040 people, 2000",
     "research only: no redistribution, no commercial use without permission (GroupLens)",
     kMovieLens1m,
     "movielens/ml-1m.zip",
     "ml-1m.zip",
     "",
     Task::kRecommendation,
     {},
     false},
    {"generated-ratings",
     "100,000 ratings of 400 items by 600 users, drawn by a program, with a floor that is known",
     "none needed",
     {},
     "",
     "",
     "",
     Task::kRecommendation,
     {},
     false,
     true},
    {.name = "imdb",
     .description = "film reviews of two sentiments, 25,000 + 25,000",
     .licence = "none stated (Maas et al., 2011)",
     .files = kImdb,
     .mirror_path = "imdb/aclImdb_v1.tar.gz",
     .cache_path = "aclImdb_v1.tar.gz",
     .target = "",
     .task = kClasses,
     .texts = true},
    {.name = "sst2",
     .description =
         "phrases and sentences of film reviews of two sentiments, 67,349 + 872 + 1,821; "
         "local mirror only",
     .licence = "none stated (Socher et al., 2013)",
     .files = kSst2,
     .mirror_path = "sst2",
     .cache_path = "",
     .target = "label",
     .task = kClasses,
     .class_names = kSentiments,
     .texts = true,
     .text_columns = kSentence},
    {.name = "ag-news",
     .description = "news of four subjects, title and beginning, 120,000 + 7,600",
     .licence = "research and other non-commercial use (Gulli; Zhang et al., 2015)",
     .files = kAgNews,
     .mirror_path = "ag-news",
     .cache_path = "",
     .target = "column_1",
     .task = kClasses,
     .class_names = kSubjects,
     .texts = true,
     .text_columns = kTitleAndStory},
    {.name = "ag-news-test",
     .description = "the 7,600 of AG News' test part, which a job divides itself",
     .licence = "research and other non-commercial use (Gulli; Zhang et al., 2015)",
     .files = kAgNewsTest,
     .mirror_path = "ag-news/test.csv",
     .cache_path = "test.csv",
     .target = "column_1",
     .task = kClasses,
     .class_names = kSubjects,
     .texts = true,
     .text_columns = kTitleAndStory},
    {.name = "airline-passengers",
     .description = "144 months of passengers of airlines, in thousands, 1949 to 1960",
     .licence = "none stated (Box and Jenkins, 1976)",
     .files = kAirline,
     .mirror_path = "timeseries/airline-passengers.csv",
     .cache_path = "airline-passengers.csv",
     .target = "Passengers",
     .task = Task::kForecasting},
    {.name = "daily-min-temperatures",
     .description = "3,650 days' lowest temperatures of Melbourne, in °C, 1981 to 1990",
     .licence = "none stated (Australian Bureau of Meteorology)",
     .files = kTemperatures,
     .mirror_path = "timeseries/daily-min-temperatures.csv",
     .cache_path = "daily-min-temperatures.csv",
     .target = "Temp",
     .task = Task::kForecasting},
    {.name = "tiny-shakespeare",
     .description = "40,000 lines of Shakespeare's plays as one text, 1,115,394 characters",
     .licence = "MIT (Karpathy); the plays are in the public domain",
     .files = kTinyShakespeare,
     .mirror_path = "tinyshakespeare/input.txt",
     .cache_path = "input.txt",
     .target = "",
     .task = Task::kLanguageModeling,
     .texts = true},
    {.name = "tatoeba-eng-fra",
     .description = "142,787 pairs of an English and a French sentence, 98,659 English ones; local "
                    "mirror only",
     .licence = "CC BY 2.0 (tatoeba.org, manythings.org/anki)",
     .files = kTatoeba,
     .mirror_path = "eng-fra/fra.txt.gz",
     .cache_path = "fra.txt.gz",
     .target = "",
     .task = Task::kTranslation,
     .texts = true,
     .text_columns = kEnglishAndFrench},
    {.name = "multi30k",
     .description = "what is seen in photos, in English and German, 29,000 + 1,014 + 1,000 pairs",
     .licence = "none stated (Elliott et al., 2016)",
     .files = kMulti30k,
     .mirror_path = "multi30k",
     .cache_path = "",
     .target = "",
     .task = Task::kTranslation,
     .texts = true,
     .text_columns = kEnglishAndGerman},
    {.name = "names",
     .description = "20,050 family names of 18 languages; local mirror only",
     .licence = "MIT (Robertson)",
     .files = {},
     .mirror_path = "names",
     .cache_path = "",
     .target = "",
     .task = kClasses,
     .texts = true},
};

}  // namespace

std::span<const CatalogEntry> Catalog() { return kCatalog; }

absl::StatusOr<const CatalogEntry*> Find(absl::string_view name) {
  std::vector<absl::string_view> names;
  for (const CatalogEntry& entry : kCatalog) {
    if (entry.name == name) {
      return &entry;
    }
    names.push_back(entry.name);
  }
  return absl::NotFoundError(absl::StrCat("no data set '", name, "' in the catalogue; it has ",
                                          absl::StrJoin(names, ", ")));
}

}  // namespace hone::engine::data
