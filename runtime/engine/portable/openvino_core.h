#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_OPENVINO_CORE_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_OPENVINO_CORE_H_

// The process's one ov::Core, how this engine compiles with it, and the edge where OpenVINO's
// exceptions become Status values. Includes OpenVINO: for .cc files of this folder only.
//
// Thread rule: everything may be called from several threads at once.

#include <exception>
#include <new>
#include <string>

#include "base/status.h"
#include "base/tensor_type.h"
#include "openvino/core/any.hpp"
#include "openvino/core/type/element_type.hpp"
#include "openvino/runtime/core.hpp"
#include "runtime/engine/numeric_mode.h"

namespace coreml_delegate::engine::portable {

// Made at the first use, with our own node classes registered. Throws what ov::Core's constructor
// throws.
ov::Core& core();

// What every model is compiled and imported with: float32 arithmetic pinned (OpenVINO's default
// differs by CPU), one stream for latency; but in low-precision arithmetic (arithmetic_of()),
// accuracy over speed where they exclude each other. `threads` 0: OpenVINO's choice. Profiling
// costs time in every execution.
ov::AnyMap compile_properties(NumericMode mode, int32_t threads, bool enable_profiling);

// OpenVINO's version and build, this translator's version, and the features of this CPU with the
// limit on them that is in force: they change which kernels a graph is prepared for.
std::string make_fingerprint();

ov::element::Type element_type(DataType dtype);
DataType data_type(const ov::element::Type& type);  // kInvalid for one that DataType lacks.

// The Status of the exception being handled: resource_exhausted, cancelled or engine_failure with
// its text on one line. For use in a catch (...) block only.
Status status_of_exception(const std::string& doing, const std::string& artifact);

// Runs `call`, which returns a Status or Result; what it throws becomes its return value.
template <typename Call>
auto guard(const std::string& doing, const std::string& artifact, const Call& call)
    -> decltype(call()) {
  try {
    return call();
  } catch (...) {
    return status_of_exception(doing, artifact);
  }
}

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_OPENVINO_CORE_H_
