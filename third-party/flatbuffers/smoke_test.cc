// flatc's C++ code and the runtime's headers belong together.

#include "gtest/gtest.h"
#include "third-party/flatbuffers/smoke_generated.h"

namespace coreml_delegate::smoke {
namespace {

TEST(FlatBuffersTest, WritesVerifiesAndReads) {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(CreateItem(builder, builder.CreateString("weights"), Kind::Folder, 1ull << 40));
  flatbuffers::Verifier verifier(builder.GetBufferPointer(), builder.GetSize());
  ASSERT_TRUE(verifier.VerifyBuffer<Item>());
  const Item* item = flatbuffers::GetRoot<Item>(builder.GetBufferPointer());
  EXPECT_EQ(item->name()->str(), "weights");
  EXPECT_EQ(item->kind(), Kind::Folder);
  EXPECT_EQ(item->size(), 1ull << 40);
}

}  // namespace
}  // namespace coreml_delegate::smoke
