#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_TESTING_SUPPORT_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_TESTING_SUPPORT_H_

// What the delegate's tests share: tensors, payloads, the fake engine, a tracer that records.

#include <executorch/runtime/core/evalue.h>
#include <executorch/runtime/core/event_tracer.h>
#include <executorch/runtime/core/exec_aten/exec_aten.h>
#include <executorch/runtime/core/named_data_map.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/tensor_type.h"
#include "runtime/engine/fake/fake_engine.h"

namespace coreml_delegate::testing {

// An ExecuTorch tensor that owns everything. `dim_order` empty: row by row.
class TestTensor {
 public:
  using Dynamism = executorch::runtime::TensorShapeDynamism;

  TestTensor(executorch::aten::ScalarType type, std::vector<int32_t> sizes,
             std::vector<uint8_t> dim_order = {}, Dynamism dynamism = Dynamism::STATIC);
  TestTensor(TestTensor&&) = delete;

  // A float tensor with values; and so on for other types.
  template <typename T>
  static std::unique_ptr<TestTensor> of(executorch::aten::ScalarType type,
                                        std::vector<int32_t> sizes, const std::vector<T>& values,
                                        std::vector<uint8_t> dim_order = {}) {
    auto tensor = std::make_unique<TestTensor>(type, std::move(sizes), std::move(dim_order));
    std::memcpy(tensor->data_.data(), values.data(), values.size() * sizeof(T));
    return tensor;
  }

  executorch::runtime::EValue* value() { return &value_; }
  executorch::aten::TensorImpl& impl() { return *impl_; }
  std::vector<int32_t> sizes() const { return {impl_->sizes().begin(), impl_->sizes().end()}; }
  // The elements as they lie in memory.
  template <typename T>
  std::vector<T> values() const {
    std::vector<T> values(static_cast<size_t>(impl_->numel()));
    std::memcpy(values.data(), data_.data(), values.size() * sizeof(T));
    return values;
  }
  std::vector<std::byte>& memory() { return data_; }
  void fill(unsigned char byte) { std::memset(data_.data(), byte, data_.size()); }

 private:
  std::vector<int32_t> sizes_;
  std::vector<uint8_t> dim_order_;
  std::vector<int32_t> strides_;
  std::vector<std::byte> data_;
  std::unique_ptr<executorch::aten::TensorImpl> impl_;
  executorch::runtime::EValue value_;
};

// The arguments of a call.
class Arguments {
 public:
  Arguments(std::initializer_list<TestTensor*> tensors) {
    for (TestTensor* tensor : tensors) values_.push_back(tensor->value());
  }
  executorch::runtime::Span<executorch::runtime::EValue*> span() {
    return {values_.data(), values_.size()};
  }
  std::vector<executorch::runtime::EValue*>& values() { return values_; }

 private:
  std::vector<executorch::runtime::EValue*> values_;
};

// Registers a fake engine under `name` once per process and returns it.
engine::FakeEngine& registered_fake_engine(const std::string& name = "fake");

// A stock single-method payload whose package holds the toy program and files.
std::string stock_payload(std::string_view program, const std::vector<std::string>& inputs,
                          const std::vector<std::string>& outputs,
                          const std::vector<std::pair<std::string, std::string>>& files = {});
// A stock shared payload with one entry per method (the program's function of that name), and what
// refers to it.
struct MethodNames {
  std::string method;
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
};
std::string stock_multi_method_payload(std::string_view program,
                                       const std::vector<MethodNames>& methods);
std::string stock_reference(const std::string& key, const std::string& function_name);

// Named data held in memory; each get_data() gives a buffer that counts when it is freed.
class TestNamedData : public executorch::runtime::NamedDataMap {
 public:
  std::vector<std::pair<std::string, std::string>> entries;
  mutable int buffers_given = 0;
  mutable int buffers_freed = 0;

  executorch::runtime::Result<const executorch::runtime::TensorLayout> get_tensor_layout(
      std::string_view key) const override;
  executorch::runtime::Result<executorch::runtime::FreeableBuffer> get_data(
      std::string_view key) const override;
  executorch::runtime::Error load_data_into(std::string_view key, void* buffer,
                                            size_t size) const override;
  executorch::runtime::Result<uint32_t> get_num_keys() const override;
  executorch::runtime::Result<const char*> get_key(uint32_t index) const override;
};

// Remembers delegate events.
class RecordingTracer : public executorch::runtime::EventTracer {
 public:
  struct Event {
    std::string name;
    std::string metadata;
    uint64_t start = 0;
    uint64_t end = 0;
  };
  struct Value {
    std::string name;
    std::vector<int32_t> sizes;
    std::vector<std::byte> bytes;
  };
  std::vector<Event> events;
  std::vector<Value> values;
  bool refuses_values = false;

  std::vector<std::string> event_names() const;

  void create_event_block(const char*) override {}
  executorch::runtime::EventTracerEntry start_profiling(const char*, executorch::runtime::ChainID,
                                                        executorch::runtime::DebugHandle) override {
    return {};
  }
  executorch::runtime::EventTracerEntry start_profiling_delegate(
      const char*, executorch::runtime::DelegateDebugIntId) override {
    return {};
  }
  void end_profiling_delegate(executorch::runtime::EventTracerEntry, const void*, size_t) override {
  }
  void log_profiling_delegate(const char* name, executorch::runtime::DelegateDebugIntId id,
                              et_timestamp_t start, et_timestamp_t end, const void* metadata,
                              size_t metadata_length) override;
  void end_profiling(executorch::runtime::EventTracerEntry) override {}
  void track_allocation(executorch::runtime::AllocatorID, size_t) override {}
  executorch::runtime::AllocatorID track_allocator(const char*) override { return 0; }
  executorch::runtime::Result<bool> log_evalue(const executorch::runtime::EValue&,
                                               executorch::runtime::LoggedEValueType) override {
    return true;
  }
  executorch::runtime::Result<bool> log_intermediate_output_delegate(
      const char* name, executorch::runtime::DelegateDebugIntId id,
      const executorch::aten::Tensor& output) override;
  executorch::runtime::Result<bool> log_intermediate_output_delegate(
      const char*, executorch::runtime::DelegateDebugIntId,
      const executorch::runtime::ArrayRef<executorch::aten::Tensor>) override {
    return true;
  }
  executorch::runtime::Result<bool> log_intermediate_output_delegate(
      const char*, executorch::runtime::DelegateDebugIntId, const int&) override {
    return true;
  }
  executorch::runtime::Result<bool> log_intermediate_output_delegate(
      const char*, executorch::runtime::DelegateDebugIntId, const bool&) override {
    return true;
  }
  executorch::runtime::Result<bool> log_intermediate_output_delegate(
      const char*, executorch::runtime::DelegateDebugIntId, const double&) override {
    return true;
  }
  void set_delegation_intermediate_output_filter(
      executorch::runtime::EventTracerFilterBase*) override {}
};

}  // namespace coreml_delegate::testing

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_TESTING_SUPPORT_H_
