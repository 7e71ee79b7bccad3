#include "runtime/engine/engine.h"

namespace coreml_delegate::engine {

Status Engine::compile(const ModelSource& source, const std::string& folder,
                       const LoadOptions& options) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const CompileRequest request, plan(source, options));
  return compile(source, folder, request, {options.cancellation, options.events});
}

Result<std::unique_ptr<Model>> Engine::load(const std::string& folder, const LoadOptions& options) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const CompileRequest request, plan({}, options));
  return load(folder, request, {options.cancellation, options.events});
}

Result<std::unique_ptr<Model>> Engine::load_source(const ModelSource& source,
                                                   const LoadOptions& options) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const CompileRequest request, plan(source, options));
  return load_source(source, request, {options.cancellation, options.events});
}

}  // namespace coreml_delegate::engine
