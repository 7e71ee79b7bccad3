#include "runtime/engine/portable/portable_engine.h"

#include <ostream>
#include <utility>

#include "base/file.h"
#include "runtime/engine/compile_request.h"
#include "runtime/engine/event_sink.h"
#include "runtime/engine/portable/borders.h"
#include "runtime/engine/portable/compiled_folder.h"
#include "runtime/engine/portable/loaded_graph.h"
#include "runtime/engine/portable/openvino_core.h"
#include "runtime/engine/portable/portable_model.h"
#include "runtime/engine/portable/shared_weights.h"
#include "runtime/engine/portable/translator.h"
#include "runtime/engine/stage_timer.h"
#include "runtime/model/description.h"
#include "runtime/model/package.h"

namespace coreml_delegate::engine::portable {

namespace {

Status check_cancelled(const CancellationToken* token, const std::string& name) {
  if (token == nullptr || !token->is_cancelled()) return {};
  return cancelled("the caller cancelled the operation", name);
}

Status check_source(const ModelSource& source) {
  if (source.files == nullptr) return invalid_argument("the model has no files", source.name);
  if (source.kind != ModelKind::kPackage) {
    return unsupported(
        "compiled models (.mlmodelc) run on Core ML only; export the model as a package",
        source.name);
  }
  return {};
}

// A translated function, its graph compiled.
struct CompiledFunction {
  FunctionPlan plan;
  WeightLayout weights;
  std::unique_ptr<LoadedGraph> graph;
};

// `memory`: as ModelSource has it.
Result<CompiledFunction> compile_function(const model::Package& package, const LoadOptions& options,
                                          const std::string& memory, GraphForm form) {
  COREML_DELEGATE_RETURN_IF_ERROR(check_cancelled(options.cancellation, options.function_name));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const model::Function function,
                                   package.function(options.function_name));
  TranslateOptions translate_options;
  translate_options.numeric_mode = options.numeric_mode;
  translate_options.memory = memory;
  translate_options.expose_intermediate_values = form == GraphForm::kExposed;
  if (options.cancellation != nullptr) {
    translate_options.is_cancelled = [token = options.cancellation] {
      return token->is_cancelled();
    };
  }
  COREML_DELEGATE_ASSIGN_OR_RETURN(Translation translation, translate(function, translate_options));
  CompiledFunction result;
  COREML_DELEGATE_ASSIGN_OR_RETURN(result.plan, make_plan(function, translation));
  COREML_DELEGATE_RETURN_IF_ERROR(check_cancelled(options.cancellation, function.name));
  ov::CompiledModel compiled = core().compile_model(
      translation.model, "CPU",
      compile_properties(options.numeric_mode, options.threads, form != GraphForm::kPlain));
  COREML_DELEGATE_RETURN_IF_ERROR(check_cancelled(options.cancellation, function.name));
  std::vector<IntermediatePort> intermediates;
  for (const PortBinding& port : translation.intermediates) {
    intermediates.push_back({port.name, port.index});
  }
  // The translated graph goes here. Its constants share the ownership of the bytes they lie in, and
  // the compiled model has those that it still reads; kept, it would hold on to float16 weights
  // that were expanded here, beside the kernels' own copies.
  result.graph = std::make_unique<LoadedGraph>(std::move(compiled), std::move(intermediates),
                                               /*keep_alive=*/nullptr);
  result.weights = std::move(translation.weights);
  return result;
}

class PortableEngine : public Engine {
 public:
  std::string_view name() const override { return "portable"; }

  std::string fingerprint() const override {
    static const std::string* const text = new std::string(make_fingerprint());
    return *text;
  }

  Result<std::vector<FunctionDescription>> describe(const ModelSource& source) const override {
    const auto describe = [&]() -> Result<std::vector<FunctionDescription>> {
      COREML_DELEGATE_RETURN_IF_ERROR(check_source(source));
      COREML_DELEGATE_ASSIGN_OR_RETURN(const model::Package package,
                                       model::Package::open(*source.files));
      std::vector<FunctionDescription> descriptions;
      for (const std::string& name : package.function_names()) {
        COREML_DELEGATE_ASSIGN_OR_RETURN(const model::Function function,
                                         package.function_signature(name));
        descriptions.push_back(model::describe(function));
      }
      return descriptions;
    };
    return annotate(guard("describing the model", source.name, describe),
                    "cannot describe the model", source.name);
  }

  // Threads execute a graph and are not in it: the CPU plugin chooses kernels when it imports.
  Result<CompileRequest> plan(const ModelSource&, const LoadOptions& options) const override {
    return make_request(*this, {.when_compiled = {"numeric_mode"}, .when_loaded = {"threads"}},
                        options);
  }

  using Engine::compile;
  using Engine::load;
  using Engine::load_source;

  Status compile(const ModelSource& source, const std::string& folder,
                 const CompileRequest& request, const Controls& controls) override {
    const StageTimer stage(controls.events, EventKind::kCompile);
    const auto compile = [&]() -> Status {
      COREML_DELEGATE_RETURN_IF_ERROR(check_source(source));
      // Of the compiled form alone, whatever the model is loaded with afterwards.
      COREML_DELEGATE_ASSIGN_OR_RETURN(
          const LoadOptions options,
          options_of({.text = request.text, .load_text = "{}", .attributes = {}}, controls));
      COREML_DELEGATE_ASSIGN_OR_RETURN(const model::Package package,
                                       model::Package::open(*source.files));
      COREML_DELEGATE_ASSIGN_OR_RETURN(
          CompiledFunction compiled,
          compile_function(package, options, source.memory, GraphForm::kPlain));
      CompiledFolder content;
      content.request = request.text;
      content.plan = std::move(compiled.plan);
      for (const PlacedWeight& weight : compiled.weights.weights()) {
        content.weight_parts.push_back(weight.bytes);
      }
      const auto export_graph = [&](std::ostream& stream) {
        return guard("exporting the compiled graph", source.name, [&]() -> Status {
          // export_model() is not const; the copy is a handle.
          ov::CompiledModel handle = compiled.graph->compiled();
          handle.export_model(stream);
          return {};
        });
      };
      COREML_DELEGATE_RETURN_IF_ERROR(
          write_compiled_folder(real_file_system(), folder, content, export_graph));
      stage.succeed(content.plan.description.name);
      return {};
    };
    return guard("compiling the model", source.name, compile)
        .annotate("cannot compile the model into " + folder, source.name);
  }

  Result<std::unique_ptr<Model>> load(const std::string& folder, const CompileRequest& request,
                                      const Controls& controls) override {
    const StageTimer stage(controls.events, EventKind::kLoad);
    const auto load = [&]() -> Result<std::unique_ptr<Model>> {
      COREML_DELEGATE_ASSIGN_OR_RETURN(const LoadOptions options, options_of(request, controls));
      COREML_DELEGATE_RETURN_IF_ERROR(check_cancelled(options.cancellation, folder));
      COREML_DELEGATE_ASSIGN_OR_RETURN(CompiledFolder content,
                                       read_compiled_folder(real_file_system(), folder));
      const std::string function = content.plan.description.name;
      COREML_DELEGATE_RETURN_IF_ERROR(
          check_compiled_for(content.request, function, request, folder));
      COREML_DELEGATE_RETURN_IF_ERROR(check_cancelled(options.cancellation, folder));
      const Bytes bytes = content.graph, weights = content.weights;
      const int32_t threads = options.threads;
      const NumericMode mode = options.numeric_mode;
      GraphLoader loader = [bytes, weights, folder, mode,
                            threads](GraphForm form) -> Result<std::unique_ptr<LoadedGraph>> {
        return guard(
            "importing the compiled graph", folder, [&]() -> Result<std::unique_ptr<LoadedGraph>> {
              const WeightFileScope scope(weights);
              const ov::Tensor tensor(ov::element::u8, ov::Shape{bytes.size()},
                                      const_cast<std::byte*>(bytes.data()));
              ov::CompiledModel compiled = core().import_model(
                  tensor, "CPU", compile_properties(mode, threads, form != GraphForm::kPlain));
              return std::make_unique<LoadedGraph>(std::move(compiled),
                                                   std::vector<IntermediatePort>(),
                                                   std::make_shared<const Bytes>(bytes));
            });
      };
      COREML_DELEGATE_ASSIGN_OR_RETURN(std::unique_ptr<LoadedGraph> graph,
                                       loader(GraphForm::kPlain));
      COREML_DELEGATE_RETURN_IF_ERROR(check_cancelled(options.cancellation, folder));
      auto model =
          std::make_unique<PortableModel>(std::move(content.plan), std::move(graph),
                                          std::move(loader), /*offers_intermediate_values=*/false);
      COREML_DELEGATE_RETURN_IF_ERROR(model->check_ports());
      // Kernels have packed copies of the weights; what else is read from the file comes back.
      release_pages(bytes);
      stage.succeed(function);
      return std::unique_ptr<Model>(std::move(model));
    };
    return annotate(guard("loading the compiled model", folder, load),
                    "cannot load a compiled model", folder);
  }

  Result<std::unique_ptr<Model>> load_source(const ModelSource& source,
                                             const CompileRequest& request,
                                             const Controls& controls) override {
    const StageTimer stage(controls.events, EventKind::kLoad);
    const auto load = [&]() -> Result<std::unique_ptr<Model>> {
      COREML_DELEGATE_ASSIGN_OR_RETURN(const LoadOptions options, options_of(request, controls));
      COREML_DELEGATE_RETURN_IF_ERROR(check_source(source));
      COREML_DELEGATE_ASSIGN_OR_RETURN(model::Package opened, model::Package::open(*source.files));
      const auto package = std::make_shared<const model::Package>(std::move(opened));
      const StageTimer compile_stage(options.events, EventKind::kCompile);
      COREML_DELEGATE_ASSIGN_OR_RETURN(
          CompiledFunction compiled,
          compile_function(*package, options, source.memory, GraphForm::kPlain));
      const std::string function = compiled.plan.description.name;
      compile_stage.succeed(function);
      LoadOptions later = options;
      later.cancellation = nullptr;
      later.events = nullptr;
      GraphLoader loader = [package, later, memory = source.memory, name = source.name](
                               GraphForm form) -> Result<std::unique_ptr<LoadedGraph>> {
        return guard("compiling the model", name, [&]() -> Result<std::unique_ptr<LoadedGraph>> {
          COREML_DELEGATE_ASSIGN_OR_RETURN(CompiledFunction other,
                                           compile_function(*package, later, memory, form));
          return std::move(other.graph);
        });
      };
      auto model = std::make_unique<PortableModel>(std::move(compiled.plan),
                                                   std::move(compiled.graph), std::move(loader),
                                                   /*offers_intermediate_values=*/true);
      COREML_DELEGATE_RETURN_IF_ERROR(model->check_ports());
      COREML_DELEGATE_RETURN_IF_ERROR(source.files->walk(
          "", [](std::string_view, const inmemoryfs::Metadata&, const Bytes& content) {
            release_pages(content);  // As in load(). Of mapped files only.
            return Status();
          }));
      stage.succeed(function);
      return std::unique_ptr<Model>(std::move(model));
    };
    return annotate(guard("loading the model", source.name, load), "cannot load the model",
                    source.name);
  }

 private:
  Result<LoadOptions> options_of(const CompileRequest& request, const Controls& controls) const {
    COREML_DELEGATE_ASSIGN_OR_RETURN(LoadOptions options, read_request(*this, request));
    options.cancellation = controls.cancellation;
    options.events = controls.events;
    return options;
  }

  template <typename T>
  static Result<T> annotate(Result<T> result, const char* doing, const std::string& artifact) {
    if (!result.ok()) return result.status().annotate(doing, artifact);
    return result;
  }
};

}  // namespace

std::unique_ptr<Engine> make_portable_engine() { return std::make_unique<PortableEngine>(); }

}  // namespace coreml_delegate::engine::portable
