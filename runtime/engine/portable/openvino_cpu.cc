// One answer to two questions. OpenVINO's nodes ask the processor itself which vectors there are
// (ov::with_cpu_x86_*) and oneDNN, which obeys ONEDNN_MAX_CPU_ISA (base/cpu_features.h), which
// kernel to make for them. Where the two disagree, 2026.4 crashes in normalizations and refuses to
// compile resizing and top-k; in other nodes numbers may be wrong (openvino's pull request 38189).
// Its own variable for the first question exists in debug builds only.
//
// So the functions are defined here too, and as this library comes before OpenVINO's in the order
// of symbols, its CPU plugin calls these: OpenVINO's answer, unless the limit in force says no.

#if defined(__x86_64__) && defined(__linux__)

#include <dlfcn.h>

#include <string>

#include "base/cpu_features.h"
#include "openvino/core/version.hpp"

namespace {

using coreml_delegate::CpuFeature;
using coreml_delegate::CpuFeatures;
using Question = bool (*)();

// A function ov::NAME() of OpenVINO's library, past the one here; null where it has none.
Question find(const std::string& name) {
  const std::string mangled = "_ZN2ov" + std::to_string(name.size()) + name + "Ev";
  Dl_info library;
  if (dladdr(reinterpret_cast<const void*>(&ov::get_openvino_version), &library) == 0 ||
      library.dli_fname == nullptr) {
    return nullptr;
  }
  void* const handle = dlopen(library.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  return handle == nullptr ? nullptr : reinterpret_cast<Question>(dlsym(handle, mangled.c_str()));
}

// OpenVINO's answer, unless the limit leaves out `needed`.
bool answer(Question original, const CpuFeatures& needed) {
  if (original == nullptr) return coreml_delegate::cpu_features().has(needed);
  return original() && coreml_delegate::cpu_limit_allows(needed);
}

}  // namespace

namespace ov {

#define COREML_DELEGATE_ANSWER(name, ...)             \
  __attribute__((visibility("default"))) bool name(); \
  bool name() {                                       \
    static const Question original = find(#name);     \
    return answer(original, {__VA_ARGS__});           \
  }

// OpenVINO's lowest level, for which it makes oneDNN's SSE41 kernels.
COREML_DELEGATE_ANSWER(with_cpu_x86_sse42, CpuFeature::kSse41)
COREML_DELEGATE_ANSWER(with_cpu_x86_avx, CpuFeature::kAvx)
COREML_DELEGATE_ANSWER(with_cpu_x86_avx2, CpuFeature::kAvx2)
COREML_DELEGATE_ANSWER(with_cpu_x86_avx2_vnni, CpuFeature::kAvxVnni)
COREML_DELEGATE_ANSWER(with_cpu_x86_avx2_vnni_2, CpuFeature::kAvxVnniInt8,
                       CpuFeature::kAvxNeConvert)
COREML_DELEGATE_ANSWER(with_cpu_x86_avx512f, CpuFeature::kAvx512f)
COREML_DELEGATE_ANSWER(with_cpu_x86_avx512_core, CpuFeature::kAvx512f)
COREML_DELEGATE_ANSWER(with_cpu_x86_avx512_core_vnni, CpuFeature::kAvx512Vnni)
COREML_DELEGATE_ANSWER(with_cpu_x86_bfloat16, CpuFeature::kAvx512Bf16)
COREML_DELEGATE_ANSWER(with_cpu_x86_avx512_core_fp16, CpuFeature::kAvx512Fp16)
COREML_DELEGATE_ANSWER(with_cpu_x86_avx512_core_amx, CpuFeature::kAmxTile)
COREML_DELEGATE_ANSWER(with_cpu_x86_avx512_core_amx_int8, CpuFeature::kAmxInt8)
COREML_DELEGATE_ANSWER(with_cpu_x86_avx512_core_amx_bf16, CpuFeature::kAmxBf16)
COREML_DELEGATE_ANSWER(with_cpu_x86_avx512_core_amx_fp16, CpuFeature::kAmxFp16)

#undef COREML_DELEGATE_ANSWER

}  // namespace ov

#endif
