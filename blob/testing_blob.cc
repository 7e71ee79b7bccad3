#include "blob/testing_blob.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "blob/content_identity.h"
#include "blob/rules.h"
#include "schema/coreml_blob_generated.h"

namespace coreml_delegate::blob {
namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

std::vector<uint8_t> to_vector(const Sha256Digest& digest) {
  return {digest.begin(), digest.end()};
}

std::string finish(FlatBufferBuilder& builder, schema::Content type, Offset<void> content) {
  schema::FinishSizePrefixedRootBuffer(builder, schema::CreateRoot(builder, type, content));
  return {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()};
}

Offset<schema::Tensor> encode(FlatBufferBuilder& builder, const TensorSpec& tensor) {
  const auto name = builder.CreateString(tensor.name);
  std::vector<schema::Dimension> dimensions;
  for (const Dimension& d : tensor.shape) dimensions.emplace_back(d.min, d.max);
  const auto dimension_vector = builder.CreateVectorOfStructs(dimensions);
  std::vector<Offset<schema::Shape>> shapes;
  for (const std::vector<int64_t>& extents : tensor.enumerated_shapes) {
    shapes.push_back(schema::CreateShape(builder, builder.CreateVector(extents)));
  }
  return schema::CreateTensor(builder, name, static_cast<schema::DataType>(tensor.dtype),
                              dimension_vector, builder.CreateVector(shapes));
}

Offset<schema::Function> encode(FlatBufferBuilder& builder, const Function& function) {
  std::vector<Offset<schema::Tensor>> inputs;
  std::vector<Offset<schema::Tensor>> outputs;
  std::vector<Offset<schema::State>> states;
  for (const TensorSpec& tensor : function.inputs) inputs.push_back(encode(builder, tensor));
  for (const TensorSpec& tensor : function.outputs) outputs.push_back(encode(builder, tensor));
  for (const State& state : function.states) {
    const auto tensor = encode(builder, state.tensor);
    const auto path = state.initial_value_path.empty()
                          ? Offset<flatbuffers::String>()
                          : builder.CreateString(state.initial_value_path);
    states.push_back(schema::CreateState(builder, tensor, path));
  }
  const auto name = builder.CreateString(function.name);
  const auto method = builder.CreateString(function.method);
  const auto input_vector = builder.CreateVector(inputs);
  const auto output_vector = builder.CreateVector(outputs);
  return schema::CreateFunction(builder, name, method, input_vector, output_vector,
                                builder.CreateVector(states));
}

Sha256Digest right_identity(const RawBlob& blob) {
  std::vector<FileRecord> records;
  for (const RawFile& file : blob.files) {
    FileRecord& record = records.emplace_back();
    record.path = file.path;
    record.size = file.size;
    std::copy_n(file.checksum.begin(), std::min(file.checksum.size(), record.checksum.size()),
                record.checksum.begin());
  }
  return content_identity(blob.kind == 1 ? Kind::kCompiled : Kind::kPackage,
                          blob.specification_version, records, blob.functions);
}

}  // namespace

std::map<std::string, std::string> golden_files() {
  std::string weights;
  for (int i = 0; i < 300; ++i) weights += static_cast<char>(i * 7);
  return {{"Manifest.json", "{\"fileFormatVersion\": \"1.0.0\"}"},
          {"Data/com.apple.CoreML/model.mlmodel", "a model specification"},
          {kGoldenWeightPath, weights},
          {"Data/com.apple.CoreML/weights/empty.bin", ""},
          {"Data/executorch/cache.bin", std::string("\0\x3c\0\x40\0\x42\0\x44", 8)}};
}

BlobDescription golden_description() {
  BlobDescription description;
  description.specification_version = 9;
  Function prefill;
  prefill.name = "prefill";
  prefill.method = "prefill_method";
  prefill.inputs = {{"ids", DataType::kInt64, {{1, 1}, {8, 32}}, {{1, 8}, {1, 32}}}};
  prefill.outputs = {{"logits", DataType::kFloat16, {{1, 1}, {1, Dimension::kUnbounded}}, {}}};
  Function main;
  main.name = "main";
  main.method = "forward";
  main.inputs = {{"x", DataType::kFloat32, {{1, 1}, {1, 512}, {4, 4}}, {}},
                 {"scale", DataType::kFloat32, {}, {}}};
  main.outputs = {{"y", DataType::kFloat32, {{1, 1}, {1, 512}, {4, 4}}, {}},
                  {"mask", DataType::kBool, {{4, 4}}, {}}};
  main.states = {{{"zeros", DataType::kFloat16, {{2, 2}, {3, 3}}, {}}, ""},
                 {{"cache", DataType::kFloat16, {{4, 4}}, {}}, "Data/executorch/cache.bin"}};
  description.functions = {prefill, main};
  description.compute_units = "cpu_and_ne";
  description.compute_precision = "float16";
  description.deployment_target = "iOS18";
  description.producer = "coreml_delegate golden";
  description.producer_versions = {{"torch", "2.13.0"}, {"coremltools", "9.0"}};
  static const std::string debug_map = "{\"operations\": {}}";
  description.debug_map = Bytes(as_bytes(debug_map));
  return description;
}

BlobDescription both_description() {
  BlobDescription description = golden_description();
  for (Function& function : description.functions) {
    for (State& state : function.states) state.initial_value_path.clear();
  }
  description.producer_versions = {{"torch", "2.13.0"}};
  description.for_stock_runtime = true;
  return description;
}

std::string written(const BlobDescription& description) {
  const Result<CoreMLBlobWriter> writer =
      CoreMLBlobWriter::create(description, owning_tree(golden_files()));
  std::vector<std::byte> bytes;
  VectorSink sink(bytes);
  if (!writer.ok() || !writer->write(sink).ok()) return {};
  return std::string(as_text(bytes));
}

Bytes owning_bytes(std::string text) {
  auto owner = std::make_shared<const std::string>(std::move(text));
  const ByteSpan span = as_bytes(*owner);
  return Bytes(span, std::move(owner));
}

inmemoryfs::InMemoryFileSystem owning_tree(const std::map<std::string, std::string>& files) {
  inmemoryfs::InMemoryFileSystem tree;
  for (const auto& [path, content] : files) {
    // A wrong path is a fault of the test: the file is missing from the tree, and the test fails.
    const Status added = tree.add_file(path, owning_bytes(content));
    if (!added.ok()) break;
  }
  return tree;
}

std::string RawBlob::encode() const {
  FlatBufferBuilder builder;
  std::vector<Offset<schema::File>> file_offsets;
  for (const RawFile& file : files) {
    const auto path = builder.CreateString(file.path);
    const auto checksum = builder.CreateVector(file.checksum);
    const auto key = file.named_data_key ? builder.CreateString(*file.named_data_key)
                                         : Offset<flatbuffers::String>();
    file_offsets.push_back(
        schema::CreateFile(builder, path, file.size, checksum, file.offset, key));
  }
  const auto file_vector = builder.CreateVector(file_offsets);
  std::vector<Offset<schema::Function>> function_offsets;
  for (const Function& function : functions) {
    function_offsets.push_back(blob::encode(builder, function));
  }
  const auto function_vector = builder.CreateVector(function_offsets);
  const auto id = builder.CreateVector(content_id ? *content_id : to_vector(right_identity(*this)));
  const auto blob =
      schema::CreateBlob(builder, major_version, minor_version, static_cast<schema::Kind>(kind), id,
                         specification_version, alignment, payload_size.value_or(payload.size()),
                         file_vector, function_vector, 0, 0, 0, stock_bytes);
  std::string bytes = finish(builder, schema::Content::Blob, blob.Union());
  if (is_valid_alignment(alignment)) {
    bytes.resize(static_cast<size_t>(align_up(bytes.size(), alignment)));
  }
  return bytes + payload + behind;
}

RawBlob raw_golden() {
  RawBlob raw;
  const BlobDescription description = golden_description();
  raw.specification_version = description.specification_version;
  raw.functions = description.functions;
  for (const auto& [path, content] : golden_files()) {
    RawFile& file = raw.files.emplace_back();
    file.path = path;
    file.size = content.size();
    file.checksum = to_vector(sha256(as_bytes(content)));
    if (content.empty()) continue;
    raw.payload.resize(static_cast<size_t>(align_up(raw.payload.size(), raw.alignment)));
    file.offset = raw.payload.size();
    raw.payload += content;
  }
  return raw;
}

std::string RawReference::encode() const {
  FlatBufferBuilder builder;
  const auto key = builder.CreateString(named_data_key);
  const auto function = builder.CreateString(function_name);
  const auto reference = schema::CreateReference(builder, major_version, 0, key, function);
  return finish(builder, schema::Content::Reference, reference.Union());
}

std::string encode_unknown_content(uint8_t type) {
  FlatBufferBuilder builder;
  const auto key = builder.CreateString("key");
  const auto function = builder.CreateString("function");
  const auto reference = schema::CreateReference(builder, 1, 0, key, function);
  return finish(builder, static_cast<schema::Content>(type), reference.Union());
}

std::string flattened(const std::string& data, const std::string& json, size_t nuls) {
  return data + std::string(json.rbegin(), json.rend()) + std::string(nuls, '\0');
}

}  // namespace coreml_delegate::blob
