#ifndef COREML_DELEGATE_BASE_CPU_FEATURES_H_
#define COREML_DELEGATE_BASE_CPU_FEATURES_H_

// What this processor executes, less what the environment leaves out. Whatever chooses code by
// processor asks here, so that one variable makes a strong machine play a weak one.
//
// The variable is oneDNN's own, ONEDNN_MAX_CPU_ISA, or DNNL_MAX_CPU_ISA where that is not set:
// OpenVINO's kernels and ours then agree on what there is. Its values are oneDNN's: SSE41, AVX,
// AVX2, AVX2_VNNI, AVX512_CORE and so on, in any case; "default" and what oneDNN does not know
// limit nothing. Like oneDNN, this reads it once, at the first use. It limits x86-64 only.
//
//   if (cpu_features().has(CpuFeature::kAvx2)) return sum_avx2(values);
//
// Thread rule: everything may be called from several threads at once.

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace coreml_delegate {

// Sets of instructions that OpenVINO, oneDNN or code of ours chooses kernels by. One that needs
// registers which the operating system must save counts only where it does.
enum class CpuFeature : uint8_t {
  // x86-64.
  kSsse3,
  kSse41,
  kSse42,
  kSha,
  kAvx,
  kF16c,
  kFma,
  kAvx2,
  kAvxVnni,
  kAvxVnniInt8,
  kAvxNeConvert,
  kAvx512f,
  kAvx512dq,
  kAvx512bw,
  kAvx512vl,
  kAvx512Vnni,
  kAvx512Bf16,
  kAvx512Fp16,
  kAvx10,
  kAmxTile,
  kAmxInt8,
  kAmxBf16,
  kAmxFp16,
  // 64-bit Arm, on Linux.
  kAsimdHp,
  kAsimdDp,
  kI8mm,
  kBf16,
  kSve,
  kSve2,
  kSme,
};

class CpuFeatures {
 public:
  constexpr CpuFeatures() = default;
  constexpr CpuFeatures(std::initializer_list<CpuFeature> features) {
    for (const CpuFeature feature : features) add(feature);
  }

  constexpr void add(CpuFeature feature) { bits_ |= bit(feature); }
  constexpr bool has(CpuFeature feature) const { return (bits_ & bit(feature)) != 0; }
  constexpr bool has(const CpuFeatures& all) const { return (bits_ & all.bits_) == all.bits_; }

  friend constexpr CpuFeatures operator&(CpuFeatures a, const CpuFeatures& b) {
    a.bits_ &= b.bits_;
    return a;
  }
  friend constexpr CpuFeatures operator|(CpuFeatures a, const CpuFeatures& b) {
    a.bits_ |= b.bits_;
    return a;
  }
  friend constexpr bool operator==(const CpuFeatures&, const CpuFeatures&) = default;

  // "sse4.1+avx+avx2", in the order of the enumeration.
  std::string to_string() const;

 private:
  static constexpr uint64_t bit(CpuFeature feature) {
    return uint64_t{1} << static_cast<uint8_t>(feature);
  }

  uint64_t bits_ = 0;
};

// AVX-512 as kernels for it expect it.
inline constexpr CpuFeatures kAvx512Core = {CpuFeature::kAvx512f, CpuFeature::kAvx512dq,
                                            CpuFeature::kAvx512bw, CpuFeature::kAvx512vl};

// What there is and may be used.
const CpuFeatures& cpu_features();

// What there is, whatever the environment says.
CpuFeatures detect_cpu_features();

// A limit on what may be used.
struct CpuLimit {
  std::string name;  // oneDNN's, in lower case: "avx2".
  CpuFeatures allowed;
};

// Of a value of the variable; none for one that limits nothing.
std::optional<CpuLimit> find_cpu_limit(std::string_view value);

// Whether the limit in force, if there is one, allows all of `features`; they may be missing all
// the same.
bool cpu_limit_allows(const CpuFeatures& features);

// Reads the variables anew. None where nothing is limited.
std::optional<CpuLimit> cpu_limit_from_environment();

// Everything about the processor and the environment that decides which kernels OpenVINO chooses:
// the architecture, all features there are, the limit in force and oneDNN's hint, if there are any.
// The features that the limit leaves out are in it because parts of OpenVINO ask the processor
// itself. "x86-64+ssse3+...;limit=avx2".
std::string cpu_fingerprint(const CpuFeatures& detected);

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_BASE_CPU_FEATURES_H_
