#ifndef COREML_DELEGATE_BLOB_BLOB_H_
#define COREML_DELEGATE_BLOB_BLOB_H_

// What a blob says, whichever of the formats it is in. docs/blob_format.md has the bytes.
//
// Thread rule: values; a const Blob may be read from several threads.

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/sha256.h"
#include "base/status.h"
#include "base/tensor_type.h"
#include "inmemoryfs/inmemory_file_system.h"

namespace coreml_delegate::blob {

enum class Kind {
  kPackage,   // An .mlpackage.
  kCompiled,  // An .mlmodelc: Core ML's own compiled form.
};

// How the bytes are laid out.
enum class Format {
  kCoreMLBlob,          // Ours: schema/coreml_blob.fbs.
  kFlattenedDirectory,  // The stock exporter's, read and written for existing .pte files and apps.
};

struct State {
  TensorSpec tensor;
  std::string initial_value_path;  // A file of the blob; empty: the state starts at zero.
  bool operator==(const State&) const = default;
};

struct Function {
  std::string name;
  std::string method;
  std::vector<TensorSpec> inputs;  // In the order of the delegate call's arguments.
  std::vector<TensorSpec> outputs;
  std::vector<State> states;
  bool operator==(const Function&) const = default;
};

// What a blob of ours states about one file.
struct FileRecord {
  std::string path;
  uint64_t size = 0;
  Sha256Digest checksum{};
  std::string named_data_key;  // Empty: the bytes are in the blob.
  bool operator==(const FileRecord&) const = default;
};

// A verified blob that borrows its bytes: no file was copied or, checksums apart, read.
struct Blob {
  Format format = Format::kCoreMLBlob;
  Kind kind = Kind::kPackage;
  // The identity. Ours: what the header claims, which opening compared with the checksums stated,
  // not with the files; verify_content does that. Stock: zero until the content was hashed, by
  // OpenOptions::verify_checksums or compute_content_id.
  Sha256Digest content_id{};
  int32_t specification_version = 0;  // 0 for the stock formats: it is in the package.
  // The files of the package or compiled model, paths relative to its root.
  inmemoryfs::InMemoryFileSystem files;
  // Ours: one for each file, sorted by path. Stock: none.
  std::vector<FileRecord> file_records;
  // Ours: every function. Stock: names only, no dtypes or shapes (DataType::kInvalid, empty shape).
  std::vector<Function> functions;
  std::string compute_units;  // Empty when the exporter said nothing.
  std::string compute_precision;
  std::string deployment_target;
  std::string producer;
  std::vector<std::pair<std::string, std::string>> producer_versions;  // Component, version.
  // Operations to debug handles, as debug_info.json; may be empty. Older blobs of ours: another
  // form.
  Bytes debug_map;
  // Whether ExecuTorch's stock Core ML runtime reads these bytes, too.
  bool for_stock_runtime = false;

  // By function name; not_found lists the names there are.
  Result<const Function*> function(const std::string& name) const;
};

// Looks up a key of the program's named data. Returns not_found for a key it does not have.
using NamedDataLookup = std::function<Result<Bytes>(const std::string& key)>;

struct OpenOptions {
  // Read every file and compare it with its checksum, and the content with its identifier. Costs in
  // the number of bytes.
  bool verify_checksums = false;
  NamedDataLookup named_data;  // Null: a blob that refers to named data is refused.
};

// What a delegate call's processed bytes lead to: a blob and the function to run.
struct DelegateCall {
  Blob blob;
  // Empty when the processed bytes name none: the blob's only function, or the one that serves the
  // method.
  std::string function_name;
};

// Opens processed bytes of any of the formats and follows a reference into named data.
// corrupt_data names the rule that is broken and the file; version_too_new says what to upgrade;
// unsupported for bytes that are none of the formats. Cost: in the number of files and functions,
// not in bytes (a stock payload's identity is computed from its content only when
// OpenOptions::verify_checksums, verify_content() or compute_content_id() asks for it).
Result<DelegateCall> open_delegate_call(const Bytes& processed, const OpenOptions& options);

// A whole blob of ours.
Result<Blob> open_coreml_blob(const Bytes& bytes, const OpenOptions& options);

// A stock flattened directory with its metadata.json. Of the options, only verify_checksums
// matters.
Result<Blob> open_flattened_directory(const Bytes& bytes, const OpenOptions& options = {});

// Reads every file and fails with corrupt_data, naming it, if it does not have its checksum or the
// blob not its identifier. For a stock payload, which has none, computes the identity. Returns the
// content identifier, now established.
Result<Sha256Digest> verify_content(const Blob& blob);

// The SHA-256 over the canonical content, as docs/blob_format.md defines it.
Result<Sha256Digest> compute_content_id(const Blob& blob);

}  // namespace coreml_delegate::blob

#endif  // COREML_DELEGATE_BLOB_BLOB_H_
