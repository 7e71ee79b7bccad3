#include "runtime/delegate/program_memory.h"

#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "runtime/delegate/testing_support.h"

namespace coreml_delegate {
namespace {

using executorch::runtime::FreeableBuffer;

struct Counted {
  std::string content = "processed";
  int freed = 0;
  FreeableBuffer buffer() {
    return FreeableBuffer(
        content.data(), content.size(),
        [](void* context, void*, size_t) { ++static_cast<Counted*>(context)->freed; }, this);
  }
};

TEST(ProgramMemoryTest, TheBufferLivesAsLongAsItsBytes) {
  Counted counted;
  FreeableBuffer buffer = counted.buffer();
  Result<Bytes> bytes = take_buffer(&buffer);
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(bytes->data(), reinterpret_cast<const std::byte*>(counted.content.data()));
  EXPECT_EQ(as_text(bytes->span()), "processed");
  // What ExecuTorch does with its own object after a failed init() no longer matters.
  EXPECT_EQ(buffer.data(), nullptr);
  buffer.Free();
  EXPECT_EQ(counted.freed, 0);
  const Bytes part = bytes->subspan(2, 3);
  *bytes = Bytes();
  EXPECT_EQ(counted.freed, 0) << "a part of it is in use";
  EXPECT_EQ(as_text(part.span()), "oce");
}

TEST(ProgramMemoryTest, TheBufferIsFreedOnceAfterTheLast) {
  Counted counted;
  {
    FreeableBuffer buffer = counted.buffer();
    const Result<Bytes> bytes = take_buffer(&buffer);
    const Bytes copy = *bytes;
  }
  EXPECT_EQ(counted.freed, 1);
}

TEST(ProgramMemoryTest, NoBytesAreCorruptData) {
  EXPECT_EQ(take_buffer(nullptr).status().code(), StatusCode::kCorruptData);
  FreeableBuffer empty;
  EXPECT_EQ(take_buffer(&empty).status().code(), StatusCode::kCorruptData);
  FreeableBuffer far(uint64_t{0x1234}, 8, nullptr);
  EXPECT_EQ(take_buffer(&far).status().code(), StatusCode::kUnsupported);
}

TEST(ProgramMemoryTest, AProgramWithoutNamedDataHasNoLookup) {
  EXPECT_EQ(make_named_data_lookup(nullptr), nullptr);
}

TEST(ProgramMemoryTest, AKeyIsLoadedOnceAndOwned) {
  testing::TestNamedData data;
  data.entries = {{"weights", "0123"}, {"empty", ""}};
  Bytes weights;
  {
    const blob::NamedDataLookup lookup = make_named_data_lookup(&data);
    const blob::NamedDataLookup copy = lookup;
    weights = *lookup("weights");
    EXPECT_EQ(copy("weights")->data(), weights.data());
    EXPECT_EQ(data.buffers_given, 1);
    EXPECT_EQ(lookup("empty")->size(), 0u);
    const Status missing = lookup("absent").status();
    EXPECT_EQ(missing.code(), StatusCode::kNotFound);
    EXPECT_EQ(missing.artifact(), "absent");
  }
  EXPECT_EQ(as_text(weights.span()), "0123");
  EXPECT_EQ(data.buffers_freed, 1) << "the empty one";
  weights = Bytes();
  EXPECT_EQ(data.buffers_freed, 2);
}

TEST(ProgramMemoryTest, MethodsOfOneProgramGetTheSameBytesWhileTheyAreInUse) {
  testing::TestNamedData program, other;
  program.entries = other.entries = {{"weights", "0123"}};
  const auto loaded = std::make_shared<LoadedNamedData>();
  Bytes of_prefill = *make_named_data_lookup(&program, loaded)("weights");
  const Bytes of_decode = *make_named_data_lookup(&program, loaded)("weights");
  EXPECT_EQ(of_decode.data(), of_prefill.data());
  EXPECT_EQ(program.buffers_given, 1);
  // Another program's are its own, whatever the key says.
  const Bytes of_other = *make_named_data_lookup(&other, loaded)("weights");
  EXPECT_EQ(other.buffers_given, 1);
  EXPECT_NE(of_other.data(), of_prefill.data());
  of_prefill = Bytes();
  EXPECT_EQ(as_text(of_decode.span()), "0123");
  EXPECT_EQ(program.buffers_freed, 0);
}

TEST(ProgramMemoryTest, WhatNobodyHoldsIsLoadedAgain) {
  testing::TestNamedData program;
  program.entries = {{"weights", "0123"}};
  const auto loaded = std::make_shared<LoadedNamedData>();
  { const Bytes bytes = *make_named_data_lookup(&program, loaded)("weights"); }
  EXPECT_EQ(program.buffers_freed, 1);
  EXPECT_EQ(as_text(make_named_data_lookup(&program, loaded)("weights")->span()), "0123");
  EXPECT_EQ(program.buffers_given, 2);
}

}  // namespace
}  // namespace coreml_delegate
