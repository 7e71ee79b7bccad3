#include "base/cpu_features.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace coreml_delegate {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(CpuFeatures, AreSets) {
  CpuFeatures features = {CpuFeature::kAvx2, CpuFeature::kSse41};
  EXPECT_TRUE(features.has(CpuFeature::kAvx2));
  EXPECT_FALSE(features.has(CpuFeature::kAvx512f));
  EXPECT_TRUE(features.has({CpuFeature::kSse41, CpuFeature::kAvx2}));
  EXPECT_FALSE(features.has({CpuFeature::kSse41, CpuFeature::kFma}));
  EXPECT_EQ(features & CpuFeatures({CpuFeature::kAvx2, CpuFeature::kSme}),
            CpuFeatures({CpuFeature::kAvx2}));
  features.add(CpuFeature::kSme);
  EXPECT_EQ(features.to_string(), "sse4.1+avx2+sme");
  EXPECT_EQ(CpuFeatures().to_string(), "");
}

// Every feature has a name of its own, so that no two sets read the same in a fingerprint.
TEST(CpuFeatures, HaveNamesOfTheirOwn) {
  std::set<std::string> names;
  const int count = static_cast<int>(CpuFeature::kSme) + 1;
  for (int i = 0; i < count; ++i) {
    const std::string name = CpuFeatures({static_cast<CpuFeature>(i)}).to_string();
    EXPECT_NE(name, "") << i;
    names.insert(name);
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(count));
}

#if defined(__x86_64__)

struct LimitCase {
  const char* value;
  std::vector<CpuFeature> allowed;
  std::vector<CpuFeature> left_out;
};

TEST(CpuLimit, HasOneDnnsLevels) {
  using enum CpuFeature;
  const LimitCase cases[] = {
      {"SSE41", {kSsse3, kSse41}, {kSse42, kSha, kAvx, kF16c, kAvx2, kAvx512f}},
      {"AVX", {kSse42, kAvx}, {kF16c, kFma, kAvx2, kSha}},
      {"AVX2", {kSse41, kAvx, kF16c, kFma, kAvx2, kSha}, {kAvxVnni, kAvx512f, kAvx512Vnni}},
      {"avx2_vnni", {kAvx2, kAvxVnni}, {kAvxVnniInt8, kAvx512f, kAvx512Vnni}},
      {"AVX2_VNNI_2", {kAvxVnni, kAvxVnniInt8, kAvxNeConvert}, {kAvx512f}},
      {"AVX512_CORE",
       {kAvx2, kAvx512f, kAvx512dq, kAvx512bw, kAvx512vl},
       {kAvxVnni, kAvx512Vnni, kAvx512Bf16, kAmxTile}},
      {"AVX512_CORE_VNNI", {kAvx512f, kAvx512Vnni}, {kAvxVnni, kAvx512Bf16, kAvx512Fp16}},
      {"AVX512_CORE_BF16", {kAvx512Vnni, kAvx512Bf16}, {kAvxVnni, kAvx512Fp16, kAmxTile}},
      {"AVX512_CORE_FP16", {kAvxVnni, kAvx512Bf16, kAvx512Fp16}, {kAmxTile, kAmxInt8, kAvx10}},
      {"AVX512_CORE_AMX", {kAvx512Fp16, kAmxTile, kAmxInt8, kAmxBf16}, {kAmxFp16}},
      {"AVX512_CORE_AMX_FP16", {kAmxInt8, kAmxFp16}, {kAvx10}},
  };
  for (const LimitCase& test : cases) {
    SCOPED_TRACE(test.value);
    const std::optional<CpuLimit> limit = find_cpu_limit(test.value);
    ASSERT_TRUE(limit.has_value());
    for (const CpuFeature feature : test.allowed) {
      EXPECT_TRUE(limit->allowed.has(feature)) << CpuFeatures({feature}).to_string();
    }
    for (const CpuFeature feature : test.left_out) {
      EXPECT_FALSE(limit->allowed.has(feature)) << CpuFeatures({feature}).to_string();
    }
  }
  EXPECT_EQ(find_cpu_limit("AVX2")->name, "avx2");
  EXPECT_EQ(find_cpu_limit("AVX10_1_512")->allowed, find_cpu_limit("AVX512_CORE_FP16")->allowed);
}

TEST(CpuLimit, OtherValuesLimitNothing) {
  for (const char* const value : {"", "default", "ALL", "AVX2 ", "AVX3", "sse4"}) {
    EXPECT_FALSE(find_cpu_limit(value).has_value()) << value;
  }
}

// Sets variables and puts back what they were.
class CpuEnvironmentTest : public ::testing::Test {
 protected:
  CpuEnvironmentTest() {
    for (const char* const name :
         {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_CPU_ISA_HINTS", "DNNL_CPU_ISA_HINTS"}) {
      const char* const value = std::getenv(name);
      before_[name] = value == nullptr ? std::nullopt : std::optional<std::string>(value);
      unsetenv(name);
    }
  }
  ~CpuEnvironmentTest() override {
    for (const auto& [name, value] : before_) {
      if (value.has_value()) {
        setenv(name.c_str(), value->c_str(), 1);
      } else {
        unsetenv(name.c_str());
      }
    }
  }
  std::map<std::string, std::optional<std::string>> before_;
};

TEST_F(CpuEnvironmentTest, IsReadAsOneDnnReadsIt) {
  EXPECT_FALSE(cpu_limit_from_environment().has_value());
  setenv("DNNL_MAX_CPU_ISA", "AVX", 1);
  EXPECT_EQ(cpu_limit_from_environment()->name, "avx");
  setenv("ONEDNN_MAX_CPU_ISA", "", 1);
  EXPECT_EQ(cpu_limit_from_environment()->name, "avx");
  setenv("ONEDNN_MAX_CPU_ISA", "Avx2", 1);
  EXPECT_EQ(cpu_limit_from_environment()->name, "avx2");
  // The first that is set counts, known or not.
  setenv("ONEDNN_MAX_CPU_ISA", "nothing", 1);
  EXPECT_FALSE(cpu_limit_from_environment().has_value());
}

TEST_F(CpuEnvironmentTest, TheFingerprintHoldsFeaturesLimitAndHint) {
  using enum CpuFeature;
  EXPECT_EQ(cpu_fingerprint({}), "x86-64");
  EXPECT_EQ(cpu_fingerprint({kAvx2, kAmxInt8}), "x86-64+avx2+amx_int8");
  setenv("ONEDNN_MAX_CPU_ISA", "nothing", 1);
  EXPECT_EQ(cpu_fingerprint({kAvx2}), "x86-64+avx2");
  setenv("ONEDNN_MAX_CPU_ISA", "AVX2", 1);
  EXPECT_EQ(cpu_fingerprint({kAvx2}), "x86-64+avx2;limit=avx2");
  setenv("DNNL_CPU_ISA_HINTS", "PREFER_YMM", 1);
  EXPECT_EQ(cpu_fingerprint({kAvx2}), "x86-64+avx2;limit=avx2;hint=prefer_ymm");
}

TEST(CpuFeatures, AreThoseThatTheCompilersRuntimeFinds) {
  using enum CpuFeature;
  __builtin_cpu_init();
  const CpuFeatures detected = detect_cpu_features();
  EXPECT_EQ(detected.has(kSsse3), __builtin_cpu_supports("ssse3") != 0);
  EXPECT_EQ(detected.has(kSse41), __builtin_cpu_supports("sse4.1") != 0);
  EXPECT_EQ(detected.has(kSse42), __builtin_cpu_supports("sse4.2") != 0);
  EXPECT_EQ(detected.has(kAvx), __builtin_cpu_supports("avx") != 0);
  EXPECT_EQ(detected.has(kFma), __builtin_cpu_supports("fma") != 0);
  EXPECT_EQ(detected.has(kAvx2), __builtin_cpu_supports("avx2") != 0);
  EXPECT_EQ(detected.has(kAvx512f), __builtin_cpu_supports("avx512f") != 0);
  EXPECT_EQ(detected.has(kAvx512dq), __builtin_cpu_supports("avx512dq") != 0);
  EXPECT_EQ(detected.has(kAvx512bw), __builtin_cpu_supports("avx512bw") != 0);
  EXPECT_EQ(detected.has(kAvx512vl), __builtin_cpu_supports("avx512vl") != 0);
  EXPECT_EQ(detected.has(kAvx512Vnni), __builtin_cpu_supports("avx512vnni") != 0);
  EXPECT_EQ(detected.has(kAvx512Bf16), __builtin_cpu_supports("avx512bf16") != 0);
}

#if defined(__linux__)

// Those that the compiler has no name for. The kernel lists a feature only where it saves its
// registers; one that is newer than the kernel it does not list. (qemu's emulation of single
// programs shows the host's list.)
TEST(CpuFeatures, HaveWhatTheKernelLists) {
  using enum CpuFeature;
  const std::pair<CpuFeature, const char*> kernels_names[] = {
      {kSha, "sha_ni"},       {kF16c, "f16c"},
      {kAvxVnni, "avx_vnni"}, {kAvx512Fp16, "avx512_fp16"},
      {kAmxTile, "amx_tile"}, {kAmxInt8, "amx_int8"},
      {kAmxBf16, "amx_bf16"},
  };
  std::ifstream file("/proc/cpuinfo");
  std::set<std::string> flags;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("flags")) continue;
    std::istringstream words(line);
    for (std::string word; words >> word;) flags.insert(word);
    break;
  }
  ASSERT_FALSE(flags.empty());
  const CpuFeatures detected = detect_cpu_features();
  for (const auto& [feature, name] : kernels_names) {
    EXPECT_TRUE(detected.has(feature) || !flags.contains(name)) << name;
  }
}

#endif

#endif

// With --config=avx2 or sse4 this is where the limit is seen to be in force.
TEST(CpuFeatures, InForceAreThoseThatTheLimitAllows) {
  const CpuFeatures detected = detect_cpu_features();
  const std::optional<CpuLimit> limit = cpu_limit_from_environment();
  EXPECT_EQ(cpu_features(), limit.has_value() ? detected & limit->allowed : detected);
  EXPECT_TRUE(cpu_limit_allows(cpu_features()));
  if (limit.has_value()) {
    EXPECT_TRUE(cpu_limit_allows(limit->allowed));
    EXPECT_FALSE(cpu_limit_allows({CpuFeature::kSme}));  // Of no level.
    EXPECT_THAT(cpu_fingerprint(detected), HasSubstr(";limit=" + limit->name));
  } else {
    EXPECT_TRUE(cpu_limit_allows({CpuFeature::kSme}));
    EXPECT_THAT(cpu_fingerprint(detected), Not(HasSubstr(";limit=")));
  }
}

}  // namespace
}  // namespace coreml_delegate
