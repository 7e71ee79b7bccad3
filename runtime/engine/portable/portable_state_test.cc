#include "runtime/engine/portable/portable_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

namespace coreml_delegate::engine::portable {
namespace {

using ::testing::ElementsAre;

template <typename T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}
template <typename T>
std::vector<T> values_of(std::span<const std::byte> bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}
template <typename To, typename From>
std::vector<To> convert(DataType from, const std::vector<From>& values, DataType to) {
  const std::vector<std::byte> source = bytes_of(values);
  std::vector<std::byte> destination(values.size() * sizeof(To));
  const Status status =
      convert_elements(from, source.data(), to, destination.data(), values.size());
  EXPECT_TRUE(status.ok()) << status.to_string();
  return values_of<To>(destination);
}

TEST(ConvertElements, BetweenFloats) {
  EXPECT_THAT((convert<uint16_t, float>(DataType::kFloat32, {1.0f, -2.0f, 65520.0f, 0x1p-24f},
                                        DataType::kFloat16)),
              ElementsAre(0x3c00, 0xc000, 0x7c00, 0x0001));
  EXPECT_THAT(
      (convert<float, uint16_t>(DataType::kFloat16, {0x3c00, 0x0001, 0xfc00}, DataType::kFloat32)),
      ElementsAre(1.0f, 0x1p-24f, -INFINITY));
  EXPECT_THAT((convert<double, uint16_t>(DataType::kFloat16, {0x3c00}, DataType::kFloat64)),
              ElementsAre(1.0));
}

TEST(ConvertElements, BetweenIntegers) {
  EXPECT_THAT((convert<int32_t, int16_t>(DataType::kInt16, {-5, 7}, DataType::kInt32)),
              ElementsAre(-5, 7));
  EXPECT_THAT((convert<int8_t, uint8_t>(DataType::kUInt8, {1, 2}, DataType::kInt8)),
              ElementsAre(1, 2));
}

TEST(ConvertElements, NotBetweenFloatsAndIntegers) {
  float value = 1;
  std::byte destination[4];
  EXPECT_EQ(convert_elements(DataType::kFloat32, reinterpret_cast<std::byte*>(&value),
                             DataType::kInt32, destination, 1)
                .code(),
            StatusCode::kUnsupported);
}

const std::vector<StateLayout>& layouts() {
  static const std::vector<StateLayout> layouts = {
      {{"cache", DataType::kFloat16, {{2, 2}, {2, 2}}, {}}, DataType::kFloat32},
      {{"empty", DataType::kFloat16, {{0, 0}}, {}}, DataType::kFloat32}};
  return layouts;
}

TEST(PortableState, KeepsHalvesInTheBufferType) {
  const std::unique_ptr<PortableState> state = *PortableState::create(layouts(), {});
  ASSERT_TRUE(state->write("cache", bytes_of<uint16_t>({0x3c00, 0x4000, 0x7c00, 0x8000})).ok());
  PortableState::Slot* const slot = state->find(layouts()[0]);
  ASSERT_NE(slot, nullptr);
  EXPECT_THAT(values_of<float>({slot->current.get(), 16}),
              ElementsAre(1.0f, 2.0f, INFINITY, -0.0f));
  std::vector<std::byte> read(8);
  ASSERT_TRUE(state->read("cache", read).ok());
  EXPECT_THAT(values_of<uint16_t>(read), ElementsAre(0x3c00, 0x4000, 0x7c00, 0x8000));
}

TEST(PortableState, AnEmptyStateIsAState) {
  const std::unique_ptr<PortableState> state = *PortableState::create(layouts(), {});
  EXPECT_TRUE(state->read("empty", {}).ok());
  EXPECT_TRUE(state->write("empty", {}).ok());
  EXPECT_TRUE(state->reset().ok());
}

TEST(PortableState, FindsBySameLayoutOnly) {
  const std::unique_ptr<PortableState> state = *PortableState::create(layouts(), {});
  StateLayout other = layouts()[0];
  other.spec.shape[0] = {3, 3};
  EXPECT_EQ(state->find(other), nullptr);
  other = layouts()[0];
  other.buffer_type = DataType::kFloat16;
  EXPECT_EQ(state->find(other), nullptr);
}

TEST(PortableState, RefusesOverlappingUses) {
  const std::unique_ptr<PortableState> state = *PortableState::create(layouts(), {});
  {
    const PortableState::Use use(*state);
    ASSERT_TRUE(use.ok());
    const PortableState::Use second(*state);
    EXPECT_FALSE(second.ok());
    EXPECT_EQ(second.status().code(), StatusCode::kFailedPrecondition);
    EXPECT_EQ(state->reset().code(), StatusCode::kFailedPrecondition);
    EXPECT_EQ(state->copy().status().code(), StatusCode::kFailedPrecondition);
    std::vector<std::byte> bytes(8);
    EXPECT_EQ(state->read("cache", bytes).code(), StatusCode::kFailedPrecondition);
    EXPECT_EQ(state->write("cache", bytes).code(), StatusCode::kFailedPrecondition);
  }
  EXPECT_TRUE(state->reset().ok());
}

TEST(PortableState, TooLargeForMemoryIsAStatus) {
  const std::vector<StateLayout> huge = {
      {{"huge", DataType::kFloat16, {{int64_t{1} << 45, int64_t{1} << 45}}, {}},
       DataType::kFloat32}};
  const Status status = PortableState::create(huge, {}).status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(status.artifact(), "huge");
}

}  // namespace
}  // namespace coreml_delegate::engine::portable
