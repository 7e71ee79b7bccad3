#include "runtime/engine/fake/fake_engine.h"

#include <utility>

#include "base/file.h"
#include "inmemoryfs/disk.h"
#include "runtime/engine/compile_request.h"
#include "runtime/engine/event_sink.h"
#include "runtime/engine/fake/fake_model.h"
#include "runtime/engine/stage_timer.h"

namespace coreml_delegate::engine {
namespace {

constexpr char kRequestFile[] = "request";
constexpr char kTreeFolder[] = "model";

Result<std::vector<FakeFunction>> read_program(const inmemoryfs::InMemoryFileSystem& files) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Bytes text, files.read(kFakeProgramFile));
  return parse_fake_program(as_text(text.span()));
}

Result<FakeFunction> select_function(std::vector<FakeFunction> functions, const std::string& name) {
  std::string names;
  for (FakeFunction& function : functions) {
    if (name.empty() || function.name == name) return std::move(function);
    names += " " + function.name;
  }
  return not_found("there is no function of that name; there are:" + names, name);
}

Status check_source(const ModelSource& source, const LoadOptions& options) {
  if (source.kind != ModelKind::kPackage) {
    return unsupported("the fake engine takes packages only", source.name);
  }
  if (options.cancellation && options.cancellation->is_cancelled()) {
    return cancelled("stopped as asked", source.name);
  }
  return Status();
}

}  // namespace

void FakeControls::fail_next(FakeStage stage, Status status, int count) {
  const MutexLock lock(mutex_);
  injections_[static_cast<size_t>(stage)] = {std::move(status), count};
}

void FakeControls::set_hook(FakeStage stage, std::function<void()> hook) {
  const MutexLock lock(mutex_);
  hooks_[static_cast<size_t>(stage)] = std::move(hook);
}

int64_t FakeControls::count(FakeStage stage) const {
  const MutexLock lock(mutex_);
  return counts_[static_cast<size_t>(stage)];
}

LoadOptions FakeControls::last_load_options() const {
  const MutexLock lock(mutex_);
  return last_load_options_;
}

Status FakeControls::enter(FakeStage stage) {
  std::function<void()> hook;
  Status status;
  {
    const MutexLock lock(mutex_);
    const auto i = static_cast<size_t>(stage);
    ++counts_[i];
    hook = hooks_[i];
    if (injections_[i].remaining > 0) {
      --injections_[i].remaining;
      status = injections_[i].status;
    }
  }
  if (hook) hook();
  return status;
}

FakeEngine::FakeEngine(FakeEngineOptions options)
    : options_(std::move(options)), controls_(std::make_shared<FakeControls>()) {}

Result<std::vector<FunctionDescription>> FakeEngine::describe(const ModelSource& source) const {
  COREML_DELEGATE_RETURN_IF_ERROR(controls_->enter(FakeStage::kDescribe));
  COREML_DELEGATE_RETURN_IF_ERROR(check_source(source, {}));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::vector<FakeFunction> functions,
                                   read_program(*source.files));
  std::vector<FunctionDescription> descriptions;
  for (const FakeFunction& function : functions) {
    descriptions.push_back(describe_fake_function(function));
  }
  return descriptions;
}

Result<CompileRequest> FakeEngine::plan(const ModelSource&, const LoadOptions& options) const {
  return make_request(
      *this, {.when_compiled = {"numeric_mode"}, .when_loaded = {"compute_units", "threads"}},
      options);
}

Result<LoadOptions> FakeEngine::options_of(const CompileRequest& request,
                                           const Controls& controls) const {
  COREML_DELEGATE_ASSIGN_OR_RETURN(LoadOptions options, read_request(*this, request));
  options.cancellation = controls.cancellation;
  options.events = controls.events;
  return options;
}

Status FakeEngine::compile(const ModelSource& source, const std::string& folder,
                           const CompileRequest& request, const Controls& controls) {
  COREML_DELEGATE_RETURN_IF_ERROR(controls_->enter(FakeStage::kCompile));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const LoadOptions options, options_of(request, controls));
  COREML_DELEGATE_RETURN_IF_ERROR(check_source(source, options));
  const StageTimer timer(options.events, EventKind::kCompile);
  COREML_DELEGATE_ASSIGN_OR_RETURN(std::vector<FakeFunction> functions,
                                   read_program(*source.files));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const FakeFunction function,
                                   select_function(std::move(functions), options.function_name));
  FileSystem& files = real_file_system();
  COREML_DELEGATE_RETURN_IF_ERROR(
      inmemoryfs::write_folder(files, *source.files, join_path(folder, kTreeFolder)));
  // The function is part of what was compiled, so it is kept beside the request.
  COREML_DELEGATE_RETURN_IF_ERROR(write_file(files, join_path(folder, kRequestFile),
                                             as_bytes(request.text + "\n" + function.name),
                                             Durability::kNone));
  timer.succeed(function.name);
  return Status();
}

Result<std::unique_ptr<Model>> FakeEngine::load(const std::string& folder,
                                                const CompileRequest& request,
                                                const Controls& controls) {
  COREML_DELEGATE_RETURN_IF_ERROR(controls_->enter(FakeStage::kLoad));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const LoadOptions options, options_of(request, controls));
  if (options.cancellation && options.cancellation->is_cancelled()) {
    return cancelled("stopped as asked", folder);
  }
  FileSystem& files = real_file_system();
  Result<Bytes> stamp = files.map(join_path(folder, kRequestFile));
  if (!stamp.ok()) {
    return stamp.status().annotate_as(StatusCode::kCorruptData, "this is no compiled folder",
                                      folder);
  }
  const std::string_view text = as_text(stamp->span());
  const size_t newline = text.find('\n');
  if (newline == std::string_view::npos) return corrupt_data("the request is damaged", folder);
  const std::string function(text.substr(newline + 1));
  COREML_DELEGATE_RETURN_IF_ERROR(
      check_compiled_for(text.substr(0, newline), function, request, folder));
  Result<inmemoryfs::InMemoryFileSystem> tree =
      inmemoryfs::read_folder(files, join_path(folder, kTreeFolder));
  if (!tree.ok()) {
    return tree.status().annotate_as(StatusCode::kCorruptData, "the compiled model is damaged",
                                     folder);
  }
  LoadOptions of_compiled = options;
  of_compiled.function_name = function;
  Result<std::unique_ptr<Model>> model = load_tree(*tree, of_compiled);
  if (!model.ok() && model.status().code() == StatusCode::kNotFound) {
    return model.status().annotate_as(StatusCode::kCorruptData, "the compiled model is damaged",
                                      folder);
  }
  return model;
}

Result<std::unique_ptr<Model>> FakeEngine::load_source(const ModelSource& source,
                                                       const CompileRequest& request,
                                                       const Controls& controls) {
  COREML_DELEGATE_RETURN_IF_ERROR(controls_->enter(FakeStage::kLoad));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const LoadOptions options, options_of(request, controls));
  COREML_DELEGATE_RETURN_IF_ERROR(check_source(source, options));
  return load_tree(*source.files, options);
}

Result<std::unique_ptr<Model>> FakeEngine::load_tree(const inmemoryfs::InMemoryFileSystem& files,
                                                     const LoadOptions& options) {
  const StageTimer timer(options.events, EventKind::kLoad);
  {
    const MutexLock lock(controls_->mutex_);
    controls_->last_load_options_ = options;
  }
  COREML_DELEGATE_ASSIGN_OR_RETURN(std::vector<FakeFunction> functions, read_program(files));
  COREML_DELEGATE_ASSIGN_OR_RETURN(FakeFunction function,
                                   select_function(std::move(functions), options.function_name));
  std::map<std::string, Bytes> weights;
  for (const FakeOutput& output : function.outputs) {
    if (output.operation != FakeOperation::kWeight) continue;
    const std::string& path = output.operands[0];
    COREML_DELEGATE_ASSIGN_OR_RETURN(Bytes bytes, files.read(path));
    size_t expected = data_type_size(output.spec.dtype);
    for (const Dimension& dimension : output.spec.shape)
      expected *= static_cast<size_t>(dimension.min);
    if (bytes.size() != expected) {
      return corrupt_data("the weight has " + std::to_string(bytes.size()) + " bytes, not " +
                              std::to_string(expected),
                          path);
    }
    if (!options_.borrows_weights) {
      auto copy =
          std::make_shared<std::vector<std::byte>>(bytes.span().begin(), bytes.span().end());
      bytes = Bytes(*copy, copy);
    }
    weights[path] = std::move(bytes);
  }
  const std::string name = function.name;
  auto model = std::make_unique<FakeModel>(std::move(function), std::move(weights),
                                           options_.accepts_strides, controls_);
  timer.succeed(name);
  return std::unique_ptr<Model>(std::move(model));
}

Result<inmemoryfs::InMemoryFileSystem> make_fake_package(
    std::string_view text, const std::vector<std::pair<std::string, ByteSpan>>& files) {
  inmemoryfs::InMemoryFileSystem tree;
  COREML_DELEGATE_RETURN_IF_ERROR(tree.add_file(kFakeProgramFile, Bytes(as_bytes(text))));
  for (const auto& [path, content] : files)
    COREML_DELEGATE_RETURN_IF_ERROR(tree.add_file(path, Bytes(content)));
  return tree;
}

void Latch::open() {
  const MutexLock lock(mutex_);
  open_ = true;
  changed_.notify_all();
}

void Latch::wait() {
  const MutexLock lock(mutex_);
  ++waiters_;
  changed_.notify_all();
  while (!open_) changed_.wait(mutex_);
}

void Latch::wait_for_waiters(int count) {
  const MutexLock lock(mutex_);
  while (waiters_ < count) changed_.wait(mutex_);
}

}  // namespace coreml_delegate::engine
