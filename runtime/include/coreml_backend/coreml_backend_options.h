#ifndef COREML_DELEGATE_RUNTIME_INCLUDE_COREML_BACKEND_COREML_BACKEND_OPTIONS_H_
#define COREML_DELEGATE_RUNTIME_INCLUDE_COREML_BACKEND_COREML_BACKEND_OPTIONS_H_

// Options for loading the Core ML delegate calls of a program: those of the stock delegate, under
// its names, and more.
//
//   using executorch::backends::coreml::LoadOptionsBuilder;
//   LoadOptionsBuilder options;
//   options.setComputeUnit(LoadOptionsBuilder::ComputeUnit::CPU_AND_GPU).setThreads(2);
//   LoadBackendOptionsMap map;
//   map.set_options(options);
//   module.load(map);  // `options` must outlive `map` and the call of load().
//
// An option that is not set here has the value that was given to
// executorch::runtime::set_option("CoreMLBackend", ...), or else the value that the program asks
// for. A bad value is refused when the method is loaded, with a message that names the option.

#include <executorch/runtime/backend/options.h>
#include <executorch/runtime/core/span.h>

namespace executorch {
namespace backends {
namespace coreml {

// Thread rule: a value; one thread at a time.
class LoadOptionsBuilder {
 public:
  // The hardware a model may use. On platforms without Core ML everything runs on the CPU whatever
  // is asked.
  enum class ComputeUnit { CPU_ONLY, CPU_AND_GPU, CPU_AND_NE, ALL };

  // How an engine that emulates Core ML's arithmetic computes; Core ML ignores it.
  enum class NumericMode {
    FLOAT32,  // In float32: the default.
    FLOAT16,  // Rounded to IEEE half after each operation: shows float16 trouble before a model
              // reaches a device.
    LOW_PRECISION,  // As FLOAT32, but what the program quantizes in integers: fast, not exact.
  };

  LoadOptionsBuilder& setComputeUnit(ComputeUnit unit) {
    switch (unit) {
      case ComputeUnit::CPU_ONLY:
        return set("compute_unit", "cpu_only");
      case ComputeUnit::CPU_AND_GPU:
        return set("compute_unit", "cpu_and_gpu");
      case ComputeUnit::CPU_AND_NE:
        return set("compute_unit", "cpu_and_ne");
      case ComputeUnit::ALL:
        return set("compute_unit", "all");
    }
    return *this;
  }

  // The folder in which compiled models are kept from run to run (docs/assets.md); at most 254
  // bytes: a longer path is refused when the method is loaded. "default": in the system's folder
  // for caches, which Apple systems take where nobody says anything. Null or empty: nothing is
  // kept.
  LoadOptionsBuilder& setCacheDirectory(const char* path) {
    return set("cache_dir", path == nullptr ? "" : path);
  }
  // Accepted so that programs written for the stock delegate compile; there is one cache.
  LoadOptionsBuilder& setUseNewCache(bool enabled) { return set("_use_new_cache", enabled); }

  // Beyond the stock API
  // ---------------------------------------------------------------------------

  // The engine by name ("coreml", "portable"); at most 255 bytes. Empty: the platform's default.
  LoadOptionsBuilder& setEngine(const char* name) { return set("engine", name); }

  LoadOptionsBuilder& setNumericMode(NumericMode mode) {
    switch (mode) {
      case NumericMode::FLOAT32:
        return set("numeric_mode", "float32");
      case NumericMode::FLOAT16:
        return set("numeric_mode", "float16");
      case NumericMode::LOW_PRECISION:
        break;
    }
    return set("numeric_mode", "low_precision");
  }

  // Threads of one execution; 0: the engine's choice.
  LoadOptionsBuilder& setThreads(int threads) { return set("threads", threads); }

  // Share compiled models with other programs of equal content. Hashes the content at each load.
  // Programs that lie in buffers of the caller must then live until the last user of the model is
  // gone; programs loaded from files need no care.
  LoadOptionsBuilder& setShareModels(bool share) { return set("share_models", share); }

  // Megabytes (10^6 bytes) that the compiled models in the cache folder may take together; 0: the
  // default, 10 GiB.
  LoadOptionsBuilder& setCacheBudgetMegabytes(int megabytes) {
    return set("cache_budget_mb", megabytes);
  }

  // When the checksums of a kept model are compared.
  enum class CacheVerification { FIRST_USE, SAMPLED, FULL, NONE };
  LoadOptionsBuilder& setCacheVerification(CacheVerification verification) {
    switch (verification) {
      case CacheVerification::FIRST_USE:
        return set("cache_verification", "first_use");
      case CacheVerification::SAMPLED:
        return set("cache_verification", "sampled");
      case CacheVerification::FULL:
        return set("cache_verification", "full");
      case CacheVerification::NONE:
        return set("cache_verification", "none");
    }
    return *this;
  }

  // The program that models are compiled in (//runtime:coreml_compile_helper, docs/engine.md), so
  // that what a hostile one does to the compiler happens there; at most 254 bytes. Null or empty:
  // this process.
  LoadOptionsBuilder& setCompileHelper(const char* path) {
    return set("compile_helper", path == nullptr ? "" : path);
  }
  // Seconds that it may take for a model; 0: the default, 600.
  LoadOptionsBuilder& setCompileHelperTimeoutSeconds(int seconds) {
    return set("compile_helper_timeout_s", seconds);
  }
  // Megabytes (10^6 bytes) of memory that it may take; 0: no limit. Linux only.
  LoadOptionsBuilder& setCompileHelperMemoryMegabytes(int megabytes) {
    return set("compile_helper_memory_mb", megabytes);
  }

  // Executes a method once, with zeros, when it is loaded, so that its first execution is as fast
  // as the others. A failure is logged.
  LoadOptionsBuilder& setWarmUp(bool warm_up) { return set("warm_up", warm_up); }

  // Hints for Core ML; other engines have no use for them.

  // Whether the shapes of inputs change often (macOS 14.4, iOS 17.4).
  enum class ReshapeFrequency { FREQUENT, INFREQUENT };
  LoadOptionsBuilder& setReshapeFrequency(ReshapeFrequency frequency) {
    return set("reshape_frequency",
               frequency == ReshapeFrequency::INFREQUENT ? "infrequent" : "frequent");
  }
  // Whether loading may take longer so that executions take less (macOS 15, iOS 18).
  enum class SpecializationStrategy { DEFAULT, FAST_PREDICTION };
  LoadOptionsBuilder& setSpecializationStrategy(SpecializationStrategy strategy) {
    return set("specialization_strategy",
               strategy == SpecializationStrategy::FAST_PREDICTION ? "fast_prediction" : "default");
  }
  // Sums in float16 on the GPU: faster, less exact.
  LoadOptionsBuilder& setLowPrecisionAccumulation(bool allowed) {
    return set("low_precision_accumulation", allowed);
  }

  // Sets any option of docs/runtime.md by its name; the setters above are shorthands. `value` is a
  // bool, an int or a string, of which the first 255 bytes are taken. `name` is a string literal.
  template <size_t N, typename T>
  LoadOptionsBuilder& set(const char (&name)[N], T value) {
    (void)options_.set_option(name, value);
    return *this;
  }

  // How many different options can be set; setting more has no effect. There are fewer.
  static constexpr size_t kMaxOptions = 24;

  static constexpr const char* backend_id() { return "CoreMLBackend"; }

  // Valid while the builder lives and is not changed.
  ::executorch::runtime::Span<::executorch::runtime::BackendOption> view() {
    return options_.view();
  }

 private:
  ::executorch::runtime::BackendOptions<kMaxOptions> options_;
};

}  // namespace coreml
}  // namespace backends
}  // namespace executorch

#endif  // COREML_DELEGATE_RUNTIME_INCLUDE_COREML_BACKEND_COREML_BACKEND_OPTIONS_H_
