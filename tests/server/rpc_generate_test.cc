// Texts as they are written: the scripted worker gives two tokens an answer, "<1><2>", "<3><4>", ….
#include "tests/server/rpc_testing.h"

namespace hone::server::rpc {
namespace {

using ::testing::HasSubstr;

class GenerateTest : public RpcTest {
 protected:
  struct Written {
    std::vector<v1::GenerateResponse> pieces;
    grpc::Status status;
    std::string text() const {
      std::string all;
      for (const v1::GenerateResponse& piece : pieces) {
        all += piece.text();
      }
      return all;
    }
  };

  v1::GenerateRequest Wish(const std::string& prompt, int64_t count) {
    if (model_.empty()) {
      const v1::Job job = Create(Request("succeed"));
      Watch(job.name());
      model_ = Get(job.name()).model();
    }
    v1::GenerateRequest request;
    request.set_name(model_);
    request.mutable_text()->set_prompt(prompt);
    request.mutable_text()->set_count(count);
    return request;
  }
  // To the end, or until so many pieces have come.
  Written Generate(const v1::GenerateRequest& request, size_t limit = kToTheEnd) {
    grpc::ClientContext context;
    const auto reader = models_->Generate(&context, request);
    Written written;
    for (v1::GenerateResponse piece; written.pieces.size() < limit && reader->Read(&piece);) {
      written.pieces.push_back(piece);
    }
    if (written.pieces.size() == limit) {
      context.TryCancel();
    }
    written.status = reader->Finish();
    return written;
  }

  std::string model_;
};

TEST_F(GenerateTest, ATextComesPieceByPieceUntilItEnds) {
  const Written written = Generate(Wish("once", 5));
  ASSERT_TRUE(written.status.ok()) << written.status.error_message();
  EXPECT_EQ(written.text(), "once:<1><2><3><4><5>");
  ASSERT_EQ(written.pieces.size(), 3u);
  EXPECT_EQ(written.pieces[0].end(), v1::Writing::END_UNSPECIFIED);
  EXPECT_EQ(written.pieces[0].tokens(), 2);
  EXPECT_EQ(written.pieces[2].end(), v1::Writing::COUNT);
  EXPECT_EQ(written.pieces[2].tokens(), 5);
}

TEST_F(GenerateTest, TextsOfSeveralClientsShareAProcess) {
  const v1::GenerateRequest one = Wish("one", 40), two = Wish("two", 40);
  Written of_one;
  std::thread other([&] { of_one = Generate(one); });
  const Written of_two = Generate(two);
  other.join();
  EXPECT_THAT(of_one.text(), HasSubstr("one:<1>"));
  EXPECT_THAT(of_two.text(), HasSubstr("two:<1>"));
  EXPECT_THAT(of_one.text(), HasSubstr("<40>"));
  EXPECT_THAT(Http("/metrics"), HasSubstr("hone_worker_starts_total{mode=\"predict\"} 1\n"));
}

TEST_F(GenerateTest, AClientThatLeavesHoldsUpNobody) {
  EXPECT_EQ(Generate(Wish("endless", 1 << 20), 3).status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(Generate(Wish("next", 2)).text(), "next:<1><2>");
}

TEST_F(GenerateTest, WhatTheModelRefusesIsToldWithTheField) {
  const Written written = Generate(Wish("broken", 5));
  EXPECT_EQ(written.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(written.status.error_message(), "text: prompt: unknown");
}

TEST_F(GenerateTest, AStateIsRefused) {
  v1::GenerateRequest request = Wish("once", 5);
  request.mutable_text()->mutable_state()->set_written(1);
  const Written written = Generate(request);
  EXPECT_EQ(written.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(written.status.error_message(), HasSubstr("text.state"));
}

TEST_F(GenerateTest, AModelThatWritesNoTextIsAnErrorAndNoEndlessStream) {
  EXPECT_EQ(Generate(Wish("a class", 5)).status.error_code(), grpc::StatusCode::INTERNAL);
}

}  // namespace
}  // namespace hone::server::rpc
