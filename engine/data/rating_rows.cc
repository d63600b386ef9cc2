#include "engine/data/rating_rows.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "engine/base/complaints.h"
#include "engine/base/csv.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/data/byte_source.h"
#include "engine/data/csv.h"
#include "engine/data/file_tree.h"

namespace hone::engine::data {
namespace {

constexpr int64_t kMostRatingsBytes = int64_t{2} << 30;

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
    if (options_.ids != RatingOptions::Ids::kNumbers) {
      return true;
    }
    const std::optional<uint64_t> number = IdNumber(id);
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
  HONE_ASSIGN_OR_RETURN(const Files files, ReadZip(path, wanted, kMostRatingsBytes));
  for (const MovieLens& known : kMovieLens) {
    const auto ratings = files.find(known.ratings);
    if (ratings == files.end()) {
      continue;
    }
    const CsvHead head = {
        .delimiter = '\t', .has_header = false, .names = {"user", "item", "rating", "time"}};
    const CsvTable table = {head, absl::StrReplaceAll(ratings->second, {{known.between, "\t"}})};
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

}  // namespace

std::optional<uint64_t> IdNumber(absl::string_view id) {
  uint64_t number = 0;
  const bool digits = !id.empty() && std::ranges::all_of(id, [](unsigned char c) {
    return absl::ascii_isdigit(c);
  });
  return digits && absl::SimpleAtoi(id, &number) ? std::optional(number) : std::nullopt;
}

absl::StatusOr<RatingRows> ReadRatings(const std::string& path, const RatingOptions& options,
                                       DataReport& report) {
  if (absl::EndsWithIgnoreCase(path, ".zip")) {
    return ReadMovieLens(path, options, report);
  }
  HONE_ASSIGN_OR_RETURN(std::string text, ReadText(path, kMostRatingsBytes));
  const absl::StatusOr<CsvTable> table = OpenCsv(std::move(text));
  HONE_RETURN_IF_ERROR(Annotate(table.status(), path));
  return ReadTable(path, *table, options, kByPlace, report);
}

absl::Status CheckSigns(const RatingRows& rows) {
  Complaints complaints;
  const auto check = [&](const std::string& column, const std::vector<std::string>& ids,
                         const std::vector<int32_t>& of_row) {
    const bool numbers = std::ranges::all_of(
        ids, [](absl::string_view id) { return IdNumber(absl::StripPrefix(id, "-")).has_value(); });
    for (size_t row = 0; numbers && row < of_row.size(); ++row) {
      const std::string& id = ids[static_cast<size_t>(of_row[row])];
      if (id.starts_with('-')) {
        complaints.Add(
            {.line = rows.lines[row],
             .text = absl::StrCat("line ", rows.lines[row], ", column '", column, "': the id '",
                                  CutUtf8(id, 40),
                                  "' is negative, and all ids of the column are whole numbers; "
                                  "`data.ratings.ids: TEXT` takes it as it is")});
      }
    }
  };
  check(rows.user_column, rows.users, rows.user_of);
  check(rows.item_column, rows.items, rows.item_of);
  return complaints.status();
}

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

}  // namespace hone::engine::data
