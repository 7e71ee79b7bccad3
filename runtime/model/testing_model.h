#ifndef COREML_DELEGATE_RUNTIME_MODEL_TESTING_MODEL_H_
#define COREML_DELEGATE_RUNTIME_MODEL_TESTING_MODEL_H_

// Packages built in memory for tests, whole ones and broken ones. Test only.

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "inmemoryfs/inmemory_file_system.h"
#include "runtime/model/mil.pb.h"

namespace coreml_delegate::model::testing {

inline constexpr char kManifest[] = R"({
  "fileFormatVersion": "1.0.0",
  "itemInfoEntries": {
    "A": {"author": "x", "name": "model.mlmodel", "path": "com.apple.CoreML/model.mlmodel"},
    "B": {"author": "x", "name": "weights", "path": "com.apple.CoreML/weights"}
  },
  "rootModelIdentifier": "A"
})";
inline constexpr char kModelPath[] = "Data/com.apple.CoreML/model.mlmodel";
inline constexpr char kWeightPath[] = "Data/com.apple.CoreML/weights/weight.bin";
inline constexpr char kWeightName[] = "@model_path/weights/weight.bin";

inline Bytes owned(std::string text) {
  auto owner = std::make_shared<const std::string>(std::move(text));
  return Bytes(as_bytes(*owner), owner);
}

// A weight file, record by record.
class WeightFileBuilder {
 public:
  // The offset that a program uses for it.
  uint64_t add(uint32_t type, const std::string& data, uint64_t unused_bits = 0) {
    const uint64_t offset = bytes_.size();
    std::string record(64, '\0');
    put<uint32_t>(&record, 0, 0xDEADBEEF);
    put<uint32_t>(&record, 4, type);
    put<uint64_t>(&record, 8, data.size());
    put<uint64_t>(&record, 16, offset + 64);
    put<uint64_t>(&record, 24, unused_bits);
    bytes_ += record + data;
    bytes_.resize((bytes_.size() + 63) / 64 * 64);
    put<uint32_t>(&bytes_, 0, ++count_);
    return offset;
  }
  template <typename T>
  static void put(std::string* text, size_t offset, T value) {
    std::memcpy(text->data() + offset, &value, sizeof(T));
  }
  std::string& bytes() { return bytes_; }

 private:
  std::string bytes_ = [] {
    std::string header(64, '\0');
    put<uint32_t>(&header, 4, 2);
    return header;
  }();
  uint32_t count_ = 0;
};

inline proto::ValueType tensor_type(proto::DataType element, const std::vector<int64_t>& shape) {
  proto::ValueType type;
  type.mutable_tensortype()->set_datatype(element);
  type.mutable_tensortype()->set_rank(static_cast<int64_t>(shape.size()));
  for (const int64_t extent : shape) {
    proto::Dimension* const dimension = type.mutable_tensortype()->add_dimensions();
    if (extent < 0) {
      dimension->mutable_unknown();
    } else {
      dimension->mutable_constant()->set_size(static_cast<uint64_t>(extent));
    }
  }
  return type;
}

inline void add_named(google::protobuf::RepeatedPtrField<proto::NamedValueType>* list,
                      const std::string& name, const proto::ValueType& type) {
  proto::NamedValueType* const named = list->Add();
  named->set_name(name);
  *named->mutable_type() = type;
}

inline void add_feature(google::protobuf::RepeatedPtrField<proto::FeatureDescription>* list,
                        const std::string& name, proto::ArrayFeatureType::ArrayDataType type,
                        const std::vector<int64_t>& shape) {
  proto::FeatureDescription* const feature = list->Add();
  feature->set_name(name);
  proto::ArrayFeatureType* const array = feature->mutable_type()->mutable_multiarraytype();
  array->set_datatype(type);
  for (const int64_t extent : shape) array->add_shape(extent);
}

inline proto::Operation* add_operation(proto::Block* block, const std::string& type,
                                       const std::string& input, const std::string& output,
                                       const proto::ValueType& output_type) {
  proto::Operation* const operation = block->add_operations();
  operation->set_type(type);
  if (!input.empty()) (*operation->mutable_inputs())["x"].add_arguments()->set_name(input);
  if (!output.empty()) add_named(operation->mutable_outputs(), output, output_type);
  return operation;
}

// y = relu(x), both float32[2, 3]; specification 7, one function "main" of opset CoreML6.
inline proto::Model small_model() {
  proto::Model model;
  model.set_specificationversion(7);
  add_feature(model.mutable_description()->mutable_input(), "x", proto::ArrayFeatureType::FLOAT32,
              {2, 3});
  add_feature(model.mutable_description()->mutable_output(), "y", proto::ArrayFeatureType::FLOAT32,
              {2, 3});
  const proto::ValueType type = tensor_type(proto::FLOAT32, {2, 3});
  proto::Function& function = (*model.mutable_mlprogram()->mutable_functions())["main"];
  function.set_opset("CoreML6");
  add_named(function.mutable_inputs(), "x", type);
  proto::Block& block = (*function.mutable_block_specializations())["CoreML6"];
  add_operation(&block, "relu", "x", "y", type);
  block.add_outputs("y");
  return model;
}

inline proto::Function& function_of(proto::Model* model, const std::string& name = "main") {
  return (*model->mutable_mlprogram()->mutable_functions())[name];
}
inline proto::Block& block_of(proto::Model* model, const std::string& name = "main") {
  proto::Function& function = function_of(model, name);
  return (*function.mutable_block_specializations())[function.opset()];
}

inline inmemoryfs::InMemoryFileSystem package_of(std::string specification,
                                                 std::string weights = {},
                                                 std::string manifest = kManifest) {
  inmemoryfs::InMemoryFileSystem files;
  // Paths are constants that keep the rules; what a test then misses shows in its own checks.
  (void)files.add_file("Manifest.json", owned(std::move(manifest))).ok();
  (void)files.add_file(kModelPath, owned(std::move(specification))).ok();
  if (!weights.empty()) (void)files.add_file(kWeightPath, owned(std::move(weights))).ok();
  return files;
}
inline inmemoryfs::InMemoryFileSystem package_of(const proto::Model& model,
                                                 std::string weights = {}) {
  return package_of(model.SerializeAsString(), std::move(weights));
}

}  // namespace coreml_delegate::model::testing

#endif  // COREML_DELEGATE_RUNTIME_MODEL_TESTING_MODEL_H_
