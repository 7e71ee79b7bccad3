#ifndef COREML_DELEGATE_RUNTIME_MODEL_MIL_H_
#define COREML_DELEGATE_RUNTIME_MODEL_MIL_H_

// The messages of Core ML's model specification as plain values: those of mil.proto, under its
// names and with its defaults. mil_fields.h has the numbers of their fields. Internal to
// runtime/model; nothing here is checked, which is what the parsers beside it are for.
//
// Of the members that are called a choice at most one is set. Thread rule: values.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace coreml_delegate::model::mil {

// A choice among messages: null where it is not set.
template <typename Message>
using Choice = std::unique_ptr<Message>;

// The message that stands for one that is not set.
template <typename Message>
const Message& or_default(const Choice<Message>& choice) {
  static const Message nothing;
  return choice != nullptr ? *choice : nothing;
}

// --- What is known of features ---

struct Nothing {};  // A message whose fields nobody reads.

struct SizeRange {
  uint64_t lower_bound = 0;
  int64_t upper_bound = 0;  // Below 0: none.
};

struct DictionaryFeatureType {
  // A choice.
  Choice<Nothing> int64_key_type;
  Choice<Nothing> string_key_type;
};

enum class ColorSpace : int32_t {
  kInvalid = 0,
  kGrayscale = 10,
  kRgb = 20,
  kBgr = 30,
  kGrayscaleFloat16 = 40,
};

struct ImageSize {
  uint64_t width = 0;
  uint64_t height = 0;
};
struct EnumeratedImageSizes {
  std::vector<ImageSize> sizes;
};
struct ImageSizeRange {
  SizeRange width_range;
  SizeRange height_range;
};
struct ImageFeatureType {
  int64_t width = 0;
  int64_t height = 0;
  // A choice.
  Choice<EnumeratedImageSizes> enumerated_sizes;
  Choice<ImageSizeRange> image_size_range;
  ColorSpace color_space = ColorSpace::kInvalid;
};

enum class ArrayDataType : int32_t {
  kInvalid = 0,
  kFloat16 = 65552,
  kFloat32 = 65568,
  kDouble = 65600,
  kInt8 = 131080,
  kInt32 = 131104,
};

struct Shape {
  std::vector<int64_t> shape;
};
struct EnumeratedShapes {
  std::vector<Shape> shapes;
};
struct ShapeRange {
  std::vector<SizeRange> size_ranges;
};
struct ArrayFeatureType {
  std::vector<int64_t> shape;
  ArrayDataType data_type = ArrayDataType::kInvalid;
  // A choice.
  Choice<EnumeratedShapes> enumerated_shapes;
  Choice<ShapeRange> shape_range;
  // A choice.
  std::optional<int32_t> int_default_value;
  std::optional<float> float_default_value;
  std::optional<double> double_default_value;
};

struct StateFeatureType {
  Choice<ArrayFeatureType> array_type;
};

struct FeatureType {
  // A choice.
  Choice<Nothing> int64_type;
  Choice<Nothing> double_type;
  Choice<Nothing> string_type;
  Choice<ImageFeatureType> image_type;
  Choice<ArrayFeatureType> multi_array_type;
  Choice<DictionaryFeatureType> dictionary_type;
  Choice<Nothing> sequence_type;
  Choice<StateFeatureType> state_type;
  bool is_optional = false;
};

struct FeatureDescription {
  std::string name;
  std::string short_description;
  FeatureType type;
};

struct FunctionDescription {
  std::string name;
  std::vector<FeatureDescription> input;
  std::vector<FeatureDescription> output;
  std::vector<FeatureDescription> state;
};

struct Metadata {
  std::map<std::string, std::string> user_defined;
};

struct ModelDescription {
  std::vector<FunctionDescription> functions;
  std::string default_function_name;
  Metadata metadata;
  std::vector<FeatureDescription> input;
  std::vector<FeatureDescription> output;
  std::vector<FeatureDescription> state;
};

// --- Types ---

enum class DataType : int32_t {
  kUnused = 0,
  kBool = 1,
  kString = 2,
  kFloat16 = 10,
  kFloat32 = 11,
  kFloat64 = 12,
  kBFloat16 = 13,
  kInt8 = 21,
  kInt16 = 22,
  kInt32 = 23,
  kInt64 = 24,
  kInt4 = 25,
  kUInt8 = 31,
  kUInt16 = 32,
  kUInt32 = 33,
  kUInt64 = 34,
  kUInt4 = 35,
  kUInt2 = 36,
  kUInt1 = 37,
  kUInt6 = 38,
  kUInt3 = 39,
  kFloat8E4M3FN = 40,
  kFloat8E5M2 = 41,
};

struct ConstantDimension {
  uint64_t size = 0;
};
struct UnknownDimension {
  bool variadic = false;
};
struct Dimension {
  // A choice.
  Choice<ConstantDimension> constant;
  Choice<UnknownDimension> unknown;
};

struct TensorType {
  DataType data_type = DataType::kUnused;
  int64_t rank = 0;
  std::vector<Dimension> dimensions;
};

struct ListType;
struct TupleType;
struct DictionaryType;
struct StateType;

struct ValueType {
  // A choice.
  Choice<TensorType> tensor_type;
  Choice<ListType> list_type;
  Choice<TupleType> tuple_type;
  Choice<DictionaryType> dictionary_type;
  Choice<StateType> state_type;
};
struct ListType {
  ValueType type;
  Dimension length;
};
struct TupleType {
  std::vector<ValueType> types;
};
struct DictionaryType {
  ValueType key_type;
  ValueType value_type;
};
struct StateType {
  ValueType wrapped_type;
};

struct NamedValueType {
  std::string name;
  ValueType type;
};

// --- Values ---

template <typename T>
struct Repeated {
  std::vector<T> values;
};
struct RepeatedBytes {
  std::vector<std::byte> values;
};

struct TensorValue {
  // A choice.
  Choice<Repeated<float>> floats;
  Choice<Repeated<int32_t>> ints;
  Choice<Repeated<bool>> bools;
  Choice<Repeated<std::string>> strings;
  Choice<Repeated<int64_t>> long_ints;
  Choice<Repeated<double>> doubles;
  Choice<RepeatedBytes> bytes;
};

struct TupleValue;
struct ListValue;
struct DictionaryValue;

struct ImmediateValue {
  // A choice.
  Choice<TensorValue> tensor;
  Choice<TupleValue> tuple;
  Choice<ListValue> list;
  Choice<DictionaryValue> dictionary;
};
struct BlobFileValue {
  std::string file_name;
  uint64_t offset = 0;
};
struct Value {
  ValueType type;
  // A choice.
  Choice<ImmediateValue> immediate_value;
  Choice<BlobFileValue> blob_file_value;
};
struct TupleValue {
  std::vector<Value> values;
};
struct ListValue {
  std::vector<Value> values;
};
struct KeyValuePair {
  Value key;
  Value value;
};
struct DictionaryValue {
  std::vector<KeyValuePair> values;
};

// --- Programs ---

struct Binding {
  // A choice.
  std::optional<std::string> name;
  Choice<Value> value;
};
struct Argument {
  std::vector<Binding> arguments;
};

struct Block;

struct Operation {
  std::string type;
  std::map<std::string, Argument> inputs;
  std::vector<NamedValueType> outputs;
  std::vector<Block> blocks;
  std::map<std::string, Value> attributes;
};
struct Block {
  std::vector<NamedValueType> inputs;
  std::vector<std::string> outputs;
  std::vector<Operation> operations;
};
struct Function {
  std::vector<NamedValueType> inputs;
  std::string opset;
  std::map<std::string, Block> block_specializations;
};
struct Program {
  int64_t version = 0;
  std::map<std::string, Function> functions;
};

struct Model {
  int32_t specification_version = 0;
  ModelDescription description;
  bool is_updatable = false;
  // A choice, the other kinds of model only told apart.
  Choice<Nothing> pipeline;
  Choice<Nothing> neural_network;
  Choice<Program> ml_program;
};

}  // namespace coreml_delegate::model::mil

#endif  // COREML_DELEGATE_RUNTIME_MODEL_MIL_H_
