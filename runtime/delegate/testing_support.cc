#include "runtime/delegate/testing_support.h"

#include <executorch/runtime/platform/runtime.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "base/mutex.h"
#include "runtime/delegate/tensor_types.h"

namespace coreml_delegate::testing {

using executorch::runtime::Error;
using executorch::runtime::FreeableBuffer;

TestTensor::TestTensor(executorch::aten::ScalarType type, std::vector<int32_t> sizes,
                       std::vector<uint8_t> dim_order, Dynamism dynamism)
    : sizes_(std::move(sizes)), dim_order_(std::move(dim_order)), strides_(sizes_.size()) {
  if (dim_order_.empty()) {
    for (size_t i = 0; i < sizes_.size(); ++i) dim_order_.push_back(static_cast<uint8_t>(i));
  }
  int32_t stride = 1;
  for (size_t i = sizes_.size(); i-- > 0;) {
    strides_[dim_order_[i]] = stride;
    stride *= std::max(sizes_[dim_order_[i]], 1);
  }
  size_t count = 1;
  for (const int32_t size : sizes_) count *= static_cast<size_t>(size);
  const size_t element_size = std::max<size_t>(data_type_size(to_data_type(type)), 8);
  data_.resize(count * element_size);
  impl_ = std::make_unique<executorch::aten::TensorImpl>(
      type, static_cast<ssize_t>(sizes_.size()), sizes_.data(), data_.data(), dim_order_.data(),
      strides_.data(), dynamism);
  value_ = executorch::runtime::EValue(executorch::aten::Tensor(impl_.get()));
}

engine::FakeEngine& registered_fake_engine(const std::string& name) {
  static Mutex mutex;
  static std::map<std::string, engine::FakeEngine*> engines;
  executorch::runtime::runtime_init();
  const MutexLock lock(mutex);
  engine::FakeEngine*& known = engines[name];
  if (known == nullptr) {
    auto made = std::make_unique<engine::FakeEngine>(engine::FakeEngineOptions{.name = name});
    known = made.get();
    if (!engine::register_engine(std::move(made)).ok()) std::abort();
  }
  return *known;
}

namespace {

std::string json_names(const std::vector<std::string>& names) {
  std::string list = "[";
  for (const std::string& name : names) list += (list.size() > 1 ? "," : "") + ("\"" + name + "\"");
  return list + "]";
}

// The stock flattened directory: contents, then the index as JSON, stored from its last byte to its
// first.
std::string flatten(const std::string& metadata, std::string_view program,
                    const std::vector<std::pair<std::string, std::string>>& files) {
  std::string contents;
  std::string nodes;
  int count = 0;
  const auto add_file = [&](const std::string& name, std::string_view content) {
    nodes += "{\"name\":\"" + name +
             "\",\"kind\":0,\"dataRegion\":{\"offset\":" + std::to_string(contents.size()) +
             ",\"size\":" + std::to_string(content.size()) + "},\"children\":{}},";
    contents += content;
    return count++;
  };
  std::string children;
  const auto child = [&](const std::string& name, int index) {
    children += (children.empty() ? "" : ",") + ("\"" + name + "\":" + std::to_string(index));
  };
  child(std::string(engine::kFakeProgramFile),
        add_file(std::string(engine::kFakeProgramFile), program));
  for (const auto& [name, content] : files) child(name, add_file(name, content));
  nodes +=
      "{\"name\":\"model.mlpackage\",\"kind\":1,\"dataRegion\":{\"offset\":0,\"size\":0},"
      "\"children\":{" +
      children + "}},";
  const int package = count++;
  const int metadata_index = add_file("metadata.json", metadata);
  nodes +=
      "{\"name\":\"lowered_module\",\"kind\":1,\"dataRegion\":{\"offset\":0,\"size\":0},"
      "\"children\":{"
      "\"model.mlpackage\":" +
      std::to_string(package) + ",\"metadata.json\":" + std::to_string(metadata_index) + "}}";
  std::string index = "{\"nodes\":[" + nodes + "]}";
  std::reverse(index.begin(), index.end());
  return contents + index;
}

}  // namespace

std::string stock_payload(std::string_view program, const std::vector<std::string>& inputs,
                          const std::vector<std::string>& outputs,
                          const std::vector<std::pair<std::string, std::string>>& files) {
  return flatten("{\"inputNames\":" + json_names(inputs) + ",\"outputNames\":" +
                     json_names(outputs) + ",\"identifier\":\"executorch_1\"}",
                 program, files);
}

std::string stock_multi_method_payload(std::string_view program,
                                       const std::vector<MethodNames>& methods) {
  std::string metadata = "{\"identifier\":\"executorch_2\",\"methods\":{";
  for (size_t i = 0; i < methods.size(); ++i) {
    metadata += std::string(i > 0 ? "," : "") + "\"" + methods[i].method +
                "\":{\"inputNames\":" + json_names(methods[i].inputs) +
                ",\"outputNames\":" + json_names(methods[i].outputs) + "}";
  }
  return flatten(metadata + "}}", program, {});
}

std::string stock_reference(const std::string& key, const std::string& function_name) {
  return "CMJR{\"version\":1,\"key\":\"" + key + "\",\"functionName\":\"" + function_name + "\"}";
}

executorch::runtime::Result<const executorch::runtime::TensorLayout>
TestNamedData::get_tensor_layout(std::string_view) const {
  return Error::NotImplemented;
}

executorch::runtime::Result<FreeableBuffer> TestNamedData::get_data(std::string_view key) const {
  for (const auto& [name, content] : entries) {
    if (name != key) continue;
    ++buffers_given;
    // A copy of its own, so that a use after it is freed is seen by the sanitizers.
    auto* copy = static_cast<char*>(std::malloc(std::max<size_t>(content.size(), 1)));
    std::memcpy(copy, content.data(), content.size());
    return FreeableBuffer(
        copy, content.size(),
        [](void* context, void* data, size_t) {
          ++static_cast<const TestNamedData*>(context)->buffers_freed;
          std::free(data);
        },
        const_cast<TestNamedData*>(this));
  }
  return Error::NotFound;
}

Error TestNamedData::load_data_into(std::string_view, void*, size_t) const {
  return Error::NotImplemented;
}

executorch::runtime::Result<uint32_t> TestNamedData::get_num_keys() const {
  return static_cast<uint32_t>(entries.size());
}

executorch::runtime::Result<const char*> TestNamedData::get_key(uint32_t index) const {
  if (index >= entries.size()) return Error::InvalidArgument;
  return entries[index].first.c_str();
}

std::vector<std::string> RecordingTracer::event_names() const {
  std::vector<std::string> names;
  for (const Event& event : events) names.push_back(event.name);
  return names;
}

void RecordingTracer::log_profiling_delegate(const char* name,
                                             executorch::runtime::DelegateDebugIntId,
                                             et_timestamp_t start, et_timestamp_t end,
                                             const void* metadata, size_t metadata_length) {
  events.push_back(
      {name, std::string(static_cast<const char*>(metadata), metadata_length), start, end});
}

executorch::runtime::Result<bool> RecordingTracer::log_intermediate_output_delegate(
    const char* name, executorch::runtime::DelegateDebugIntId,
    const executorch::aten::Tensor& output) {
  if (refuses_values) return Error::OutOfResources;
  const auto* data = static_cast<const std::byte*>(output.const_data_ptr());
  values.push_back(
      {name, {output.sizes().begin(), output.sizes().end()}, {data, data + output.nbytes()}});
  return true;
}

}  // namespace coreml_delegate::testing
