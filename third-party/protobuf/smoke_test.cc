// protoc's C++ code and the runtime belong together.

#include "gtest/gtest.h"
#include "third-party/protobuf/smoke.pb.h"

namespace coreml_delegate::smoke {
namespace {

TEST(ProtobufTest, WritesAndReads) {
  Item item;
  item.set_name("weights");
  (*item.mutable_sizes())["weight.bin"] = 1ll << 40;
  Item read;
  ASSERT_TRUE(read.ParseFromString(item.SerializeAsString()));
  EXPECT_EQ(read.name(), "weights");
  EXPECT_EQ(read.sizes().at("weight.bin"), 1ll << 40);
}

}  // namespace
}  // namespace coreml_delegate::smoke
