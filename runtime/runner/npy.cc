#include "runtime/runner/npy.h"

#include <array>
#include <cctype>
#include <charconv>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

namespace coreml_delegate::runner {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";

// NumPy's names of the types, without their byte order.
constexpr std::array<std::pair<std::string_view, DataType>, 10> kTypes = {{
    {"b1", DataType::kBool},
    {"i1", DataType::kInt8},
    {"u1", DataType::kUInt8},
    {"i2", DataType::kInt16},
    {"u2", DataType::kUInt16},
    {"i4", DataType::kInt32},
    {"i8", DataType::kInt64},
    {"f2", DataType::kFloat16},
    {"f4", DataType::kFloat32},
    {"f8", DataType::kFloat64},
}};

// What stands behind `'key':` in the header's dictionary, up to the end of the header.
std::optional<std::string_view> value_of(std::string_view header, std::string_view key) {
  const size_t at = header.find("'" + std::string(key) + "'");
  if (at == std::string_view::npos) return std::nullopt;
  const size_t colon = header.find(':', at);
  if (colon == std::string_view::npos) return std::nullopt;
  const size_t begin = header.find_first_not_of(' ', colon + 1);
  if (begin == std::string_view::npos) return std::nullopt;
  return header.substr(begin);
}

// "(2, 3)", "(4,)" or "()".
std::optional<std::vector<int64_t>> parse_shape(std::string_view text) {
  const size_t close = text.find(')');
  if (text.empty() || text[0] != '(' || close == std::string_view::npos) return std::nullopt;
  std::vector<int64_t> shape;
  std::string_view rest = text.substr(1, close - 1);
  while (true) {
    while (!rest.empty() && (rest[0] == ' ' || rest[0] == ',')) rest.remove_prefix(1);
    if (rest.empty()) return shape;
    int64_t extent = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), extent);
    // ExecuTorch's extents have 32 bits.
    if (error != std::errc() || extent < 0 || extent > std::numeric_limits<int32_t>::max()) {
      return std::nullopt;
    }
    shape.push_back(extent);
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
  }
}

}  // namespace

Result<NpyArray> parse_npy(ByteSpan file, const std::string& path) {
  const auto* const text = reinterpret_cast<const char*>(file.data());
  const std::string_view all(text, file.size());
  if (all.substr(0, kMagic.size()) != kMagic) {
    return corrupt_data("the file is not a .npy file: save it with numpy.save", path);
  }
  const Status cut = corrupt_data("the .npy file was cut short: copy it again", path);
  if (file.size() < 12) return cut;
  const auto byte = [&](size_t at) { return static_cast<size_t>(file[at]); };
  const size_t version = byte(6);
  size_t header_size = byte(8) | byte(9) << 8;
  size_t begin = 10;
  if (version == 2 || version == 3) {
    header_size |= byte(10) << 16 | byte(11) << 24;
    begin = 12;
  } else if (version != 1) {
    return unsupported(
        "the .npy file has version " + std::to_string(version) + ": save it again with numpy.save",
        path);
  }
  if (header_size > file.size() - begin) return cut;
  const std::string_view header = all.substr(begin, header_size);
  const auto descr = value_of(header, "descr");
  const auto order = value_of(header, "fortran_order");
  const auto shape_text = value_of(header, "shape");
  if (!descr || !order || !shape_text || descr->size() < 5 || descr->front() != '\'') {
    return corrupt_data("the header of the .npy file cannot be read", path);
  }
  const std::optional<std::vector<int64_t>> shape = parse_shape(*shape_text);
  if (!shape) return corrupt_data("the shape in the .npy file cannot be read", path);
  const std::string_view type = descr->substr(1, descr->find('\'', 1) - 1);
  NpyArray array{.dtype = DataType::kInvalid, .shape = *shape, .elements = {}};
  for (const auto& [name, dtype] : kTypes) {
    if (type.size() == 3 && type.substr(1) == name && type[0] != '>') array.dtype = dtype;
  }
  if (array.dtype == DataType::kInvalid) {
    return unsupported("the .npy file has elements of type " + std::string(type) +
                           ": only little-endian numbers can be read",
                       path);
  }
  if (order->substr(0, 4) == "True" && array.shape.size() > 1) {
    return unsupported(
        "the .npy file is in Fortran order: save the result of numpy.ascontiguousarray", path);
  }
  size_t bytes = data_type_size(array.dtype);
  for (const int64_t extent : array.shape) {
    if (__builtin_mul_overflow(bytes, static_cast<size_t>(extent), &bytes)) return cut;
  }
  const ByteSpan rest = file.subspan(begin + header_size);
  if (rest.size() < bytes) return cut;
  array.elements = rest.first(bytes);
  return array;
}

std::string make_npy_header(DataType dtype, std::span<const int64_t> shape) {
  std::string type;
  for (const auto& [name, known] : kTypes) {
    if (known == dtype) type = (data_type_size(dtype) == 1 ? "|" : "<") + std::string(name);
  }
  std::string extents;
  for (const int64_t extent : shape) {
    extents += (extents.empty() ? "" : " ") + std::to_string(extent) + ",";
  }
  if (shape.size() > 1) extents.pop_back();
  std::string dictionary =
      "{'descr': '" + type + "', 'fortran_order': False, 'shape': (" + extents + "), }";
  // Spaces up to a multiple of 64, then the newline that ends it.
  const size_t before = kMagic.size() + 4;
  dictionary.append(63 - (before + dictionary.size()) % 64, ' ');
  dictionary += '\n';
  std::string header(kMagic);
  header += '\x01';
  header += '\0';
  header += static_cast<char>(dictionary.size() & 0xff);
  header += static_cast<char>(dictionary.size() >> 8);
  return header + dictionary;
}

}  // namespace coreml_delegate::runner
