#include "engine/data/image_folder.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/data/file_tree.h"
#include "engine/image/image.h"

namespace hone::engine::data {
namespace {

constexpr int64_t kMostFileBytes = 64 << 20;

enum class FolderPart { kTrain, kTest, kNone };

bool IsPictureName(const std::string& name) {
  const std::string lower = absl::AsciiStrToLower(name);
  return absl::EndsWith(lower, ".png") || absl::EndsWith(lower, ".jpg") ||
         absl::EndsWith(lower, ".jpeg");
}

struct Place {
  FolderPart part = FolderPart::kNone;
  std::string class_name;  // "" where the picture is in no folder
};

// …/train/cat/1.png is of the training part and of class cat.
Place PlaceOf(const std::string& name) {
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  Place place;
  if (parts.size() < 2 || absl::StartsWith(parts.back(), ".")) {
    return place;
  }
  place.class_name = parts[parts.size() - 2];
  for (size_t i = 0; i + 2 < parts.size(); ++i) {
    place.part = parts[i] == "train"  ? FolderPart::kTrain
                 : parts[i] == "test" ? FolderPart::kTest
                                      : place.part;
  }
  return place;
}

// What the first pass finds: names alone, and the first picture's size.
struct Listing {
  std::map<std::string, int32_t> label_of;
  bool has_parts = false;
  int64_t train = 0;
  int64_t test = 0;
  int64_t no_pictures = 0;
  int64_t outside = 0;                // beside train/ and test/, or in no folder
  std::vector<int32_t> train_labels;  // in the order of the files
  std::vector<int32_t> test_labels;
  image::ImageSize size;
};

// The part a picture belongs to, with or without train/ and test/ in this data set.
FolderPart PartIn(const Listing& listing, const Place& place) {
  if (place.class_name.empty() || (listing.has_parts && place.part == FolderPart::kNone)) {
    return FolderPart::kNone;
  }
  return place.part == FolderPart::kTest ? FolderPart::kTest : FolderPart::kTrain;
}

absl::StatusOr<Listing> List(const std::string& path, const LoadOptions& options) {
  Listing listing;
  listing.size = {options.channels, options.height, options.width};
  std::vector<Place> places;
  const auto visit = [&](const TreeFile& file) -> absl::StatusOr<Visit> {
    if (!IsPictureName(file.name)) {
      ++listing.no_pictures;
      return Visit::kGoOn;
    }
    if (Utf8Prefix(file.name) < file.name.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": the name of \"", absl::CHexEscape(file.name),
                       "\" is not UTF-8: rename the file, or its folder"));
    }
    places.push_back(PlaceOf(file.name));
    listing.has_parts = listing.has_parts || places.back().part == FolderPart::kTrain;
    image::ImageSize& size = listing.size;
    if (size.channels == 0 || size.height == 0 || size.width == 0) {
      absl::StatusOr<image::ImageSize> own = absl::InvalidArgumentError("");
      if (const auto bytes = file.read(kMostFileBytes); bytes.ok()) {
        own = image::DecodeSize(*bytes, file.name);
      }
      if (own.ok()) {
        size.channels = size.channels == 0 ? own->channels : size.channels;
        size.height = size.height == 0 ? own->height : size.height;
        size.width = size.width == 0 ? own->width : size.width;
      }
    }
    return Visit::kGoOn;
  };
  HONE_RETURN_IF_ERROR(ForEachFile(path, visit));
  for (const Place& place : places) {
    if (PartIn(listing, place) != FolderPart::kNone) {
      listing.label_of.emplace(place.class_name, 0);
    }
  }
  int32_t next = 0;
  for (auto& [name, label] : listing.label_of) {
    label = next++;
  }
  for (const Place& place : places) {
    const FolderPart part = PartIn(listing, place);
    if (part == FolderPart::kNone) {
      ++listing.outside;
      continue;
    }
    (part == FolderPart::kTrain ? listing.train_labels : listing.test_labels)
        .push_back(listing.label_of.at(place.class_name));
  }
  listing.train = static_cast<int64_t>(listing.train_labels.size());
  listing.test = static_cast<int64_t>(listing.test_labels.size());
  if (listing.train == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": the data set is empty: no PNG or JPEG lies in a folder named after its class"));
  }
  if (listing.size.channels == 0 || listing.size.height == 0 || listing.size.width == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": not one of its ", places.size(), " pictures can be read"));
  }
  return listing;
}

// Rows of one part, filled from its first row on; damaged pictures leave no gap.
struct PartRows {
  int64_t first = 0;
  int64_t done = 0;
  int64_t most = 0;
};

absl::Status DecodeAll(const std::string& path, const Listing& listing, Examples& examples,
                       DataReport& report) {
  DatasetParts& parts = examples.parts;
  const int64_t bytes = parts.features.bytes();
  PartRows train{0, 0, listing.train};
  PartRows test{listing.train, 0, listing.test};
  const auto visit = [&](const TreeFile& file) -> absl::StatusOr<Visit> {
    const Place place = PlaceOf(file.name);
    const FolderPart part = PartIn(listing, place);
    if (!IsPictureName(file.name) || part == FolderPart::kNone) {
      return Visit::kGoOn;
    }
    PartRows& rows = part == FolderPart::kTrain ? train : test;
    const auto label = listing.label_of.find(place.class_name);
    if (rows.done == rows.most || label == listing.label_of.end()) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": changed while it was read"));
    }
    absl::StatusOr<image::Image> picture = absl::UnknownError("");
    if (const auto contents = file.read(kMostFileBytes); contents.ok()) {
      picture = image::DecodeAs(*contents, file.name, listing.size);
    } else {
      picture = contents.status();
    }
    if (!picture.ok()) {
      if (!absl::IsInvalidArgument(picture.status())) {
        return picture.status();
      }
      absl::string_view why = picture.status().message();
      absl::ConsumePrefix(&why, absl::StrCat(file.name, ": "));
      report.Drop(kDamagedPicture, {.where = file.name, .why = std::string(why)});
      return Visit::kGoOn;
    }
    const int64_t row = rows.first + rows.done++;
    std::memcpy(parts.feature_values.as<uint8_t>() + row * bytes, picture->pixels.data(),
                picture->pixels.size());
    parts.labels[static_cast<size_t>(row)] = label->second;
    return Visit::kGoOn;
  };
  HONE_RETURN_IF_ERROR(ForEachFile(path, visit));
  if (train.done < train.most) {
    uint8_t* const pixels = parts.feature_values.as<uint8_t>();
    std::memmove(pixels + train.done * bytes, pixels + test.first * bytes,
                 static_cast<size_t>(test.done * bytes));
    std::move(parts.labels.begin() + test.first, parts.labels.begin() + test.first + test.done,
              parts.labels.begin() + train.done);
  }
  examples.train_size = train.done;
  parts.size = train.done + test.done;
  parts.labels.resize(static_cast<size_t>(parts.size));
  return absl::OkStatus();
}

}  // namespace

bool IsImageFolder(const std::string& path) {
  return IsArchiveName(path) || HasFile(path, IsPictureName);
}

absl::StatusOr<Examples> ReadImageFolder(const std::string& path, const LoadOptions& options,
                                         Depth depth, DataReport& report) {
  HONE_ASSIGN_OR_RETURN(const Listing listing, List(path, options));
  Examples examples;
  DatasetParts& parts = examples.parts;
  parts.size = listing.train + listing.test;
  examples.train_size = listing.train;
  const image::ImageSize& size = listing.size;
  parts.features = {Shape{size.channels, size.height, size.width}, DType::kU8};
  for (const auto& [name, label] : listing.label_of) {
    parts.class_names.push_back(name);
  }
  parts.labels = listing.train_labels;
  parts.labels.insert(parts.labels.end(), listing.test_labels.begin(), listing.test_labels.end());
  report.examples_read = parts.size;
  if (listing.no_pictures > 0) {
    report.notes.push_back(
        absl::StrCat(listing.no_pictures, " files that are neither PNG nor JPEG were skipped"));
  }
  if (listing.outside > 0) {
    report.notes.push_back(absl::StrCat(listing.outside, " pictures outside of ",
                                        listing.has_parts ? "train/ and test/" : "a class folder",
                                        " were skipped"));
  }
  const int64_t factors[] = {parts.size, size.channels, size.height, size.width};
  HONE_ASSIGN_OR_RETURN(const int64_t bytes, CheckedBytes(factors, options.max_bytes, path));
  if (depth == Depth::kAll) {
    parts.feature_values = Buffer(bytes);
    HONE_RETURN_IF_ERROR(DecodeAll(path, listing, examples, report));
  }
  return examples;
}

}  // namespace hone::engine::data
