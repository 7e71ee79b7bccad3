#ifndef COREML_DELEGATE_RUNTIME_ENGINE_HELPER_COMPILE_HELPER_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_HELPER_COMPILE_HELPER_H_

// Compiling a model that nobody vouches for in a process of its own. An engine's compiler
// (OpenVINO) may crash, hang or take all memory on a hostile graph; here that ends a helper program
// (//runtime:coreml_compile_helper), and the caller gets a Status.
//
//   const HelperProcess helper{.program = "/opt/app/coreml_compile_helper"};
//   COREML_DELEGATE_ASSIGN_OR_RETURN(const CompileRequest request, engine->plan(source, options));
//   COREML_DELEGATE_ASSIGN_OR_RETURN(
//       auto model, load_source_in_helper(helper, *engine, source, request, /*controls=*/{}));
//
// It works with every engine that the helper program has too, and whose models need their compiled
// folder no longer when load() has returned (the portable engine maps it).
//
// It contains crashes; it is no security sandbox: the helper runs with the rights of its caller,
// and what it compiled is loaded and executed in the caller. The package, and for
// load_source_in_helper what is compiled, lie in a private folder of temporary_directory()
// meanwhile.
//
// Failures, beside what the engine itself says of the model:
//   engine_failure       the helper died of a signal on this model, or ended without a word
//   resource_exhausted   the timeout, the memory limit, or memory as such ran out
//   cancelled            the token in the options was set
//   not_found            there is no such program
//   failed_precondition  the program was built from other sources than this one
//   internal             its answer makes no sense
// Nothing is compiled in this process instead.
//
// Thread rule: as for the engine.

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate::engine {

struct HelperProcess {
  static constexpr int32_t kDefaultTimeoutSeconds = 600;

  // Path of the helper program.
  std::string program;
  // Seconds that it may take for one function; 0: the default.
  int32_t timeout_seconds = 0;
  // Bytes of memory that it may take beyond what it has when it starts; 0: no limit. Linux only:
  // elsewhere the system does not keep to it.
  int64_t memory_limit_bytes = 0;
};

// engine.compile() in the helper, and one load there of what it made: loading makes the kernels, on
// which the library may crash as well.
Status compile_in_helper(const HelperProcess& helper, Engine& engine, const ModelSource& source,
                         const std::string& folder, const CompileRequest& request,
                         const Controls& controls);

// The same into a folder that is loaded and removed. A model loaded this way offers no intermediate
// values. An .mlmodelc has been compiled already: that is engine.load_source().
Result<std::unique_ptr<Model>> load_source_in_helper(const HelperProcess& helper, Engine& engine,
                                                     const ModelSource& source,
                                                     const CompileRequest& request,
                                                     const Controls& controls);

// The same for whoever has no use for the request itself.
Status compile_in_helper(const HelperProcess& helper, Engine& engine, const ModelSource& source,
                         const std::string& folder, const LoadOptions& options);
Result<std::unique_ptr<Model>> load_source_in_helper(const HelperProcess& helper, Engine& engine,
                                                     const ModelSource& source,
                                                     const LoadOptions& options);

}  // namespace coreml_delegate::engine

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_HELPER_COMPILE_HELPER_H_
