#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_OPTIONS_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_OPTIONS_H_

// What a user can ask of the delegate, from four places; the first that says something wins:
//   1. runtime specs: LoadBackendOptionsMap at load time (LoadOptionsBuilder),
//   2. the process's defaults: executorch::runtime::set_option("CoreMLBackend", ...),
//   3. on Apple's systems the stock delegate's property list in the app's bundle (app_settings.h),
//   4. what the program says: the compile spec `compute_units`, else the blob's own request.
//
// kLoadOptions below has a row for each option, from which everything else about it follows. To add
// an option, add a member and its row here, use the member, and add its line to docs/runtime.md.
// A program itself can only say `compute_units`. `_use_new_cache` (bool) is accepted because the
// stock API has it: there is one cache.
//
// set_option() takes one more option: reset_states (bool true: the states of every loaded method;
// string: those of the methods of that name). An option of another name or type is refused, and the
// message names it.

#include <executorch/runtime/backend/interface.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "runtime/assets/asset_store.h"
#include "runtime/delegate/option_table.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate {

struct DelegateOptions {
  std::optional<std::string> engine;
  std::optional<engine::ComputeUnits> compute_units;
  std::optional<engine::NumericMode> numeric_mode;
  std::optional<int32_t> threads;
  std::optional<bool> share_models;
  std::optional<std::string> cache_dir;
  std::optional<int32_t> cache_budget_mb;
  std::optional<assets::Verification> cache_verification;
  std::optional<std::string> compile_helper;
  std::optional<int32_t> compile_helper_timeout_s;
  std::optional<int32_t> compile_helper_memory_mb;
  std::optional<bool> warm_up;
  std::optional<engine::ReshapeFrequency> reshape_frequency;
  std::optional<engine::SpecializationStrategy> specialization_strategy;
  std::optional<bool> low_precision_accumulation;

  // What is not set here is taken from `fallback`.
  DelegateOptions or_else(const DelegateOptions& fallback) const;
};

inline constexpr std::array<OptionRow<DelegateOptions>, 15> kLoadOptions = {{
    {.name = "engine",
     .member = &DelegateOptions::engine,
     .placeholder = "NAME",
     .doc = "the engine that executes: coreml or portable (default: the platform's)"},
    {.name = "compute_unit",
     .member = &DelegateOptions::compute_units,
     .engine_member = &engine::LoadOptions::compute_units,
     .placeholder = "UNIT",
     .doc = "the hardware that may be used: all, cpu_only, cpu_and_gpu or cpu_and_ne"},
    {.name = "numeric_mode",
     .member = &DelegateOptions::numeric_mode,
     .engine_member = &engine::LoadOptions::numeric_mode,
     .placeholder = "MODE",
     .doc = "how an engine off Apple platforms computes: float32, float16 or low_precision"},
    {.name = "threads",
     .member = &DelegateOptions::threads,
     .engine_member = &engine::LoadOptions::threads,
     .most = 1024,
     .zero = "the engine's choice",
     .placeholder = "N",
     .doc = "threads of one execution; with 0 the engine chooses their number"},
    {.name = "share_models",
     .member = &DelegateOptions::share_models,
     .doc = "share one compiled model among programs that have the same content"},
    {.name = "cache_dir",
     .member = &DelegateOptions::cache_dir,
     .is_path = true,
     .placeholder = "FOLDER",
     .doc = "the folder in which compiled models are kept from run to run (docs/assets.md); "
            "\"default\" stands for the folder that the system has for caches"},
    {.name = "cache_budget_mb",
     .member = &DelegateOptions::cache_budget_mb,
     .zero = "10 GiB",
     .placeholder = "N",
     .doc = "megabytes (10^6 bytes) that all kept models may take together; 0 stands for 10 GiB"},
    {.name = "cache_verification",
     .member = &DelegateOptions::cache_verification,
     .placeholder = "WHEN",
     .doc = "when the checksums of kept models are compared: first_use, sampled, full or none"},
    {.name = "compile_helper",
     .member = &DelegateOptions::compile_helper,
     .is_path = true,
     .placeholder = "FILE",
     .doc = "the program (//runtime:coreml_compile_helper) in which models are compiled instead of "
            "in this process, for models that nobody vouches for"},
    {.name = "compile_helper_timeout_s",
     .member = &DelegateOptions::compile_helper_timeout_s,
     .zero = "600",
     .placeholder = "N",
     .doc = "seconds that the helper may take for one model; 0 stands for 600"},
    {.name = "compile_helper_memory_mb",
     .member = &DelegateOptions::compile_helper_memory_mb,
     .zero = "no limit",
     .placeholder = "N",
     .doc = "megabytes (10^6 bytes) of memory that the helper may take; with 0 there is no limit"},
    {.name = "warm_up",
     .member = &DelegateOptions::warm_up,
     .flag = "warm_up_on_load",
     .doc = "execute a method once, with zeros, when it is loaded"},
    {.name = "reshape_frequency",
     .member = &DelegateOptions::reshape_frequency,
     .engine_member = &engine::LoadOptions::reshape_frequency,
     .placeholder = "HOW",
     .doc = "a hint for Core ML, how often the shapes of inputs change: frequent or infrequent"},
    {.name = "specialization_strategy",
     .member = &DelegateOptions::specialization_strategy,
     .engine_member = &engine::LoadOptions::specialization_strategy,
     .placeholder = "HOW",
     .doc = "a hint for Core ML: default, or fast_prediction to load longer and execute faster"},
    {.name = "low_precision_accumulation",
     .member = &DelegateOptions::low_precision_accumulation,
     .engine_member = &engine::LoadOptions::low_precision_accumulation,
     .doc = "let Core ML sum in float16 on the GPU, which is faster and less exact"},
}};

// What set_option() asks for besides new defaults.
struct OptionUpdate {
  DelegateOptions options;
  // Set: reset the states of the methods of this name, or of all when it is empty.
  std::optional<std::string> reset_states;
};

// Parses runtime specs. invalid_argument names the option and the values that it takes.
Result<DelegateOptions> parse_load_options(
    executorch::runtime::Span<const executorch::runtime::BackendOption> options);

// Parses what was given to set_option(), on top of `current`: an empty string takes an option back.
Result<OptionUpdate> parse_option_update(
    const DelegateOptions& current,
    executorch::runtime::Span<executorch::runtime::BackendOption> options);

// Writes the value of the option `option.key` to `option.value`; where the option is not set: an
// empty string, 0 or false.
Status read_option(const DelegateOptions& options, executorch::runtime::BackendOption& option);

// Parses the compile specs that the runtime reads and ignores those for the ahead-of-time side.
// invalid_argument for a bad value.
Result<DelegateOptions> parse_compile_specs(
    executorch::runtime::ArrayRef<executorch::runtime::CompileSpec> specs);

// The folder in which compiled models are kept; empty if none are. The value "default" stands for
// the system's folder for caches, which Apple systems use also where the option is not set.
// failed_precondition where the system has no such folder.
Result<std::string> cache_folder(const DelegateOptions& options);

// The options that an engine is given; those that are not set have their defaults. The function is
// not among them.
engine::LoadOptions engine_options(const DelegateOptions& options);

// "cpu_only" and so on. invalid_argument lists the names.
Result<engine::ComputeUnits> parse_compute_units(std::string_view name);

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_OPTIONS_H_
