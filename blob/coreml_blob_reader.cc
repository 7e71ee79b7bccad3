#include "blob/coreml_blob_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "blob/content_identity.h"
#include "blob/rules.h"
#include "blob/stock_form.h"
#include "schema/coreml_blob_generated.h"

namespace coreml_delegate::blob {
namespace {

static_assert(std::endian::native == std::endian::little,
              "vectors of numbers are read from the table as they are");

constexpr size_t kPrefixBytes = 4;       // u32, the size of the FlatBuffer.
constexpr size_t kIdentifierOffset = 8;  // From the start of the bytes.
// The table is read at an address that suits its largest scalar.
constexpr size_t kTableAlignment = 8;

// Copies the strings of the table, and bounds what a table can make of itself by naming one string
// many times.
class NameDecoder {
 public:
  Result<std::string> decode(const flatbuffers::String* text) {
    if (text == nullptr) return std::string();
    total_ += text->size();
    if (total_ > kMaxTotalNameBytes) {
      return corrupt_data("all names of the table together have more than 64 MiB");
    }
    return std::string(text->data(), text->size());
  }

  // The same for a text that is only shown: it must be UTF-8, and its length is limited as a name's
  // is.
  Result<std::string> decode_note(const flatbuffers::String* text, const char* what) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(std::string note, decode(text));
    if (!note.empty())
      COREML_DELEGATE_RETURN_IF_ERROR(check_name(note, what, StatusCode::kCorruptData));
    return note;
  }

 private:
  uint64_t total_ = 0;
};

// The size-prefixed FlatBuffer at the start of the bytes, verified.
struct Table {
  // The prefix and the buffer; a copy of their own where the bytes lie at an address that does not
  // suit.
  Bytes bytes;
  const schema::Root* root = nullptr;
};

Result<Table> read_table(const Bytes& bytes) {
  if (bytes.size() < kIdentifierOffset + 4) {
    return corrupt_data("the blob is shorter than its header");
  }
  uint32_t table_size;
  std::memcpy(&table_size, bytes.data(), sizeof(table_size));
  const uint64_t end = uint64_t{kPrefixBytes} + table_size;
  if (end > bytes.size()) {
    return corrupt_data("the table's size prefix, " + std::to_string(table_size) +
                        ", reaches beyond the blob's " + std::to_string(bytes.size()) + " bytes");
  }
  if (end > kMaxTableBytes) return corrupt_data("the table is larger than 2 GiB");

  Table table;
  table.bytes = bytes.subspan(0, static_cast<size_t>(end));
  if (reinterpret_cast<uintptr_t>(bytes.data()) % kTableAlignment != 0) {
    auto words = std::make_shared<std::vector<uint64_t>>((end + 7) / 8);
    std::memcpy(words->data(), bytes.data(), static_cast<size_t>(end));
    const ByteSpan copy = std::as_bytes(std::span(*words)).first(static_cast<size_t>(end));
    table.bytes = Bytes(copy, std::move(words));
  }
  const auto* data = reinterpret_cast<const uint8_t*>(table.bytes.data());
  flatbuffers::Verifier::Options options;
  options.max_depth = 64;
  // A table takes at least 4 bytes and a reference to it 4 more; a table that is referred to more
  // often than there is room for is one of few bytes that stands for many.
  options.max_tables = table_size / 8 + 1;
  flatbuffers::Verifier verifier(data, static_cast<size_t>(end), options);
  if (!schema::VerifySizePrefixedRootBuffer(verifier)) {
    return corrupt_data("the table is damaged: an offset, size or required field is wrong");
  }
  table.root = schema::GetSizePrefixedRoot(data);
  return table;
}

Status check_version(uint16_t major, uint16_t minor) {
  if (major == 0) return corrupt_data("the blob has major version 0, which never existed");
  if (major > kMajorVersion) {
    return Status(StatusCode::kVersionTooNew,
                  "the blob has format version " + std::to_string(major) + "." +
                      std::to_string(minor) + ", and this runtime reads versions up to " +
                      std::to_string(kMajorVersion) +
                      "; upgrade the Core ML delegate, or export the program with an older one");
  }
  return {};
}

// A value that an enumeration does not have: of a later minor version, or damage.
Status unknown_value(const char* what, int value, uint16_t minor, const std::string& artifact) {
  const std::string message = std::string(what) + " " + std::to_string(value) + " is not known";
  if (minor > kMinorVersion) {
    return Status(StatusCode::kVersionTooNew, message + "; upgrade the Core ML delegate", artifact);
  }
  return corrupt_data(message, artifact);
}

Result<Sha256Digest> read_digest(const flatbuffers::Vector<uint8_t>* bytes, const char* what,
                                 const std::string& artifact) {
  Sha256Digest digest;
  if (bytes->size() != digest.size()) {
    return corrupt_data(
        std::string(what) + " has " + std::to_string(bytes->size()) + " bytes instead of 32",
        artifact);
  }
  std::memcpy(digest.data(), bytes->data(), digest.size());
  return digest;
}

struct Range {
  uint64_t offset;
  uint64_t size;
  const std::string* path;
};

Status check_overlap(std::vector<Range> ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return a.offset < b.offset; });
  for (size_t i = 1; i < ranges.size(); ++i) {
    const Range& before = ranges[i - 1];
    if (before.offset + before.size > ranges[i].offset) {
      return corrupt_data("the bytes of the file overlap those of " + *before.path,
                          *ranges[i].path);
    }
  }
  return {};
}

class BlobReader {
 public:
  BlobReader(const Bytes& bytes, const Table& table, const schema::Blob& source,
             const NamedDataLookup& named_data)
      : bytes_(bytes), table_(table), source_(source), named_data_(named_data) {}

  Result<Blob> read(IdentityCheck identity) {
    COREML_DELEGATE_RETURN_IF_ERROR(
        check_version(source_.major_version(), source_.minor_version()));
    const int kind = static_cast<int>(source_.kind());
    if (kind > static_cast<int>(schema::Kind::Compiled)) {
      return unknown_value("the kind", kind, source_.minor_version(), {});
    }
    blob_.kind = source_.kind() == schema::Kind::Compiled ? Kind::kCompiled : Kind::kPackage;
    blob_.specification_version = source_.specification_version();
    COREML_DELEGATE_ASSIGN_OR_RETURN(
        blob_.content_id, read_digest(source_.content_id(), "the content identifier", {}));
    COREML_DELEGATE_RETURN_IF_ERROR(find_payload());
    COREML_DELEGATE_RETURN_IF_ERROR(read_files());
    COREML_DELEGATE_RETURN_IF_ERROR(read_functions());
    COREML_DELEGATE_RETURN_IF_ERROR(read_notes());
    if (identity == IdentityCheck::kCompare) {
      const Sha256Digest stated = content_identity(blob_.kind, blob_.specification_version,
                                                   blob_.file_records, blob_.functions);
      if (stated != blob_.content_id) {
        return corrupt_data("the content identifier is " + to_hex(blob_.content_id) +
                            ", but the table leads to " + to_hex(stated) +
                            ": a path, size, checksum or function was changed");
      }
    }
    if (const uint64_t stock_bytes = source_.stock_bytes(); stock_bytes > 0) {
      COREML_DELEGATE_RETURN_IF_ERROR(check_stock_form(bytes_, stock_bytes, blob_));
      blob_.for_stock_runtime = true;
    }
    return std::move(blob_);
  }

 private:
  Status find_payload() {
    const uint32_t alignment = source_.alignment();
    if (!is_valid_alignment(alignment)) {
      return corrupt_data("the alignment " + std::to_string(alignment) +
                          " is not a power of two of at most 65536");
    }
    const uint64_t start = align_up(table_.bytes.size(), alignment);
    const uint64_t size = source_.payload_size();
    if (start > bytes_.size() || size > bytes_.size() - start) {
      return corrupt_data("the blob is cut short: the payload of " + std::to_string(size) +
                          " bytes starts at " + std::to_string(start) + ", and the blob has " +
                          std::to_string(bytes_.size()) + " bytes");
    }
    if (size < bytes_.size() - start) {
      return corrupt_data("the blob has " + std::to_string(bytes_.size() - start - size) +
                          " bytes behind its payload");
    }
    // What is there for the stock runtime belongs to no file.
    const uint64_t stock_bytes = source_.stock_bytes();
    if (stock_bytes > size) {
      return corrupt_data("the " + std::to_string(stock_bytes) +
                          " bytes for the stock runtime are more than the payload's " +
                          std::to_string(size));
    }
    payload_ = bytes_.subspan(static_cast<size_t>(start), static_cast<size_t>(size - stock_bytes));
    return {};
  }

  Result<Bytes> inline_content(const schema::File& file, const std::string& path) {
    const uint64_t offset = file.offset();
    if (offset > payload_.size() || file.size() > payload_.size() - offset) {
      return corrupt_data("the file's " + std::to_string(file.size()) + " bytes at " +
                              std::to_string(offset) + " reach beyond the payload of " +
                              std::to_string(payload_.size()),
                          path);
    }
    if (offset % source_.alignment() != 0) {
      return corrupt_data("the file's offset " + std::to_string(offset) +
                              " is not a multiple of the alignment " +
                              std::to_string(source_.alignment()),
                          path);
    }
    return payload_.subspan(static_cast<size_t>(offset), static_cast<size_t>(file.size()));
  }

  Result<Bytes> named_content(const schema::File& file, const FileRecord& record) {
    COREML_DELEGATE_RETURN_IF_ERROR(check_name(
        record.named_data_key, "the named-data key of " + record.path, StatusCode::kCorruptData));
    if (!named_data_) {
      return not_found("the bytes of the file are in the program's named data under '" +
                           record.named_data_key + "', but no named data was given",
                       record.path);
    }
    Result<Bytes> found = named_data_(record.named_data_key);
    if (!found.ok()) {
      return found.status().annotate(
          "cannot get the bytes of the file from the program's named data under '" +
              record.named_data_key + "'",
          record.path);
    }
    if (found->size() != file.size()) {
      return corrupt_data("the named data '" + record.named_data_key + "' has " +
                              std::to_string(found->size()) + " bytes instead of " +
                              std::to_string(file.size()),
                          record.path);
    }
    return found;
  }

  Status read_files() {
    const auto& files = *source_.files();
    if (files.size() == 0) return corrupt_data("the blob has no files");
    if (files.size() > kMaxFiles) return corrupt_data("the blob has more than 100000 files");
    blob_.file_records.reserve(files.size());
    std::vector<Range> ranges;
    for (const schema::File* file : files) {
      FileRecord& record = blob_.file_records.emplace_back();
      COREML_DELEGATE_ASSIGN_OR_RETURN(record.path, names_.decode(file->path()));
      record.size = file->size();
      if (Status path = inmemoryfs::check_path(record.path); !path.ok()) {
        return path.annotate_as(StatusCode::kCorruptData, "the path of a file is not allowed");
      }
      COREML_DELEGATE_ASSIGN_OR_RETURN(
          record.checksum, read_digest(file->checksum(), "the file's checksum", record.path));
      Bytes content;
      if (file->named_data_key() != nullptr) {
        COREML_DELEGATE_ASSIGN_OR_RETURN(record.named_data_key,
                                         names_.decode(file->named_data_key()));
        COREML_DELEGATE_ASSIGN_OR_RETURN(content, named_content(*file, record));
      } else {
        COREML_DELEGATE_ASSIGN_OR_RETURN(content, inline_content(*file, record.path));
        // The records were reserved, so their addresses stay.
        if (file->size() > 0) ranges.push_back({file->offset(), file->size(), &record.path});
      }
      if (Status added = blob_.files.add_file(record.path, std::move(content)); !added.ok()) {
        return added.annotate_as(StatusCode::kCorruptData,
                                 "the paths of two files exclude each other", record.path);
      }
    }
    COREML_DELEGATE_RETURN_IF_ERROR(check_overlap(std::move(ranges)));
    std::sort(blob_.file_records.begin(), blob_.file_records.end(),
              [](const FileRecord& a, const FileRecord& b) { return a.path < b.path; });
    return {};
  }

  Result<TensorSpec> read_tensor(const schema::Tensor& source, const std::string& function) {
    TensorSpec tensor;
    COREML_DELEGATE_ASSIGN_OR_RETURN(tensor.name, names_.decode(source.name()));
    const int dtype = static_cast<int>(source.dtype());
    if (dtype > static_cast<int>(DataType::kFloat64)) {
      return unknown_value("the dtype", dtype, source_.minor_version(),
                           "tensor " + tensor.name + " of function " + function);
    }
    tensor.dtype = static_cast<DataType>(dtype);
    const auto too_large = [&](const char* what) {
      return corrupt_data(what, "tensor " + tensor.name + " of function " + function);
    };
    if (source.dimensions() != nullptr) {
      const auto& dimensions = *source.dimensions();
      if (dimensions.size() > kMaxRank) return too_large("the rank is above 16");
      // By memcpy: the verifier does not check that the elements of a vector of structs are
      // aligned.
      tensor.shape.resize(dimensions.size());
      static_assert(sizeof(schema::Dimension) == sizeof(Dimension));
      if (!tensor.shape.empty()) {
        std::memcpy(tensor.shape.data(), dimensions.Data(),
                    dimensions.size() * sizeof(schema::Dimension));
      }
    }
    if (source.enumerated_shapes() == nullptr) return tensor;
    const auto& shapes = *source.enumerated_shapes();
    if (shapes.size() > kMaxEnumeratedShapes)
      return too_large("there are more than 1024 enumerated shapes");
    for (const schema::Shape* shape : shapes) {
      const auto& extents = *shape->extents();
      if (extents.size() > kMaxRank) return too_large("an enumerated shape has a rank above 16");
      std::vector<int64_t>& target = tensor.enumerated_shapes.emplace_back(extents.size());
      if (!target.empty()) {
        std::memcpy(target.data(), extents.Data(), extents.size() * sizeof(int64_t));
      }
    }
    return tensor;
  }

  Status read_tensors(const flatbuffers::Vector<flatbuffers::Offset<schema::Tensor>>* source,
                      const std::string& function, std::vector<TensorSpec>& tensors) {
    if (source == nullptr) return {};
    for (const schema::Tensor* tensor : *source) {
      COREML_DELEGATE_ASSIGN_OR_RETURN(tensors.emplace_back(), read_tensor(*tensor, function));
    }
    return {};
  }

  Status read_functions() {
    for (const schema::Function* source : *source_.functions()) {
      Function& function = blob_.functions.emplace_back();
      COREML_DELEGATE_ASSIGN_OR_RETURN(function.name, names_.decode(source->name()));
      COREML_DELEGATE_ASSIGN_OR_RETURN(function.method, names_.decode(source->method()));
      COREML_DELEGATE_RETURN_IF_ERROR(
          read_tensors(source->inputs(), function.name, function.inputs));
      COREML_DELEGATE_RETURN_IF_ERROR(
          read_tensors(source->outputs(), function.name, function.outputs));
      if (source->states() == nullptr) continue;
      for (const schema::State* state : *source->states()) {
        State& target = function.states.emplace_back();
        COREML_DELEGATE_ASSIGN_OR_RETURN(target.tensor,
                                         read_tensor(*state->tensor(), function.name));
        COREML_DELEGATE_ASSIGN_OR_RETURN(target.initial_value_path,
                                         names_.decode(state->initial_value_path()));
      }
    }
    return check_functions(blob_.functions, blob_.files, StatusCode::kCorruptData);
  }

  // What was asked for, who wrote it, the debug map: none of it takes part in the identity.
  Status read_notes() {
    if (const schema::Request* request = source_.request(); request != nullptr) {
      COREML_DELEGATE_ASSIGN_OR_RETURN(
          blob_.compute_units, names_.decode_note(request->compute_units(), "the compute units"));
      COREML_DELEGATE_ASSIGN_OR_RETURN(
          blob_.compute_precision,
          names_.decode_note(request->compute_precision(), "the compute precision"));
      COREML_DELEGATE_ASSIGN_OR_RETURN(
          blob_.deployment_target,
          names_.decode_note(request->deployment_target(), "the deployment target"));
    }
    if (const schema::Producer* producer = source_.producer(); producer != nullptr) {
      COREML_DELEGATE_ASSIGN_OR_RETURN(blob_.producer,
                                       names_.decode_note(producer->name(), "the producer"));
      if (producer->versions() != nullptr) {
        for (const schema::Version* version : *producer->versions()) {
          auto& [component, number] = blob_.producer_versions.emplace_back();
          COREML_DELEGATE_ASSIGN_OR_RETURN(
              component, names_.decode_note(version->component(), "a producer's component"));
          COREML_DELEGATE_ASSIGN_OR_RETURN(
              number, names_.decode_note(version->version(), "a producer's version"));
        }
      }
    }
    if (const auto* map = source_.debug_map(); map != nullptr && map->size() > 0) {
      const auto* start = reinterpret_cast<const std::byte*>(map->data());
      blob_.debug_map =
          table_.bytes.subspan(static_cast<size_t>(start - table_.bytes.data()), map->size());
    }
    return {};
  }

  const Bytes& bytes_;
  const Table& table_;
  const schema::Blob& source_;
  const NamedDataLookup& named_data_;
  NameDecoder names_;
  Bytes payload_;
  Blob blob_;
};

Result<BlobReference> read_reference(const Bytes& bytes, const Table& table,
                                     const schema::Reference& source) {
  COREML_DELEGATE_RETURN_IF_ERROR(check_version(source.major_version(), source.minor_version()));
  if (table.bytes.size() != bytes.size()) {
    return corrupt_data("a reference has " + std::to_string(bytes.size() - table.bytes.size()) +
                        " bytes behind it");
  }
  NameDecoder names;
  BlobReference reference;
  COREML_DELEGATE_ASSIGN_OR_RETURN(reference.named_data_key, names.decode(source.named_data_key()));
  COREML_DELEGATE_ASSIGN_OR_RETURN(reference.function_name, names.decode(source.function_name()));
  COREML_DELEGATE_RETURN_IF_ERROR(check_name(
      reference.named_data_key, "the named-data key of a reference", StatusCode::kCorruptData));
  COREML_DELEGATE_RETURN_IF_ERROR(check_name(
      reference.function_name, "the function name of a reference", StatusCode::kCorruptData));
  return reference;
}

}  // namespace

bool has_coreml_blob_identifier(ByteSpan bytes) {
  return bytes.size() >= kIdentifierOffset + 4 &&
         as_text(bytes.subspan(kIdentifierOffset, 4)) == schema::RootIdentifier();
}

Result<std::variant<Blob, BlobReference>> read_coreml_blob(const Bytes& bytes,
                                                           const NamedDataLookup& named_data,
                                                           IdentityCheck identity) {
  if (!has_coreml_blob_identifier(bytes.span())) {
    return corrupt_data("the file identifier CMLB is missing");
  }
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Table table, read_table(bytes));
  switch (table.root->content_type()) {
    case schema::Content::Blob: {
      BlobReader reader(bytes, table, *table.root->content_as_Blob(), named_data);
      COREML_DELEGATE_ASSIGN_OR_RETURN(Blob blob, reader.read(identity));
      return std::variant<Blob, BlobReference>(std::move(blob));
    }
    case schema::Content::Reference: {
      COREML_DELEGATE_ASSIGN_OR_RETURN(
          BlobReference reference,
          read_reference(bytes, table, *table.root->content_as_Reference()));
      return std::variant<Blob, BlobReference>(std::move(reference));
    }
    case schema::Content::NONE:
      break;
  }
  const int type = static_cast<int>(table.root->content_type());
  if (type == 0) return corrupt_data("the table holds neither a blob nor a reference");
  return Status(StatusCode::kVersionTooNew,
                "the table holds content of type " + std::to_string(type) +
                    ", which this version does not know; upgrade the Core ML delegate");
}

Status verify_coreml_blob_table(const Bytes& bytes) { return read_table(bytes).status(); }

}  // namespace coreml_delegate::blob
