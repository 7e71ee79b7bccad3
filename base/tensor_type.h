#ifndef COREML_DELEGATE_BASE_TENSOR_TYPE_H_
#define COREML_DELEGATE_BASE_TENSOR_TYPE_H_

// Element types and shapes as blob, engines and delegate share them.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace coreml_delegate {

// The numbers are those of schema.DataType.
enum class DataType : uint8_t {
  kInvalid = 0,
  kBool = 1,
  kInt8 = 2,
  kUInt8 = 3,
  kInt16 = 4,
  kUInt16 = 5,
  kInt32 = 6,
  kInt64 = 7,
  kFloat16 = 8,
  kFloat32 = 9,
  kFloat64 = 10,
};

// Bytes of one element; 0 for kInvalid.
size_t data_type_size(DataType dtype);
// "float16"; "invalid" for what is none.
std::string_view data_type_name(DataType dtype);

// One extent of a shape: an inclusive range. kUnbounded as max means no upper bound.
struct Dimension {
  static constexpr int64_t kUnbounded = -1;
  int64_t min = 0;
  int64_t max = 0;
  bool is_fixed() const { return min == max; }
  bool contains(int64_t extent) const {
    return extent >= min && (max == kUnbounded || extent <= max);
  }
  bool operator==(const Dimension&) const = default;
};

// A named tensor at a border: what is allowed for it.
struct TensorSpec {
  std::string name;
  DataType dtype = DataType::kInvalid;
  std::vector<Dimension> shape;
  // The shapes allowed when they are enumerated; else empty.
  std::vector<std::vector<int64_t>> enumerated_shapes;

  bool is_static() const;
  // Whether a tensor of this shape may be passed.
  bool accepts(const int64_t* extents, size_t rank) const;
  // "x: float32[1, 3, 1..512, 224]", for messages.
  std::string to_string() const;
  bool operator==(const TensorSpec&) const = default;
};

// "[2, 3]".
std::string shape_to_string(const int64_t* extents, size_t rank);

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_BASE_TENSOR_TYPE_H_
