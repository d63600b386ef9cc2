# Writes the C++ of hone::server::http::Assets() (server/http/assets.h):
#   cmake -DOUTPUT=FILE.cc -DASSETS=PATH=FILE;PATH=FILE… -P embed_assets.cmake
# PATH is what a browser asks for. The type is told by the name's end.
set(type_css "text/css; charset=utf-8")
set(type_html "text/html; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_png "image/png")
set(type_svg "image/svg+xml")
set(type_txt "text/plain; charset=utf-8")
set(type_yaml "text/plain; charset=utf-8")

list(SORT ASSETS)  # FindAsset searches by halving
set(arrays)
set(table)
set(number 0)
foreach(asset IN LISTS ASSETS)
  string(REGEX MATCH "^([^=]+)=(.+)$" _ "${asset}")
  set(path "${CMAKE_MATCH_1}")
  set(file "${CMAKE_MATCH_2}")
  string(REGEX REPLACE "^.*\\." "" end "${file}")
  if(NOT DEFINED type_${end})
    message(FATAL_ERROR "${file}: no content type is known for .${end}; add it to cmake/embed_assets.cmake")
  endif()
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "(..)" "\\\\x\\1" bytes "${bytes}")
  file(SHA256 ${file} hash)
  string(SUBSTRING ${hash} 0 32 etag)
  string(APPEND arrays "constexpr char kBytes${number}[] = \"${bytes}\";\n")
  string(APPEND table
    "    {\"${path}\", \"${type_${end}}\", {kBytes${number}, sizeof(kBytes${number}) - 1}, \"\\\"${etag}\\\"\"},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE ${OUTPUT} "// Made by cmake/embed_assets.cmake.
#include \"server/http/assets.h\"

namespace hone::server::http {
namespace {

${arrays}
constexpr Asset kAssets[] = {
${table}};

}  // namespace

absl::Span<const Asset> Assets() { return kAssets; }

}  // namespace hone::server::http
")
