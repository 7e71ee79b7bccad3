#include "blob/coreml_blob_writer.h"

#include <algorithm>

#include "blob/content_identity.h"
#include "blob/rules.h"
#include "blob/stock_form.h"
#include "schema/coreml_blob_generated.h"

namespace coreml_delegate::blob {
namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

Offset<flatbuffers::String> optional_string(FlatBufferBuilder& builder, const std::string& text) {
  return text.empty() ? Offset<flatbuffers::String>() : builder.CreateString(text);
}

Offset<flatbuffers::Vector<uint8_t>> digest_vector(FlatBufferBuilder& builder,
                                                   const Sha256Digest& digest) {
  return builder.CreateVector(digest.data(), digest.size());
}

Offset<schema::Tensor> tensor_table(FlatBufferBuilder& builder, const TensorSpec& tensor) {
  const auto name = builder.CreateString(tensor.name);
  std::vector<schema::Dimension> dimensions;
  for (const Dimension& dimension : tensor.shape) {
    dimensions.emplace_back(dimension.min, dimension.max);
  }
  const auto dimension_vector = builder.CreateVectorOfStructs(dimensions);
  Offset<flatbuffers::Vector<Offset<schema::Shape>>> shape_vector;
  if (!tensor.enumerated_shapes.empty()) {
    std::vector<Offset<schema::Shape>> shapes;
    for (const std::vector<int64_t>& extents : tensor.enumerated_shapes) {
      shapes.push_back(schema::CreateShape(builder, builder.CreateVector(extents)));
    }
    shape_vector = builder.CreateVector(shapes);
  }
  return schema::CreateTensor(builder, name, static_cast<schema::DataType>(tensor.dtype),
                              dimension_vector, shape_vector);
}

Offset<flatbuffers::Vector<Offset<schema::Tensor>>> tensor_vector(
    FlatBufferBuilder& builder, const std::vector<TensorSpec>& tensors) {
  std::vector<Offset<schema::Tensor>> offsets;
  for (const TensorSpec& tensor : tensors) offsets.push_back(tensor_table(builder, tensor));
  return builder.CreateVector(offsets);
}

Offset<schema::Function> function_table(FlatBufferBuilder& builder, const Function& function) {
  const auto name = builder.CreateString(function.name);
  const auto method = optional_string(builder, function.method);
  const auto inputs = tensor_vector(builder, function.inputs);
  const auto outputs = tensor_vector(builder, function.outputs);
  std::vector<const State*> sorted;
  for (const State& state : function.states) sorted.push_back(&state);
  std::sort(sorted.begin(), sorted.end(),
            [](const State* a, const State* b) { return a->tensor.name < b->tensor.name; });
  Offset<flatbuffers::Vector<Offset<schema::State>>> state_vector;
  if (!sorted.empty()) {
    std::vector<Offset<schema::State>> states;
    for (const State* state : sorted) {
      const auto tensor = tensor_table(builder, state->tensor);
      const auto path = optional_string(builder, state->initial_value_path);
      states.push_back(schema::CreateState(builder, tensor, path));
    }
    state_vector = builder.CreateVector(states);
  }
  return schema::CreateFunction(builder, name, method, inputs, outputs, state_vector);
}

Offset<schema::Request> request_table(FlatBufferBuilder& builder,
                                      const BlobDescription& description) {
  const auto units = optional_string(builder, description.compute_units);
  const auto precision = optional_string(builder, description.compute_precision);
  const auto target = optional_string(builder, description.deployment_target);
  return schema::CreateRequest(builder, units, precision, target);
}

Offset<schema::Producer> producer_table(FlatBufferBuilder& builder,
                                        const BlobDescription& description) {
  const auto name = optional_string(builder, description.producer);
  std::vector<Offset<schema::Version>> versions;
  for (const auto& [component, number] : description.producer_versions) {
    const auto component_string = builder.CreateString(component);
    const auto number_string = builder.CreateString(number);
    versions.push_back(schema::CreateVersion(builder, component_string, number_string));
  }
  return schema::CreateProducer(builder, name, builder.CreateVector(versions));
}

// The size-prefixed buffer.
std::vector<std::byte> finish(FlatBufferBuilder& builder, schema::Content type,
                              Offset<void> content) {
  schema::FinishSizePrefixedRootBuffer(builder, schema::CreateRoot(builder, type, content));
  const auto* start = reinterpret_cast<const std::byte*>(builder.GetBufferPointer());
  return {start, start + builder.GetSize()};
}

Status check_notes(const BlobDescription& description) {
  const auto check = [](const std::string& text, const char* what) {
    return text.empty() ? Status() : check_name(text, what, StatusCode::kInvalidArgument);
  };
  COREML_DELEGATE_RETURN_IF_ERROR(check(description.compute_units, "the compute units"));
  COREML_DELEGATE_RETURN_IF_ERROR(check(description.compute_precision, "the compute precision"));
  COREML_DELEGATE_RETURN_IF_ERROR(check(description.deployment_target, "the deployment target"));
  COREML_DELEGATE_RETURN_IF_ERROR(check(description.producer, "the producer"));
  for (const auto& [component, number] : description.producer_versions) {
    COREML_DELEGATE_RETURN_IF_ERROR(check(component, "a producer's component"));
    COREML_DELEGATE_RETURN_IF_ERROR(check(number, "a producer's version"));
  }
  return {};
}

}  // namespace

Result<CoreMLBlobWriter> CoreMLBlobWriter::create(
    const BlobDescription& description, const inmemoryfs::InMemoryFileSystem& files,
    const std::map<std::string, std::string>& named_data_keys) {
  if (!is_valid_alignment(description.alignment)) {
    return invalid_argument("the alignment " + std::to_string(description.alignment) +
                            " is not a power of two of at most 65536");
  }
  COREML_DELEGATE_RETURN_IF_ERROR(
      check_functions(description.functions, files, StatusCode::kInvalidArgument));
  COREML_DELEGATE_RETURN_IF_ERROR(check_notes(description));
  CoreMLBlobWriter writer;
  writer.alignment_ = description.alignment;
  if (description.for_stock_runtime) {
    COREML_DELEGATE_RETURN_IF_ERROR(
        check_stock_can_carry(description.functions, StatusCode::kInvalidArgument));
    if (!named_data_keys.empty()) {
      return invalid_argument("the stock runtime cannot read files that lie in named data",
                              named_data_keys.begin()->first);
    }
  }
  COREML_DELEGATE_RETURN_IF_ERROR(writer.add_files(files, named_data_keys, description.alignment));
  writer.content_id_ = content_identity(description.kind, description.specification_version,
                                        writer.records_, description.functions);
  COREML_DELEGATE_RETURN_IF_ERROR(writer.build_table(description));
  writer.payload_start_ = align_up(writer.table_.size(), description.alignment);
  if (description.for_stock_runtime) {
    COREML_DELEGATE_RETURN_IF_ERROR(writer.add_stock_form(description, files));
  }
  return writer;
}

Status CoreMLBlobWriter::add_files(const inmemoryfs::InMemoryFileSystem& files,
                                   const std::map<std::string, std::string>& named_data_keys,
                                   uint32_t alignment) {
  std::vector<std::pair<std::string, Bytes>> sorted;
  COREML_DELEGATE_RETURN_IF_ERROR(files.walk(
      "", [&](std::string_view path, const inmemoryfs::Metadata& metadata, const Bytes& content) {
        if (metadata.kind == inmemoryfs::NodeKind::kFile) sorted.emplace_back(path, content);
        return Status();
      }));
  if (sorted.empty()) return invalid_argument("the blob would have no files");
  if (sorted.size() > kMaxFiles)
    return invalid_argument("the blob would have more than 100000 files");
  // Whole paths: the walk compares component by component, in which a '/' sorts before everything.
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  size_t named = 0;
  for (auto& [path, content] : sorted) {
    FileRecord& record = records_.emplace_back();
    record.path = path;
    record.size = content.size();
    record.checksum = hash_file(content);
    uint64_t offset = 0;
    if (const auto key = named_data_keys.find(path); key != named_data_keys.end()) {
      COREML_DELEGATE_RETURN_IF_ERROR(
          check_name(key->second, "the named-data key of " + path, StatusCode::kInvalidArgument));
      record.named_data_key = key->second;
      ++named;
    } else if (record.size > 0) {
      offset = align_up(files_size_, alignment);
      files_size_ = offset + record.size;
      inline_files_.push_back({offset, std::move(content)});
    }
    offsets_.push_back(offset);
  }
  if (named == named_data_keys.size()) return {};
  for (const auto& [path, key] : named_data_keys) {
    if (files.read(path).ok()) continue;
    return invalid_argument("a named-data key was given for a file that does not exist", path);
  }
  return internal_error("the named-data keys do not fit the files");
}

Status CoreMLBlobWriter::build_table(const BlobDescription& description) {
  // FlatBufferBuilder ends the process when it grows beyond its limit; the names are bounded by the
  // rules, the map is not.
  uint64_t bound = description.debug_map.size();
  for (const FileRecord& record : records_) {
    bound += record.path.size() + record.named_data_key.size() + 128;
  }
  const auto add = [&bound](const TensorSpec& tensor) {
    bound += tensor.name.size() + 64 + 16 * tensor.shape.size() +
             tensor.enumerated_shapes.size() * (32 + 8 * tensor.shape.size());
  };
  for (const Function& function : description.functions) {
    bound += function.name.size() + function.method.size() + 64;
    for (const TensorSpec& tensor : function.inputs) add(tensor);
    for (const TensorSpec& tensor : function.outputs) add(tensor);
    for (const State& state : function.states) {
      add(state.tensor);
      bound += state.initial_value_path.size() + 32;
    }
  }
  if (bound > kMaxTableBytes - (uint64_t{16} << 20)) {
    return invalid_argument("the table would be larger than 2 GiB; leave out the debug map");
  }

  FlatBufferBuilder builder;
  std::vector<Offset<schema::File>> files;
  for (size_t i = 0; i < records_.size(); ++i) {
    const FileRecord& record = records_[i];
    const auto path = builder.CreateString(record.path);
    const auto checksum = digest_vector(builder, record.checksum);
    const auto key = optional_string(builder, record.named_data_key);
    files.push_back(schema::CreateFile(builder, path, record.size, checksum, offsets_[i], key));
  }
  const auto file_vector = builder.CreateVector(files);
  std::vector<const Function*> sorted;
  for (const Function& function : description.functions) sorted.push_back(&function);
  std::sort(sorted.begin(), sorted.end(),
            [](const Function* a, const Function* b) { return a->name < b->name; });
  std::vector<Offset<schema::Function>> functions;
  for (const Function* function : sorted) functions.push_back(function_table(builder, *function));
  const auto function_vector = builder.CreateVector(functions);
  const auto content_id = digest_vector(builder, content_id_);
  const auto request = request_table(builder, description);
  const auto producer = producer_table(builder, description);
  Offset<flatbuffers::Vector<uint8_t>> debug_map;
  if (description.debug_map.size() > 0) {
    debug_map = builder.CreateVector(reinterpret_cast<const uint8_t*>(description.debug_map.data()),
                                     description.debug_map.size());
  }
  const auto blob = schema::CreateBlob(
      builder, kMajorVersion, kMinorVersion,
      description.kind == Kind::kCompiled ? schema::Kind::Compiled : schema::Kind::Package,
      content_id, description.specification_version, description.alignment, payload_size(),
      file_vector, function_vector, request, producer, debug_map, stock_form_.size());
  table_ = finish(builder, schema::Content::Blob, blob.Union());
  const auto* start = reinterpret_cast<const uint8_t*>(table_.data());
  const auto* map = schema::GetSizePrefixedRoot(start)->content_as_Blob()->debug_map();
  debug_map_offset_ = map == nullptr ? 0 : static_cast<uint64_t>(map->data() - start);
  return {};
}

uint64_t CoreMLBlobWriter::stock_start() const { return align_up(files_size_, alignment_); }

uint64_t CoreMLBlobWriter::payload_size() const {
  return stock_form_.empty() ? files_size_ : stock_start() + stock_form_.size();
}

Status CoreMLBlobWriter::add_stock_form(const BlobDescription& description,
                                        const inmemoryfs::InMemoryFileSystem& files) {
  Blob blob;
  blob.kind = description.kind;
  blob.content_id = content_id_;
  blob.functions = description.functions;
  blob.debug_map = description.debug_map;
  // The form has the offsets of what the table's size moves, and the table has the form's size. The
  // size of the table does not depend on the numbers in it as long as none is the default, so a
  // table with any size for the form is as large as the last one.
  stock_form_ = "?";
  COREML_DELEGATE_RETURN_IF_ERROR(build_table(description));
  const size_t table_size = table_.size();
  payload_start_ = align_up(table_size, alignment_);
  std::map<std::string, uint64_t> offsets;
  for (size_t i = 0; i < records_.size(); ++i) offsets[records_[i].path] = offsets_[i];
  StockLayout layout;
  layout.file_offset = [&](const std::string& path) { return payload_start_ + offsets.at(path); };
  layout.debug_map_offset = debug_map_offset_;
  layout.end = payload_start_ + stock_start();
  COREML_DELEGATE_ASSIGN_OR_RETURN(stock_form_, encode_stock_form(blob, files, layout));
  COREML_DELEGATE_RETURN_IF_ERROR(build_table(description));
  if (table_.size() != table_size || debug_map_offset_ != layout.debug_map_offset) {
    return internal_error("the table's size depends on the numbers in it");
  }
  return {};
}

Status CoreMLBlobWriter::write(ByteSink& sink) const {
  COREML_DELEGATE_RETURN_IF_ERROR(sink.append(table_));
  COREML_DELEGATE_RETURN_IF_ERROR(sink.append_zeros(payload_start_ - table_.size()));
  uint64_t end = 0;
  for (const InlineFile& file : inline_files_) {
    COREML_DELEGATE_RETURN_IF_ERROR(sink.append_zeros(file.offset - end));
    COREML_DELEGATE_RETURN_IF_ERROR(sink.append_file(file.content));
    end = file.offset + file.content.size();
  }
  if (stock_form_.empty()) return {};
  COREML_DELEGATE_RETURN_IF_ERROR(sink.append_zeros(stock_start() - end));
  return sink.append(as_bytes(stock_form_));
}

Result<std::vector<std::byte>> encode_reference(const std::string& named_data_key,
                                                const std::string& function_name) {
  COREML_DELEGATE_RETURN_IF_ERROR(check_name(named_data_key, "the named-data key of a reference",
                                             StatusCode::kInvalidArgument));
  COREML_DELEGATE_RETURN_IF_ERROR(
      check_name(function_name, "the function name of a reference", StatusCode::kInvalidArgument));
  FlatBufferBuilder builder;
  const auto key = builder.CreateString(named_data_key);
  const auto function = builder.CreateString(function_name);
  const auto reference =
      schema::CreateReference(builder, kMajorVersion, kMinorVersion, key, function);
  return finish(builder, schema::Content::Reference, reference.Union());
}

}  // namespace coreml_delegate::blob
