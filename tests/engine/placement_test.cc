#include "engine/plan/placement.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "engine/graph/sum.h"

// Which values may lie in one another's memory; no primitive is made here.
namespace hone::engine {
namespace {

// x and y are inputs, u = x + y, v = u + y; v is fetched.
struct Chain {
  Graph graph;
  Value x = graph.Input("x", {{4}, DType::kF32});
  Value y = graph.Input("y", {{4}, DType::kF32});
  Value u = Sum(graph, x, y);
  Value v = Sum(graph, u, y);
  Roots roots{.fetch = {v}, .gradients = {}, .updates = {}};
  PlanGraph plan;

  Placement Place() {
    plan = MakePlanGraph(graph, roots);
    RemoveDeadNodes(plan);
    return Placement(plan);
  }
  // The time at which this value's node runs.
  int32_t TimeOf(Value value) const {
    return static_cast<int32_t>(std::ranges::find(plan.order, value.node) - plan.order.begin());
  }
};

void AdvanceTo(int32_t time, Placement& placement) {
  while (placement.now() < time) {
    placement.Advance();
  }
}

TEST(Placement, LetsANodeOverwriteWhatIsReadForTheLastTime) {
  Chain chain;
  Placement placement = chain.Place();
  AdvanceTo(chain.TimeOf(chain.u), placement);
  const Slot slot = placement.New(16);
  placement.Put(chain.u, slot);
  AdvanceTo(chain.TimeOf(chain.v), placement);
  EXPECT_TRUE(placement.MayOverwrite(slot, chain.v));
}

TEST(Placement, KeepsWhatALaterNodeReads) {
  Chain chain;
  Placement placement = chain.Place();
  const Slot slot = placement.New(16);
  placement.Put(chain.y, slot);
  AdvanceTo(chain.TimeOf(chain.u), placement);
  EXPECT_FALSE(placement.MayOverwrite(slot, chain.u));
}

TEST(Placement, KeepsASlotOfWhichAnyValueIsReadLater) {
  Chain chain;
  Placement placement = chain.Place();
  const Slot slot = placement.New(16);
  placement.Put(chain.x, slot);  // read by u for the last time,
  placement.Put(chain.y, slot);  // and seen with another shape it is read by v
  AdvanceTo(chain.TimeOf(chain.u), placement);
  EXPECT_FALSE(placement.MayOverwrite(slot, chain.u));
}

TEST(Placement, KeepsPinnedSlots) {
  Chain chain;
  Placement placement = chain.Place();
  const Slot slot = placement.New(16);
  placement.Put(chain.u, slot);
  placement.Pin(slot);
  AdvanceTo(chain.TimeOf(chain.v), placement);
  EXPECT_FALSE(placement.MayOverwrite(slot, chain.v));
}

TEST(Placement, NeverPutsAGradientInPlaceOfAnInput) {
  Chain chain;
  chain.roots = {.fetch = {}, .gradients = {{chain.v, 0}}, .updates = {}};
  Placement placement = chain.Place();
  const Slot slot = placement.New(16);
  placement.Put(chain.u, slot);
  AdvanceTo(chain.TimeOf(chain.v), placement);
  EXPECT_FALSE(placement.MayOverwrite(slot, chain.v));
}

TEST(Placement, OverwritesABufferWithTheValueThatItTakesAndNoOther) {
  Chain chain;
  float buffer[4], other[4];
  chain.roots.updates = {{.id = 0, .memory = buffer, .value = chain.v, .target = chain.x}};
  Placement placement = chain.Place();
  const Slot taken = placement.Fixed(buffer), not_taken = placement.Fixed(other);
  AdvanceTo(chain.TimeOf(chain.v), placement);
  EXPECT_TRUE(placement.MayOverwrite(taken, chain.v));
  EXPECT_FALSE(placement.MayOverwrite(taken, chain.u));
  EXPECT_FALSE(placement.MayOverwrite(not_taken, chain.v));
}

TEST(Placement, LeavesABufferAloneThatIsUpdatedTwice) {
  Chain chain;
  float buffer[4];
  chain.roots.updates = {{.id = 0, .memory = buffer, .value = chain.u, .target = chain.x},
                         {.id = 0, .memory = buffer, .value = chain.v, .target = chain.x}};
  Placement placement = chain.Place();
  const Slot slot = placement.Fixed(buffer);
  AdvanceTo(chain.TimeOf(chain.v), placement);
  EXPECT_FALSE(placement.MayOverwrite(slot, chain.u));
  EXPECT_FALSE(placement.MayOverwrite(slot, chain.v));
}

TEST(Placement, KeepsWhatLiesInsideAnotherSlotWithIt) {
  Chain chain;
  Placement placement = chain.Place();
  const Slot whole = placement.New(128);
  placement.Put(chain.x, whole);
  const Slot part = placement.Inside(placement.Inside(whole, 32, 96), 32, 64);
  placement.Put(chain.y, part);  // which is read by v
  AdvanceTo(chain.TimeOf(chain.u), placement);
  EXPECT_FALSE(placement.MayOverwrite(whole, chain.u));
  AdvanceTo(chain.TimeOf(chain.v), placement);
  placement.Use(part);
  EXPECT_TRUE(placement.MayOverwrite(whole, chain.v));
  EXPECT_FALSE(placement.MayOverwrite(part, chain.v));
  const Placement::Layout layout = placement.Finish();
  ASSERT_EQ(layout.pieces.size(), 3u);
  EXPECT_EQ(layout.bytes, 128);
  EXPECT_EQ(layout.pieces[0].lifetime.last, chain.TimeOf(chain.v));
  EXPECT_EQ(layout.pieces[2].offset, layout.pieces[0].offset + 64);
  EXPECT_EQ(layout.pieces[2].inside, whole);
}

TEST(Placement, SharesAPlaceBetweenSlotsThatAreNotInUseTogether) {
  Chain chain;
  Placement placement = chain.Place();
  placement.New(64);
  placement.Advance();
  placement.New(64);
  placement.Fixed(&chain);
  EXPECT_EQ(placement.Finish().bytes, 64);
  EXPECT_EQ(placement.Finish().pieces.size(), 2u);
  placement.Use(0);
  EXPECT_EQ(placement.Finish().bytes, 128);
}

}  // namespace
}  // namespace hone::engine
