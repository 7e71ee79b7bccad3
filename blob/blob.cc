#include "blob/blob.h"

#include <utility>
#include <variant>

#include "blob/content_identity.h"
#include "blob/coreml_blob_reader.h"
#include "blob/flattened_directory.h"
#include "blob/stock_metadata.h"

namespace coreml_delegate::blob {
namespace {

// Every file with the checksum that its bytes have.
Result<std::vector<FileRecord>> hash_files(const inmemoryfs::InMemoryFileSystem& files) {
  std::vector<FileRecord> records;
  COREML_DELEGATE_RETURN_IF_ERROR(files.walk(
      "", [&](std::string_view path, const inmemoryfs::Metadata& metadata, const Bytes& content) {
        if (metadata.kind == inmemoryfs::NodeKind::kFile) {
          records.push_back({std::string(path), metadata.size, hash_file(content), {}});
        }
        return Status();
      }));
  return records;
}

bool is_directory(const inmemoryfs::InMemoryFileSystem& tree, const char* path) {
  const Result<inmemoryfs::Metadata> metadata = tree.metadata(path);
  return metadata.ok() && metadata->kind == inmemoryfs::NodeKind::kDirectory;
}

Status verify_if_asked(Blob& blob, const OpenOptions& options) {
  if (!options.verify_checksums) return {};
  COREML_DELEGATE_ASSIGN_OR_RETURN(blob.content_id, verify_content(blob));
  return {};
}

// The names of the functions, quoted, for messages.
std::string function_names(const Blob& blob) {
  constexpr size_t kShown = 20;
  std::string names;
  for (size_t i = 0; i < blob.functions.size() && i < kShown; ++i) {
    if (i > 0) names += ", ";
    names += "'" + blob.functions[i].name + "'";
  }
  if (blob.functions.size() > kShown) names += ", ...";
  return names;
}

// What the program's named data have under `key`, for a reference.
Result<Bytes> follow(const std::string& key, const OpenOptions& options) {
  if (!options.named_data) {
    return not_found("the model is in the program's named data, but no named data was given", key);
  }
  Result<Bytes> bytes = options.named_data(key);
  if (!bytes.ok()) {
    return bytes.status().annotate("cannot get the model from the program's named data", key);
  }
  return bytes;
}

// A call of `function_name` of `blob`, which was found in named data under `key`.
Result<DelegateCall> call_of(Blob blob, std::string function_name, const std::string& key) {
  if (const Result<const Function*> found = blob.function(function_name); !found.ok()) {
    return found.status().annotate_as(
        StatusCode::kCorruptData, "the model does not have the function that the reference names",
        key);
  }
  return DelegateCall{std::move(blob), std::move(function_name)};
}

}  // namespace

Result<const Function*> Blob::function(const std::string& name) const {
  for (const Function& candidate : functions) {
    if (candidate.name == name) return &candidate;
  }
  return not_found("there is no such function; the functions are " + function_names(*this),
                   "function " + name);
}

Result<Blob> open_coreml_blob(const Bytes& bytes, const OpenOptions& options) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(auto content, read_coreml_blob(bytes, options.named_data));
  if (!std::holds_alternative<Blob>(content)) {
    return corrupt_data("there is a reference where a whole blob must be");
  }
  Blob blob = std::get<Blob>(std::move(content));
  COREML_DELEGATE_RETURN_IF_ERROR(verify_if_asked(blob, options));
  return blob;
}

Result<Blob> open_flattened_directory(const Bytes& bytes, const OpenOptions& options) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const inmemoryfs::InMemoryFileSystem tree,
                                   read_flattened_directory(bytes));
  const bool has_package = is_directory(tree, stock_model_name(Kind::kPackage));
  const bool has_compiled = is_directory(tree, stock_model_name(Kind::kCompiled));
  if (has_package == has_compiled) {
    return corrupt_data(has_package
                            ? "the flattened directory has both model.mlpackage and model.mlmodelc"
                            : "the flattened directory has neither model.mlpackage nor "
                              "model.mlmodelc");
  }
  Blob blob;
  blob.format = Format::kFlattenedDirectory;
  blob.kind = has_package ? Kind::kPackage : Kind::kCompiled;
  blob.for_stock_runtime = true;
  COREML_DELEGATE_ASSIGN_OR_RETURN(blob.files, tree.subtree(stock_model_name(blob.kind)));
  if (blob.files.file_count() == 0) {
    return corrupt_data("the model folder has no files", stock_model_name(blob.kind));
  }
  const Result<Bytes> metadata = tree.read(kStockMetadata);
  if (!metadata.ok()) {
    return metadata.status().annotate_as(StatusCode::kCorruptData,
                                         "the flattened directory has no metadata.json");
  }
  COREML_DELEGATE_ASSIGN_OR_RETURN(blob.functions, parse_stock_metadata(metadata->span()));
  if (Result<Bytes> debug_info = tree.read(kStockDebugInfo); debug_info.ok()) {
    blob.debug_map = *std::move(debug_info);
  }
  COREML_DELEGATE_RETURN_IF_ERROR(verify_if_asked(blob, options));
  return blob;
}

Result<DelegateCall> open_delegate_call(const Bytes& processed, const OpenOptions& options) {
  if (has_coreml_blob_identifier(processed.span())) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(auto content, read_coreml_blob(processed, options.named_data));
    if (const auto* reference = std::get_if<BlobReference>(&content)) {
      COREML_DELEGATE_ASSIGN_OR_RETURN(const Bytes bytes,
                                       follow(reference->named_data_key, options));
      Result<Blob> blob = open_coreml_blob(bytes, options);
      if (!blob.ok()) {
        return blob.status().annotate("cannot open the blob that the reference names",
                                      reference->named_data_key);
      }
      return call_of(*std::move(blob), reference->function_name, reference->named_data_key);
    }
    DelegateCall call{std::get<Blob>(std::move(content)), {}};
    COREML_DELEGATE_RETURN_IF_ERROR(verify_if_asked(call.blob, options));
    return call;
  }
  if (is_stock_reference(processed.span())) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const StockReference reference,
                                     parse_stock_reference(processed.span()));
    COREML_DELEGATE_ASSIGN_OR_RETURN(const Bytes bytes, follow(reference.key, options));
    Result<Blob> blob = has_coreml_blob_identifier(bytes.span())
                            ? open_coreml_blob(bytes, options)
                            : open_flattened_directory(bytes, options);
    if (!blob.ok()) {
      return blob.status().annotate("cannot open the model that the reference names",
                                    reference.key);
    }
    if (!blob->for_stock_runtime) {
      return corrupt_data("a stock reference leads to a blob that the stock runtime cannot read",
                          reference.key);
    }
    return call_of(*std::move(blob), reference.function_name, reference.key);
  }
  COREML_DELEGATE_ASSIGN_OR_RETURN(Blob blob, open_flattened_directory(processed, options));
  return DelegateCall{std::move(blob), {}};
}

Result<Sha256Digest> compute_content_id(const Blob& blob) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::vector<FileRecord> files, hash_files(blob.files));
  return content_identity(blob.kind, blob.specification_version, files, blob.functions);
}

Result<Sha256Digest> verify_content(const Blob& blob) {
  if (blob.format != Format::kCoreMLBlob) return compute_content_id(blob);
  for (const FileRecord& record : blob.file_records) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const Bytes content, blob.files.read(record.path));
    const Sha256Digest found = hash_file(content);
    if (found == record.checksum) continue;
    return corrupt_data("the file's content has the SHA-256 " + to_hex(found) +
                            ", but the blob states " + to_hex(record.checksum) +
                            ": the file is damaged",
                        record.path);
  }
  const Sha256Digest identity =
      content_identity(blob.kind, blob.specification_version, blob.file_records, blob.functions);
  if (identity != blob.content_id) {
    return corrupt_data("the content has the identifier " + to_hex(identity) +
                        ", but the blob claims " + to_hex(blob.content_id));
  }
  return identity;
}

}  // namespace coreml_delegate::blob
