#include "runtime/runner/kit.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/json_members.h"
#include "base/platform.h"
#include "base/sha256.h"
#include "base/strides.h"
#include "base/tensor_type.h"
#include "inmemoryfs/disk.h"
#include "inmemoryfs/inmemory_file_system.h"
#include "runtime/delegate/options.h"
#include "runtime/engine/engine.h"
#include "runtime/runner/base64.h"
#include "runtime/runner/delegate_options.h"
#include "runtime/runner/elements.h"
#include "runtime/runner/npy.h"
#include "runtime/runner/output_file.h"
#include "runtime/runner/runner.h"

namespace coreml_delegate::runner {
namespace {

using Json = nlohmann::json;
using inmemoryfs::InMemoryFileSystem;

constexpr char kManifest[] = "kit.json";
constexpr int64_t kVersion = 1;
// Where a package has its functions.
constexpr char kSpecification[] = "Data/com.apple.CoreML/model.mlmodel";

struct Kit {
  std::string folder;
  // Everything in the folder: a path in the manifest leads nowhere else.
  InMemoryFileSystem tree;
  Json manifest;
};

Status not_whole(const std::string& what, const Kit& kit) {
  return corrupt_data(what + ": copy the kit again, or make it again with `coreml kit`",
                      kit.folder);
}

Status check_files(const Kit& kit) {
  const Json* const files = find_member(kit.manifest, "files");
  if (files == nullptr || !files->is_object()) {
    return not_whole("kit.json has no list of files", kit);
  }
  for (const auto& [path, digest] : files->items()) {
    const Result<Bytes> content = kit.tree.read(path);
    if (!content.ok()) return not_whole("the file " + path + " of the kit does not exist", kit);
    if (!digest.is_string() || digest.get<std::string>() != to_hex(sha256(content->span()))) {
      return not_whole("the file " + path + " is not the one with which the kit was made", kit);
    }
  }
  return {};
}

Result<Kit> open_kit(FileSystem& files, const std::string& folder) {
  Kit kit;
  kit.folder = folder;
  Result<InMemoryFileSystem> tree = inmemoryfs::read_folder(files, folder);
  if (!tree.ok()) return tree.status().annotate("the kit cannot be read");
  kit.tree = *std::move(tree);
  const Result<Bytes> text = kit.tree.read(kManifest);
  if (!text.ok()) {
    return corrupt_data("the folder has no kit.json: name a folder that `coreml kit` made", folder);
  }
  kit.manifest = Json::parse(as_text(text->span()), nullptr, false);
  if (kit.manifest.is_discarded() || string_member(kit.manifest, "format") != "coreml_kit") {
    return not_whole("kit.json was not written by `coreml kit`, or is incomplete", kit);
  }
  const Json* const version = find_member(kit.manifest, "version");
  if (version == nullptr || !version->is_number_integer() || version->get<int64_t>() < 1) {
    return not_whole("kit.json does not have a valid version", kit);
  }
  if (version->get<int64_t>() > kVersion) {
    return Status(StatusCode::kVersionTooNew,
                  "the kit has version " + version->dump() + ", and this program reads " +
                      std::to_string(kVersion) +
                      ": use the coreml_runner of the version that made the kit",
                  folder);
  }
  COREML_DELEGATE_RETURN_IF_ERROR(check_files(kit));
  return kit;
}

// What must not be written over.
std::vector<std::string> files_of(const Kit& kit) {
  std::vector<std::string> paths = {join_path(kit.folder, kManifest)};
  for (const auto& [path, digest] : kit.manifest.at("files").items()) {
    paths.push_back(join_path(kit.folder, path));
  }
  return paths;
}

// The array `name` of `of`; nullptr where it is none.
const Json* list(const Json& of, const char* name) {
  const Json* const found = find_member(of, name);
  return found != nullptr && found->is_array() ? found : nullptr;
}

Json to_json(const std::string& name, const Elements& elements) {
  return {{"name", name},
          {"dtype", std::string(data_type_name(elements.dtype))},
          {"shape", elements.shape},
          {"data", to_base64(elements.bytes)}};
}

// --- Values within delegates ---

// Of an output: what the kit expects it to be.
std::optional<Elements> buffer_for(const Json& outputs, const TensorSpec& spec) {
  const auto found = std::find_if(outputs.begin(), outputs.end(), [&](const Json& output) {
    return string_member(output, "name") == spec.name;
  });
  if (found == outputs.end()) return std::nullopt;
  const Json* const shape = list(*found, "shape");
  if (shape == nullptr || shape->size() != spec.shape.size()) return std::nullopt;
  Elements buffer{.dtype = spec.dtype, .shape = {}, .bytes = {}};
  uint64_t size = data_type_size(spec.dtype);
  for (const Json& extent : *shape) {
    if (!extent.is_number_unsigned()) return std::nullopt;
    const auto count = extent.get<uint64_t>();
    if (count > uint64_t{1} << 32 || __builtin_mul_overflow(size, count, &size)) {
      return std::nullopt;
    }
    buffer.shape.push_back(static_cast<int64_t>(count));
  }
  if (!spec.accepts(buffer.shape.data(), buffer.shape.size())) return std::nullopt;
  buffer.bytes.resize(size);
  return buffer;
}

// One function of a delegate's package whose outputs are values within it.
Result<Json> compute_values(const Kit& kit, const Json& delegate, const Json& probe,
                            engine::Engine& engine, const engine::LoadOptions& options) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(InMemoryFileSystem package,
                                   kit.tree.subtree(string_member(delegate, "package")));
  COREML_DELEGATE_ASSIGN_OR_RETURN(Bytes specification,
                                   kit.tree.read(string_member(probe, "specification")));
  COREML_DELEGATE_RETURN_IF_ERROR(package.remove(kSpecification));
  COREML_DELEGATE_RETURN_IF_ERROR(package.add_file(kSpecification, std::move(specification)));
  const engine::ModelSource source{engine::ModelKind::kPackage, &package,
                                   string_member(probe, "specification")};
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::unique_ptr<engine::Model> model,
                                   engine.load_source(source, options));
  const FunctionDescription& description = model->description();

  std::vector<Elements> given;
  const Json* const inputs = find_member(delegate, "inputs");
  for (const TensorSpec& spec : description.inputs) {
    const std::string path = inputs == nullptr ? "" : string_member(*inputs, spec.name.c_str());
    COREML_DELEGATE_ASSIGN_OR_RETURN(const Bytes file, kit.tree.read(path));
    COREML_DELEGATE_ASSIGN_OR_RETURN(const NpyArray array, parse_npy(file.span(), path));
    given.push_back({array.dtype, array.shape, {array.elements.begin(), array.elements.end()}});
  }
  const Json* const expected = list(probe, "outputs");
  std::vector<Elements> made;
  for (const TensorSpec& spec : description.outputs) {
    std::optional<Elements> buffer =
        expected == nullptr ? std::nullopt : buffer_for(*expected, spec);
    if (!buffer) {
      return not_whole("kit.json has no valid description of the value " + spec.to_string(), kit);
    }
    made.push_back(*std::move(buffer));
  }

  std::vector<std::vector<int64_t>> strides;
  std::vector<engine::ConstTensorView> input_views;
  for (const Elements& input : given) strides.push_back(contiguous_strides(input.shape));
  for (size_t i = 0; i < given.size(); ++i) {
    input_views.push_back({given[i].dtype, given[i].shape, strides[i], given[i].bytes.data()});
  }
  std::vector<engine::TensorView> output_views;
  for (Elements& output : made) {
    output_views.push_back(
        {output.dtype, output.shape, {}, output.bytes.data(), output.bytes.size()});
  }
  std::unique_ptr<engine::State> state;
  if (!description.states.empty()) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(state, model->make_state());
  }
  COREML_DELEGATE_RETURN_IF_ERROR(
      model->execute(input_views, output_views, {.state = state.get()}));
  Json values = Json::array();
  for (size_t i = 0; i < made.size(); ++i) {
    values.push_back(to_json(description.outputs[i].name, made[i]));
  }
  return values;
}

// All of them, in the kit's order; a failure stands in place of the values.
Json all_values(const Kit& kit, engine::Engine& engine, engine::LoadOptions options) {
  Json answers = Json::array();
  const Json* const delegates = list(kit.manifest, "delegates");
  if (delegates == nullptr) return answers;
  for (const Json& delegate : *delegates) {
    options.function_name = string_member(delegate, "function");
    const Json* const probes = list(delegate, "probes");
    if (probes == nullptr) continue;
    for (const Json& probe : *probes) {
      Result<Json> values = compute_values(kit, delegate, probe, engine, options);
      Json answer = {{"specification", string_member(probe, "specification")}};
      if (values.ok()) {
        answer["values"] = *std::move(values);
      } else {
        answer["error"] = values.status().to_string();
      }
      answers.push_back(std::move(answer));
    }
  }
  return answers;
}

Json options_of(const CommandLine& line) {
  Json options = Json::object();
  for (const auto& [name, value] : line.delegate) {
    std::visit([&, &key = name](const auto& given) { options[key] = given; }, value);
  }
  return options;
}

}  // namespace

Result<std::string> answer_kit(const CommandLine& line, FileSystem& files) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(const Kit kit, open_kit(files, line.kit));
  const Json* const inputs = list(kit.manifest, "inputs");
  if (inputs == nullptr) return not_whole("kit.json has no list of inputs", kit);

  CommandLine program = line;
  program.model = join_path(kit.folder, string_member(kit.manifest, "program"));
  program.method = string_member(kit.manifest, "method");
  for (const Json& input : *inputs) {
    if (!input.is_string() || !kit.tree.exists(input.get<std::string>())) {
      return not_whole("an input of the kit does not exist", kit);
    }
    program.inputs.push_back(
        {program.inputs.size(), join_path(kit.folder, input.get<std::string>())});
  }
  // Before anything is computed.
  std::unique_ptr<AtomicFile> file;
  if (!line.answer.empty()) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(file, create_output(files, line.answer, files_of(kit)));
  }
  std::vector<Elements> outputs;
  COREML_DELEGATE_ASSIGN_OR_RETURN(const RunReport report, run(program, files, &outputs));

  COREML_DELEGATE_ASSIGN_OR_RETURN(const auto given, delegate_options(line));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const DelegateOptions options,
                                   parse_load_options({given.data(), given.size()}));
  COREML_DELEGATE_ASSIGN_OR_RETURN(engine::Engine* const engine,
                                   engine::find_engine(options.engine.value_or("")));
  Json named = Json::array();
  for (size_t i = 0; i < outputs.size(); ++i) {
    named.push_back(to_json(std::to_string(i), outputs[i]));
  }
  const Json answer = {{"format", "coreml_kit_answer"},
                       {"version", kVersion},
                       {"kit", string_member(kit.manifest, "identity")},
                       {"engine", std::string(engine->name())},
                       {"fingerprint", engine->fingerprint()},
                       {"platform", platform_name()},
                       {"options", options_of(line)},
                       {"load_ms", report.load_ms},
                       {"execution_ms", report.execution_ms},
                       {"outputs", std::move(named)},
                       {"values", all_values(kit, *engine, engine_options(options))}};
  // Names may be in any encoding.
  const std::string text = answer.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
  if (file == nullptr) return text;
  COREML_DELEGATE_RETURN_IF_ERROR(
      file->append(as_bytes(text)).annotate("the answer could not be written"));
  COREML_DELEGATE_RETURN_IF_ERROR(file->finish().annotate("the answer could not be written"));
  return "the answer is in " + line.answer + "\n";
}

}  // namespace coreml_delegate::runner
