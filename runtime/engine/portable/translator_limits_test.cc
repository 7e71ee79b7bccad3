// What a translation refuses of a program that nobody's converter writes: constants of the wrong
// kind, numbers out of range, constants that grow beyond all memory.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "runtime/engine/portable/constant_elements.h"
#include "runtime/engine/portable/translator.h"

namespace coreml_delegate::engine::portable {
namespace {

using model::ElementType;
using ::testing::HasSubstr;

using Arguments = std::map<std::string, std::vector<model::Argument>>;

constexpr int64_t kLargest = std::numeric_limits<int64_t>::max();
constexpr int64_t kSmallest = std::numeric_limits<int64_t>::min();

model::ValueType tensor(ElementType element, std::vector<int64_t> shape) {
  model::ValueType type;
  type.element = element;
  type.shape = std::move(shape);
  return type;
}

template <typename T>
model::Argument constant(ElementType element, const std::vector<int64_t>& shape,
                         const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return {"", make_constant(element, shape, std::move(bytes))};
}

model::Argument integers(std::vector<int64_t> values) {
  const std::vector<int64_t> shape = {static_cast<int64_t>(values.size())};
  return constant(ElementType::kInt64, shape, values);
}
model::Argument integer(int64_t value) {
  return constant(ElementType::kInt64, {}, std::vector{value});
}
model::Argument real(float value) {
  return constant(ElementType::kFloat32, {}, std::vector{value});
}

model::Argument strings(const std::vector<int64_t>& shape, std::vector<std::string> values) {
  auto result = std::make_shared<model::Constant>();
  result->type = tensor(ElementType::kString, shape);
  result->strings = std::move(values);
  return {"", result};
}

// A list of two numbers.
model::Argument list() {
  auto result = std::make_shared<model::Constant>();
  result->type.kind = model::ValueType::Kind::kList;
  result->type.members = {tensor(ElementType::kInt32, {})};
  result->items = {*integer(1).value, *integer(2).value};
  return {"", result};
}

// One operation on the input x.
Status translated(const std::string& type, Arguments arguments, const std::string& opset,
                  model::ValueType output, NumericMode mode = NumericMode::kFloat32,
                  model::ValueType x = tensor(ElementType::kFloat32, {1, 2, 4, 4}),
                  uint64_t stored_bytes = 0) {
  model::Operation operation;
  operation.type = type;
  operation.inputs = std::move(arguments);
  operation.outputs = {{"y", std::move(output)}};
  model::Function function;
  function.name = "main";
  function.opset = opset;
  function.stored_bytes = stored_bytes;
  function.inputs = {{"x", std::move(x)}};
  function.body.operations.push_back(std::move(operation));
  function.body.outputs = {"y"};
  TranslateOptions options;
  options.numeric_mode = mode;
  return translate(function, options).status();
}

model::Argument x() { return {"x", nullptr}; }

// --- Constants of the wrong kind ---

struct WrongKind {
  const char* name;
  std::string type;
  Arguments arguments;
  std::string opset;
};

void PrintTo(const WrongKind& wrong, std::ostream* out) { *out << wrong.name; }

class ConstantOfTheWrongKind : public testing::TestWithParam<WrongKind> {};

TEST_P(ConstantOfTheWrongKind, IsRefusedInAnyMode) {
  const WrongKind& wrong = GetParam();
  for (const NumericMode mode :
       {NumericMode::kFloat32, NumericMode::kFloat16, NumericMode::kLowPrecision}) {
    const Status status = translated(wrong.type, wrong.arguments, wrong.opset,
                                     tensor(ElementType::kFloat32, {model::kDynamicExtent}), mode);
    EXPECT_EQ(status.code(), StatusCode::kCorruptData) << status.to_string();
    EXPECT_THAT(status.to_string(), HasSubstr("must be a numeric tensor"));
  }
}

std::vector<WrongKind> wrong_kinds() {
  const model::Argument bytes8 = constant(ElementType::kUInt8, {8}, std::vector<uint8_t>(8, 1));
  const model::Argument bytes2 = constant(ElementType::kInt8, {2}, std::vector<int8_t>{1, 2});
  const model::Argument matrix = constant(ElementType::kUInt8, {2, 1}, std::vector<uint8_t>{0, 1});
  const model::Argument scales = constant(ElementType::kFloat32, {2}, std::vector{0.5f, 0.25f});
  const model::Argument lut16 = constant(ElementType::kFloat32, {2}, std::vector{0.5f, 0.25f});
  const model::Argument text2 = strings({2}, {"a", "b"});
  const model::Argument text_lut = strings({1, 1, 2, 1}, {"a", "b"});
  const model::Argument shape2 = integers({2});
  return {
      {"LutOfStringsIos16",
       "constexpr_lut_to_dense",
       {{"indices", {bytes8}}, {"lut", {text2}}, {"shape", {shape2}}},
       "CoreML6"},
      {"LutOfAListIos16",
       "constexpr_lut_to_dense",
       {{"indices", {bytes8}}, {"lut", {list()}}, {"shape", {shape2}}},
       "CoreML6"},
      {"IndicesOfStringsIos16",
       "constexpr_lut_to_dense",
       {{"indices", {text2}}, {"lut", {lut16}}, {"shape", {shape2}}},
       "CoreML6"},
      {"LutOfStrings",
       "constexpr_lut_to_dense",
       {{"indices", {matrix}}, {"lut", {text_lut}}},
       "CoreML8"},
      {"IndicesOfStrings",
       "constexpr_lut_to_dense",
       {{"indices", {strings({2, 1}, {"a", "b"})}},
        {"lut", {constant(ElementType::kFloat32, {1, 1, 2, 1}, std::vector{1.0f, 2.0f})}}},
       "CoreML8"},
      {"MaskOfStrings",
       "constexpr_sparse_to_dense",
       {{"nonzero_data", {bytes2}}, {"mask", {text2}}},
       "CoreML8"},
      {"ElementsOfStrings",
       "constexpr_sparse_to_dense",
       {{"nonzero_data", {text2}},
        {"mask", {constant(ElementType::kUInt1, {2}, std::vector<uint8_t>{3})}}},
       "CoreML8"},
      {"MaskOfAListIos16",
       "constexpr_sparse_to_dense",
       {{"nonzero_data", {bytes2}}, {"mask", {list()}}, {"shape", {shape2}}},
       "CoreML6"},
      {"IndicesMaskOfStrings",
       "constexpr_lut_to_sparse",
       {{"indices_mask", {text2}}, {"indices_nonzero_data", {bytes2}}, {"lut", {text_lut}}},
       "CoreML8"},
      {"ZeroPointOfStrings",
       "constexpr_affine_dequantize",
       {{"quantized_data", {bytes2}},
        {"scale", {scales}},
        {"zero_point", {strings({}, {"a"})}},
        {"axis", {integer(0)}}},
       "CoreML6"},
      {"DataOfStrings",
       "constexpr_affine_dequantize",
       {{"quantized_data", {text2}}, {"scale", {scales}}, {"axis", {integer(0)}}},
       "CoreML6"},
      {"BlocksOfStrings",
       "constexpr_blockwise_shift_scale",
       {{"data", {text2}}, {"scale", {scales}}},
       "CoreML8"},
      {"OffsetOfStrings",
       "constexpr_blockwise_shift_scale",
       {{"data", {bytes2}}, {"scale", {scales}}, {"offset", {text2}}},
       "CoreML8"},
      {"SparseBlocksOfStrings",
       "constexpr_sparse_blockwise_shift_scale",
       {{"data_mask", {constant(ElementType::kUInt1, {2}, std::vector<uint8_t>{3})}},
        {"nonzero_data", {text2}},
        {"scale", {scales}}},
       "CoreML8"},
      {"DequantizedStrings", "dequantize", {{"input", {text2}}, {"scale", {scales}}}, "CoreML7"},
      {"BeginsOfStrings",
       "reshape_like",
       {{"x", {x()}},
        {"ref_tensors", {x()}},
        {"begins", {strings({}, {"a"})}},
        {"ends", {integer(1)}},
        {"end_masks", {integer(0)}}},
       "CoreML7"},
  };
}

INSTANTIATE_TEST_SUITE_P(Operations, ConstantOfTheWrongKind, testing::ValuesIn(wrong_kinds()),
                         [](const testing::TestParamInfo<WrongKind>& info) {
                           return std::string(info.param.name);
                         });

// The same words in each mode: which of them reads the scale as a number depends on the processor.
TEST(ConstantOfTheWrongKind, IsRefusedAsTheScaleOfAQuantization) {
  for (const NumericMode mode :
       {NumericMode::kFloat32, NumericMode::kFloat16, NumericMode::kLowPrecision}) {
    const Status status = translated("quantize",
                                     {{"input", {x()}},
                                      {"scale", {strings({}, {"a"})}},
                                      {"output_dtype", {strings({}, {"int8"})}}},
                                     "CoreML7", tensor(ElementType::kInt8, {1, 2, 4, 4}), mode);
    EXPECT_EQ(status.code(), StatusCode::kCorruptData) << status.to_string();
    EXPECT_THAT(status.to_string(), HasSubstr("must be a numeric tensor"));
  }
}

TEST(UnpackBits, RefusesWhatHasNoBits) {
  const std::vector<std::byte> one(1);
  EXPECT_ANY_THROW(unpack_bits(ByteSpan(), 0, 1));
  EXPECT_ANY_THROW(unpack_bits(ByteSpan(one), 9, 1));
  EXPECT_ANY_THROW(unpack_bits(ByteSpan(one), 3, 3));
  EXPECT_EQ(unpack_bits(ByteSpan(one), 3, 2), std::vector<uint8_t>({0, 0}));
}

// --- Memory ---

TEST(TranslationBudget, RefusesAPaletteThatExpandsAFewBytesToGigabytes) {
  // What a splat of a handful of bytes in a file becomes.
  constexpr int64_t kElements = int64_t{1} << 28;
  const model::Argument indices =
      constant(ElementType::kUInt1, {kElements}, std::vector<uint8_t>(kElements / 8, 0x55));
  const model::Argument lut =
      constant(ElementType::kFloat32, {1, 2, 64}, std::vector<float>(128, 1.0f));
  const Status status =
      translated("constexpr_lut_to_dense",
                 {{"indices", {indices}}, {"lut", {lut}}, {"vector_axis", {integer(0)}}}, "CoreML8",
                 tensor(ElementType::kFloat32, {model::kDynamicExtent}));
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status.to_string();
}

TEST(TranslationBudget, RefusesAGridOfGigabytesForTwoScalars) {
  const Status status =
      translated("affine",
                 {{"x", {x()}},
                  {"transform_matrix",
                   {constant(ElementType::kFloat32, {1, 6}, std::vector<float>{1, 0, 0, 0, 1, 0})}},
                  {"output_height", {integer(1 << 14)}},
                  {"output_width", {integer(1 << 14)}}},
                 "CoreML6", tensor(ElementType::kFloat32, {1, 2, 1 << 14, 1 << 14}));
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status.to_string();
}

// OpenVINO would compute these when it compiles the graph.
TEST(TranslationBudget, CountsWhatOpenVinoComputesWhenItCompiles) {
  const auto filled = [](uint64_t stored_bytes) {
    return translated("fill", {{"shape", {integers({1 << 14, 1 << 15})}}, {"value", {real(1)}}},
                      "CoreML6", tensor(ElementType::kFloat32, {1 << 14, 1 << 15}),
                      NumericMode::kFloat32, tensor(ElementType::kFloat32, {1}), stored_bytes);
  };
  EXPECT_EQ(filled(0).code(), StatusCode::kResourceExhausted) << filled(0).to_string();
  EXPECT_THAT(filled(0).to_string(), HasSubstr("bytes"));
  // A package of 16 MiB may have a constant of 2 GiB.
  EXPECT_TRUE(filled(uint64_t{16} << 20).ok()) << filled(uint64_t{16} << 20).to_string();
}

// Each channel of the window is nodes of the graph.
TEST(TranslationBudget, CountsNodesThatANumberStandsFor) {
  const auto normalized = [](int64_t size) {
    return translated("local_response_norm", {{"x", {x()}}, {"size", {integer(size)}}}, "CoreML6",
                      tensor(ElementType::kFloat32, {1, 2, 4, 4}));
  };
  EXPECT_TRUE(normalized(5).ok()) << normalized(5).to_string();
  EXPECT_EQ(normalized(1 << 16).code(), StatusCode::kResourceExhausted);
}

// --- Numbers out of range ---

struct OutOfRange {
  const char* name;
  std::string type;
  Arguments arguments;
  std::vector<int64_t> output;
  std::vector<int64_t> input = {1, 2, 4, 4};
};

void PrintTo(const OutOfRange& wrong, std::ostream* out) { *out << wrong.name; }

class NumberOutOfRange : public testing::TestWithParam<OutOfRange> {};

TEST_P(NumberOutOfRange, IsRefused) {
  const OutOfRange& wrong = GetParam();
  const Status status = translated(
      wrong.type, wrong.arguments, "CoreML6", tensor(ElementType::kFloat32, wrong.output),
      NumericMode::kFloat32, tensor(ElementType::kFloat32, wrong.input));
  EXPECT_TRUE(status.code() == StatusCode::kCorruptData ||
              status.code() == StatusCode::kUnsupported)
      << status.to_string();
}

std::vector<OutOfRange> out_of_range() {
  constexpr int64_t kAny = model::kDynamicExtent;
  const std::vector<int64_t> any = {kAny, kAny, kAny, kAny};
  const model::Argument matrix =
      constant(ElementType::kFloat32, {1, 6}, std::vector<float>{1, 0, 0, 0, 1, 0});
  const model::Argument weight =
      constant(ElementType::kFloat32, {2, 2, 3, 3}, std::vector<float>(36, 1.0f));
  const auto affine = [&](int64_t height, int64_t width) {
    return Arguments{{"x", {x()}},
                     {"transform_matrix", {matrix}},
                     {"output_height", {integer(height)}},
                     {"output_width", {integer(width)}}};
  };
  const auto crop = [&](int64_t before, int64_t after) {
    return Arguments{{"x", {x()}},
                     {"crop_height", {integers({before, after})}},
                     {"crop_width", {integers({0, 0})}}};
  };
  return {
      {"AffineWhoseAreaWrapsToZero", "affine", affine(int64_t{1} << 32, int64_t{1} << 32), any},
      {"AffineWhoseAreaWraps", "affine", affine(kLargest, 3), any},
      {"CropWhoseSumWraps", "crop", crop(kLargest, 2), any},
      {"CropOfTwoHalves", "crop", crop((kLargest >> 1) + 1, (kLargest >> 1) + 1), any},
      {"ScaleBeyondIntegers",
       "upsample_bilinear",
       {{"x", {x()}}, {"scale_factor_height", {real(1e30f)}}},
       any},
      {"ScaleBeyondIntegersOfAnUnknownExtent",
       "upsample_nearest_neighbor",
       {{"x", {x()}}, {"scale_factor_height", {real(1e30f)}}},
       any,
       any},
      {"TransposedConvolutionWithAnOutputOutOfRange",
       "conv_transpose",
       {{"x", {x()}},
        {"weight", {weight}},
        {"output_shape", {integers({1, 2, kSmallest, kSmallest})}}},
       any},
      {"TransposedConvolutionOfAnEndlessAxis",
       "conv_transpose",
       {{"x", {x()}},
        {"weight", {weight}},
        {"strides", {integers({1 << 30, 1})}},
        {"output_shape", {integers({1, 2, 5, 5})}}},
       any,
       {1, 2, int64_t{1} << 50, 4}},
      {"GatherWithBatchAxesOutOfRange",
       "gather_nd",
       {{"x", {x()}},
        {"indices", {constant(ElementType::kInt32, {1, 2}, std::vector<int32_t>{0, 0})}},
        {"batch_dims", {integer(kLargest)}}},
       any},
      {"NearestNeighborOfAnEndlessAxis",
       "resize_nearest_neighbor",
       {{"x", {x()}},
        {"target_size_height", {integer(1 << 24)}},
        {"target_size_width", {integer(3)}}},
       any,
       {1, 1, int64_t{1} << 55, 4}},
  };
}

INSTANTIATE_TEST_SUITE_P(Operations, NumberOutOfRange, testing::ValuesIn(out_of_range()),
                         [](const testing::TestParamInfo<OutOfRange>& info) {
                           return std::string(info.param.name);
                         });

// Outside the axis, which fails when the graph runs; what counts here is that nothing wraps.
TEST(NumberOutOfRange, OfASqueezedSliceIsBehindEveryAxis) {
  const Status status = translated(
      "slice_by_index",
      {{"x", {x()}},
       {"begin", {integers({kLargest, 0, 0, 0})}},
       {"end", {integers({kLargest, 2, 4, 4})}},
       {"squeeze_mask", {constant(ElementType::kBool, {4}, std::vector<uint8_t>{1, 0, 0, 0})}}},
      "CoreML6", tensor(ElementType::kFloat32, {2, 4, 4}));
  EXPECT_FALSE(status.ok());
}

}  // namespace
}  // namespace coreml_delegate::engine::portable
