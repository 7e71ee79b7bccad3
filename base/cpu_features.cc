#include "base/cpu_features.h"

#include <cstdlib>

#include "base/logging.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace coreml_delegate {
namespace {

struct Named {
  CpuFeature feature;
  const char* name;
};

constexpr Named kNames[] = {
    {CpuFeature::kSsse3, "ssse3"},
    {CpuFeature::kSse41, "sse4.1"},
    {CpuFeature::kSse42, "sse4.2"},
    {CpuFeature::kSha, "sha"},
    {CpuFeature::kAvx, "avx"},
    {CpuFeature::kF16c, "f16c"},
    {CpuFeature::kFma, "fma"},
    {CpuFeature::kAvx2, "avx2"},
    {CpuFeature::kAvxVnni, "avx_vnni"},
    {CpuFeature::kAvxVnniInt8, "avx_vnni_int8"},
    {CpuFeature::kAvxNeConvert, "avx_ne_convert"},
    {CpuFeature::kAvx512f, "avx512f"},
    {CpuFeature::kAvx512dq, "avx512dq"},
    {CpuFeature::kAvx512bw, "avx512bw"},
    {CpuFeature::kAvx512vl, "avx512vl"},
    {CpuFeature::kAvx512Vnni, "avx512_vnni"},
    {CpuFeature::kAvx512Bf16, "avx512_bf16"},
    {CpuFeature::kAvx512Fp16, "avx512_fp16"},
    {CpuFeature::kAvx10, "avx10"},
    {CpuFeature::kAmxTile, "amx_tile"},
    {CpuFeature::kAmxInt8, "amx_int8"},
    {CpuFeature::kAmxBf16, "amx_bf16"},
    {CpuFeature::kAmxFp16, "amx_fp16"},
    {CpuFeature::kAsimdHp, "asimdhp"},
    {CpuFeature::kAsimdDp, "asimddp"},
    {CpuFeature::kI8mm, "i8mm"},
    {CpuFeature::kBf16, "bf16"},
    {CpuFeature::kSve, "sve"},
    {CpuFeature::kSve2, "sve2"},
    {CpuFeature::kSme, "sme"},
};

// oneDNN's levels (its dev_guide_cpu_dispatcher_control), with what else the processors of a level
// have that code of ours uses.
constexpr CpuFeatures kSse41Level = {CpuFeature::kSsse3, CpuFeature::kSse41};
constexpr CpuFeatures kAvxLevel = kSse41Level | CpuFeatures{CpuFeature::kSse42, CpuFeature::kAvx};
constexpr CpuFeatures kAvx2Level = kAvxLevel | CpuFeatures{CpuFeature::kAvx2, CpuFeature::kF16c,
                                                           CpuFeature::kFma, CpuFeature::kSha};
constexpr CpuFeatures kAvx2VnniLevel = kAvx2Level | CpuFeatures{CpuFeature::kAvxVnni};
constexpr CpuFeatures kAvx2Vnni2Level =
    kAvx2VnniLevel | CpuFeatures{CpuFeature::kAvxVnniInt8, CpuFeature::kAvxNeConvert};
constexpr CpuFeatures kAvx512CoreLevel = kAvx2Level | kAvx512Core;
constexpr CpuFeatures kAvx512VnniLevel = kAvx512CoreLevel | CpuFeatures{CpuFeature::kAvx512Vnni};
constexpr CpuFeatures kAvx512Bf16Level = kAvx512VnniLevel | CpuFeatures{CpuFeature::kAvx512Bf16};
constexpr CpuFeatures kAvx512Fp16Level =
    kAvx512Bf16Level | CpuFeatures{CpuFeature::kAvx512Fp16, CpuFeature::kAvxVnni};
constexpr CpuFeatures kAmxLevel =
    kAvx512Fp16Level |
    CpuFeatures{CpuFeature::kAmxTile, CpuFeature::kAmxInt8, CpuFeature::kAmxBf16};
constexpr CpuFeatures kAmxFp16Level = kAmxLevel | CpuFeatures{CpuFeature::kAmxFp16};
constexpr CpuFeatures kAvx10Level =
    kAvx512Fp16Level | kAvx2Vnni2Level | CpuFeatures{CpuFeature::kAvx10};

struct Level {
  const char* name;
  const CpuFeatures& allowed;
};

constexpr Level kLevels[] = {
    {"sse41", kSse41Level},
    {"avx", kAvxLevel},
    {"avx2", kAvx2Level},
    {"avx2_vnni", kAvx2VnniLevel},
    {"avx2_vnni_2", kAvx2Vnni2Level},
    {"avx512_core", kAvx512CoreLevel},
    {"avx512_core_vnni", kAvx512VnniLevel},
    {"avx512_core_bf16", kAvx512Bf16Level},
    {"avx512_core_fp16", kAvx512Fp16Level},
    {"avx10_1_512", kAvx512Fp16Level},
    {"avx512_core_amx", kAmxLevel},
    {"avx10_1_512_amx", kAmxLevel},
    {"avx512_core_amx_fp16", kAmxFp16Level},
    {"avx10_1_512_amx_fp16", kAmxFp16Level},
    {"avx10_2", kAvx10Level},
    {"avx10_2_512", kAvx10Level},
};

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

// As oneDNN reads them: an empty variable is one that is not set, and so is one of 32 characters or
// more.
std::string read_variable(const char* suffix) {
  for (const char* const prefix : {"ONEDNN_", "DNNL_"}) {
    const char* const value = std::getenv((std::string(prefix) + suffix).c_str());
    if (value == nullptr) continue;
    const std::string text = value;
    if (!text.empty() && text.size() < 32) return lower_case(text);
  }
  return {};
}

CpuFeatures features_in_force() {
  const std::string value = read_variable("MAX_CPU_ISA");
  const std::optional<CpuLimit> limit = find_cpu_limit(value);
  if (limit.has_value()) return detect_cpu_features() & limit->allowed;
#if defined(__x86_64__)
  if (!value.empty() && value != "default") {
    COREML_DELEGATE_LOG(kWarning,
                        "ONEDNN_MAX_CPU_ISA is \"%s\", which is not known and limits nothing; "
                        "known are SSE41, AVX, AVX2, AVX2_VNNI, AVX512_CORE and oneDNN's others",
                        value.c_str());
  }
#endif
  return detect_cpu_features();
}

}  // namespace

#if defined(__x86_64__)

CpuFeatures detect_cpu_features() {
  CpuFeatures found;
  uint32_t a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return found;
  const auto add = [&](CpuFeature feature, uint32_t word, int bit) {
    if ((word >> bit & 1u) != 0) found.add(feature);
  };

  // Which registers the operating system saves: XCR0, readable where CPUID says so.
  uint64_t saved = 0;
  if ((c >> 27 & 1u) != 0) {
    uint32_t low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    saved = static_cast<uint64_t>(high) << 32 | low;
  }
  const auto saves = [&](uint64_t mask) { return (saved & mask) == mask; };
  const bool has_ymm = saves(0x6), has_zmm = saves(0xe6), has_tiles = saves(0x60000);

  add(CpuFeature::kSsse3, c, 9);
  add(CpuFeature::kSse41, c, 19);
  add(CpuFeature::kSse42, c, 20);
  if (has_ymm) {
    add(CpuFeature::kFma, c, 12);
    add(CpuFeature::kAvx, c, 28);
    add(CpuFeature::kF16c, c, 29);
  }
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return found;
  const uint32_t last_leaf = a;
  add(CpuFeature::kSha, b, 29);
  if (has_ymm) add(CpuFeature::kAvx2, b, 5);
  if (has_zmm) {
    add(CpuFeature::kAvx512f, b, 16);
    add(CpuFeature::kAvx512dq, b, 17);
    add(CpuFeature::kAvx512bw, b, 30);
    add(CpuFeature::kAvx512vl, b, 31);
    add(CpuFeature::kAvx512Vnni, c, 11);
    add(CpuFeature::kAvx512Fp16, d, 23);
  }
  if (has_tiles) {
    add(CpuFeature::kAmxBf16, d, 22);
    add(CpuFeature::kAmxTile, d, 24);
    add(CpuFeature::kAmxInt8, d, 25);
  }
  if (last_leaf < 1 || __get_cpuid_count(7, 1, &a, &b, &c, &d) == 0) return found;
  if (has_ymm) {
    add(CpuFeature::kAvxVnni, a, 4);
    add(CpuFeature::kAvxVnniInt8, d, 4);
    add(CpuFeature::kAvxNeConvert, d, 5);
  }
  if (has_zmm) {
    add(CpuFeature::kAvx512Bf16, a, 5);
    add(CpuFeature::kAvx10, d, 19);
  }
  if (has_tiles) add(CpuFeature::kAmxFp16, a, 21);
  return found;
}

#elif defined(__aarch64__) && defined(__linux__)

CpuFeatures detect_cpu_features() {
  // Bits of the kernel's interface, which never change; not every C library has names for all.
  const unsigned long first = getauxval(16);   // AT_HWCAP
  const unsigned long second = getauxval(26);  // AT_HWCAP2
  CpuFeatures found;
  const auto add = [&](CpuFeature feature, unsigned long word, int bit) {
    if ((word >> bit & 1ul) != 0) found.add(feature);
  };
  add(CpuFeature::kAsimdHp, first, 10);
  add(CpuFeature::kAsimdDp, first, 20);
  add(CpuFeature::kSve, first, 22);
  add(CpuFeature::kSve2, second, 1);
  add(CpuFeature::kI8mm, second, 13);
  add(CpuFeature::kBf16, second, 14);
  add(CpuFeature::kSme, second, 23);
  return found;
}

#else

CpuFeatures detect_cpu_features() { return {}; }

#endif

std::string CpuFeatures::to_string() const {
  std::string text;
  for (const Named& named : kNames) {
    if (!has(named.feature)) continue;
    if (!text.empty()) text += '+';
    text += named.name;
  }
  return text;
}

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = features_in_force();
  return features;
}

std::optional<CpuLimit> find_cpu_limit(std::string_view value) {
#if defined(__x86_64__)
  const std::string name = lower_case(value);
  for (const Level& level : kLevels) {
    if (name == level.name) return CpuLimit{name, level.allowed};
  }
#else
  (void)value;
  (void)kLevels;
#endif
  return std::nullopt;
}

bool cpu_limit_allows(const CpuFeatures& features) {
  static const std::optional<CpuLimit> limit = cpu_limit_from_environment();
  return !limit.has_value() || limit->allowed.has(features);
}

std::optional<CpuLimit> cpu_limit_from_environment() {
  return find_cpu_limit(read_variable("MAX_CPU_ISA"));
}

std::string cpu_fingerprint(const CpuFeatures& detected) {
#if defined(__x86_64__)
  std::string text = "x86-64";
#elif defined(__aarch64__)
  std::string text = "aarch64";
#else
  std::string text = "other";
#endif
  if (detected != CpuFeatures()) text += "+" + detected.to_string();
#if defined(__x86_64__)
  if (const std::optional<CpuLimit> limit = cpu_limit_from_environment()) {
    text += ";limit=" + limit->name;
  }
  // Makes oneDNN prefer kernels of 256 bits.
  if (read_variable("CPU_ISA_HINTS") == "prefer_ymm") text += ";hint=prefer_ymm";
#else
  // oneDNN reads the variable here too; its values are not known to us.
  const std::string limit = read_variable("MAX_CPU_ISA");
  if (!limit.empty()) text += ";limit=" + limit;
#endif
  return text;
}

}  // namespace coreml_delegate
