#include "runtime/engine/portable/openvino_core.h"

#include <cctype>
#include <memory>
#include <utility>

#include "base/cpu_features.h"
#include "openvino/core/version.hpp"
#include "openvino/runtime/exception.hpp"
#include "openvino/runtime/intel_cpu/properties.hpp"
#include "openvino/runtime/properties.hpp"
#include "runtime/engine/portable/low_precision.h"
#include "runtime/engine/portable/translation_version.h"
#include "runtime/engine/portable/translator.h"

namespace coreml_delegate::engine::portable {

namespace {

// OpenVINO's messages run over several lines and begin with the place in its sources.
std::string on_one_line(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const bool is_space = std::isspace(static_cast<unsigned char>(c)) != 0;
    if (is_space && (result.empty() || result.back() == ' ')) continue;
    result += is_space ? ' ' : c;
  }
  while (!result.empty() && result.back() == ' ') result.pop_back();
  return result;
}

}  // namespace

ov::Core& core() {
  // Never destroyed: its plugins' threads must not outlive it while static destructors run.
  static ov::Core* const instance = [] {
    auto made = std::make_unique<ov::Core>();
    made->add_extension(graph_extensions());
    return made.release();
  }();
  return *instance;
}

// Elements of an activation that share a scale where OpenVINO quantizes it itself: its own default.
constexpr uint64_t kDynamicQuantizationGroup = 32;

ov::AnyMap compile_properties(NumericMode mode, int32_t threads, bool enable_profiling) {
  const bool is_exact = arithmetic_of(mode) != NumericMode::kLowPrecision;
  ov::AnyMap properties{
      ov::hint::inference_precision(ov::element::f32),
      ov::hint::execution_mode(is_exact ? ov::hint::ExecutionMode::ACCURACY
                                        : ov::hint::ExecutionMode::PERFORMANCE),
      ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
      ov::hint::num_requests(1),
      ov::num_streams(1),
      // Exact: activations stay as they are beside compressed weights.
      ov::hint::dynamic_quantization_group_size(is_exact ? 0 : kDynamicQuantizationGroup),
      ov::intel_cpu::denormals_optimization(false),
      ov::enable_profiling(enable_profiling),
  };
  if (threads > 0) properties.insert(ov::inference_num_threads(threads));
  return properties;
}

std::string make_fingerprint() {
  std::string text = "portable-1;openvino=";
  text += ov::get_openvino_version().buildNumber;
  text += ";translation=";
  text += translation_version();
  text += ";cpu=";
  text += cpu_fingerprint(detect_cpu_features());
  return text;
}

ov::element::Type element_type(DataType dtype) {
  switch (dtype) {
    case DataType::kInvalid:
      break;
    case DataType::kBool:
      return ov::element::boolean;
    case DataType::kInt8:
      return ov::element::i8;
    case DataType::kUInt8:
      return ov::element::u8;
    case DataType::kInt16:
      return ov::element::i16;
    case DataType::kUInt16:
      return ov::element::u16;
    case DataType::kInt32:
      return ov::element::i32;
    case DataType::kInt64:
      return ov::element::i64;
    case DataType::kFloat16:
      return ov::element::f16;
    case DataType::kFloat32:
      return ov::element::f32;
    case DataType::kFloat64:
      return ov::element::f64;
  }
  return ov::element::dynamic;
}

DataType data_type(const ov::element::Type& type) {
  for (int i = 1; i <= static_cast<int>(DataType::kFloat64); ++i) {
    const DataType dtype = static_cast<DataType>(i);
    if (element_type(dtype) == type) return dtype;
  }
  return DataType::kInvalid;
}

Status status_of_exception(const std::string& doing, const std::string& artifact) {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return resource_exhausted(doing + " failed, because memory ran out", artifact);
  } catch (const ov::Cancelled&) {
    return cancelled(doing + " was cancelled", artifact);
  } catch (const std::exception& error) {
    return engine_failure(doing + " failed. OpenVINO says: " + on_one_line(error.what()), artifact);
  } catch (...) {
    return engine_failure(doing + " failed. OpenVINO gave no reason", artifact);
  }
}

}  // namespace coreml_delegate::engine::portable
