#ifndef COREML_DELEGATE_RUNTIME_ASSETS_ASSET_KEY_H_
#define COREML_DELEGATE_RUNTIME_ASSETS_ASSET_KEY_H_

// What a compiled model depends on, and the name that its entry in the store has because of it.

#include <string>

#include "base/sha256.h"

namespace coreml_delegate::assets {

struct AssetKey {
  // Of the model's content, established by hashing it: what a blob claims is not enough.
  Sha256Digest content{};
  std::string engine;
  // The engine's fingerprint: its version, that of its libraries, the processor's features.
  std::string fingerprint;
  // The operating system's build and the class of device: platform_fingerprint().
  std::string platform;
  std::string compute_units;
  std::string function;
  std::string numeric_mode;
  bool operator==(const AssetKey&) const = default;

  // 64 lower-case hexadecimal digits: the SHA-256 over all of it.
  std::string name() const;
};

// Apple systems: the build of the system, which compiles models, and the device's model. Elsewhere
// the engine brings its compiler along, and the processor's architecture is enough.
std::string platform_fingerprint();

}  // namespace coreml_delegate::assets

#endif  // COREML_DELEGATE_RUNTIME_ASSETS_ASSET_KEY_H_
