// A package of which the fuzzer chooses the specification and the weight file: a four-byte
// little-endian size, that many bytes of model.mlmodel, and the rest is weight.bin. Everything that
// can be read of it is read.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/bytes.h"
#include "inmemoryfs/inmemory_file_system.h"
#include "runtime/model/package.h"

namespace coreml_delegate::model {
namespace {

constexpr char kManifest[] = R"({"fileFormatVersion": "1.0.0", "rootModelIdentifier": "A",
  "itemInfoEntries": {"A": {"path": "com.apple.CoreML/model.mlmodel"}}})";

// So that reading past a constant is seen.
void touch(const Constant& constant) {
  for (const Constant& item : constant.items) touch(item);
  if (constant.type.kind != ValueType::Kind::kTensor ||
      constant.type.element == ElementType::kString) {
    return;
  }
  const int64_t count = constant.type.element_count();
  for (int64_t i = 0; i < count; i += count / 16 + 1) (void)constant.real_at(i);
  if (count > 0) (void)constant.integer_at(count - 1);
}
void touch(const Block& block) {
  for (const Operation& operation : block.operations) {
    for (const auto& [name, constant] : operation.attributes) touch(*constant);
    for (const auto& [name, arguments] : operation.inputs) {
      for (const Argument& argument : arguments) {
        if (argument.value != nullptr) touch(*argument.value);
      }
    }
    for (const NamedType& output : operation.outputs) (void)output.type.to_string();
    for (const Block& inner : operation.blocks) touch(inner);
  }
}

}  // namespace
}  // namespace coreml_delegate::model

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace coreml_delegate;
  if (size < 4) return 0;
  uint32_t specification_size;
  std::memcpy(&specification_size, data, 4);
  if (specification_size > size - 4) specification_size = static_cast<uint32_t>(size - 4);
  const ByteSpan bytes(reinterpret_cast<const std::byte*>(data + 4), size - 4);

  inmemoryfs::InMemoryFileSystem files;
  if (!files
           .add_file("Manifest.json",
                     Bytes(as_bytes(model::kManifest).first(sizeof(model::kManifest) - 1)))
           .ok() ||
      !files.add_file("Data/com.apple.CoreML/model.mlmodel", Bytes(bytes.first(specification_size)))
           .ok() ||
      !files
           .add_file("Data/com.apple.CoreML/weights/weight.bin",
                     Bytes(bytes.subspan(specification_size)))
           .ok()) {
    __builtin_trap();
  }
  const Result<model::Package> package = model::Package::open(files);
  if (!package.ok()) return 0;
  for (const std::string& name : package->function_names()) {
    const Result<model::Function> signature = package->function_signature(name);
    const Result<model::Function> function = package->function(name);
    // What reads whole has a signature.
    if (function.ok() && !signature.ok()) __builtin_trap();
    if (function.ok()) model::touch(function->body);
  }
  return 0;
}
