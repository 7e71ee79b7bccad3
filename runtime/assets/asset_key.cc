#include "runtime/assets/asset_key.h"

#include <sys/utsname.h>

#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

#include <array>
#include <string_view>

namespace coreml_delegate::assets {
namespace {

// Another value: another layout of what is hashed, so that no old entry is found under a new name.
constexpr std::string_view kKeyFormat = "coreml-delegate asset key 1";

// With its length before it, so that no two lists of fields are the same bytes.
void update(Sha256& hash, std::string_view field) {
  std::array<std::byte, 8> length{};
  for (size_t i = 0; i < length.size(); ++i) {
    length[i] = static_cast<std::byte>(static_cast<uint64_t>(field.size()) >> (8 * i));
  }
  hash.update(length);
  hash.update(as_bytes(field));
}

#ifdef __APPLE__
std::string system_value(const char* name) {
  char text[256];
  size_t size = sizeof(text);
  return sysctlbyname(name, text, &size, nullptr, 0) == 0 && size > 0 ? std::string(text, size - 1)
                                                                      : std::string();
}
#endif

}  // namespace

std::string AssetKey::name() const {
  Sha256 hash;
  update(hash, kKeyFormat);
  update(hash, {reinterpret_cast<const char*>(content.data()), content.size()});
  for (const std::string* field :
       {&engine, &fingerprint, &platform, &compute_units, &function, &numeric_mode}) {
    update(hash, *field);
  }
  return to_hex(hash.finish());
}

std::string platform_fingerprint() {
  utsname system{};
  if (::uname(&system) != 0) return "unknown";
#ifdef __APPLE__
  return std::string(system.sysname) + " " + system_value("kern.osversion") + " " +
         system_value("hw.model");
#else
  return std::string(system.sysname) + " " + system.machine;
#endif
}

}  // namespace coreml_delegate::assets
