#include "runtime/delegate/event_bridge.h"

#include <executorch/runtime/core/event_tracer_hooks_delegate.h>
#include <executorch/runtime/core/exec_aten/exec_aten.h>
#include <executorch/runtime/platform/platform.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/logging.h"
#include "base/strides.h"
#include "runtime/delegate/tensor_conversion.h"
#include "runtime/delegate/tensor_types.h"

namespace coreml_delegate {

using executorch::runtime::EventTracerDebugLogLevel;
using executorch::runtime::EventTracerProfilingLevel;

namespace {

std::string debug_symbol(std::string_view output, std::string_view type) {
  std::string symbol(output);
  if (!type.empty()) {
    symbol += ':';
    symbol += type;
  }
  return symbol;
}

// What ExecuTorch's inspector for Core ML reads of an event (parse_coreml_delegate_metadata of its
// examples). Of its fields only the operator is known here: nothing has estimated a cost or chosen
// a device. A type is an identifier of MIL; what it had to escape is left out.
std::string metadata_json(std::string_view type) {
  std::string json = "{\"operatorName\":\"";
  for (const char c : type) {
    const bool plain = static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\';
    if (plain) json += c;
  }
  return json + "\"}";
}

}  // namespace

EventBridge::EventBridge(executorch::runtime::EventTracer* tracer) : tracer_(tracer) {
  if (tracer_ == nullptr) return;
  reference_ns_ = now_ns();
  reference_ticks_ = executorch::runtime::pal_current_ticks();
  const et_tick_ratio_t ratio = executorch::runtime::pal_ticks_to_ns_multiplier();
  if (ratio.numerator != 0 && ratio.denominator != 0) {
    numerator_ = ratio.numerator;
    denominator_ = ratio.denominator;
  }
}

bool EventBridge::wants_operation_timings() const {
  return tracer_ != nullptr &&
         tracer_->event_tracer_profiling_level() == EventTracerProfilingLevel::kProfileAllEvents;
}

bool EventBridge::wants_intermediate_values() const {
  return tracer_ != nullptr &&
         tracer_->event_tracer_debug_level() >= EventTracerDebugLogLevel::kIntermediateOutputs;
}

uint64_t EventBridge::to_ticks(uint64_t steady_ns) const {
  // In the reference's future or, for what began before it, past.
  const double ticks_per_ns = static_cast<double>(denominator_) / static_cast<double>(numerator_);
  if (steady_ns >= reference_ns_) {
    return reference_ticks_ +
           static_cast<uint64_t>(static_cast<double>(steady_ns - reference_ns_) * ticks_per_ns);
  }
  const auto back =
      static_cast<uint64_t>(static_cast<double>(reference_ns_ - steady_ns) * ticks_per_ns);
  return reference_ticks_ - std::min(back, reference_ticks_);
}

void EventBridge::on_timing(const engine::TimingEvent& event) {
  if (tracer_ == nullptr) return;
  const std::string symbol = debug_symbol(event.name, event.type);
  std::string name;
  switch (event.kind) {
    case engine::EventKind::kCompile:
      name = "compile ";
      break;
    case engine::EventKind::kLoad:
      name = "load ";
      break;
    case engine::EventKind::kExecute:
      name = "execute ";
      break;
    case engine::EventKind::kOperation:
      break;
  }
  name += symbol;
  const std::string metadata = event.type.empty() ? std::string() : metadata_json(event.type);
  executorch::runtime::event_tracer_log_profiling_delegate(
      tracer_, name.c_str(), static_cast<executorch::runtime::DebugHandle>(-1),
      to_ticks(event.start_ns), to_ticks(event.end_ns),
      metadata.empty() ? nullptr : metadata.data(), metadata.size());
}

void EventBridge::on_intermediate_value(std::string_view output, std::string_view type,
                                        const engine::ConstTensorView& value) {
  // A tracer that has failed once may have been left with half an entry.
  if (tracer_ == nullptr || reported_loss_) return;
  // ETDump (ExecuTorch 1.5) has no float16: it refuses one and corrupts the heap later on.
  const DataType dtype = value.dtype == DataType::kFloat16 ? DataType::kFloat32 : value.dtype;
  const auto scalar_type = to_scalar_type(dtype);
  const std::string name = debug_symbol(output, type);
  const size_t rank = value.shape.size();
  if (!scalar_type || rank > kMaxConversionRank) return;
  std::array<executorch::aten::SizesType, kMaxConversionRank> sizes{};
  std::array<executorch::aten::DimOrderType, kMaxConversionRank> dim_order{};
  std::array<executorch::aten::StridesType, kMaxConversionRank> strides{};
  std::array<int64_t, kMaxConversionRank> row_major{};
  contiguous_strides(value.shape, row_major);
  size_t count = 1;
  for (size_t i = 0; i < rank; ++i) {
    sizes[i] = static_cast<executorch::aten::SizesType>(value.shape[i]);
    dim_order[i] = static_cast<executorch::aten::DimOrderType>(i);
    strides[i] = static_cast<executorch::aten::StridesType>(row_major[i]);
    count *= static_cast<size_t>(value.shape[i]);
  }
  // The tracer copies the bytes as they lie, so they must lie row by row.
  std::vector<std::byte> copy;
  const void* data = value.data;
  if (dtype != value.dtype || !is_contiguous(value.shape, value.strides)) {
    copy.resize(count * data_type_size(dtype));
    const Status copied =
        convert_tensor(value.shape, {value.dtype, value.data, value.strides},
                       {dtype, copy.data(), std::span(row_major).first(rank)}, name,
                       Overflow::kInfinite);
    if (!copied.ok()) return;
    data = copy.data();
  }
  executorch::aten::TensorImpl tensor(*scalar_type, static_cast<ssize_t>(rank), sizes.data(),
                                      const_cast<void*>(data), dim_order.data(), strides.data());
  const executorch::runtime::Result<bool> logged = tracer_->log_intermediate_output_delegate(
      name.c_str(), executorch::runtime::kUnsetDelegateDebugIntId,
      executorch::aten::Tensor(&tensor));
  if (!logged.ok()) {
    reported_loss_ = true;
    COREML_DELEGATE_LOG(kWarning,
                        "CoreMLBackend: the event tracer did not take the value of %s (%s); it "
                        "receives no values of later operations",
                        name.c_str(), executorch::runtime::to_string(logged.error()));
  }
}

}  // namespace coreml_delegate
