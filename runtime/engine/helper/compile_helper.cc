#include "runtime/engine/helper/compile_helper.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <limits>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/private_folder.h"
#include "inmemoryfs/disk.h"
#include "runtime/engine/helper/answer.h"
#include "runtime/engine/helper/child_process.h"
#include "runtime/engine/helper/helper_command.h"
#include "runtime/engine/stage_timer.h"

namespace coreml_delegate::engine {
namespace {

using helper::ChildEnd;

constexpr int32_t kLongestTimeout = std::numeric_limits<int32_t>::max() - 5;

int32_t timeout_of(const HelperProcess& process) {
  return process.timeout_seconds > 0 ? process.timeout_seconds
                                     : HelperProcess::kDefaultTimeoutSeconds;
}

std::string limit_note(const HelperProcess& process) {
  if (process.memory_limit_bytes == 0) return "";
  return " (its memory limit was " + std::to_string(process.memory_limit_bytes) + " bytes)";
}

Status timed_out(const HelperProcess& process, const std::string& name) {
  return resource_exhausted("the compiler had not finished this model after " +
                                std::to_string(timeout_of(process)) +
                                " s, and was stopped; a longer timeout may help",
                            name);
}

Status died_of(int signal, const HelperProcess& process, const std::string& name) {
  // Of the time that it gave itself, in case this process goes away first.
  if (signal == SIGALRM) return timed_out(process, name);
  if (signal == SIGKILL) {
    // Nobody here sent it.
    return resource_exhausted(
        "the compiler was killed while it worked on this model, as systems "
        "do when memory runs out" +
            limit_note(process),
        name);
  }
  return engine_failure("the compiler died of " + helper::signal_name(signal) +
                            " on this model, so the model is refused" + limit_note(process),
                        name);
}

Status not_started(const Status& status) {
  if (status.code() == StatusCode::kNotFound) {
    return status.annotate(
        "models are to be compiled by a helper program, but the program does not exist: build "
        "//runtime:coreml_compile_helper and name its path");
  }
  return status.annotate("the compile helper cannot be used");
}

// The name of the function that was compiled.
Result<std::string> run_helper(const HelperProcess& process, const Engine& engine,
                               const std::string& package, const std::string& name,
                               const std::string& folder, const CompileRequest& request,
                               const Controls& controls) {
  std::vector<std::string> command =
      helper::to_arguments({.engine = std::string(engine.name()),
                            .request = request.text,
                            .load_request = request.load_text,
                            .package = package,
                            .name = name,
                            .output = folder,
                            // Later than the one here, which has the better message.
                            .timeout_seconds = std::min(timeout_of(process), kLongestTimeout) + 5,
                            .memory_limit_bytes = process.memory_limit_bytes,
                            .parent = static_cast<int32_t>(::getpid())});
  command.insert(command.begin(), process.program);
  helper::ChildLimits limits{.timeout = std::chrono::seconds(timeout_of(process)),
                             .longest_output = helper::kLongestAnswer,
                             .is_cancelled = {}};
  if (controls.cancellation != nullptr) {
    limits.is_cancelled = [token = controls.cancellation] { return token->is_cancelled(); };
  }
  const Result<helper::ChildOutcome> run = helper::run_child(command, limits);
  if (!run.ok()) return not_started(run.status());
  switch (run->end) {
    case ChildEnd::kTimedOut:
      return timed_out(process, name);
    case ChildEnd::kCancelled:
      return cancelled("the caller cancelled the operation", name);
    case ChildEnd::kSignalled:
      return died_of(run->code, process, name);
    case ChildEnd::kTooMuchOutput:
      return internal_error("the compile helper's answer is longer than " +
                                std::to_string(helper::kLongestAnswer) + " bytes",
                            process.program);
    case ChildEnd::kExited:
      break;
    case ChildEnd::kUnknown:
      // How it ended is lost where this process ignores SIGCHLD. An answer is written in one go and
      // is the last thing that it does: one that can be read is whole, and what it says of the
      // folder is checked when that is loaded.
      break;
  }
  if (run->output.empty()) {
    const std::string how = run->end == ChildEnd::kExited
                                ? " with exit code " + std::to_string(run->code)
                                : std::string();
    return engine_failure("the compiler ended" + how +
                              " and said nothing about this model, so the model is refused" +
                              limit_note(process),
                          name);
  }
  const Result<helper::Answer> answer = helper::answer_from_json(run->output);
  if (!answer.ok()) {
    return answer.status().annotate("the compile helper's answer cannot be understood",
                                    process.program);
  }
  COREML_DELEGATE_RETURN_IF_ERROR(answer->status);
  return answer->function;
}

// The package on disk.
struct Prepared {
  PrivateFolder folder;
  std::string package;
};

Result<Prepared> prepare(const HelperProcess& process, const ModelSource& source) {
  const auto prepare = [&]() -> Result<Prepared> {
    if (source.files == nullptr) return invalid_argument("the model has no files");
    if (process.timeout_seconds < 0 || process.memory_limit_bytes < 0) {
      return invalid_argument("a limit of the compile helper must not be negative",
                              process.program);
    }
    COREML_DELEGATE_ASSIGN_OR_RETURN(PrivateFolder folder, PrivateFolder::make("coreml-compile-"));
    std::string package = join_path(folder.path(), "model.mlpackage");
    COREML_DELEGATE_RETURN_IF_ERROR(
        inmemoryfs::write_temporary_folder(real_file_system(), *source.files, package));
    return Prepared{std::move(folder), std::move(package)};
  };
  Result<Prepared> prepared = prepare();
  if (prepared.ok()) return prepared;
  return prepared.status().annotate("cannot prepare the model for the compile helper", source.name);
}

Status compile_package(const HelperProcess& process, const Engine& engine,
                       const std::string& package, const std::string& name,
                       const std::string& folder, const CompileRequest& request,
                       const Controls& controls) {
  const StageTimer timer(controls.events, EventKind::kCompile);
  COREML_DELEGATE_ASSIGN_OR_RETURN(
      const std::string function,
      run_helper(process, engine, package, name, folder, request, controls));
  timer.succeed(function);
  return {};
}

}  // namespace

Status compile_in_helper(const HelperProcess& process, Engine& engine, const ModelSource& source,
                         const std::string& folder, const CompileRequest& request,
                         const Controls& controls) {
  if (source.kind == ModelKind::kCompiled) {
    return engine.compile(source, folder, request, controls);
  }
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Prepared prepared, prepare(process, source));
  return compile_package(process, engine, prepared.package, source.name, folder, request, controls);
}

Result<std::unique_ptr<Model>> load_source_in_helper(const HelperProcess& process, Engine& engine,
                                                     const ModelSource& source,
                                                     const CompileRequest& request,
                                                     const Controls& controls) {
  if (source.kind == ModelKind::kCompiled) return engine.load_source(source, request, controls);
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Prepared prepared, prepare(process, source));
  const std::string folder = join_path(prepared.folder.path(), "compiled");
  COREML_DELEGATE_RETURN_IF_ERROR(real_file_system().make_directory(folder));
  Status compiled =
      compile_package(process, engine, prepared.package, source.name, folder, request, controls);
  if (!compiled.ok()) {
    // What engines say about the folder they compile into tells nobody anything here.
    if (!compiled.cause().ok() && compiled.message().find(folder) != std::string::npos) {
      compiled = compiled.cause();
    }
    return compiled.annotate("cannot load the model", source.name);
  }
  return engine.load(folder, request, controls);
}

Status compile_in_helper(const HelperProcess& process, Engine& engine, const ModelSource& source,
                         const std::string& folder, const LoadOptions& options) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const CompileRequest request, engine.plan(source, options));
  return compile_in_helper(process, engine, source, folder, request,
                           {options.cancellation, options.events});
}

Result<std::unique_ptr<Model>> load_source_in_helper(const HelperProcess& process, Engine& engine,
                                                     const ModelSource& source,
                                                     const LoadOptions& options) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const CompileRequest request, engine.plan(source, options));
  return load_source_in_helper(process, engine, source, request,
                               {options.cancellation, options.events});
}

}  // namespace coreml_delegate::engine
