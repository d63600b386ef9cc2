#include "engine/base/cpu.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace hone {
namespace {

// A made-up /sys/fs/cgroup.
class CgroupTest : public ::testing::Test {
 protected:
  CgroupTest()
      : root_(::testing::TempDir() + "/cgroup-" + std::to_string(::getpid()) + "-" +
              std::to_string(counter_++)) {}
  ~CgroupTest() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_ + "/" + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
  }

  static inline int counter_ = 0;
  const std::string root_;
};

TEST_F(CgroupTest, VersionTwoQuotaIsTimeOverPeriod) {
  Write("jobs/a/cpu.max", "150000 100000");
  EXPECT_DOUBLE_EQ(CgroupQuotaCores(root_, "0::/jobs/a\n"), 1.5);
}

TEST_F(CgroupTest, TheSmallestQuotaOfTheAncestorsCounts) {
  Write("jobs/cpu.max", "100000 100000");
  Write("jobs/a/cpu.max", "400000 100000");
  EXPECT_DOUBLE_EQ(CgroupQuotaCores(root_, "0::/jobs/a\n"), 1);
}

TEST_F(CgroupTest, MaxIsNoQuota) {
  Write("cpu.max", "max 100000");
  EXPECT_EQ(CgroupQuotaCores(root_, "0::/\n"), 0);
}

TEST_F(CgroupTest, VersionOneReadsTheCpuController) {
  Write("cpu,cpuacct/jobs/cpu.cfs_quota_us", "50000");
  Write("cpu,cpuacct/jobs/cpu.cfs_period_us", "100000");
  EXPECT_DOUBLE_EQ(CgroupQuotaCores(root_, "4:memory:/x\n3:cpu,cpuacct:/jobs\n"), 0.5);
}

TEST_F(CgroupTest, VersionOneWithMinusOneIsNoQuota) {
  Write("cpu/cpu.cfs_quota_us", "-1");
  Write("cpu/cpu.cfs_period_us", "100000");
  EXPECT_EQ(CgroupQuotaCores(root_, "1:cpu:/\n"), 0);
}

TEST_F(CgroupTest, VersionTwoTellsTheTimeThatAQuotaTookInMicroseconds) {
  Write("jobs/a/cpu.stat", "usage_usec 9000000\nnr_throttled 3\nthrottled_usec 2500000");
  EXPECT_DOUBLE_EQ(CgroupThrottledSeconds(root_, "0::/jobs/a\n"), 2.5);
}

TEST_F(CgroupTest, VersionOneTellsTheTimeThatAQuotaTookInNanoseconds) {
  Write("cpu,cpuacct/jobs/cpu.stat", "nr_periods 7\nthrottled_time 1500000000");
  EXPECT_DOUBLE_EQ(CgroupThrottledSeconds(root_, "3:cpu,cpuacct:/jobs\n"), 1.5);
}

TEST_F(CgroupTest, WithoutAStatisticNothingWasThrottled) {
  EXPECT_EQ(CgroupThrottledSeconds(root_, "0::/jobs\n"), 0);
}

TEST_F(CgroupTest, AContainerThatSeesOnlyItsOwnRootReadsThat) {
  Write("cpu.max", "200000 100000");
  EXPECT_DOUBLE_EQ(CgroupQuotaCores(root_, "0::/docker/0123\n"), 2);
}

TEST(Cpu, GivesAtLeastOneThreadAndSomeMemory) {
  EXPECT_GE(AvailableThreads(), 1);
  EXPECT_GT(CpuQuotaCores(), 0);
  EXPECT_GT(AvailableMemoryBytes(), int64_t{1} << 20);
  EXPECT_FALSE(CpuDescription().empty());
}

}  // namespace
}  // namespace hone
