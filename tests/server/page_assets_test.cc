#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "server/http/assets.h"

namespace hone::server::http {
namespace {

std::string FileOfSource(const std::string& path) {
  std::ifstream file(HONE_SOURCE_DIR "/" + path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

TEST(PageAssetsTest, TheRootIsThePage) {
  const Asset* const page = FindAsset("/");
  ASSERT_NE(page, nullptr);
  EXPECT_EQ(page->content_type, "text/html; charset=utf-8");
  EXPECT_EQ(page->bytes, FileOfSource("client/web/index.html"));
}

TEST(PageAssetsTest, FilesAreServedAsTheyLie) {
  const std::map<std::string, std::string> files = {
      {"/main.js", "client/web/main.js"},
      {"/pages/job.js", "client/web/pages/job.js"},
      {"/style.css", "client/web/style.css"},
      {"/uplot/uPlot.js", "deploy/web-libraries/uplot/uPlot.iife.min.js"},
      {"/examples/mnist-cnn.yaml", "client/examples/mnist-cnn.yaml"}};
  for (const auto& [path, source] : files) {
    const Asset* const asset = FindAsset(path);
    ASSERT_NE(asset, nullptr) << path;
    EXPECT_EQ(asset->bytes, FileOfSource(source)) << path;
  }
}

TEST(PageAssetsTest, EachIsFoundByItsPathAndByNoOther) {
  for (const Asset& asset : Assets()) {
    EXPECT_EQ(FindAsset(asset.path), &asset) << asset.path;
  }
  for (const char* path :
       {"", "//", "/main", "/main.js/", "/../main.js", "/pages", "/README.md", "main.js"}) {
    EXPECT_EQ(FindAsset(path), nullptr) << path;
  }
}

TEST(PageAssetsTest, OtherBytesHaveAnotherTag) {
  std::set<std::string> bytes, tags;
  for (const Asset& asset : Assets()) {
    bytes.emplace(asset.bytes);
    tags.emplace(asset.etag);
    EXPECT_EQ(asset.etag.front(), '"');
    EXPECT_EQ(asset.etag.back(), '"');
  }
  EXPECT_EQ(tags.size(), bytes.size());
}

}  // namespace
}  // namespace hone::server::http
