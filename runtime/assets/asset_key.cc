#include "runtime/assets/asset_key.h"

#include <array>
#include <string_view>

namespace coreml_delegate::assets {
namespace {

// Another value: another layout of what is hashed, so that no old entry is found under a new name.
constexpr std::string_view kKeyFormat = "coreml-delegate asset key 2";

// With its length before it, so that no two lists of fields are the same bytes.
void update(Sha256& hash, std::string_view field) {
  std::array<std::byte, 8> length{};
  for (size_t i = 0; i < length.size(); ++i) {
    length[i] = static_cast<std::byte>(static_cast<uint64_t>(field.size()) >> (8 * i));
  }
  hash.update(length);
  hash.update(as_bytes(field));
}

}  // namespace

std::string AssetKey::name() const {
  Sha256 hash;
  update(hash, kKeyFormat);
  update(hash, {reinterpret_cast<const char*>(content.data()), content.size()});
  update(hash, request);
  return to_hex(hash.finish());
}

}  // namespace coreml_delegate::assets
