#ifndef COREML_DELEGATE_RUNTIME_ASSETS_ASSET_KEY_H_
#define COREML_DELEGATE_RUNTIME_ASSETS_ASSET_KEY_H_

// What a compiled model depends on, and the name that its entry in the store has because of it.

#include <map>
#include <string>

#include "base/sha256.h"

namespace coreml_delegate::assets {

// By name, for people to read and to compare. The store prints them all and looks at two: entries
// of an engine's earlier fingerprints go first when there is no room.
using Attributes = std::map<std::string, std::string>;
inline constexpr char kEngineAttribute[] = "engine";
inline constexpr char kFingerprintAttribute[] = "fingerprint";

struct AssetKey {
  // Of the model's content, established by hashing it: what a blob claims is not enough.
  Sha256Digest content{};
  // Everything else, as whoever compiles writes it (engine::CompileRequest::text). Opaque here.
  std::string request;
  // What `request` says. No part of the key.
  Attributes attributes;
  bool operator==(const AssetKey& other) const {
    return content == other.content && request == other.request;
  }

  // 64 lower-case hexadecimal digits: the SHA-256 over content and request.
  std::string name() const;
};

}  // namespace coreml_delegate::assets

#endif  // COREML_DELEGATE_RUNTIME_ASSETS_ASSET_KEY_H_
