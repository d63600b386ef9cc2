#include "engine/data/ratings.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <numeric>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "engine/base/complaints.h"
#include "engine/base/csv.h"
#include "engine/base/memory_error.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/data/byte_source.h"
#include "engine/data/catalog.h"
#include "engine/data/csv.h"
#include "engine/data/file_tree.h"
#include "engine/data/fingerprint.h"
#include "engine/data/generated_ratings.h"
#include "engine/data/prepare.h"

namespace hone::engine::data {
namespace {

constexpr int64_t kMostTextBytes = int64_t{2} << 30;
// Pairs that a model remembers, so that it does not recommend what somebody knows already.
constexpr int64_t kMostRemembered = 20'000'000;
// By so many ratings of the mean of all are the means of users and items drawn towards it.
constexpr double kDrawn = 5;

// A whole number without a sign; nothing for other ids.
std::optional<uint64_t> NumberOf(absl::string_view id) {
  uint64_t number = 0;
  const bool digits = !id.empty() && std::ranges::all_of(id, [](unsigned char c) {
    return absl::ascii_isdigit(c);
  });
  return digits && absl::SimpleAtoi(id, &number) ? std::optional(number) : std::nullopt;
}

// Numbers ids as they come.
class Numbering {
 public:
  explicit Numbering(std::vector<std::string>& ids) : ids_(ids) {}

  int32_t Of(const std::string& id) {
    const auto [entry, fresh] = numbers_.try_emplace(id, static_cast<int32_t>(ids_.size()));
    if (fresh) {
      ids_.push_back(id);
    }
    return entry->second;
  }

 private:
  std::vector<std::string>& ids_;
  absl::flat_hash_map<std::string, int32_t> numbers_;
};

// Where a table has what; −1: nowhere.
struct Columns {
  int user = -1;
  int item = -1;
  int rating = -1;
  int time = -1;
  int name = -1;
};

absl::StatusOr<int> FindColumn(const std::vector<std::string>& names, const std::string& name,
                               absl::string_view field, int otherwise) {
  if (name.empty()) {
    return otherwise < static_cast<int>(names.size()) ? otherwise : -1;
  }
  const auto found = std::ranges::find(names, name);
  if (found == names.end()) {
    return absl::InvalidArgumentError(absl::StrCat("there is no column '", name, "' (data.ratings.",
                                                   field, "); the columns are ",
                                                   absl::StrJoin(names, ", ")));
  }
  return static_cast<int>(found - names.begin());
}

absl::StatusOr<Columns> FindColumns(const std::vector<std::string>& names,
                                    const RatingOptions& options, const Columns& otherwise) {
  Columns columns;
  HONE_ASSIGN_OR_RETURN(columns.user, FindColumn(names, options.user, "user", otherwise.user));
  HONE_ASSIGN_OR_RETURN(columns.item, FindColumn(names, options.item, "item", otherwise.item));
  HONE_ASSIGN_OR_RETURN(columns.rating,
                        FindColumn(names, options.rating, "rating", otherwise.rating));
  if (!options.time.empty() || otherwise.time >= 0) {
    HONE_ASSIGN_OR_RETURN(columns.time, FindColumn(names, options.time, "time", otherwise.time));
  }
  if (!options.name.empty()) {
    HONE_ASSIGN_OR_RETURN(columns.name, FindColumn(names, options.name, "name", -1));
  }
  std::vector<int> used;
  for (const int column : {columns.user, columns.item, columns.rating, columns.time}) {
    if (column >= 0 && std::ranges::find(used, column) != used.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "column '", names[static_cast<size_t>(column)],
          "' is taken twice: user, item, rating and time are columns of their own; data.ratings "
          "names them"));
    }
    used.push_back(column);
  }
  return columns;
}

void DropForItsRating(double least, absl::string_view where, DataReport& report) {
  report.Drop(absl::StrCat("the rating is below ", least), where);
}

// Rows with lower ratings are left out.
void DropBelow(double least, RatingRows& rows, DataReport& report) {
  size_t kept = 0;
  for (size_t row = 0; row < rows.values.size(); ++row) {
    if (rows.values[row] < least) {
      DropForItsRating(least, absl::StrCat("rating ", row + 1), report);
      continue;
    }
    rows.user_of[kept] = rows.user_of[row];
    rows.item_of[kept] = rows.item_of[row];
    rows.values[kept] = rows.values[row];
    rows.times[kept] = rows.times[row];
    rows.noise[kept] = rows.noise[row];
    ++kept;
  }
  rows.user_of.resize(kept);
  rows.item_of.resize(kept);
  rows.values.resize(kept);
  rows.times.resize(kept);
  rows.noise.resize(kept);
}

// Fills rows of a table's records.
class RecordReader {
 public:
  RecordReader(const std::vector<std::string>& names, const Columns& columns,
               const RatingOptions& options, RatingRows& rows, DataReport& report)
      : names_(names),
        columns_(columns),
        options_(options),
        rows_(rows),
        report_(report),
        users_(rows.users),
        items_(rows.items) {}

  void Add(const std::vector<std::string>& cells, int64_t line) {
    ++report_.examples_read;
    std::string user = Cell(cells, columns_.user), item = Cell(cells, columns_.item);
    if (IsMissing(user) || IsMissing(item)) {
      return report_.Drop("the user or the item is missing", absl::StrCat("line ", line));
    }
    if (!CheckId(columns_.user, user, line) || !CheckId(columns_.item, item, line)) {
      return;
    }
    std::optional<double> rating = 1, time = 0;
    if (columns_.rating >= 0) {
      if (IsMissing(Cell(cells, columns_.rating))) {
        return report_.Drop("the rating is missing", absl::StrCat("line ", line));
      }
      rating = NumberAt(cells, columns_.rating, line);
    }
    if (columns_.time >= 0) {
      if (IsMissing(Cell(cells, columns_.time))) {
        return report_.Drop("the time is missing", absl::StrCat("line ", line));
      }
      time = NumberAt(cells, columns_.time, line);
    }
    if (!rating || !time) {
      return;
    }
    if (options_.at_least && *rating < *options_.at_least) {
      return DropForItsRating(*options_.at_least, absl::StrCat("line ", line), report_);
    }
    rows_.user_of.push_back(users_.Of(user));
    rows_.item_of.push_back(items_.Of(item));
    rows_.item_names.resize(rows_.items.size());
    if (std::string& name = rows_.item_names[static_cast<size_t>(rows_.item_of.back())];
        columns_.name >= 0 && name.empty()) {
      name = Cell(cells, columns_.name);
    }
    rows_.values.push_back(static_cast<float>(*rating));
    if (columns_.time >= 0) {
      rows_.times.push_back(*time);
    }
    rows_.lines.push_back(line);
  }
  absl::Status status() const { return complaints_.status(); }

 private:
  static const std::string& Cell(const std::vector<std::string>& cells, int column) {
    return cells[static_cast<size_t>(column)];
  }

  // Brings ids that are declared numbers into one spelling.
  bool CheckId(int column, std::string& id, int64_t line) {
    if (options_.ids == RatingOptions::Ids::kText) {
      return true;
    }
    const std::optional<uint64_t> number = NumberOf(id);
    if (!number) {
      complaints_.Add(
          {.line = line,
           .text = absl::StrCat("line ", line, ", column '", names_[static_cast<size_t>(column)],
                                "': '", CutUtf8(id, 40),
                                "' is no id; ids are whole numbers from 0, as data.ratings.ids "
                                "says (TEXT takes any)")});
      return false;
    }
    id = absl::StrCat(*number);
    return true;
  }

  std::optional<double> NumberAt(const std::vector<std::string>& cells, int column, int64_t line) {
    const std::string& cell = Cell(cells, column);
    std::optional<double> number = ToNumber(cell);
    if (number && std::abs(*number) > 1e30) {
      number = std::nullopt;
    }
    if (!number) {
      complaints_.Add(
          {.line = line,
           .text = absl::StrCat("line ", line, ", column '", names_[static_cast<size_t>(column)],
                                "': '", CutUtf8(cell, 40), "' is not a number")});
    }
    return number;
  }

  const std::vector<std::string>& names_;
  const Columns& columns_;
  const RatingOptions& options_;
  RatingRows& rows_;
  DataReport& report_;
  Numbering users_;
  Numbering items_;
  Complaints complaints_;
};

// The first columns of a table without names, in this order.
constexpr Columns kByPlace = {.user = 0, .item = 1, .rating = 2};

absl::StatusOr<RatingRows> ReadTable(const std::string& path, const CsvTable& table,
                                     const RatingOptions& options, const Columns& otherwise,
                                     DataReport& report) {
  RatingRows rows;
  rows.path = path;
  if (table.names.size() < 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        path,
        ": has one column; ratings need at least a user and an item, separated by comma, "
        "semicolon, tab or bar"));
  }
  const absl::StatusOr<Columns> columns = FindColumns(table.names, options, otherwise);
  HONE_RETURN_IF_ERROR(Annotate(columns.status(), path));
  rows.user_column = table.names[static_cast<size_t>(columns->user)];
  rows.item_column = table.names[static_cast<size_t>(columns->item)];
  RecordReader reader(table.names, *columns, options, rows, report);
  HONE_RETURN_IF_ERROR(
      Annotate(ForEachRecord(table, [&](const std::vector<std::string>& cells,
                                        int64_t line) { reader.Add(cells, line); }),
               path));
  HONE_RETURN_IF_ERROR(Annotate(reader.status(), path));
  if (columns->name < 0) {
    rows.item_names.clear();
  }
  return rows;
}

// MovieLens archives as GroupLens publishes them (README.txt in each): the files that are read.
struct MovieLens {
  const char* ratings;
  const char* movies;
  const char* between;         // cells of ratings
  const char* between_movies;  // cells of movies
};
constexpr MovieLens kMovieLens[] = {
    {"ml-100k/u.data", "ml-100k/u.item", "\t", "|"},
    {"ml-1m/ratings.dat", "ml-1m/movies.dat", "::", "::"},
};

// Latin-1, in which the titles are kept, as UTF-8.
std::string FromLatin1(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      out.push_back(c);
    } else {
      out.push_back(static_cast<char>(0xc0 | byte >> 6));
      out.push_back(static_cast<char>(0x80 | (byte & 0x3f)));
    }
  }
  return out;
}

void NameMovies(const std::string& text, absl::string_view between, RatingRows& rows) {
  absl::flat_hash_map<absl::string_view, absl::string_view> titles;
  absl::string_view rest = text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const absl::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const size_t first = line.find(between);
    if (first != absl::string_view::npos) {
      const absl::string_view behind = line.substr(first + between.size());
      titles.emplace(line.substr(0, first), behind.substr(0, behind.find(between)));
    }
  }
  rows.item_names.assign(rows.items.size(), "");
  for (size_t item = 0; item < rows.items.size(); ++item) {
    if (const auto title = titles.find(rows.items[item]); title != titles.end()) {
      rows.item_names[item] = FromLatin1(title->second);
    }
  }
}

absl::StatusOr<RatingRows> ReadMovieLens(const std::string& path, const RatingOptions& options,
                                         DataReport& report) {
  std::vector<std::string> wanted;
  for (const MovieLens& known : kMovieLens) {
    wanted.insert(wanted.end(), {known.ratings, known.movies});
  }
  using Files = std::map<std::string, std::string>;
  HONE_ASSIGN_OR_RETURN(const Files files, ReadZip(path, wanted, kMostTextBytes));
  for (const MovieLens& known : kMovieLens) {
    const auto ratings = files.find(known.ratings);
    if (ratings == files.end()) {
      continue;
    }
    const CsvTable table = {.text = absl::StrReplaceAll(ratings->second, {{known.between, "\t"}}),
                            .delimiter = '\t',
                            .has_header = false,
                            .names = {"user", "item", "rating", "time"}};
    HONE_ASSIGN_OR_RETURN(RatingRows rows,
                          ReadTable(absl::StrCat(path, "/", known.ratings), table, options,
                                    {.user = 0, .item = 1, .rating = 2, .time = 3}, report));
    if (const auto movies = files.find(known.movies); movies != files.end()) {
      NameMovies(movies->second, known.between_movies, rows);
    }
    return rows;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      path,
      ": holds none of the files that are read of an archive: ", absl::StrJoin(wanted, ", ")));
}

// Exact copies leave where that is wanted; pairs that are rated again otherwise are counted.
std::vector<bool> DropCopies(const RatingRows& rows, bool drop, DataReport& report) {
  const auto at = [](int64_t row) { return static_cast<size_t>(row); };
  const auto hash = [&](int64_t row) {
    const int32_t pair[] = {rows.user_of[at(row)], rows.item_of[at(row)]};
    return ContentHash(pair, sizeof(pair));
  };
  const auto same_pair = [&](int64_t a, int64_t b) {
    return rows.user_of[at(a)] == rows.user_of[at(b)] && rows.item_of[at(a)] == rows.item_of[at(b)];
  };
  const auto same_value = [&](int64_t a, int64_t b) {
    return rows.values[at(a)] == rows.values[at(b)];
  };
  return FindCopies({rows.size(), rows.size(), hash, same_pair, same_value}, drop, report);
}

// Takes what `takes` of the rows, and leaves the others in their order.
template <typename Takes>
std::vector<int32_t> TakeIf(std::vector<int32_t>& rows, const Takes& takes) {
  std::vector<int32_t> taken, left;
  for (const int32_t row : rows) {
    (takes(row) ? taken : left).push_back(row);
  }
  rows = std::move(left);
  return taken;
}

// The latest so many of the rows, which ascend; of equal times those that stand last.
std::vector<int32_t> TakeLatest(const RatingRows& ratings, int64_t count,
                                std::vector<int32_t>& rows) {
  std::vector<int32_t> by_time = rows;
  std::ranges::stable_sort(by_time, {},
                           [&](int32_t row) { return ratings.times[static_cast<size_t>(row)]; });
  std::vector<bool> late(static_cast<size_t>(ratings.size()));
  for (size_t i = by_time.size() - static_cast<size_t>(count); i < by_time.size(); ++i) {
    late[static_cast<size_t>(by_time[i])] = true;
  }
  return TakeIf(rows, [&](int32_t row) { return late[static_cast<size_t>(row)]; });
}

// One row of each user who has others beside it: the latest, or one by chance where there are no
// times.
std::vector<int32_t> TakeOneOfEach(const RatingRows& ratings, RandomStream& random,
                                   std::vector<int32_t>& rows) {
  std::vector<int32_t> last(ratings.users.size(), -1), count(ratings.users.size());
  for (const int32_t row : rows) {
    const auto r = static_cast<size_t>(row);
    const auto user = static_cast<size_t>(ratings.user_of[r]);
    ++count[user];
    const bool takes = last[user] < 0 ||
                       (ratings.times.empty()
                            // The n-th of a user takes the place with probability 1 / n.
                            ? random.NextBelow(static_cast<uint64_t>(count[user])) == 0
                            : ratings.times[r] >= ratings.times[static_cast<size_t>(last[user])]);
    last[user] = takes ? row : last[user];
  }
  return TakeIf(rows, [&](int32_t row) {
    const auto user = static_cast<size_t>(ratings.user_of[static_cast<size_t>(row)]);
    return count[user] > 1 && last[user] == row;
  });
}

absl::StatusOr<Splits> SplitRatings(const RatingRows& ratings, const std::vector<bool>& keep,
                                    const LoadOptions& options) {
  using Kind = RatingOptions::Split;
  const Kind kind = options.ratings.split;
  SplitRequest request{
      .size = ratings.size(), .train_size = ratings.size(), .labels = {}, .keep = &keep};
  if (kind == Kind::kRandom) {
    return Split(request, options);
  }
  if (options.fold_count > 0) {
    return absl::InvalidArgumentError(
        "data.fold: divides the ratings at random; data.ratings.split must be RANDOM");
  }
  if (kind == Kind::kByTime && ratings.times.empty()) {
    return absl::InvalidArgumentError(
        "data.ratings.split: BY_TIME needs times; data.ratings.time names their column");
  }
  // The shares are checked, and the limit is kept, as for other splits.
  LoadOptions rest = options;
  std::vector<int32_t> rows;
  for (int64_t row = 0; row < ratings.size(); ++row) {
    if (keep[static_cast<size_t>(row)]) {
      rows.push_back(static_cast<int32_t>(row));
    }
  }
  const auto share = [](double fraction, size_t count) {
    return static_cast<int64_t>(std::llround(fraction * static_cast<double>(count)));
  };
  Splits splits;
  RandomStream test(options.seed, "split test"), validation(options.seed, "split validation");
  if (kind == Kind::kByTime) {
    splits.test = TakeLatest(ratings, share(options.test_fraction, rows.size()), rows);
  } else if (options.test_fraction > 0) {
    splits.test = TakeOneOfEach(ratings, test, rows);
  }
  rest.test_fraction = rest.validation_fraction = 0;
  rest.validation_count = 0;
  std::vector<bool> others(keep.size());
  for (const int32_t row : rows) {
    others[static_cast<size_t>(row)] = true;
  }
  request.keep = &others;
  HONE_ASSIGN_OR_RETURN(Splits limited, Split(request, rest));
  splits.train = std::move(limited.train);
  const bool validates = options.validation_fraction > 0 || options.validation_count > 0;
  if (validates && kind == Kind::kLeaveOneOut) {
    splits.validation = TakeOneOfEach(ratings, validation, splits.train);
  } else if (validates) {
    const int64_t count = options.validation_count > 0
                              ? options.validation_count
                              : share(options.validation_fraction, splits.train.size());
    if (count >= static_cast<int64_t>(splits.train.size())) {
      return absl::InvalidArgumentError(
          absl::StrCat("nothing is left to train on: the training part has ", splits.train.size(),
                       " ratings, and ", count, " are set aside for validation"));
    }
    splits.validation = TakeLatest(ratings, count, splits.train);
  }
  return splits;
}

// Numbers what the training part has of `ids`, in their order. −1 for the others.
std::vector<int32_t> Renumber(std::vector<std::string>& ids, const std::vector<int32_t>& of_row,
                              const std::vector<int32_t>& train, std::vector<std::string>* names) {
  std::vector<bool> used(ids.size());
  for (const int32_t row : train) {
    used[static_cast<size_t>(of_row[static_cast<size_t>(row)])] = true;
  }
  std::vector<int32_t> order;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (used[i]) {
      order.push_back(static_cast<int32_t>(i));
    }
  }
  const auto id = [&](int32_t i) -> const std::string& { return ids[static_cast<size_t>(i)]; };
  std::ranges::sort(order, [&](int32_t a, int32_t b) { return IdIsBefore(id(a), id(b)); });
  std::vector<int32_t> number(ids.size(), -1);
  std::vector<std::string> sorted, sorted_names;
  for (const int32_t i : order) {
    number[static_cast<size_t>(i)] = static_cast<int32_t>(sorted.size());
    sorted.push_back(id(i));
    if (names != nullptr && !names->empty()) {
      sorted_names.push_back((*names)[static_cast<size_t>(i)]);
    }
  }
  ids = std::move(sorted);
  if (names != nullptr) {
    *names = std::move(sorted_names);
  }
  std::vector<int32_t> result;
  for (const int32_t old : of_row) {
    result.push_back(number[static_cast<size_t>(old)]);
  }
  return result;
}

// What the model keeps, of rows with their numbers already.
void CountTraining(const std::vector<int32_t>& train, Ratings::Parts& parts) {
  RatingIndex& index = parts.index;
  double sum = 0;
  for (const int32_t row : train) {
    sum += parts.values[static_cast<size_t>(row)];
  }
  index.mean = sum / static_cast<double>(train.size());
  double squares = 0;
  std::vector<double> user_sums(index.users.size()), item_sums(index.items.size());
  std::vector<int64_t> user_counts(index.users.size());
  index.item_counts.assign(index.items.size(), 0);
  for (const int32_t row : train) {
    const auto r = static_cast<size_t>(row);
    const auto user = static_cast<size_t>(parts.users[r]);
    const auto item = static_cast<size_t>(parts.items[r]);
    const double distance = parts.values[r] - index.mean;
    squares += distance * distance;
    user_sums[user] += distance;
    item_sums[item] += distance;
    ++user_counts[user];
    ++index.item_counts[item];
  }
  for (size_t u = 0; u < user_sums.size(); ++u) {
    index.user_means.push_back(static_cast<float>(
        index.mean + user_sums[u] / (static_cast<double>(user_counts[u]) + kDrawn)));
  }
  for (size_t i = 0; i < item_sums.size(); ++i) {
    index.item_means.push_back(static_cast<float>(
        index.mean + item_sums[i] / (static_cast<double>(index.item_counts[i]) + kDrawn)));
  }
  const double deviation = std::sqrt(squares / static_cast<double>(train.size()));
  parts.target_mean = index.mean;
  parts.target_std = deviation > 1e-12 * std::abs(index.mean) && deviation > 0 ? deviation : 1;
  if (static_cast<int64_t>(train.size()) > kMostRemembered) {
    return;
  }
  std::vector<std::pair<int32_t, int32_t>> pairs;
  for (const int32_t row : train) {
    const auto r = static_cast<size_t>(row);
    pairs.emplace_back(parts.users[r], parts.items[r]);
  }
  std::ranges::sort(pairs);
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  index.rated_begin = {0};
  for (size_t p = 0, user = 0; user < index.users.size(); ++user) {
    for (; p < pairs.size() && pairs[p].first == static_cast<int32_t>(user); ++p) {
      index.rated.push_back(pairs[p].second);
    }
    index.rated_begin.push_back(static_cast<int64_t>(index.rated.size()));
  }
}

// Nothing can be learned of these.
absl::Status CheckVariety(const RatingRows& ratings, const LoadOptions& options) {
  for (const auto& [what, ids] :
       {std::pair{"user", &ratings.users}, std::pair{"item", &ratings.items}}) {
    if (ids->size() < 2) {
      return absl::InvalidArgumentError(absl::StrCat("all ", ratings.size(), " ratings are of one ",
                                                     what, ", '", CutUtf8(ids->front(), 40),
                                                     "'; recommendation needs at least two"));
    }
  }
  const auto [low, high] = std::ranges::minmax_element(ratings.values);
  if (options.ratings.values_count && *low == *high) {
    return absl::InvalidArgumentError(absl::StrCat(
        "all ", ratings.size(), " ratings are ", *low,
        "; where only who took what is known, recommendation.feedback must be IMPLICIT"));
  }
  return absl::OkStatus();
}

void SayWhatIsCold(const Ratings& data, const std::vector<int32_t>& rows, absl::string_view part,
                   DataReport& report) {
  const auto cold = std::ranges::count_if(rows, [&](int32_t row) { return data.is_cold(row); });
  if (cold > 0) {
    report.notes.push_back(absl::StrCat(
        cold, " of ", rows.size(), " ", part,
        " ratings are of users or items that the training part does not have: the mean of the "
        "side that it has is what they are answered with"));
  }
}

// Users and items by the numbers that the training part gives them.
void NumberByTraining(const std::vector<int32_t>& train, RatingRows& rows, Ratings::Parts& parts) {
  parts.users = Renumber(rows.users, rows.user_of, train, nullptr);
  parts.items = Renumber(rows.items, rows.item_of, train, &rows.item_names);
  parts.index.user_column = std::move(rows.user_column);
  parts.index.item_column = std::move(rows.item_column);
  parts.index.users = std::move(rows.users);
  parts.index.items = std::move(rows.items);
  parts.index.item_names = std::move(rows.item_names);
  CountTraining(train, parts);
}

// Users and items by a model's numbers, ratings by its mean and deviation.
absl::Status NumberByModel(const Preprocessing& model, const RatingRows& rows,
                           Ratings::Parts& parts) {
  HONE_ASSIGN_OR_RETURN(parts.index, RatingIndex::FromJson(model.own));
  std::vector<int32_t> users, items;
  for (const std::string& id : rows.users) {
    users.push_back(parts.index.FindUser(id));
  }
  for (const std::string& id : rows.items) {
    items.push_back(parts.index.FindItem(id));
  }
  for (size_t row = 0; row < rows.values.size(); ++row) {
    parts.users.push_back(users[static_cast<size_t>(rows.user_of[row])]);
    parts.items.push_back(items[static_cast<size_t>(rows.item_of[row])]);
  }
  parts.target_mean = model.target_mean.at(0);
  parts.target_std = model.target_std.at(0);
  return absl::OkStatus();
}

absl::StatusOr<LoadedData> Finish(RatingRows rows, const LoadOptions& options, DataReport report) {
  const std::string source = report.source;
  if (rows.size() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        source, ": the data set is empty: it needs at least two ratings",
        report.dropped.empty() ? "" : absl::StrCat("; left out: ", report.dropped[0].reason)));
  }
  if (rows.size() > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat(source, ": has ", rows.size(), " ratings; at most 2147483647 can be held"));
  }
  if (options.as == nullptr) {
    HONE_RETURN_IF_ERROR(Annotate(CheckVariety(rows, options), source));
  }
  const std::vector<bool> keep = DropCopies(rows, options.deduplicate, report);
  LoadedData data;
  absl::StatusOr<Splits> splits = SplitRatings(rows, keep, options);
  HONE_RETURN_IF_ERROR(Annotate(splits.status(), source));
  data.splits = *std::move(splits);
  if (data.splits.train.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(source,
                     ": no rating is left to train on; test_fraction and "
                     "validation_fraction set the others aside"));
  }
  Ratings::Parts parts;
  parts.values = std::move(rows.values);
  parts.noise = std::move(rows.noise);
  if (options.as != nullptr) {
    HONE_RETURN_IF_ERROR(Annotate(NumberByModel(*options.as, rows, parts), source));
  } else {
    NumberByTraining(data.splits.train, rows, parts);
  }
  parts.seed = options.seed;
  data.preprocessing.input = Preprocessing::Input::kOwn;
  data.preprocessing.own_features = {Shape{2}, DType::kS32};
  data.preprocessing.own = parts.index.ToJson();
  data.preprocessing.target_names = {"rating"};
  data.preprocessing.target_mean = {parts.target_mean};
  data.preprocessing.target_std = {parts.target_std};
  const auto ratings = std::make_shared<const Ratings>(std::move(parts));
  CountSplits(data.splits, {}, 0, report);
  SayWhatIsCold(*ratings, data.splits.train, "training", report);
  SayWhatIsCold(*ratings, data.splits.validation, "validation", report);
  SayWhatIsCold(*ratings, data.splits.test, "test", report);
  report.notes.push_back(absl::StrCat(ratings->index().users.size(), " users and ",
                                      ratings->index().items.size(),
                                      " items have training ratings"));
  data.dataset = Dataset(ratings);
  data.report = std::move(report);
  data.fingerprint = Fingerprint(data);
  return data;
}

absl::StatusOr<LoadedData> LoadOrThrow(LoadOptions options) {
  HONE_RETURN_IF_ERROR(CheckSource(options));
  DataReport report;
  report.format = "ratings";
  report.source = options.path;
  if (!options.dataset.empty()) {
    HONE_ASSIGN_OR_RETURN(const CatalogEntry* entry, Find(options.dataset));
    if (entry->task != Task::kRecommendation) {
      std::vector<absl::string_view> names;
      for (const CatalogEntry& other : Catalog()) {
        if (other.task == Task::kRecommendation) {
          names.push_back(other.name);
        }
      }
      return absl::InvalidArgumentError(
          absl::StrCat("data set ", options.dataset,
                       " holds no ratings; these do: ", absl::StrJoin(names, ", ")));
    }
    HONE_ASSIGN_OR_RETURN(Materialised found, Materialise(*entry, options.sources));
    report.source = found.source;
    report.notes = found.notes;
    options.path = found.path;
    if (found.generated) {
      RatingRows rows = GenerateRatings({});
      report.examples_read = rows.size();
      if (options.ratings.at_least) {
        DropBelow(*options.ratings.at_least, rows, report);
      }
      return Finish(std::move(rows), options, std::move(report));
    }
  }
  HONE_ASSIGN_OR_RETURN(RatingRows rows, ReadRatings(options.path, options.ratings, report));
  return Finish(std::move(rows), options, std::move(report));
}

}  // namespace

bool IdIsBefore(absl::string_view a, absl::string_view b) {
  const std::optional<uint64_t> m = NumberOf(a), n = NumberOf(b);
  if (m && n && *m != *n) {
    return *m < *n;
  }
  return m.has_value() != n.has_value() ? m.has_value() : a < b;
}

absl::StatusOr<RatingRows> ReadRatings(const std::string& path, const RatingOptions& options,
                                       DataReport& report) {
  if (absl::EndsWithIgnoreCase(path, ".zip")) {
    return ReadMovieLens(path, options, report);
  }
  HONE_ASSIGN_OR_RETURN(std::string text, ReadText(path, kMostTextBytes));
  const absl::StatusOr<CsvTable> table = OpenCsv(std::move(text));
  HONE_RETURN_IF_ERROR(Annotate(table.status(), path));
  return ReadTable(path, *table, options, kByPlace, report);
}

absl::StatusOr<LoadedData> LoadRatings(const LoadOptions& options) {
  try {
    return LoadOrThrow(options);
  } catch (const std::bad_alloc&) {
    return OutOfMemoryError(
        absl::StrCat(options.dataset, options.path, ": not enough memory for the ratings"));
  }
}

}  // namespace hone::engine::data
