#ifndef COREML_DELEGATE_RUNTIME_INCLUDE_COREML_BACKEND_COREML_BACKEND_OPTIONS_H_
#define COREML_DELEGATE_RUNTIME_INCLUDE_COREML_BACKEND_COREML_BACKEND_OPTIONS_H_

// Options for loading the Core ML delegate calls of a program. It has the options of the stock
// delegate under the same names, and more.
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

// Thread rule: one thread at a time may use an object.
class LoadOptionsBuilder {
 public:
  // The hardware that a model may use. On platforms without Core ML everything runs on the CPU,
  // whatever is chosen here.
  enum class ComputeUnit { CPU_ONLY, CPU_AND_GPU, CPU_AND_NE, ALL };

  // How an engine off Apple platforms computes. Core ML ignores it.
  enum class NumericMode {
    FLOAT32,  // In float32. This is the default.
    FLOAT16,  // In float32, and rounded to IEEE half after each operation, which shows before a
              // model reaches a device what float16 does to it.
    LOW_PRECISION,  // In float32, but in integers where the program quantizes: faster, not exact.
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

  // The folder in which compiled models are kept from run to run (docs/assets.md). A path of more
  // than 254 bytes is refused when the method is loaded. "default" stands for the folder that the
  // system has for caches, which is what Apple systems use if this option is not set. With null or
  // an empty path nothing is kept.
  LoadOptionsBuilder& setCacheDirectory(const char* path) {
    return set("cache_dir", path == nullptr ? "" : path);
  }
  // Has no effect, since there is only one cache. It is here so that programs which are written for
  // the stock delegate compile.
  LoadOptionsBuilder& setUseNewCache(bool enabled) { return set("_use_new_cache", enabled); }

  // Beyond the stock API
  // ---------------------------------------------------------------------------

  // The name of the engine ("coreml" or "portable"), of at most 255 bytes. An empty name stands for
  // the platform's default.
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

  // The number of threads of one execution. With 0 the engine chooses.
  LoadOptionsBuilder& setThreads(int threads) { return set("threads", threads); }

  // Shares a compiled model among programs that have the same content, which is hashed at each load.
  // A program that lies in a buffer of the caller must then live until the last user of the model is
  // gone. For programs that are loaded from files there is nothing to take care of.
  LoadOptionsBuilder& setShareModels(bool share) { return set("share_models", share); }

  // The megabytes (10^6 bytes) that the compiled models in the cache folder may take together. 0
  // stands for the default of 10 GiB.
  LoadOptionsBuilder& setCacheBudgetMegabytes(int megabytes) {
    return set("cache_budget_mb", megabytes);
  }

  // When the checksums of a kept model are compared (docs/assets.md).
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

  // The path, of at most 254 bytes, of the program in which models are compiled
  // (//runtime:coreml_compile_helper, docs/engine.md). A hostile model can then harm that process
  // only. With null or an empty path models are compiled in this process.
  LoadOptionsBuilder& setCompileHelper(const char* path) {
    return set("compile_helper", path == nullptr ? "" : path);
  }
  // The seconds that the helper may take for one model. 0 stands for the default of 600.
  LoadOptionsBuilder& setCompileHelperTimeoutSeconds(int seconds) {
    return set("compile_helper_timeout_s", seconds);
  }
  // The megabytes (10^6 bytes) of memory that the helper may take, on Linux. With 0 there is no
  // limit.
  LoadOptionsBuilder& setCompileHelperMemoryMegabytes(int megabytes) {
    return set("compile_helper_memory_mb", megabytes);
  }

  // Executes a method once, with zeros, when it is loaded, so that its first execution is as fast
  // as later ones. If that fails, the failure is logged and the method is loaded all the same.
  LoadOptionsBuilder& setWarmUp(bool warm_up) { return set("warm_up", warm_up); }

  // Hints for Core ML, which other engines ignore.

  // Whether the shapes of inputs change often (from macOS 14.4 and iOS 17.4 on).
  enum class ReshapeFrequency { FREQUENT, INFREQUENT };
  LoadOptionsBuilder& setReshapeFrequency(ReshapeFrequency frequency) {
    return set("reshape_frequency",
               frequency == ReshapeFrequency::INFREQUENT ? "infrequent" : "frequent");
  }
  // Whether loading may take longer so that executions take less time (from macOS 15 and iOS 18 on).
  enum class SpecializationStrategy { DEFAULT, FAST_PREDICTION };
  LoadOptionsBuilder& setSpecializationStrategy(SpecializationStrategy strategy) {
    return set("specialization_strategy",
               strategy == SpecializationStrategy::FAST_PREDICTION ? "fast_prediction" : "default");
  }
  // Lets the GPU sum in float16, which is faster and less exact.
  LoadOptionsBuilder& setLowPrecisionAccumulation(bool allowed) {
    return set("low_precision_accumulation", allowed);
  }

  // Sets any option of docs/runtime.md by its name, as the setters above do. `value` is a bool, an
  // int or a string, of which the first 255 bytes are used. `name` must be a string literal.
  template <size_t N, typename T>
  LoadOptionsBuilder& set(const char (&name)[N], T value) {
    (void)options_.set_option(name, value);
    return *this;
  }

  // How many different options can be set, which is more than there are. Setting more has no effect.
  static constexpr size_t kMaxOptions = 24;

  static constexpr const char* backend_id() { return "CoreMLBackend"; }

  // The options for LoadBackendOptionsMap. They are valid while the builder lives and is not changed.
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
