#include "runtime/runner/output_facts.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

#include "runtime/delegate/tensor_types.h"
#include "runtime/runner/elements.h"

namespace coreml_delegate::runner {
namespace {

using executorch::runtime::EValue;

std::string scalar_text(const EValue& value) {
  if (value.isInt()) return "int " + std::to_string(value.toInt());
  if (value.isDouble()) return "double " + std::to_string(value.toDouble());
  if (value.isBool()) return value.toBool() ? "bool true" : "bool false";
  return value.isNone() ? "none" : "no tensor";
}

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(std::lround(q * static_cast<double>(values.size() - 1)))];
}

template <typename... Arguments>
std::string format(const char* pattern, Arguments... arguments) {
  char text[256];
  std::snprintf(text, sizeof(text), pattern, arguments...);
  return text;
}

}  // namespace

OutputFacts describe_output(const EValue& value) {
  OutputFacts facts;
  if (!value.isTensor()) {
    facts.type = scalar_text(value);
    return facts;
  }
  const executorch::aten::Tensor& tensor = value.toTensor();
  const std::vector<int64_t> shape(tensor.sizes().begin(), tensor.sizes().end());
  const DataType dtype = to_data_type(tensor.scalar_type());
  facts.type = (dtype == DataType::kInvalid ? scalar_type_text(tensor.scalar_type())
                                            : std::string(data_type_name(dtype))) +
               shape_to_string(shape.data(), shape.size());
  if (dtype == DataType::kInvalid) return facts;
  const auto* const elements = static_cast<const std::byte*>(tensor.const_data_ptr());
  const auto count = static_cast<size_t>(tensor.numel());
  double sum = 0;
  int64_t finite = 0;
  for (size_t i = 0; i < count; ++i) {
    const double x = element_as_double(dtype, elements, i);
    if (i < 4) facts.begins.push_back(x);
    if (!std::isfinite(x)) {
      ++facts.not_finite;
      continue;
    }
    facts.min = finite == 0 ? x : std::min(facts.min, x);
    facts.max = finite == 0 ? x : std::max(facts.max, x);
    sum += x;
    ++finite;
  }
  if (finite > 0) facts.mean = sum / static_cast<double>(finite);
  return facts;
}

std::string to_text(const RunReport& report) {
  std::string text;
  for (size_t i = 0; i < report.inputs.size(); ++i) {
    text += "input " + std::to_string(i) + "   " + report.inputs[i] + "\n";
  }
  for (size_t i = 0; i < report.outputs.size(); ++i) {
    const OutputFacts& facts = report.outputs[i];
    text += "output " + std::to_string(i) + "  " + facts.type;
    if (!facts.begins.empty()) {
      text += format("  min %.6g  max %.6g  mean %.6g", facts.min, facts.max, facts.mean);
      if (facts.not_finite > 0) {
        text += format("  not finite %lld", static_cast<long long>(facts.not_finite));
      }
      text += "  begins";
      for (const double x : facts.begins) text += format(" %.6g", x);
    }
    if (!facts.file.empty()) text += "  -> " + facts.file;
    text += "\n";
  }
  text += format("load      %.3f ms\nexecute   ", report.load_ms);
  if (report.execution_ms.size() == 1) {
    text += format("%.3f ms\n", report.execution_ms[0]);
  } else {
    text += format("p50 %.3f ms  p90 %.3f ms  min %.3f ms  (%zu executions)\n",
                   quantile(report.execution_ms, 0.5), quantile(report.execution_ms, 0.9),
                   quantile(report.execution_ms, 0), report.execution_ms.size());
  }
  if (report.etdump_bytes > 0) {
    text += format("etdump    %llu bytes, values %llu bytes\n",
                   static_cast<unsigned long long>(report.etdump_bytes),
                   static_cast<unsigned long long>(report.debug_buffer_bytes));
  }
  return text;
}

std::string to_json(const RunReport& report) {
  using nlohmann::json;
  json outputs = json::array();
  for (const OutputFacts& facts : report.outputs) {
    // JSON has no NaN: an element that is not finite is null.
    outputs.push_back({{"type", facts.type},
                       {"min", facts.min},
                       {"max", facts.max},
                       {"mean", facts.mean},
                       {"not_finite", facts.not_finite},
                       {"begins", facts.begins},
                       {"file", facts.file}});
  }
  const json all = {{"inputs", report.inputs},
                    {"made_up_inputs", report.made_up_inputs},
                    {"load_ms", report.load_ms},
                    {"execution_ms", report.execution_ms},
                    {"outputs", outputs},
                    {"etdump_bytes", report.etdump_bytes},
                    {"debug_buffer_bytes", report.debug_buffer_bytes}};
  // Paths may be in any encoding.
  return all.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace coreml_delegate::runner
