#include "blob/content_identity.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "blob/byte_sink.h"

namespace coreml_delegate::blob {
namespace {

constexpr std::string_view kDomain = "coreml_delegate.content.v1";

// Pointers to the elements, sorted by a name of each. Names compare as unsigned bytes.
template <typename T, typename Name>
std::vector<const T*> sorted_by(const std::vector<T>& elements, Name name) {
  std::vector<const T*> pointers;
  pointers.reserve(elements.size());
  for (const T& element : elements) pointers.push_back(&element);
  std::sort(pointers.begin(), pointers.end(),
            [&](const T* a, const T* b) { return name(*a) < name(*b); });
  return pointers;
}

template <typename Output>  // void(ByteSpan)
class Stream {
 public:
  explicit Stream(Output output) : output_(output) {}

  void number(uint64_t value) {
    std::array<std::byte, 8> bytes;
    for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(value >> (8 * i));
    output_(bytes);
  }
  // Negative numbers in two's complement.
  void signed_number(int64_t value) { number(static_cast<uint64_t>(value)); }
  void text(std::string_view text) {
    number(text.size());
    output_(as_bytes(text));
  }

  void tensor(const TensorSpec& tensor) {
    text(tensor.name);
    number(static_cast<uint64_t>(tensor.dtype));
    number(tensor.shape.size());
    for (const Dimension& dimension : tensor.shape) {
      signed_number(dimension.min);
      signed_number(dimension.max);
    }
    number(tensor.enumerated_shapes.size());
    for (const std::vector<int64_t>& extents : tensor.enumerated_shapes) {
      number(extents.size());
      for (const int64_t extent : extents) signed_number(extent);
    }
  }

  void function(const Function& function) {
    text(function.name);
    number(function.inputs.size());
    for (const TensorSpec& input : function.inputs) tensor(input);
    number(function.outputs.size());
    for (const TensorSpec& output : function.outputs) tensor(output);
    number(function.states.size());
    for (const State* state : sorted_by(
             function.states, [](const State& s) -> const std::string& { return s.tensor.name; })) {
      tensor(state->tensor);
      text(state->initial_value_path);
    }
  }

  void content(Kind kind, int32_t specification_version, const std::vector<FileRecord>& files,
               const std::vector<Function>& functions) {
    text(kDomain);
    number(kind == Kind::kCompiled ? 1 : 0);
    signed_number(specification_version);
    number(files.size());
    for (const FileRecord* file :
         sorted_by(files, [](const FileRecord& f) -> const std::string& { return f.path; })) {
      text(file->path);
      number(file->size);
      output_(std::as_bytes(std::span(file->checksum)));
    }
    number(functions.size());
    for (const Function* f :
         sorted_by(functions, [](const Function& f) -> const std::string& { return f.name; })) {
      function(*f);
    }
  }

 private:
  Output output_;
};

}  // namespace

Sha256Digest hash_file(const Bytes& content) {
  Sha256 hash;
  const Status status = for_each_piece(content, [&hash](ByteSpan piece) {
    hash.update(piece);
    return Status();
  });
  (void)status.ok();  // Hashing does not fail.
  return hash.finish();
}

Sha256Digest content_identity(Kind kind, int32_t specification_version,
                              const std::vector<FileRecord>& files,
                              const std::vector<Function>& functions) {
  Sha256 hash;
  Stream stream([&hash](ByteSpan bytes) { hash.update(bytes); });
  stream.content(kind, specification_version, files, functions);
  return hash.finish();
}

std::vector<std::byte> content_identity_stream(Kind kind, int32_t specification_version,
                                               const std::vector<FileRecord>& files,
                                               const std::vector<Function>& functions) {
  std::vector<std::byte> all;
  Stream stream([&all](ByteSpan bytes) { all.insert(all.end(), bytes.begin(), bytes.end()); });
  stream.content(kind, specification_version, files, functions);
  return all;
}

}  // namespace coreml_delegate::blob
