// A package of which the fuzzer chooses the specification and the weight file, as in
// runtime/model/package_fuzz.cc: a four-byte little-endian size, that many bytes of model.mlmodel,
// and the rest is weight.bin. Every function that can be read is translated to a graph, in both
// numeric modes, and gets the plan of its borders; nothing is compiled.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/bytes.h"
#include "inmemoryfs/inmemory_file_system.h"
#include "runtime/engine/portable/borders.h"
#include "runtime/engine/portable/openvino_core.h"
#include "runtime/engine/portable/translator.h"
#include "runtime/model/package.h"

namespace coreml_delegate::engine::portable {
namespace {

constexpr std::string_view kManifest =
    R"({"fileFormatVersion": "1.0.0", "rootModelIdentifier": "A",
  "itemInfoEntries": {"A": {"path": "com.apple.CoreML/model.mlmodel"}}})";

// Whatever is not translated is refused with a sentence.
void require_sentence(const Status& status) {
  if (!status.ok() && status.message().empty()) __builtin_trap();
}

void convert(const model::Function& function, NumericMode mode, bool expose) {
  TranslateOptions options;
  options.numeric_mode = mode;
  options.expose_intermediate_values = expose;
  Result<Translation> translation = translate(function, options);
  if (!translation.ok()) return require_sentence(translation.status());
  const Status planned = guard("planning", function.name, [&]() -> Status {
    return make_plan(function, *translation).status();
  });
  require_sentence(planned);
}

}  // namespace
}  // namespace coreml_delegate::engine::portable

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace coreml_delegate;
  using namespace coreml_delegate::engine::portable;
  if (size < 4) return 0;
  uint32_t specification_size;
  std::memcpy(&specification_size, data, 4);
  if (specification_size > size - 4) specification_size = static_cast<uint32_t>(size - 4);
  const ByteSpan bytes(reinterpret_cast<const std::byte*>(data + 4), size - 4);

  inmemoryfs::InMemoryFileSystem files;
  if (!files.add_file("Manifest.json", Bytes(as_bytes(kManifest))).ok() ||
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
    const Result<model::Function> function = package->function(name);
    if (!function.ok()) continue;
    convert(*function, engine::NumericMode::kFloat32, false);
    convert(*function, engine::NumericMode::kFloat16, true);
  }
  return 0;
}
