#include "runtime/runner/runner.h"

#include <executorch/extension/data_loader/buffer_data_loader.h>
#include <executorch/extension/module/module.h>
#include <executorch/runtime/backend/backend_options_map.h>
#include <executorch/runtime/backend/options.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/delegate/tensor_types.h"
#include "runtime/include/coreml_delegate.h"
#include "runtime/include/coreml_delegate_cache.h"
#include "runtime/runner/bundled_program.h"
#include "runtime/runner/delegate_options.h"
#include "runtime/runner/elements.h"
#include "runtime/runner/executorch_messages.h"
#include "runtime/runner/method_inputs.h"
#include "runtime/runner/npy.h"
#include "runtime/runner/output_facts.h"
#include "runtime/runner/output_file.h"
#include "runtime/runner/tracer.h"

namespace coreml_delegate::runner {
namespace {

using executorch::extension::Module;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::LoadBackendOptionsMap;
using executorch::runtime::Program;

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

// Why ExecuTorch failed: what the delegate says, else what ExecuTorch logged.
Status failed(Error error, const std::string& what, const std::string& artifact) {
  std::string why = last_error();
  if (why.empty()) why = first_error_message();
  if (why.empty()) why = "ExecuTorch gave no reason";
  char code[16];
  std::snprintf(code, sizeof(code), "0x%02x", static_cast<unsigned>(error));
  return Status(StatusCode::kEngineFailure, what + " (error " + code + "): " + why, artifact);
}

// What the header of a .pte says about its own size, before ExecuTorch reads beyond the end.
Status check_program(ByteSpan file, const std::string& path) {
  const std::string_view text = as_text(file);
  if (file.size() < 8 || (text.substr(4, 4) != "ET12" && text.substr(4, 4) != "ET13")) {
    return corrupt_data("the file is not an ExecuTorch program: name a .pte file", path);
  }
  // The extended header: magic, its length, sizes and positions of the program and the segments.
  if (file.size() < 40) return corrupt_data("the file ends within its header: copy it again", path);
  if (text.substr(8, 4) != "eh00") return {};
  const auto number = [&](size_t at, size_t size) {
    uint64_t value = 0;
    for (size_t i = size; i-- > 0;) value = value << 8 | static_cast<uint64_t>(file[at + i]);
    return value;
  };
  const uint64_t length = number(12, 4);
  const uint64_t program_size = number(16, 8);
  const uint64_t segments = number(24, 8);
  uint64_t needed = program_size;
  if (length >= 32 && segments != 0 && __builtin_add_overflow(segments, number(32, 8), &needed)) {
    return corrupt_data("the header of the file has impossible sizes: copy the file again", path);
  }
  if (needed <= file.size()) return {};
  return corrupt_data("the file has " + std::to_string(file.size()) + " bytes of " +
                          std::to_string(needed) + ": it was cut short; copy it again",
                      path);
}

// The files that a run reads.
std::vector<std::string> files_read(const CommandLine& line) {
  std::vector<std::string> read = {line.model, line.data};
  for (const GivenInput& input : line.inputs) read.push_back(input.value);
  return read;
}

// Replaces the file in one go.
Status write_file(FileSystem& files, const std::string& path, const CommandLine& line,
                  std::initializer_list<ByteSpan> parts) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file,
                                   create_output(files, path, files_read(line)));
  const auto write = [&]() -> Status {
    for (const ByteSpan part : parts) COREML_DELEGATE_RETURN_IF_ERROR(file->append(part));
    return file->finish();
  };
  return write().annotate("a result could not be written", path);
}

Result<OutputFacts> take_output(const EValue& value, size_t index, const CommandLine& line,
                                FileSystem& files) {
  OutputFacts facts = describe_output(value);
  if (line.output_prefix.empty() || !value.isTensor()) return facts;
  const executorch::aten::Tensor& tensor = value.toTensor();
  const DataType dtype = to_data_type(tensor.scalar_type());
  const std::string path =
      line.output_prefix + std::to_string(index) + (line.writes_raw ? ".bin" : ".npy");
  if (dtype == DataType::kInvalid && !line.writes_raw) {
    return unsupported("a .npy file cannot hold " + facts.type + ": use --output-format raw", path);
  }
  const std::vector<int64_t> shape(tensor.sizes().begin(), tensor.sizes().end());
  const std::string header = line.writes_raw ? "" : make_npy_header(dtype, shape);
  const ByteSpan elements(static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes());
  COREML_DELEGATE_RETURN_IF_ERROR(write_file(files, path, line, {as_bytes(header), elements}));
  facts.file = path;
  return facts;
}

Status write_trace(Tracer& tracer, const CommandLine& line, FileSystem& files, RunReport& report) {
  const executorch::etdump::ETDumpResult dump = tracer.get_etdump_data();
  const std::unique_ptr<void, void (*)(void*)> owner(dump.buf, std::free);
  if (dump.buf == nullptr || dump.size == 0) {
    return failed_precondition("ExecuTorch has recorded nothing", line.etdump);
  }
  COREML_DELEGATE_RETURN_IF_ERROR(write_file(
      files, line.etdump, line, {ByteSpan(static_cast<const std::byte*>(dump.buf), dump.size)}));
  report.etdump_bytes = dump.size;
  return {};
}

std::unique_ptr<Module> make_module(const CommandLine& line,
                                    const std::optional<BundledProgram>& bundle,
                                    std::unique_ptr<Tracer> tracer) {
  using executorch::extension::BufferDataLoader;
  if (bundle) {
    return std::make_unique<Module>(
        std::make_unique<BufferDataLoader>(bundle->program.data(), bundle->program.size()), nullptr,
        nullptr, std::move(tracer));
  }
  const Module::LoadMode mode = line.maps_file ? Module::LoadMode::Mmap : Module::LoadMode::File;
  return line.data.empty()
             ? std::make_unique<Module>(line.model, mode, std::move(tracer))
             : std::make_unique<Module>(line.model, line.data, mode, std::move(tracer));
}

// The compiled models in the folder that the run will use; nothing without one.
Status purge_cache(const CommandLine& line) {
  const auto found = line.delegate.find("cache_dir");
  if (found == line.delegate.end()) return {};
  const auto removed = cache_purge(std::get<std::string>(found->second));
  if (removed.ok()) return {};
  return failed(removed.error(), "the compiled models could not be removed",
                std::get<std::string>(found->second));
}

}  // namespace

Result<RunReport> run(const CommandLine& given, FileSystem& files, std::vector<Elements>* kept) {
  listen_to_executorch(given.is_verbose);
  CommandLine line = given;
  // Outlives the module, which borrows its program.
  std::optional<BundledProgram> bundle;
  {
    const Result<Bytes> file = files.map(line.model);
    if (!file.ok()) return file.status().annotate("the program cannot be read");
    if (is_bundled_program(file->span())) {
      COREML_DELEGATE_ASSIGN_OR_RETURN(bundle,
                                       read_bundled_program(*file, line.model, line.method,
                                                            static_cast<size_t>(line.test_case)));
      line.method = bundle->method;
    } else if (line.verifies_outputs) {
      return invalid_argument("only a bundled program has expected outputs: name a .bpte file",
                              line.model);
    }
    COREML_DELEGATE_RETURN_IF_ERROR(
        check_program(bundle ? bundle->program.span() : file->span(), line.model));
  }
  if (line.purges_cache) COREML_DELEGATE_RETURN_IF_ERROR(purge_cache(line));
  if (!line.data.empty()) {
    const Result<FileInfo> info = files.info(line.data);
    if (!info.ok()) return info.status().annotate("the weights cannot be read");
  }

  // Before anything is computed.
  if (!line.etdump.empty())
    COREML_DELEGATE_RETURN_IF_ERROR(check_output(line.etdump, files_read(line)));

  std::unique_ptr<ValueFile> values;
  std::unique_ptr<Tracer> owned_tracer;
  if (!line.etdump.empty()) owned_tracer = std::make_unique<Tracer>();
  Tracer* const tracer = owned_tracer.get();
  if (!line.debug_buffer.empty()) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(std::unique_ptr<AtomicFile> file,
                                     create_output(files, line.debug_buffer, files_read(line)));
    values = std::make_unique<ValueFile>(std::move(file));
    tracer->set_data_sink(values.get());
    tracer->set_event_tracer_debug_level(
        line.dumps_outputs_only
            ? executorch::runtime::EventTracerDebugLogLevel::kProgramOutputs
            : executorch::runtime::EventTracerDebugLogLevel::kIntermediateOutputs);
  }

  RunReport report;
  COREML_DELEGATE_ASSIGN_OR_RETURN(auto options, delegate_options(line));
  LoadBackendOptionsMap map;
  if (map.set_options("CoreMLBackend", {options.data(), options.size()}) != Error::Ok) {
    return internal_error("ExecuTorch refused the options");
  }
  const std::unique_ptr<Module> owned_module = make_module(line, bundle, std::move(owned_tracer));
  Module& module = *owned_module;
  auto start = std::chrono::steady_clock::now();
  Error error = module.load(map, Program::Verification::InternalConsistency);
  if (error != Error::Ok) return failed(error, "the program could not be loaded", line.model);
  const auto methods = module.method_names();
  if (!methods.ok()) return failed(methods.error(), "the program has no methods", line.model);
  if (methods->count(line.method) == 0) {
    std::string names;
    for (const std::string& name : *methods) names += (names.empty() ? "" : ", ") + name;
    return not_found("the program has no method with this name; it has " + names, line.method);
  }
  error = module.load_method(line.method);
  if (error != Error::Ok) {
    return failed(error, "the method " + line.method + " could not be loaded", line.model);
  }
  report.load_ms = milliseconds_since(start);

  const auto meta = module.method_meta(line.method);
  if (!meta.ok()) return failed(meta.error(), "the method cannot be described", line.model);
  COREML_DELEGATE_ASSIGN_OR_RETURN(
      const MethodInputs inputs,
      MethodInputs::create(*meta, line, files,
                           bundle ? bundle->inputs : std::vector<BundledValue>()));
  report.inputs = inputs.descriptions();
  report.made_up_inputs = inputs.made_up();

  std::vector<EValue> outputs;
  for (int64_t i = 0; i < line.warm_up + line.iterations; ++i) {
    if (line.resets_states) {
      const Error reset = reset_states(line.method);
      if (reset != Error::Ok) return failed(reset, "the states could not be reset", line.method);
    }
    start = std::chrono::steady_clock::now();
    auto result = module.execute(line.method, inputs.values());
    const double elapsed = milliseconds_since(start);
    if (!result.ok()) {
      return failed(result.error(), "the method " + line.method + " failed", line.model);
    }
    if (i >= line.warm_up) report.execution_ms.push_back(elapsed);
    outputs = std::move(*result);
  }
  if (line.verifies_outputs) {
    COREML_DELEGATE_RETURN_IF_ERROR(check_outputs(outputs, bundle->outputs, line.model));
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(OutputFacts facts, take_output(outputs[i], i, line, files));
    report.outputs.push_back(std::move(facts));
    if (kept == nullptr) continue;
    COREML_DELEGATE_ASSIGN_OR_RETURN(Elements elements, copy_elements(outputs[i], i));
    kept->push_back(std::move(elements));
  }
  if (tracer != nullptr) COREML_DELEGATE_RETURN_IF_ERROR(write_trace(*tracer, line, files, report));
  if (values) {
    const Status written = values->finish();
    if (!written.ok()) {
      return written.annotate("the values could not be written", line.debug_buffer);
    }
    report.debug_buffer_bytes = values->get_used_bytes();
  }
  return report;
}

}  // namespace coreml_delegate::runner
