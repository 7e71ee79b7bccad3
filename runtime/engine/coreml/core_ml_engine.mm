#include "runtime/engine/coreml/core_ml_engine.h"

#import <CoreML/CoreML.h>

#include <algorithm>
#include <utility>

#include "base/file.h"
#include "base/private_folder.h"
#include "inmemoryfs/disk.h"
#include "runtime/engine/compile_request.h"
#include "runtime/engine/coreml/compilation.h"
#include "runtime/engine/coreml/compiled_folder.h"
#include "runtime/engine/coreml/configuration.h"
#include "runtime/engine/coreml/core_ml_model.h"
#include "runtime/engine/coreml/guard.h"
#include "runtime/engine/coreml/tensors.h"
#include "runtime/engine/stage_timer.h"
#include "runtime/model/description.h"
#include "runtime/model/package.h"

namespace coreml_delegate::engine::coreml {

namespace {

// Part of the fingerprint: what this engine itself puts into a folder.
constexpr char kFormat[] = "coreml 2";

Status check_cancelled(const CancellationToken* token, const std::string& name) {
  if (token == nullptr || !token->is_cancelled()) return {};
  return cancelled("the caller cancelled the operation", name);
}

// Core ML takes models as folders: one that is in memory is written to a folder of its own, which
// goes with its last owner.
Result<std::shared_ptr<const PrivateFolder>> make_folder() {
  COREML_DELEGATE_ASSIGN_OR_RETURN(PrivateFolder folder,
                                   PrivateFolder::make("coreml_delegate_model"));
  return std::make_shared<const PrivateFolder>(std::move(folder));
}

// Core ML has a multi-array type for every tensor.
Status check_types(const FunctionDescription& function) {
  for (const auto* specs : {&function.inputs, &function.outputs, &function.states}) {
    for (const TensorSpec& spec : *specs) {
      COREML_DELEGATE_RETURN_IF_ERROR(multi_array_type(spec.dtype, spec.to_string()).status());
    }
  }
  return {};
}

// The function of a package that was asked for. Core ML gets a package that this project's own
// reader has found to be well formed, weights included: packages come from anywhere.
Result<CompiledFunction> select_function(const model::Package& package, const std::string& name) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const model::Function function, package.function(name));
  CompiledFunction selected;
  selected.description = model::describe(function);
  COREML_DELEGATE_RETURN_IF_ERROR(check_types(selected.description));
  // Models with one function are loaded without a name: those of before macOS 15 and iOS 18 take
  // none.
  if (package.function_names().size() > 1) selected.function_to_select = function.name;
  if (@available(macOS 15.0, iOS 18.0, tvOS 18.0, watchOS 11.0, *)) return selected;
  if (function.name == package.default_function()) {
    selected.function_to_select.clear();
    return selected;
  }
  return unsupported(
      "a function that is not the package's default needs macOS 15, iOS 18, tvOS 18 or watchOS 11",
      function.name);
}

Result<ObjCPtr<MLModel>> load_model(const std::string& path, const LoadOptions& options,
                                    const std::string& function) {
  return guarded("load the model", path, [&]() -> Result<ObjCPtr<MLModel>> {
    NSError* error = nil;
    MLModel* const model = [MLModel modelWithContentsOfURL:folder_url(path)
                                             configuration:make_configuration(options, function)
                                                     error:&error];
    if (model == nil) return status_of_error(error, "load the model", path);
    return ObjCPtr<MLModel>::retain(model);
  });
}

class CoreMLEngine : public Engine {
 public:
  explicit CoreMLEngine(CoreMLEngineOptions options) : options_(options) {}

  std::string_view name() const override { return "coreml"; }

  // A new system brings a new Core ML.
  std::string fingerprint() const override {
    const Result<std::string> system =
        guarded("ask for the system", "", []() -> Result<std::string> {
          return from_ns([[NSProcessInfo processInfo] operatingSystemVersionString]);
        });
    return std::string(kFormat) + "; system " + (system.ok() ? *system : "unknown");
  }

  Result<std::vector<FunctionDescription>> describe(const ModelSource& source) const override {
    auto described = describe_source(source);
    if (!described.ok())
      return described.status().annotate("cannot describe the model", source.name);
    return described;
  }

  // Core ML compiles for every compute unit at once, and takes the choice and the hints when it
  // loads.
  Result<CompileRequest> plan(const ModelSource&, const LoadOptions& options) const override {
    return make_request(*this,
                        {.when_compiled = {},
                         .when_loaded = {"compute_units", "low_precision_accumulation",
                                         "reshape_frequency", "specialization_strategy"}},
                        options);
  }

  using Engine::compile;
  using Engine::load;
  using Engine::load_source;

  Status compile(const ModelSource& source, const std::string& folder,
                 const CompileRequest& request, const Controls& controls) override {
    const StageTimer timer(controls.events, EventKind::kCompile);
    const auto compile = [&]() -> Status {
      COREML_DELEGATE_ASSIGN_OR_RETURN(const LoadOptions options, options_of(request, controls));
      COREML_DELEGATE_ASSIGN_OR_RETURN(CompiledFunction function,
                                       compile_source(source, folder, options));
      function.request = request.text;
      COREML_DELEGATE_RETURN_IF_ERROR(write_description(real_file_system(), folder, function));
      timer.succeed(function.description.name);
      return {};
    };
    return compile().annotate("cannot compile the model into " + folder, source.name);
  }

  Result<std::unique_ptr<Model>> load(const std::string& folder, const CompileRequest& request,
                                      const Controls& controls) override {
    const StageTimer timer(controls.events, EventKind::kLoad);
    auto model = load_folder(folder, request, controls);
    if (!model.ok()) return model.status().annotate("cannot load a compiled model", folder);
    timer.succeed((*model)->description().name);
    return model;
  }

  Result<std::unique_ptr<Model>> load_source(const ModelSource& source,
                                             const CompileRequest& request,
                                             const Controls& controls) override {
    const StageTimer timer(controls.events, EventKind::kLoad);
    const auto load = [&]() -> Result<std::unique_ptr<Model>> {
      COREML_DELEGATE_ASSIGN_OR_RETURN(const LoadOptions options, options_of(request, controls));
      // The folder lives as long as the model: Core ML may read weights from it later.
      COREML_DELEGATE_ASSIGN_OR_RETURN(const std::shared_ptr<const PrivateFolder> folder,
                                       make_folder());
      const StageTimer compile_timer(options.events, EventKind::kCompile);
      COREML_DELEGATE_ASSIGN_OR_RETURN(const CompiledFunction function,
                                       compile_source(source, folder->path(), options));
      compile_timer.succeed(function.description.name);
      return open_model(folder->path(), function, options, folder);
    };
    auto model = load();
    if (!model.ok()) return model.status().annotate("cannot load the model", source.name);
    timer.succeed((*model)->description().name);
    return model;
  }

 private:
  Result<LoadOptions> options_of(const CompileRequest& request, const Controls& controls) const {
    COREML_DELEGATE_ASSIGN_OR_RETURN(LoadOptions options, read_request(*this, request));
    options.cancellation = controls.cancellation;
    options.events = controls.events;
    return options;
  }

  Result<std::vector<FunctionDescription>> describe_source(const ModelSource& source) const {
    if (source.files == nullptr) return invalid_argument("the model has no files", source.name);
    std::vector<FunctionDescription> descriptions;
    if (source.kind == ModelKind::kCompiled) {
      COREML_DELEGATE_ASSIGN_OR_RETURN(const std::shared_ptr<const PrivateFolder> staged,
                                       make_folder());
      const std::string path = join_path(staged->path(), "model.mlmodelc");
      COREML_DELEGATE_RETURN_IF_ERROR(
          inmemoryfs::write_temporary_folder(real_file_system(), *source.files, path));
      COREML_DELEGATE_ASSIGN_OR_RETURN(descriptions.emplace_back(), describe_compiled(path, {}));
      return descriptions;
    }
    COREML_DELEGATE_ASSIGN_OR_RETURN(const model::Package package,
                                     model::Package::open(*source.files));
    for (const std::string& name : package.function_names()) {
      COREML_DELEGATE_ASSIGN_OR_RETURN(const model::Function function,
                                       package.function_signature(name));
      descriptions.push_back(model::describe(function));
    }
    return descriptions;
  }

  // Of a compiled model nothing but Core ML knows the features. Its dictionaries have no order, so
  // features are in the order of their names; the default function is called by the name it was
  // asked for.
  Result<FunctionDescription> describe_compiled(const std::string& path,
                                                const LoadOptions& options) const {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const ObjCPtr<MLModel> model,
                                     load_model(path, options, options.function_name));
    return guarded("describe the model", path, [&] {
      return coreml::describe(model.get().modelDescription,
                              options.function_name.empty() ? "main" : options.function_name);
    });
  }

  // Puts model.mlmodelc into the existing folder.
  Result<CompiledFunction> compile_source(const ModelSource& source, const std::string& folder,
                                          const LoadOptions& options) const {
    if (source.files == nullptr) return invalid_argument("the model has no files", source.name);
    COREML_DELEGATE_RETURN_IF_ERROR(check_cancelled(options.cancellation, source.name));
    CompiledFunction function;
    if (source.kind == ModelKind::kCompiled) {
      COREML_DELEGATE_RETURN_IF_ERROR(
          inmemoryfs::write_folder(real_file_system(), *source.files, compiled_model_path(folder)));
      COREML_DELEGATE_ASSIGN_OR_RETURN(function.description,
                                       describe_compiled(compiled_model_path(folder), options));
      function.function_to_select = options.function_name;
    } else {
      COREML_DELEGATE_ASSIGN_OR_RETURN(const model::Package package,
                                       model::Package::open(*source.files));
      COREML_DELEGATE_ASSIGN_OR_RETURN(function, select_function(package, options.function_name));
      COREML_DELEGATE_ASSIGN_OR_RETURN(std::shared_ptr<const PrivateFolder> staged, make_folder());
      const std::string path = join_path(staged->path(), "model.mlpackage");
      COREML_DELEGATE_RETURN_IF_ERROR(
          inmemoryfs::write_temporary_folder(real_file_system(), *source.files, path));
      COREML_DELEGATE_RETURN_IF_ERROR(
          compile_package(std::move(staged), path, compiled_model_path(folder),
                          {options.cancellation, options_.compile_timeout}));
    }
    COREML_DELEGATE_RETURN_IF_ERROR(check_cancelled(options.cancellation, source.name));
    return function;
  }

  Result<std::unique_ptr<Model>> load_folder(const std::string& folder,
                                             const CompileRequest& request,
                                             const Controls& controls) const {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const LoadOptions options, options_of(request, controls));
    COREML_DELEGATE_RETURN_IF_ERROR(check_cancelled(options.cancellation, folder));
    COREML_DELEGATE_ASSIGN_OR_RETURN(const CompiledFunction function,
                                     read_description(real_file_system(), folder));
    COREML_DELEGATE_RETURN_IF_ERROR(
        check_compiled_for(function.request, function.description.name, request, folder));
    return open_model(folder, function, options, nullptr);
  }

  Result<std::unique_ptr<Model>> open_model(const std::string& folder,
                                            const CompiledFunction& function,
                                            const LoadOptions& options,
                                            std::shared_ptr<const PrivateFolder> owner) const {
    COREML_DELEGATE_ASSIGN_OR_RETURN(
        ObjCPtr<MLModel> model,
        load_model(compiled_model_path(folder), options, function.function_to_select));
    COREML_DELEGATE_RETURN_IF_ERROR(guarded("describe the model", folder, [&] {
      return check_description(model.get().modelDescription, function.description);
    }));
    COREML_DELEGATE_RETURN_IF_ERROR(check_cancelled(options.cancellation, folder));
    return std::unique_ptr<Model>(
        new CoreMLModel(std::move(model), function.description, std::move(owner)));
  }

  const CoreMLEngineOptions options_;
};

}  // namespace

std::unique_ptr<Engine> make_core_ml_engine(CoreMLEngineOptions options) {
  return std::make_unique<CoreMLEngine>(options);
}

}  // namespace coreml_delegate::engine::coreml
