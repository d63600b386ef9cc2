#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>

// jpeglib.h needs size_t and FILE declared before it.
#include <jpeglib.h>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/image/image.h"

namespace hone::engine::image {
namespace {

absl::Status Damaged(absl::string_view name, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(name, ": ", why));
}

bool IsPng(absl::string_view bytes) {
  return bytes.size() >= 8 && std::memcmp(bytes.data(), "\x89PNG\r\n\x1a\n", 8) == 0;
}
bool IsJpeg(absl::string_view bytes) {
  return bytes.size() >= 3 && std::memcmp(bytes.data(), "\xff\xd8\xff", 3) == 0;
}

absl::Status CheckSize(absl::string_view name, int64_t height, int64_t width,
                       const DecodeOptions& options) {
  if (height < 1 || width < 1 || height > options.max_pixels / width) {
    return Damaged(name, absl::StrCat("the picture is ", width, "x", height, "; at most ",
                                      options.max_pixels, " pixels are read"));
  }
  return absl::OkStatus();
}

// Rows of [height, width, channels] to [channels, height, width].
void ToPlanes(const uint8_t* in, Image& image) {
  const int64_t pixels = image.height * image.width;
  uint8_t* out = image.pixels.data();
  if (image.channels == 1) {
    std::memcpy(out, in, static_cast<size_t>(pixels));
    return;
  }
  for (int64_t i = 0; i < pixels; ++i) {
    for (int64_t c = 0; c < 3; ++c) {
      out[c * pixels + i] = in[3 * i + c];
    }
  }
}

// libpng's simplified interface, freed when it leaves scope.
struct Png {
  png_image image{};
  Png() { image.version = PNG_IMAGE_VERSION; }
  ~Png() { png_image_free(&image); }
  Png(const Png&) = delete;
  Png& operator=(const Png&) = delete;
};

absl::StatusOr<ImageSize> OpenPng(absl::string_view bytes, absl::string_view name,
                                  const DecodeOptions& options, Png& png) {
  if (!png_image_begin_read_from_memory(&png.image, bytes.data(), bytes.size())) {
    return Damaged(name, absl::StrCat("damaged PNG: ", png.image.message));
  }
  const ImageSize size{png.image.format & PNG_FORMAT_FLAG_COLOR ? 3 : 1, png.image.height,
                       png.image.width};
  HONE_RETURN_IF_ERROR(CheckSize(name, size.height, size.width, options));
  return size;
}

absl::StatusOr<Image> DecodePng(absl::string_view bytes, absl::string_view name,
                                const DecodeOptions& options) {
  Png png;
  HONE_ASSIGN_OR_RETURN(const ImageSize size, OpenPng(bytes, name, options, png));
  Image image{size.channels, size.height, size.width, {}};
  png.image.format = image.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  const auto count = static_cast<size_t>(image.channels * image.height * image.width);
  std::vector<uint8_t> rows(count);
  const png_color black{0, 0, 0};
  if (!png_image_finish_read(&png.image, &black, rows.data(), 0, nullptr) ||
      PNG_IMAGE_FAILED(png.image)) {
    return Damaged(name, absl::StrCat("damaged PNG: ", png.image.message));
  }
  if (image.channels == 1) {
    image.pixels = std::move(rows);
  } else {
    image.pixels.resize(count);
    ToPlanes(rows.data(), image);
  }
  return image;
}

// libjpeg's error manager: the message is kept and control goes back to setjmp.
struct JpegError {
  jpeg_error_mgr base;
  std::jmp_buf back;
  char message[JMSG_LENGTH_MAX] = {};
  int warnings = 0;
};

[[noreturn]] void LeaveJpeg(j_common_ptr info) {
  auto* error = reinterpret_cast<JpegError*>(info->err);
  (*info->err->format_message)(info, error->message);
  std::longjmp(error->back, 1);
}

// A level below 0 is a warning: the file is damaged and libjpeg would fill in grey.
void CountJpegWarning(j_common_ptr info, int level) {
  auto* error = reinterpret_cast<JpegError*>(info->err);
  if (level < 0 && error->warnings++ == 0) {
    (*info->err->format_message)(info, error->message);
  }
}

// Everything that longjmp leaves behind: no value with a destructor is made between setjmp and the
// end.
struct JpegReader {
  jpeg_decompress_struct info{};
  JpegError error{};
  JpegReader() {
    info.err = jpeg_std_error(&error.base);
    error.base.error_exit = LeaveJpeg;
    error.base.emit_message = CountJpegWarning;
  }
  ~JpegReader() { jpeg_destroy_decompress(&info); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;
};

bool ReadJpegHeader(JpegReader& reader, absl::string_view bytes) {
  if (setjmp(reader.error.back)) {
    return false;
  }
  jpeg_create_decompress(&reader.info);
  jpeg_mem_src(&reader.info, reinterpret_cast<const unsigned char*>(bytes.data()),
               static_cast<unsigned long>(bytes.size()));
  jpeg_read_header(&reader.info, TRUE);
  return true;
}

bool StartJpeg(JpegReader& reader) {
  if (setjmp(reader.error.back)) {
    return false;
  }
  jpeg_start_decompress(&reader.info);
  return true;
}

// All rows, interleaved.
bool ReadJpegRows(JpegReader& reader, uint8_t* out, size_t row_bytes) {
  if (setjmp(reader.error.back)) {
    return false;
  }
  while (reader.info.output_scanline < reader.info.output_height) {
    JSAMPROW row = out + reader.info.output_scanline * row_bytes;
    jpeg_read_scanlines(&reader.info, &row, 1);
  }
  jpeg_finish_decompress(&reader.info);
  return true;
}

absl::Status OpenJpeg(absl::string_view bytes, absl::string_view name, const DecodeOptions& options,
                      JpegReader& reader) {
  if (!ReadJpegHeader(reader, bytes)) {
    return Damaged(name, absl::StrCat("damaged JPEG: ", reader.error.message));
  }
  return CheckSize(name, reader.info.image_height, reader.info.image_width, options);
}

absl::StatusOr<Image> DecodeJpeg(absl::string_view bytes, absl::string_view name,
                                 const DecodeOptions& options) {
  JpegReader reader;
  HONE_RETURN_IF_ERROR(OpenJpeg(bytes, name, options, reader));
  jpeg_decompress_struct& info = reader.info;
  const bool grey = options.channels == 1 || info.jpeg_color_space == JCS_GRAYSCALE;
  info.out_color_space = grey ? JCS_GRAYSCALE : JCS_RGB;
  info.dct_method = JDCT_ISLOW;
  if (options.min_height > 0 && options.min_width > 0) {
    while (info.scale_denom < 8 &&
           info.image_height / (2 * info.scale_denom) >= options.min_height &&
           info.image_width / (2 * info.scale_denom) >= options.min_width) {
      info.scale_denom *= 2;
    }
  }
  if (!StartJpeg(reader)) {
    return Damaged(name, absl::StrCat("damaged JPEG: ", reader.error.message));
  }
  Image image{grey ? 1 : 3, info.output_height, info.output_width, {}};
  const auto row_bytes = static_cast<size_t>(image.width * image.channels);
  const size_t count = row_bytes * static_cast<size_t>(image.height);
  std::vector<uint8_t> rows(count);
  if (!ReadJpegRows(reader, rows.data(), row_bytes) || reader.error.warnings > 0) {
    return Damaged(name, absl::StrCat("damaged JPEG: ", reader.error.message));
  }
  image.pixels.resize(count);
  ToPlanes(rows.data(), image);
  return image;
}

}  // namespace

absl::StatusOr<ImageSize> DecodeSize(absl::string_view bytes, absl::string_view name,
                                     const DecodeOptions& options) {
  if (IsPng(bytes)) {
    Png png;
    return OpenPng(bytes, name, options, png);
  }
  if (IsJpeg(bytes)) {
    JpegReader reader;
    HONE_RETURN_IF_ERROR(OpenJpeg(bytes, name, options, reader));
    const jpeg_decompress_struct& info = reader.info;
    return ImageSize{info.jpeg_color_space == JCS_GRAYSCALE ? 1 : 3, info.image_height,
                     info.image_width};
  }
  return Damaged(name, "is neither a PNG nor a JPEG file");
}

absl::StatusOr<Image> Decode(absl::string_view bytes, absl::string_view name,
                             const DecodeOptions& options) {
  absl::StatusOr<Image> image = IsPng(bytes)    ? DecodePng(bytes, name, options)
                                : IsJpeg(bytes) ? DecodeJpeg(bytes, name, options)
                                                : Damaged(name, "is neither a PNG nor a JPEG file");
  if (image.ok() && options.channels > 0 && image->channels != options.channels) {
    return WithChannels(*image, options.channels);
  }
  return image;
}

absl::StatusOr<Image> DecodeAs(absl::string_view bytes, absl::string_view name,
                               const ImageSize& size) {
  HONE_ASSIGN_OR_RETURN(
      Image image,
      Decode(bytes, name,
             {.channels = size.channels, .min_height = size.height, .min_width = size.width}));
  if (image.height == size.height && image.width == size.width) {
    return image;
  }
  return Resize(image, size.height, size.width);
}

}  // namespace hone::engine::image
