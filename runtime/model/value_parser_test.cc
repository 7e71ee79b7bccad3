#include "runtime/model/value_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "runtime/model/mil_reader.h"
#include "runtime/model/testing_model.h"

namespace coreml_delegate::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::tensor_type;

class ValueTest : public ::testing::Test {
 protected:
  Result<ConstantPtr> parse(const proto::Value& value) {
    ValueParser parser(files_, nullptr);
    return parse(value, parser);
  }
  // Constants borrow the value that was parsed last.
  Result<ConstantPtr> parse(const proto::Value& value, ValueParser& parser) {
    auto read = read_value(as_bytes(value.SerializeAsString()), /*max_depth=*/100);
    if (!read) return internal_error("the value cannot be read back");
    parsed_ = *std::move(read);
    return parser.parse(parsed_);
  }
  void expect_corrupt(const proto::Value& value, const std::string& text) {
    const Result<ConstantPtr> constant = parse(value);
    ASSERT_FALSE(constant.ok());
    EXPECT_EQ(constant.status().code(), StatusCode::kCorruptData);
    EXPECT_THAT(constant.status().to_string(), HasSubstr(text));
  }
  inmemoryfs::InMemoryFileSystem files_;
  mil::Value parsed_;
};

proto::Value value_of(proto::DataType element, const std::vector<int64_t>& shape) {
  proto::Value value;
  *value.mutable_type() = tensor_type(element, shape);
  value.mutable_immediatevalue()->mutable_tensor();
  return value;
}
proto::TensorValue& tensor_of(proto::Value* value) {
  return *value->mutable_immediatevalue()->mutable_tensor();
}
std::vector<double> numbers(const Constant& constant) {
  std::vector<double> result;
  for (int64_t i = 0; i < constant.type.element_count(); ++i) result.push_back(constant.real_at(i));
  return result;
}

TEST_F(ValueTest, FloatsAreBorrowed) {
  proto::Value value = value_of(proto::FLOAT32, {2});
  tensor_of(&value).mutable_floats()->add_values(1.5f);
  tensor_of(&value).mutable_floats()->add_values(-2.0f);
  const Result<ConstantPtr> constant = parse(value);
  ASSERT_TRUE(constant.ok()) << constant.status().to_string();
  EXPECT_THAT(numbers(**constant), ElementsAre(1.5, -2.0));
  EXPECT_EQ(static_cast<const void*>((*constant)->data.data()),
            parsed_.immediate_value->tensor->floats->values.data());
}

TEST_F(ValueTest, FloatsForOtherFloatTypes) {
  for (const proto::DataType type : {proto::FLOAT16, proto::FLOAT64}) {
    proto::Value value = value_of(type, {2});
    tensor_of(&value).mutable_floats()->add_values(1.5f);
    tensor_of(&value).mutable_floats()->add_values(65504.0f);
    const Result<ConstantPtr> constant = parse(value);
    ASSERT_TRUE(constant.ok());
    EXPECT_THAT(numbers(**constant), ElementsAre(1.5, 65504.0));
  }
  proto::Value value = value_of(proto::FLOAT64, {1});
  tensor_of(&value).mutable_doubles()->add_values(0.1);
  EXPECT_EQ((*parse(value))->real_at(0), 0.1);
}

TEST_F(ValueTest, IntegersOfEveryWidth) {
  const std::pair<proto::DataType, std::pair<int64_t, int64_t>> cases[] = {
      {proto::UINT1, {0, 1}},
      {proto::UINT2, {0, 3}},
      {proto::UINT3, {0, 7}},
      {proto::UINT4, {0, 15}},
      {proto::UINT6, {0, 63}},
      {proto::INT4, {-8, 7}},
      {proto::INT8, {-128, 127}},
      {proto::UINT8, {0, 255}},
      {proto::INT16, {-32768, 32767}},
      {proto::UINT16, {0, 65535}},
      {proto::INT32, {INT32_MIN, INT32_MAX}}};
  for (const auto& [type, range] : cases) {
    proto::Value value = value_of(type, {5});
    auto* const ints = tensor_of(&value).mutable_ints();
    for (const int64_t number : {range.first, range.second, int64_t{0}, int64_t{1}, range.second}) {
      ints->add_values(static_cast<int32_t>(number));
    }
    const Result<ConstantPtr> constant = parse(value);
    ASSERT_TRUE(constant.ok()) << constant.status().to_string();
    EXPECT_EQ((*constant)->integer_at(0), range.first);
    EXPECT_EQ((*constant)->integer_at(1), range.second);
    EXPECT_EQ((*constant)->integer_at(2), 0);
    EXPECT_EQ((*constant)->integer_at(3), 1);
    EXPECT_EQ((*constant)->integer_at(4), range.second);

    if (type == proto::INT32) continue;
    ints->set_values(4, static_cast<int32_t>(range.second + 1));
    expect_corrupt(value, "value 4 of a constant");
    ints->set_values(4, static_cast<int32_t>(range.first - 1));
    expect_corrupt(value, "value 4 of a constant");
  }
}

TEST_F(ValueTest, LongIntegers) {
  proto::Value value = value_of(proto::INT64, {2});
  tensor_of(&value).mutable_longints()->add_values(INT64_MIN);
  tensor_of(&value).mutable_longints()->add_values(INT64_MAX);
  const Result<ConstantPtr> constant = parse(value);
  EXPECT_EQ((*constant)->integer_at(0), INT64_MIN);
  EXPECT_EQ((*constant)->integer_at(1), INT64_MAX);
  // The same field for a narrower type is checked, not cut.
  *value.mutable_type() = tensor_type(proto::INT32, {2});
  expect_corrupt(value, "value 0 of a constant");
}

TEST_F(ValueTest, Booleans) {
  proto::Value value = value_of(proto::BOOL, {3});
  for (const bool bit : {true, false, true}) tensor_of(&value).mutable_bools()->add_values(bit);
  EXPECT_THAT(numbers(**parse(value)), ElementsAre(1, 0, 1));
  *value.mutable_type() = tensor_type(proto::FLOAT32, {3});
  expect_corrupt(value, "is not a value of tensor<fp32, [3]>");
}

TEST_F(ValueTest, IntegersAreNoFloats) {
  proto::Value value = value_of(proto::FLOAT16, {1});
  tensor_of(&value).mutable_ints()->add_values(1);
  expect_corrupt(value, "is not a value of tensor<fp16, [1]>");
}

TEST_F(ValueTest, Strings) {
  proto::Value value = value_of(proto::STRING, {});
  tensor_of(&value).mutable_strings()->add_values("EXACT");
  EXPECT_THAT((*parse(value))->strings, ElementsAre("EXACT"));
  tensor_of(&value).mutable_strings()->add_values("two");
  expect_corrupt(value, "has 2 values");
  tensor_of(&value).mutable_floats()->add_values(1);
  expect_corrupt(value, "has 0 values");
  *value.mutable_type() = tensor_type(proto::FLOAT32, {1});
  tensor_of(&value).mutable_strings()->add_values("x");
  expect_corrupt(value, "stored as strings");
}

TEST_F(ValueTest, BytesOfHalfAndSubByteTypes) {
  proto::Value value = value_of(proto::FLOAT16, {2});
  tensor_of(&value).mutable_bytes()->set_values(std::string("\x00\x3c\x00\xc0", 4));
  EXPECT_THAT(numbers(**parse(value)), ElementsAre(1.0, -2.0));

  // The low nibble first; the last byte is half used.
  value = value_of(proto::INT4, {3});
  tensor_of(&value).mutable_bytes()->set_values("\x2f\x0d");
  EXPECT_THAT(numbers(**parse(value)), ElementsAre(-1, 2, -3));

  // Three bits each: the third element straddles two bytes.
  value = value_of(proto::UINT3, {5});
  tensor_of(&value).mutable_bytes()->set_values(std::string("\x41\x6a", 2));
  EXPECT_THAT(numbers(**parse(value)), ElementsAre(1, 0, 1, 5, 6));

  value = value_of(proto::UINT6, {3});
  tensor_of(&value).mutable_bytes()->set_values(std::string("\x01\x10\x03", 3));
  EXPECT_THAT(numbers(**parse(value)), ElementsAre(1, 0, 49));
}

TEST_F(ValueTest, BytesOfTheWrongNumber) {
  proto::Value value = value_of(proto::FLOAT16, {3});
  tensor_of(&value).mutable_bytes()->set_values(std::string(5, '\0'));
  expect_corrupt(value, "has 5 bytes, but its type tensor<fp16, [3]> takes 6");
  value = value_of(proto::STRING, {1});
  tensor_of(&value).mutable_bytes()->set_values("x");
  expect_corrupt(value, "has 0 values");
}

TEST_F(ValueTest, OneValueForAWholeTensor) {
  proto::Value value = value_of(proto::FLOAT32, {2, 2});
  tensor_of(&value).mutable_floats()->add_values(0.25f);
  EXPECT_THAT(numbers(**parse(value)), ElementsAre(0.25, 0.25, 0.25, 0.25));
  value = value_of(proto::FLOAT16, {3});
  tensor_of(&value).mutable_bytes()->set_values(std::string("\x00\x3c", 2));
  EXPECT_THAT(numbers(**parse(value)), ElementsAre(1.0, 1.0, 1.0));
  // Whatever the width of its elements.
  for (const auto& [type, number] :
       {std::pair{proto::UINT1, 1}, std::pair{proto::UINT3, 5}, std::pair{proto::INT4, -3},
        std::pair{proto::UINT6, 42}, std::pair{proto::INT16, -300}}) {
    value = value_of(type, {19});
    tensor_of(&value).mutable_ints()->add_values(number);
    EXPECT_THAT(numbers(**parse(value)),
                ::testing::AllOf(::testing::SizeIs(19), ::testing::Each(number)));
  }
  // Not one that would take a terabyte.
  value = value_of(proto::FLOAT32, {1 << 20, 1 << 20});
  tensor_of(&value).mutable_floats()->add_values(0.25f);
  EXPECT_EQ(parse(value).status().code(), StatusCode::kResourceExhausted);
  value = value_of(proto::FLOAT16, {1 << 20, 1 << 20});
  tensor_of(&value).mutable_bytes()->set_values(std::string("\x00\x3c", 2));
  EXPECT_EQ(parse(value).status().code(), StatusCode::kResourceExhausted);
}

// A program of a megabyte has room for thousands of them.
TEST_F(ValueTest, SingleValuesForManyTensorsAreCountedTogether) {
  ValueParser parser(files_, nullptr);
  proto::Value value = value_of(proto::UINT1, {int64_t{1} << 29});
  tensor_of(&value).mutable_ints()->add_values(0);
  proto::Value bytes = value_of(proto::UINT8, {int64_t{1} << 26});
  tensor_of(&bytes).mutable_bytes()->set_values("a");
  std::vector<StatusCode> codes;
  for (int i = 0; i < 3; ++i) {
    codes.push_back(parse(i == 0 ? value : bytes, parser).status().code());
    codes.push_back(parse(bytes, parser).status().code());
  }
  EXPECT_THAT(codes, ElementsAre(StatusCode::kOk, StatusCode::kOk, StatusCode::kOk, StatusCode::kOk,
                                 StatusCode::kResourceExhausted, StatusCode::kResourceExhausted));
}

TEST_F(ValueTest, EmptyTensors) {
  proto::Value value = value_of(proto::INT32, {0});
  EXPECT_EQ((*parse(value))->type.element_count(), 0);
  tensor_of(&value).mutable_ints();
  EXPECT_EQ((*parse(value))->data.size(), 0u);
  value = value_of(proto::INT32, {1});
  expect_corrupt(value, "has 0 values");
}

TEST_F(ValueTest, ElementCountsThatDoNotFit) {
  const int64_t huge = int64_t{1} << 40;
  expect_corrupt(value_of(proto::INT8, {huge, huge}), "more elements than can be addressed");
  // A zero does not hide the overflow of the others.
  expect_corrupt(value_of(proto::INT8, {huge, huge, 0}), "more elements than can be addressed");
  proto::Value value = value_of(proto::INT8, {0});
  value.mutable_type()->mutable_tensortype()->mutable_dimensions(0)->mutable_constant()->set_size(
      ~uint64_t{0});
  expect_corrupt(value, "does not fit into 63 bits");
}

TEST_F(ValueTest, MalformedTypes) {
  proto::Value value = value_of(proto::FLOAT32, {1});
  value.mutable_type()->mutable_tensortype()->set_rank(2);
  expect_corrupt(value, "rank 2 has 1 extents");
  value = value_of(static_cast<proto::DataType>(77), {1});
  expect_corrupt(value, "element type 77");
  value = value_of(proto::FLOAT32, {-1});
  expect_corrupt(value, "dynamic type");
  value.clear_type();
  expect_corrupt(value, "no type");
  value = value_of(proto::FLOAT32, {1});
  proto::ValueType state;
  *state.mutable_statetype()->mutable_wrappedtype() = value.type();
  *value.mutable_type() = state;
  expect_corrupt(value, "type of a state");
}

TEST_F(ValueTest, ListsTuplesAndDictionaries) {
  proto::Value item = value_of(proto::STRING, {});
  tensor_of(&item).mutable_strings()->add_values("a");
  proto::Value list;
  *list.mutable_type()->mutable_listtype()->mutable_type() = item.type();
  list.mutable_type()->mutable_listtype()->mutable_length()->mutable_constant()->set_size(2);
  for (int i = 0; i < 2; ++i) *list.mutable_immediatevalue()->mutable_list()->add_values() = item;
  const Result<ConstantPtr> parsed = parse(list);
  ASSERT_TRUE(parsed.ok()) << parsed.status().to_string();
  ASSERT_EQ((*parsed)->items.size(), 2u);
  EXPECT_THAT((*parsed)->items[1].strings, ElementsAre("a"));
  EXPECT_EQ((*parsed)->type.to_string(), "list<tensor<string, []>, 2>");

  list.mutable_type()->mutable_listtype()->mutable_length()->mutable_constant()->set_size(3);
  expect_corrupt(list, "has 2 values");
  list.mutable_type()->mutable_listtype()->mutable_length()->mutable_constant()->set_size(2);
  *list.mutable_immediatevalue()->mutable_list()->mutable_values(1) = value_of(proto::INT32, {0});
  expect_corrupt(list, "instead of tensor<string, []>");

  proto::Value tuple;
  *tuple.mutable_type()->mutable_tupletype()->add_types() = item.type();
  expect_corrupt(tuple, "has 0 values");
  *tuple.mutable_immediatevalue()->mutable_tuple()->add_values() = item;
  EXPECT_EQ((*parse(tuple))->items.size(), 1u);

  proto::Value dictionary;
  *dictionary.mutable_type()->mutable_dictionarytype()->mutable_keytype() = item.type();
  *dictionary.mutable_type()->mutable_dictionarytype()->mutable_valuetype() = item.type();
  auto* const pair = dictionary.mutable_immediatevalue()->mutable_dictionary()->add_values();
  *pair->mutable_key() = item;
  *pair->mutable_value() = item;
  EXPECT_EQ((*parse(dictionary))->items.size(), 2u);
}

TEST_F(ValueTest, TypesNestedTooDeep) {
  proto::Value value;
  proto::ValueType* type = value.mutable_type();
  for (int i = 0; i < 40; ++i) type = type->mutable_listtype()->mutable_type();
  *type = tensor_type(proto::FLOAT32, {});
  expect_corrupt(value, "nested deeper than 16");
}

// --- Weight files ---

class WeightTest : public ValueTest {
 protected:
  WeightTest() {
    offset_ = builder_.add(2, std::string("\x00\x00\x80\x3f\x00\x00\x00\x40", 8));
    *value_.mutable_type() = tensor_type(proto::FLOAT32, {2});
    value_.mutable_blobfilevalue()->set_filename(testing::kWeightName);
    value_.mutable_blobfilevalue()->set_offset(offset_);
  }
  void publish() {
    if (files_.exists("weights/weight.bin")) {
      ASSERT_TRUE(files_.remove("weights/weight.bin").ok());
    }
    ASSERT_TRUE(files_.add_file("weights/weight.bin", testing::owned(builder_.bytes())).ok());
  }
  void expect_corrupt_file(const std::string& text) {
    publish();
    expect_corrupt(value_, text);
  }
  testing::WeightFileBuilder builder_;
  uint64_t offset_ = 0;
  proto::Value value_;
};

TEST_F(WeightTest, IsBorrowed) {
  publish();
  const Result<ConstantPtr> constant = parse(value_);
  ASSERT_TRUE(constant.ok()) << constant.status().to_string();
  EXPECT_THAT(numbers(**constant), ElementsAre(1.0, 2.0));
  const Bytes file = *files_.read("weights/weight.bin");
  EXPECT_EQ((*constant)->data.data(), file.data() + offset_ + 64);
  EXPECT_EQ((*constant)->data.owner(), file.owner());
}

TEST_F(WeightTest, EveryStoredType) {
  const std::pair<uint32_t, proto::DataType> types[] = {
      {1, proto::FLOAT16},    {2, proto::FLOAT32}, {3, proto::UINT8},   {4, proto::INT8},
      {5, proto::BFLOAT16},   {6, proto::INT16},   {7, proto::UINT16},  {8, proto::INT4},
      {9, proto::UINT1},      {10, proto::UINT2},  {11, proto::UINT4},  {12, proto::UINT3},
      {13, proto::UINT6},     {14, proto::INT32},  {15, proto::UINT32}, {16, proto::FLOAT8E4M3FN},
      {17, proto::FLOAT8E5M2}};
  for (const auto& [number, type] : types) {
    const int bits = 3 * element_bits(element_type_from_proto(static_cast<mil::DataType>(type)));
    const size_t bytes = static_cast<size_t>(bits + 7) / 8;
    value_.mutable_blobfilevalue()->set_offset(
        builder_.add(number, std::string(bytes, '\0'), bytes * 8 - static_cast<size_t>(bits)));
    publish();
    *value_.mutable_type() = tensor_type(type, {3});
    const Result<ConstantPtr> constant = parse(value_);
    ASSERT_TRUE(constant.ok()) << constant.status().to_string();
    EXPECT_EQ((*constant)->data.size(), bytes);
  }
}

TEST_F(WeightTest, RefusesNamesOutsideTheModel) {
  publish();
  for (const char* const name : {"weights/weight.bin", "/etc/passwd", "@model_path/../weight.bin",
                                 "@model_path/", "@model_path/weights/other.bin", ""}) {
    value_.mutable_blobfilevalue()->set_filename(name);
    const Result<ConstantPtr> constant = parse(value_);
    ASSERT_FALSE(constant.ok()) << name;
    EXPECT_EQ(constant.status().code(), StatusCode::kCorruptData) << name;
  }
}

TEST_F(WeightTest, RefusesOffsetsPastTheEnd) {
  publish();
  for (const uint64_t offset : {uint64_t{0}, uint64_t{1}, uint64_t{65}, uint64_t{192},
                                uint64_t{256}, ~uint64_t{63}, ~uint64_t{0}}) {
    value_.mutable_blobfilevalue()->set_offset(offset);
    expect_corrupt(value_, "weight at offset " + std::to_string(offset));
  }
}

// offset + size that wraps around must not be taken for one inside the file.
TEST_F(WeightTest, RefusesDataPastTheEnd) {
  using Builder = testing::WeightFileBuilder;
  for (const uint64_t start : {uint64_t{192}, uint64_t{1} << 40, ~uint64_t{63}}) {
    Builder::put<uint64_t>(&builder_.bytes(), offset_ + 16, start);
    expect_corrupt_file("lies outside the file");
  }
  Builder::put<uint64_t>(&builder_.bytes(), offset_ + 16, 0);
  expect_corrupt_file("not a multiple of 64 behind the header");
  Builder::put<uint64_t>(&builder_.bytes(), offset_ + 16, 129);
  expect_corrupt_file("not a multiple of 64 behind the header");
}

TEST_F(WeightTest, RefusesWrongSizesTypesAndSentinels) {
  using Builder = testing::WeightFileBuilder;
  for (const uint64_t size : {uint64_t{0}, uint64_t{4}, uint64_t{16}, ~uint64_t{0}}) {
    Builder::put<uint64_t>(&builder_.bytes(), offset_ + 8, size);
    expect_corrupt_file("the record has " + std::to_string(size) + " bytes");
  }
  Builder::put<uint64_t>(&builder_.bytes(), offset_ + 8, 8);
  Builder::put<uint32_t>(&builder_.bytes(), offset_ + 4, 14);
  expect_corrupt_file("the record's element type is int32, but the program says fp32");
  Builder::put<uint32_t>(&builder_.bytes(), offset_ + 4, 99);
  expect_corrupt_file("unknown (99)");
  Builder::put<uint32_t>(&builder_.bytes(), offset_ + 4, 2);
  Builder::put<uint32_t>(&builder_.bytes(), offset_, 0xDEADBEEE);
  expect_corrupt_file("the sentinel is wrong");
}

TEST_F(WeightTest, RefusesWrongUnusedBits) {
  value_.mutable_blobfilevalue()->set_offset(builder_.add(8, "\x12\x03", 0));
  *value_.mutable_type() = tensor_type(proto::INT4, {3});
  expect_corrupt_file("0 unused bits instead of 4");
}

TEST_F(WeightTest, RefusesAWrongOrTruncatedHeader) {
  const std::string whole = builder_.bytes();
  for (size_t size = 0; size < whole.size() - 56; ++size) {
    builder_.bytes() = whole.substr(0, size);
    publish();
    EXPECT_FALSE(parse(value_).ok()) << size;
  }
  builder_.bytes() = whole;
  testing::WeightFileBuilder::put<uint32_t>(&builder_.bytes(), 4, 3);
  expect_corrupt_file("version 3");
}

TEST_F(WeightTest, RefusesStringsAndListsInAWeightFile) {
  publish();
  *value_.mutable_type() = tensor_type(proto::STRING, {2});
  expect_corrupt(value_, "kept in a weight file");
  proto::ValueType list;
  *list.mutable_listtype()->mutable_type() = tensor_type(proto::FLOAT32, {2});
  *value_.mutable_type() = list;
  expect_corrupt(value_, "kept in a weight file");
}

}  // namespace
}  // namespace coreml_delegate::model
