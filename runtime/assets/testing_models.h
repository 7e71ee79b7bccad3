#ifndef COREML_DELEGATE_RUNTIME_ASSETS_TESTING_MODELS_H_
#define COREML_DELEGATE_RUNTIME_ASSETS_TESTING_MODELS_H_

// Models for the store's tests: what is "compiled" is known bytes, so that any damage is seen.

#include <string>

#include "base/file.h"
#include "base/sha256.h"
#include "runtime/assets/asset_store.h"

namespace coreml_delegate::assets {

inline AssetKey test_key(int model, const std::string& fingerprint = "engine 1",
                         const std::string& function = "main") {
  return {.content = sha256(as_bytes("model " + std::to_string(model))),
          .request = "fingerprint " + fingerprint + ", function " + function,
          .attributes = {{kEngineAttribute, "test"},
                         {kFingerprintAttribute, fingerprint},
                         {"function", function}}};
}

inline std::string test_weights(int model, size_t bytes) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>((i * 31 + model * 7 + i / 256));
  return text;
}

// Writes `weights.bin` (of `bytes`) and `sub/model.txt`, and syncs neither: that is the store's
// task.
inline Status compile_test_model(FileSystem& files, const std::string& folder, int model,
                                 size_t bytes) {
  const auto write = [&](const std::string& path, const std::string& text) -> Status {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file, files.create(path));
    // In two pieces, so that a file can be torn.
    COREML_DELEGATE_RETURN_IF_ERROR(file->append(as_bytes(text.substr(0, text.size() / 2))));
    COREML_DELEGATE_RETURN_IF_ERROR(file->append(as_bytes(text.substr(text.size() / 2))));
    return file->close();
  };
  COREML_DELEGATE_RETURN_IF_ERROR(
      write(join_path(folder, "weights.bin"), test_weights(model, bytes)));
  COREML_DELEGATE_RETURN_IF_ERROR(files.make_directory(join_path(folder, "sub")));
  return write(join_path(folder, "sub/model.txt"), "model " + std::to_string(model));
}

// Success when the folder holds what compile_test_model() wrote.
inline Status check_test_model(const FileSystem& files, const std::string& folder, int model,
                               size_t bytes) {
  const auto check = [&](const std::string& path, const std::string& expected) -> Status {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const Bytes content, files.map(path));
    if (as_text(content.span()) != expected) return corrupt_data("has another content", path);
    return {};
  };
  COREML_DELEGATE_RETURN_IF_ERROR(
      check(join_path(folder, "weights.bin"), test_weights(model, bytes)));
  return check(join_path(folder, "sub/model.txt"), "model " + std::to_string(model));
}

}  // namespace coreml_delegate::assets

#endif  // COREML_DELEGATE_RUNTIME_ASSETS_TESTING_MODELS_H_
