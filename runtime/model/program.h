#ifndef COREML_DELEGATE_RUNTIME_MODEL_PROGRAM_H_
#define COREML_DELEGATE_RUNTIME_MODEL_PROGRAM_H_

// An ML Program (MIL) as plain values: what a package's model.mlmodel says, checked, with constants
// that borrow the bytes of the weight file. No protobuf type is visible here.
//
// Thread rule: values; const access from several threads.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/feature_kinds.h"
#include "base/status.h"
#include "base/tensor_type.h"

namespace coreml_delegate::model {

// MIL's element types (MILSpec.DataType).
enum class ElementType : uint8_t {
  kInvalid,
  kBool,
  kString,
  kFloat16,
  kFloat32,
  kFloat64,
  kBFloat16,
  kFloat8E4M3FN,
  kFloat8E5M2,
  kInt4,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kUInt1,
  kUInt2,
  kUInt3,
  kUInt4,
  kUInt6,
  kUInt8,
  kUInt16,
  kUInt32,
  kUInt64,
};

// Bits of one element as stored: 8 for kBool; 0 for kString and kInvalid.
int element_bits(ElementType type);
// MIL's textual name: "fp16", "int32", "uint4", "bool", "string".
std::string_view element_type_name(ElementType type);
bool is_float(ElementType type);

inline constexpr int64_t kDynamicExtent = -1;

struct ValueType {
  enum class Kind : uint8_t { kTensor, kList, kTuple, kDictionary, kState };
  Kind kind = Kind::kTensor;
  // kTensor, kState (the wrapped tensor): kDynamicExtent where the size is known at run time only.
  ElementType element = ElementType::kInvalid;
  std::vector<int64_t> shape;
  bool unknown_rank = false;
  // kList: the one element type; kTuple: each; kDictionary: key and value.
  std::vector<ValueType> members;
  // kList: the number of elements, or kDynamicExtent.
  int64_t list_length = kDynamicExtent;

  // Product of the extents. Precondition: a static tensor type (checked at parsing: it fits an
  // int64).
  int64_t element_count() const;
  bool is_static() const;
  std::string to_string() const;  // "tensor<fp16, [1, 3, ?]>"
};

// A constant value. Checked at parsing: the number of bytes or strings fits the type exactly.
struct Constant {
  ValueType type;
  // kTensor that is not a string: little-endian, row-major elements; types below 8 bits packed from
  // the lowest bit, the unused bits of the last byte unspecified. Borrows the weight file or the
  // specification, or owns what was converted. Not aligned.
  Bytes data;
  std::vector<std::string> strings;  // kTensor of kString.
  std::vector<Constant> items;       // kList, kTuple; kDictionary: key, value, key, value ...

  // Element i as an integer (sign-extended), or a double. Preconditions: a numeric or bool tensor,
  // i in range.
  int64_t integer_at(int64_t i) const;
  double real_at(int64_t i) const;
};
using ConstantPtr = std::shared_ptr<const Constant>;

struct NamedType {
  std::string name;
  ValueType type;
};

// An argument of an operation: the name of a value, or a constant in place.
struct Argument {
  std::string name;  // Empty when `value` is set.
  ConstantPtr value;
};

struct Block;

struct Operation {
  std::string type;  // "conv"
  std::map<std::string, std::vector<Argument>>
      inputs;  // By parameter name; variadic parameters have several.
  // Of `const`: "val". Of constexpr_* ops: their data. Without "name", which only repeats an
  // output's name.
  std::map<std::string, ConstantPtr> attributes;
  std::vector<NamedType> outputs;
  std::vector<Block> blocks;  // cond, while_loop.

  // The first output's name, or the type when it has none: what messages and events call the
  // operation.
  const std::string& label() const { return outputs.empty() ? type : outputs[0].name; }
};

// A scope. Checked at parsing: every name is defined once, before it is used; a nested block sees
// the names around it and does not define them again (two blocks side by side may use the same
// names).
struct Block {
  std::vector<NamedType> inputs;
  std::vector<Operation> operations;  // In execution order.
  std::vector<std::string> outputs;
};

// What the model's description says of an input, output or state of a function.
struct Feature {
  TensorSpec tensor;  // Shape ranges and enumerations resolved; dtype as declared to callers.
  bool optional = false;
  std::optional<double> default_value;  // Of an optional input.
  std::optional<ColorLayout> image;     // Described as an image.
};

struct Function {
  std::string name;
  std::string opset;              // "CoreML7"
  std::vector<NamedType> inputs;  // States included, as kState.
  Block body;
  std::vector<Feature> input_features;  // In the order of the description.
  std::vector<Feature> output_features;
  std::vector<Feature> state_features;
  // Bytes of the specification and of the weight files that the function refers to: what its
  // constants are made from.
  uint64_t stored_bytes = 0;
  // Where the program has a `classify`, which is not in the body: the tensor of the probabilities
  // is an output instead.
  std::optional<Classifier> classifier;
};

}  // namespace coreml_delegate::model

#endif  // COREML_DELEGATE_RUNTIME_MODEL_PROGRAM_H_
