#include "runtime/assets/manifest.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <utility>

#include "base/checksum.h"
#include "base/json_members.h"
#include "base/sha256.h"
#include "inmemoryfs/inmemory_file_system.h"

namespace coreml_delegate::assets {
namespace {

constexpr char kFormat[] = "coreml-delegate asset 2";
constexpr char kFormat1[] = "coreml-delegate asset 1";
// Folders below one another; compiled models have two or three.
constexpr int kMaxDepth = 32;

uint64_t chunk_count(uint64_t size) { return size / kChunkBytes + (size % kChunkBytes != 0); }

std::optional<Sha256Digest> digest_from_hex(const std::string& text) {
  Sha256Digest digest{};
  if (text.size() != 2 * digest.size()) return std::nullopt;
  const auto value = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  for (size_t i = 0; i < digest.size(); ++i) {
    const int high = value(text[2 * i]);
    const int low = value(text[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    digest[i] = static_cast<uint8_t>(high * 16 + low);
  }
  return digest;
}

std::string checksum_to_hex(uint64_t value) {
  char text[17];
  snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(value));
  return text;
}

std::optional<uint64_t> checksum_from_hex(const std::string& text) {
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value, 16);
  const bool is_checksum = text.size() == 16 && error == std::errc() && rest == end;
  return is_checksum ? std::optional(value) : std::nullopt;
}

Status broken(const std::string& rule) {
  return corrupt_data("the entry's manifest breaks the rule that " + rule);
}

Result<ManifestFile> parse_file(const nlohmann::json& json, bool has_checksums) {
  if (!json.is_object()) return broken("every file is an object");
  ManifestFile file;
  file.path = string_member(json, "path");
  if (!inmemoryfs::check_path(file.path).ok()) return broken("every path is relative and valid");
  const auto size = json.find("size");
  if (size == json.end() || !size->is_number_unsigned()) return broken("every file has a size");
  file.size = size->get<uint64_t>();
  if (!has_checksums) return file;
  const auto chunks = json.find("xxh64");
  if (chunks == json.end() || !chunks->is_array()) return broken("every file has checksums");
  if (chunks->size() != chunk_count(file.size))
    return broken("there is one checksum for each chunk");
  for (const nlohmann::json& chunk : *chunks) {
    const auto sum = chunk.is_string() ? checksum_from_hex(chunk.get<std::string>()) : std::nullopt;
    if (!sum) return broken("every checksum has 16 hexadecimal digits");
    file.chunks.push_back(*sum);
  }
  return file;
}

// What the manifest says of the request, for people.
Attributes attributes_of(const nlohmann::json& json) {
  Attributes attributes;
  for (const auto& [name, value] : json.items()) {
    if (value.is_string()) attributes.emplace(name, value.get<std::string>());
  }
  return attributes;
}

uint64_t chunk_checksum(const Bytes& bytes, uint64_t chunk) {
  const uint64_t start = chunk * kChunkBytes;
  const Bytes part = bytes.subspan(start, std::min<uint64_t>(kChunkBytes, bytes.size() - start));
  const uint64_t sum = checksum(part.span());
  // A model may be larger than the memory.
  release_pages(part);
  return sum;
}

Status measure(FileSystem& files, const std::string& folder, const std::string& prefix, bool sync,
               int depth, std::vector<ManifestFile>& found) {
  if (depth > kMaxDepth)
    return invalid_argument("the folders of the compiled model are nested too deeply", folder);
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, files.list(folder));
  for (const DirectoryEntry& entry : entries) {
    const std::string path = join_path(folder, entry.name);
    const std::string relative = prefix.empty() ? entry.name : prefix + "/" + entry.name;
    if (entry.kind == FileKind::kDirectory) {
      COREML_DELEGATE_RETURN_IF_ERROR(measure(files, path, relative, sync, depth + 1, found));
      continue;
    }
    if (entry.kind != FileKind::kFile) {
      return invalid_argument("a compiled model may hold only files and folders", path);
    }
    if (sync) COREML_DELEGATE_RETURN_IF_ERROR(files.sync_file(path));
    COREML_DELEGATE_ASSIGN_OR_RETURN(const Bytes bytes, files.map(path, Links::kRefuse));
    ManifestFile file{.path = relative, .size = bytes.size(), .chunks = {}};
    for (uint64_t i = 0; i < chunk_count(file.size); ++i) {
      file.chunks.push_back(chunk_checksum(bytes, i));
    }
    found.push_back(std::move(file));
  }
  return sync ? files.sync_directory(folder) : Status();
}

}  // namespace

uint64_t Manifest::total_bytes() const {
  uint64_t total = 0;
  for (const ManifestFile& file : files) {
    // Beyond 64 bits only in a manifest that lies.
    total = total > UINT64_MAX - file.size ? UINT64_MAX : total + file.size;
  }
  return total;
}

std::string to_text(const Manifest& manifest) {
  nlohmann::json list = nlohmann::json::array();
  for (const ManifestFile& file : manifest.files) {
    nlohmann::json chunks = nlohmann::json::array();
    for (const uint64_t chunk : file.chunks) chunks.push_back(checksum_to_hex(chunk));
    list.push_back({{"path", file.path}, {"size", file.size}, {"xxh64", std::move(chunks)}});
  }
  const nlohmann::json json = {
      {"format", kFormat},
      {"content", to_hex(manifest.key.content)},
      {"request", manifest.key.request},
      {"attributes", manifest.key.attributes},
      {"nonce", manifest.nonce},
      {"created_ms", manifest.created_ms},
      {"files", std::move(list)},
  };
  std::string text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  return text + to_hex(sha256(as_bytes(text))) + "\n";
}

Result<Manifest> parse_manifest(std::string_view text) {
  constexpr size_t kTail = 65;  // The checksum's digits and a newline.
  if (text.size() <= kTail) return broken("it ends with a checksum");
  const std::string_view body = text.substr(0, text.size() - kTail);
  if (text.substr(body.size()) != to_hex(sha256(as_bytes(body))) + "\n") {
    return broken("its checksum is that of its content");
  }
  const nlohmann::json json = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  const std::string format = string_member(json, "format");
  if (format != kFormat && format != kFormat1) {
    return broken(std::string("its format is \"") + kFormat + "\"");
  }
  Manifest manifest;
  manifest.is_current = format == kFormat;
  const auto content = digest_from_hex(string_member(json, "content"));
  if (!content) return broken("it has the model's identifier");
  manifest.key.content = *content;
  if (manifest.is_current) {
    manifest.key.request = string_member(json, "request");
    const auto attributes = json.find("attributes");
    if (attributes == json.end() || !attributes->is_object()) return broken("it has attributes");
    manifest.key.attributes = attributes_of(*attributes);
  } else {
    // They stood beside what the store itself had to say.
    manifest.key.attributes = attributes_of(json);
    for (const char* const own : {"format", "content", "nonce"}) manifest.key.attributes.erase(own);
  }
  manifest.nonce = string_member(json, "nonce");
  const auto created = json.find("created_ms");
  if (manifest.nonce.empty() || created == json.end() || !created->is_number_integer()) {
    return broken("it says when it was made");
  }
  manifest.created_ms = created->get<int64_t>();
  const auto list = json.find("files");
  if (list == json.end() || !list->is_array()) return broken("it lists the files");
  for (const nlohmann::json& item : *list) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(ManifestFile file, parse_file(item, manifest.is_current));
    manifest.files.push_back(std::move(file));
  }
  return manifest;
}

Result<std::vector<ManifestFile>> measure_folder(FileSystem& files, const std::string& folder,
                                                 bool sync) {
  std::vector<ManifestFile> found;
  COREML_DELEGATE_RETURN_IF_ERROR(measure(files, folder, "", sync, 0, found));
  return found;
}

Status verify_folder(const FileSystem& files, const std::string& folder, const Manifest& manifest,
                     VerifyDepth depth) {
  for (const ManifestFile& file : manifest.files) {
    const std::string path = join_path(folder, file.path);
    const Result<FileInfo> info = files.info(path);
    if (!info.ok() && info.status().code() != StatusCode::kNotFound) return info.status();
    if (!info.ok() || info->kind != FileKind::kFile) {
      return corrupt_data("a file of the compiled model is missing", path);
    }
    if (info->size != file.size) {
      return corrupt_data("a file of the compiled model has " + std::to_string(info->size) +
                              " bytes instead of " + std::to_string(file.size),
                          path);
    }
  }
  if (depth == VerifyDepth::kSizes) return {};
  std::minstd_rand random(std::random_device{}());
  for (const ManifestFile& file : manifest.files) {
    if (file.size == 0) continue;
    const std::string path = join_path(folder, file.path);
    COREML_DELEGATE_ASSIGN_OR_RETURN(const Bytes bytes, files.map(path, Links::kRefuse));
    if (bytes.size() != file.size) return corrupt_data("the size of a file has changed", path);
    for (uint64_t i = 0; i < file.chunks.size(); ++i) {
      const bool is_end = i == 0 || i + 1 == file.chunks.size();
      if (depth == VerifyDepth::kSample && !is_end && random() % 8 != 0) continue;
      if (chunk_checksum(bytes, i) != file.chunks[i]) {
        return corrupt_data("a file of the compiled model has a wrong checksum at byte " +
                                std::to_string(i * kChunkBytes),
                            path);
      }
    }
  }
  return {};
}

std::string make_nonce() {
  std::random_device random;
  std::string nonce;
  for (int i = 0; i < 4; ++i) {
    char text[9];
    snprintf(text, sizeof(text), "%08x", random());
    nonce += text;
  }
  return nonce;
}

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace coreml_delegate::assets
