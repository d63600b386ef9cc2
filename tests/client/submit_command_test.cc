#include <gmock/gmock.h>

#include "tests/client/server_commands_testing.h"

// `hone submit`: what is sent, and what becomes of a refusal.
namespace hone::client::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

using SubmitCommand = ServerCommandsTest;

TEST_F(SubmitCommand, PrintsTheJobsName) {
  EXPECT_EQ(Hone({"submit", kExample, "--set", "training.epochs=2"}), 0);
  EXPECT_EQ(output_, "jobs/1\n");
  EXPECT_EQ(training_.created[0].spec().training().epochs(), 2);
  EXPECT_FALSE(training_.created[0].request_id().empty());
}

TEST_F(SubmitCommand, ComesAgainWhenTheServerSaysWhenWithTheSameRequestId) {
  training_.busy_calls = 3;
  EXPECT_EQ(Hone({"submit", kExample}), 0) << output_;
  ASSERT_EQ(training_.created.size(), 4u);
  EXPECT_EQ(training_.created[0].request_id(), training_.created[3].request_id());
}

TEST_F(SubmitCommand, DoesNotWaitForAServerThatIsBusyForLong) {
  training_.busy_calls = 3;
  training_.retry_seconds = 60;
  EXPECT_NE(Hone({"submit", kExample}), 0);
  EXPECT_THAT(output_, HasSubstr("too many plans wait"));
  EXPECT_EQ(training_.created.size(), 1u);
}

TEST_F(SubmitCommand, AnUnavailableThatTheServerAnsweredIsNotCalledUnreachable) {
  google::rpc::Status details;
  details.set_message("data set wine cannot be obtained");
  training_.refuse = {grpc::StatusCode::UNAVAILABLE, details.message(),
                      details.SerializeAsString()};
  EXPECT_EQ(Hone({"submit", kExample}), 1);
  EXPECT_EQ(output_, "hone: data set wine cannot be obtained\n");
  EXPECT_EQ(training_.created.size(), 1u);
}

TEST_F(SubmitCommand, ShowsEveryFieldThatTheServerRefuses) {
  google::rpc::Status details;
  google::rpc::BadRequest bad;
  for (const char* field : {"spec.training.batch_size", "spec.data.dataset"}) {
    bad.add_field_violations()->set_field(field);
    bad.mutable_field_violations()->rbegin()->set_description(absl::StrCat(field, " is wrong"));
  }
  details.add_details()->PackFrom(bad);
  training_.refuse = {grpc::StatusCode::INVALID_ARGUMENT, "2 fields are wrong",
                      details.SerializeAsString()};
  EXPECT_EQ(Hone({"submit", kExample}), 2);
  EXPECT_THAT(output_,
              AllOf(HasSubstr("spec.training.batch_size: "), HasSubstr("spec.data.dataset: ")));
}

TEST_F(SubmitCommand, FollowPrintsEveryEventThenTheJob) {
  EXPECT_EQ(Hone({"submit", kExample, "--follow", "--output", "json"}), 0);
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 7u) << output_;
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(lines[static_cast<size_t>(i)]["sequence"], i + 1);
  }
  EXPECT_EQ(lines[6]["name"], "jobs/1");
  EXPECT_EQ(lines[6]["metrics"]["test_accuracy"], 0.99);
}

// gRPC cancels the calls of a server that shuts down.
TEST_F(SubmitCommand, ACallThatEndsWithTheServerEndsWithThree) {
  training_.refuse = grpc::Status(grpc::StatusCode::CANCELLED, "CANCELLED");
  EXPECT_EQ(Hone({"submit", kExample}), 3);
  EXPECT_THAT(output_, HasSubstr("cannot reach the server"));
}

TEST_F(SubmitCommand, RefusesAModelOfThisMachine) {
  EXPECT_EQ(Hone({"submit", kExample, "--set", "model.pretrained.path=here"}), 2);
  EXPECT_THAT(output_, HasSubstr("model.pretrained.path"));
  EXPECT_TRUE(training_.created.empty());
}

TEST_F(SubmitCommand, RefusesAClassifierOfThisMachine) {
  EXPECT_EQ(Hone({"submit", HONE_SOURCE_DIR "/client/examples/mnist-gan.yaml", "--set",
                  "image_generation.evaluation.path=here"}),
            2);
  EXPECT_THAT(output_, HasSubstr("image_generation.evaluation.path"));
  EXPECT_TRUE(training_.created.empty());
}

TEST_F(SubmitCommand, FindsTheClassifierThatIsCalledSo) {
  v1::Model& model = models_.named.emplace_back();
  model.set_name("models/8");
  model.set_display_name("minilm");
  EXPECT_EQ(Hone({"submit", HONE_SOURCE_DIR "/client/examples/mnist-gan.yaml", "--set",
                  "image_generation.evaluation.classifier=minilm"}),
            0)
      << output_;
  ASSERT_EQ(training_.created.size(), 1u);
  EXPECT_EQ(training_.created[0].spec().image_generation().evaluation().classifier(), "models/8");
}

TEST_F(SubmitCommand, ASweepForAServerRefusesAClassifierOfThisMachine) {
  std::ofstream(folder_ + "/sweep.yaml")
      << "job_file: " HONE_SOURCE_DIR "/client/examples/mnist-gan.yaml\n"
      << "axes: [{field: training.batch_size, values: [32, 64]}]\n"
      << "objective: {metric: frechet_distance}\ngrid: {}\n";
  EXPECT_EQ(Hone({"sweep", folder_ + "/sweep.yaml", "--set",
                  "job.image_generation.evaluation.path=here"}),
            2);
  EXPECT_THAT(output_, HasSubstr("job.image_generation.evaluation.path: is a folder of this "
                                 "machine"));
}

TEST_F(SubmitCommand, SendsTheTextOfAMazeThatIsAFileHere) {
  EXPECT_EQ(Hone({"submit", HONE_SOURCE_DIR "/client/examples/maze-dqn.yaml", "--set",
                  "reinforcement_learning.maze.path=" HONE_SOURCE_DIR
                  "/client/examples/listing-maze.txt"}),
            0)
      << output_;
  ASSERT_EQ(training_.created.size(), 1u);
  EXPECT_THAT(training_.created[0].spec().reinforcement_learning().maze().text(),
              HasSubstr("S...#\n.##..\n"));
}

TEST_F(SubmitCommand, SendsNothingWhereTheFileOfAMazeIsNotThere) {
  EXPECT_EQ(Hone({"submit", HONE_SOURCE_DIR "/client/examples/maze-dqn.yaml", "--set",
                  "reinforcement_learning.maze.path=nowhere.txt"}),
            2);
  EXPECT_THAT(output_, HasSubstr("nowhere.txt"));
  EXPECT_TRUE(training_.created.empty());
}

}  // namespace
}  // namespace hone::client::cli
