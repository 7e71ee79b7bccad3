#include "runtime/model/mil_reader.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "runtime/model/testing_mil_comparison.h"
#include "runtime/model/testing_model.h"

namespace coreml_delegate::model {
namespace {

using testing::compare_readers;
using testing::Comparison;

constexpr int kDepth = 193;  // As of a package.

std::optional<mil::Model> read(const std::string& text) {
  return read_specification(as_bytes(text), kDepth);
}

// Every beginning of a specification, and each with one byte changed, is read as protobuf reads it
// or refused: nothing that protobuf refuses is taken.
TEST(MilReaderTest, TakesNothingThatProtobufRefuses) {
  const std::string text = testing::small_model().SerializeAsString();
  for (size_t size = 0; size <= text.size(); ++size) {
    EXPECT_EQ(compare_readers(as_bytes(text.substr(0, size)), kDepth), Comparison::kSame) << size;
  }
  for (size_t i = 0; i < text.size(); ++i) {
    for (const int change : {0x01, 0x02, 0x04, 0x07, 0x10, 0x80, 0xff}) {
      std::string changed = text;
      changed[i] = static_cast<char>(changed[i] ^ change);
      const Comparison comparison = compare_readers(as_bytes(changed), kDepth);
      EXPECT_TRUE(comparison == Comparison::kSame || comparison == Comparison::kOnlyProtobufs)
          << i << " ^ " << change;
    }
  }
}

TEST(MilReaderTest, TheComparisonSeesADifference) {
  // Field 1 of a model as a negative number; one bit more is another number, not another message.
  const std::string minus_one = "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
  EXPECT_EQ(compare_readers(as_bytes(minus_one), kDepth), Comparison::kSame);
  ASSERT_TRUE(read(minus_one).has_value());
  EXPECT_EQ(read(minus_one)->specification_version, -1);
  // One message less is too deep for both; a group that is not closed is refused by both.
  EXPECT_EQ(compare_readers(as_bytes(testing::small_model().SerializeAsString()), 3),
            Comparison::kSame);
  EXPECT_FALSE(read("\x0b").has_value());
}

TEST(MilReaderTest, FieldsThatAreSplitAreOne) {
  // description twice, each with another part; the second input is a second one.
  proto::Model first;
  first.mutable_description()->set_defaultfunctionname("a");
  first.mutable_description()->add_input()->set_name("x");
  proto::Model second;
  second.mutable_description()->add_input()->set_name("y");
  const std::string text = first.SerializeAsString() + second.SerializeAsString();
  const std::optional<mil::Model> model = read(text);
  ASSERT_TRUE(model.has_value());
  EXPECT_EQ(model->description.default_function_name, "a");
  ASSERT_EQ(model->description.input.size(), 2u);
  EXPECT_EQ(model->description.input[1].name, "y");
  EXPECT_EQ(compare_readers(as_bytes(text), kDepth), Comparison::kSame);
}

TEST(MilReaderTest, TheLastChoiceIsTheOne) {
  proto::Model program;
  program.mutable_mlprogram()->set_version(3);
  proto::Model pipeline;
  pipeline.mutable_pipeline();
  const std::string text = program.SerializeAsString() + pipeline.SerializeAsString();
  const std::optional<mil::Model> model = read(text);
  ASSERT_TRUE(model.has_value());
  EXPECT_EQ(model->ml_program, nullptr);
  EXPECT_NE(model->pipeline, nullptr);
  EXPECT_EQ(compare_readers(as_bytes(text), kDepth), Comparison::kSame);
}

TEST(MilReaderTest, NumbersMayBePackedOrNot) {
  proto::Value value;
  *value.mutable_type() = testing::tensor_type(proto::INT32, {3});
  auto* const ints = value.mutable_immediatevalue()->mutable_tensor()->mutable_ints();
  for (const int number : {1, -2, 300}) ints->add_values(number);
  const std::string packed = value.SerializeAsString();
  // The three numbers, each with a tag of its own.
  std::string unpacked = packed;
  const std::string numbers = ints->SerializeAsString();
  const std::string singly = "\x08\x01\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x08\xac\x02";
  ASSERT_NE(unpacked.find(numbers), std::string::npos);
  // Of the lengths in front, each of one byte, two are of what holds the numbers.
  const size_t at = unpacked.find(numbers);
  const auto more = static_cast<char>(singly.size() - numbers.size());
  for (const size_t length : {at - 1, at - 3, at - 5}) unpacked[length] += more;
  unpacked.replace(at, numbers.size(), singly);
  for (const std::string& text : {packed, unpacked}) {
    const std::optional<mil::Value> read = read_value(as_bytes(text), kDepth);
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(read->immediate_value->tensor->ints->values, (std::vector<int32_t>{1, -2, 300}));
  }
}

TEST(MilReaderTest, TextIsUtf8) {
  proto::Model model;
  model.mutable_description()->set_defaultfunctionname("\xc3\xa4");
  EXPECT_TRUE(read(model.SerializeAsString()).has_value());
  std::string text = model.SerializeAsString();
  text[text.find('\xa4')] = 'a';
  EXPECT_FALSE(read(text).has_value());
  EXPECT_EQ(compare_readers(as_bytes(text), kDepth), Comparison::kSame);
}

}  // namespace
}  // namespace coreml_delegate::model
