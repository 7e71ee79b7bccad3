#ifndef COREML_DELEGATE_RUNTIME_DELEGATE_OPTIONS_H_
#define COREML_DELEGATE_RUNTIME_DELEGATE_OPTIONS_H_

// What a user can ask of the delegate, from three places; the first that says something wins:
//   1. runtime specs: LoadBackendOptionsMap at load time (LoadOptionsBuilder),
//   2. the process's defaults: executorch::runtime::set_option("CoreMLBackend", ...),
//   3. what the program says: the compile spec `compute_units`, else the blob's own request.
//
//   engine          string  name of a registered engine; empty: the platform's default
//   compute_unit    string  "all", "cpu_only", "cpu_and_gpu", "cpu_and_ne"
//   numeric_mode    string  "float32", "float16", "low_precision" (numeric_mode.h)
//   threads         int     threads of one execution; 0: the engine's choice
//   share_models    bool    share a compiled model between programs of equal content
//                           (in_process_model_provider.h)
//   cache_dir       string  folder in which compiled models are kept (docs/assets.md), at most 254
//                           bytes; empty: nothing is kept on disk, the default
//   cache_budget_mb int     megabytes (10^6 bytes) they may take together; 0: 10 GiB
//   cache_verification  string  when their checksums are compared: "first_use" (in each process,
//   the
//                           default), "sampled", "full", "none"
//   compile_helper  string  program that models are compiled in (docs/engine.md), at most 254
//                           bytes; empty: this process, the default. Like all but compute_units it
//                           is never the program's to say
//   compile_helper_timeout_s  int  seconds that it may take for a model; 0: 600
//   compile_helper_memory_mb  int  megabytes (10^6 bytes) that it may take; 0: no limit
//   warm_up         bool    execute once, with zeros, when a method is loaded
//   _use_new_cache  bool    accepted for the stock API's sake: there is one cache
//
// set_option() takes one more: reset_states (bool true: of every loaded method; string: of the
// methods of that name). An option of another name or type is refused by name.

#include <executorch/runtime/backend/interface.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "runtime/assets/asset_store.h"
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

  // What is not set here is taken from `fallback`.
  DelegateOptions or_else(const DelegateOptions& fallback) const;
};

// What set_option() asks for besides new defaults.
struct OptionUpdate {
  DelegateOptions options;
  // Set: reset the states of the methods of this name, or of all when it is empty.
  std::optional<std::string> reset_states;
};

// Runtime specs. invalid_argument names the option and what it takes.
Result<DelegateOptions> parse_load_options(
    executorch::runtime::Span<const executorch::runtime::BackendOption> options);

// What was given to set_option(), on top of `current`: an empty string takes an option back.
Result<OptionUpdate> parse_option_update(
    const DelegateOptions& current,
    executorch::runtime::Span<executorch::runtime::BackendOption> options);

// Writes the value that `option.key` has in `options` (an unset one: empty, 0 or false) to
// `option.value`.
Status read_option(const DelegateOptions& options, executorch::runtime::BackendOption& option);

// The compile specs that the runtime reads; those for the ahead-of-time side are left alone.
// invalid_argument for a bad value.
Result<DelegateOptions> parse_compile_specs(
    executorch::runtime::ArrayRef<executorch::runtime::CompileSpec> specs);

// "cpu_only" and so on. invalid_argument lists the names.
Result<engine::ComputeUnits> parse_compute_units(std::string_view name);
std::string_view compute_units_name(engine::ComputeUnits units);
std::string_view numeric_mode_name(engine::NumericMode mode);

}  // namespace coreml_delegate

#endif  // COREML_DELEGATE_RUNTIME_DELEGATE_OPTIONS_H_
