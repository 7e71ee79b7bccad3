#ifndef COREML_DELEGATE_RUNTIME_ASSETS_MANIFEST_H_
#define COREML_DELEGATE_RUNTIME_ASSETS_MANIFEST_H_

// What an entry of the store says about itself: its key, and the sizes and checksums of its files.
// One line of JSON and a line with its SHA-256. docs/assets.md has an example.
//
// The files' checksums are the one check that a compiled model is what it was: engines do not
// repeat it. They find damage, not malice, and must not make a load slower: XXH64.
//
// Thread rule: values and functions without state.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "runtime/assets/asset_key.h"

namespace coreml_delegate::assets {

// Checksums are per chunk, so that a sample of a large file can be verified.
inline constexpr uint64_t kChunkBytes = uint64_t{1} << 20;

struct ManifestFile {
  std::string path;  // Relative to the entry's content folder.
  uint64_t size = 0;
  std::vector<uint64_t> chunks;  // The checksum of each kChunkBytes begun.
  bool operator==(const ManifestFile&) const = default;
};

struct Manifest {
  AssetKey key;
  // Chosen at random when the entry was made: tells it from one made later under the same name.
  std::string nonce;
  int64_t created_ms = 0;  // Milliseconds since 1970 (UTC).
  std::vector<ManifestFile> files;
  // False for one of an earlier format. Such an entry is listed and evicted as every other, its
  // request is empty, so that no key finds it, and its files have no checksums.
  bool is_current = true;

  uint64_t total_bytes() const;
};

std::string to_text(const Manifest& manifest);
// corrupt_data says which rule is broken.
Result<Manifest> parse_manifest(std::string_view text);

// Every file below `folder`, read once. Syncs each file and folder when `sync` is set.
// invalid_argument for what is neither a file nor a folder.
Result<std::vector<ManifestFile>> measure_folder(FileSystem& files, const std::string& folder,
                                                 bool sync);

enum class VerifyDepth {
  kSizes,   // Every file is there with its size.
  kSample,  // And the first, the last and an eighth of the other chunks, chosen anew each time.
  kFull,    // And every chunk.
};
// corrupt_data names the file that is not as the manifest says.
Status verify_folder(const FileSystem& files, const std::string& folder, const Manifest& manifest,
                     VerifyDepth depth);

// 32 random hexadecimal digits.
std::string make_nonce();
int64_t now_ms();

}  // namespace coreml_delegate::assets

#endif  // COREML_DELEGATE_RUNTIME_ASSETS_MANIFEST_H_
