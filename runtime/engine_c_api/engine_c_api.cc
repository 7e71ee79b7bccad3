// coreml_engine_c.h over the engines' interface. No exception leaves it.

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "base/strides.h"
#include "base/tensor_type.h"
#include "inmemoryfs/disk.h"
#include "runtime/engine/compile_request.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/event_sink.h"
#include "runtime/engine/helper/compile_helper.h"
#include "runtime/include/coreml_engine_c.h"

namespace coreml_delegate::engine {
namespace {

using Json = nlohmann::ordered_json;

// Null where there is no memory for it.
char* new_text(std::string_view text) {
  char* const copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) return nullptr;
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  return copy;
}

// Names in packages need not be UTF-8.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Status give(const Json& json, char** text) {
  *text = new_text(dump(json));
  return *text != nullptr ? Status() : resource_exhausted("no memory for a text");
}

// Runs `work`; null, or the failure as JSON.
template <typename Work>
char* answer(Work work) {
  Status status;
  try {
    status = work();
    if (status.ok()) return nullptr;
    char* const text = new_text(dump({{"code", std::string(status_code_name(status.code()))},
                                      {"message", status.message()},
                                      {"artifact", status.artifact()},
                                      {"text", status.to_string()}}));
    if (text != nullptr) return text;
  } catch (const std::exception&) {
    // Out of memory: nothing else is thrown here.
  }
  static constexpr std::string_view kOutOfMemory =
      R"({"code": "resource_exhausted", "message": "out of memory", "artifact": "", "text": "out of memory"})";
  return new_text(kOutOfMemory);
}

std::string string_or_empty(const char* text) { return text == nullptr ? "" : text; }

Json tensor_to_json(const TensorSpec& spec) {
  Json shape = Json::array();
  for (const Dimension& dimension : spec.shape) {
    if (dimension.is_fixed()) {
      shape.push_back(dimension.min);
    } else {
      shape.push_back({dimension.min, dimension.max == Dimension::kUnbounded
                                          ? Json(nullptr)
                                          : Json(dimension.max)});
    }
  }
  return {{"name", spec.name},
          {"dtype", std::string(data_type_name(spec.dtype))},
          {"shape", std::move(shape)},
          {"enumerated_shapes", spec.enumerated_shapes}};
}

// As coremltools.colorlayout names it.
const char* color_layout_name(ColorLayout layout) {
  switch (layout) {
    case ColorLayout::kGrayscale:
      return "GRAYSCALE";
    case ColorLayout::kRgb:
      return "RGB";
    case ColorLayout::kBgr:
      return "BGR";
    case ColorLayout::kGrayscaleFloat16:
      return "GRAYSCALE_FLOAT16";
  }
  return "";
}

Json description_to_json(const FunctionDescription& description) {
  const auto list = [](const std::vector<TensorSpec>& specs) {
    Json result = Json::array();
    for (const TensorSpec& spec : specs) result.push_back(tensor_to_json(spec));
    return result;
  };
  Json images = Json::object();
  for (const auto& [name, layout] : description.images) images[name] = color_layout_name(layout);
  Json defaults = Json::object();
  for (const auto& [name, value] : description.default_values) {
    defaults[name] = std::isfinite(value) ? Json(value) : Json(std::to_string(value));
  }
  Json classifier = nullptr;
  if (description.classifier) {
    classifier = {{"label", description.classifier->label},
                  {"probabilities", description.classifier->probabilities},
                  {"classes", description.classifier->numbers.empty()
                                  ? Json(description.classifier->names)
                                  : Json(description.classifier->numbers)}};
  }
  return {{"name", description.name},
          {"inputs", list(description.inputs)},
          {"outputs", list(description.outputs)},
          {"states", list(description.states)},
          {"images", std::move(images)},
          {"default_values", std::move(defaults)},
          {"classifier", std::move(classifier)}};
}

DataType data_type_of(const char* name) {
  for (int i = 1; i <= static_cast<int>(DataType::kFloat64); ++i) {
    const DataType candidate = static_cast<DataType>(i);
    if (name != nullptr && data_type_name(candidate) == name) return candidate;
  }
  return DataType::kInvalid;
}

Result<LoadOptions> load_options(const coreml_engine_options& given) {
  LoadOptions options;
  options.function_name = string_or_empty(given.function_name);
  COREML_DELEGATE_RETURN_IF_ERROR(parse_options(string_or_empty(given.engine_options), options));
  return options;
}

Result<HelperProcess> helper_process(const coreml_engine_options& given) {
  const std::string program = string_or_empty(given.compile_helper);
  const int64_t memory_mb = given.compile_helper_memory_mb;
  if (given.compile_helper_timeout_s < 0 || memory_mb < 0 ||
      memory_mb > std::numeric_limits<int32_t>::max()) {
    return invalid_argument("a limit of the compile helper is out of range", program);
  }
  return HelperProcess{.program = program,
                       .timeout_seconds = given.compile_helper_timeout_s,
                       .memory_limit_bytes = memory_mb * 1'000'000};
}

// Keeps what an engine tells.
class Recorder final : public EventSink {
 public:
  struct Value {
    std::string name;
    std::string dtype;
    std::vector<int64_t> shape;
    std::vector<std::byte> data;
  };

  explicit Recorder(int32_t what) : what_(what) {}
  bool wants_operation_timings() const override { return (what_ & COREML_ENGINE_TIMINGS) != 0; }
  bool wants_intermediate_values() const override { return (what_ & COREML_ENGINE_VALUES) != 0; }
  void on_timing(const TimingEvent& event) override {
    const char* kind = "operation";
    if (event.kind == EventKind::kCompile) kind = "compile";
    if (event.kind == EventKind::kLoad) kind = "load";
    if (event.kind == EventKind::kExecute) kind = "execute";
    timings_.push_back(
        {kind, std::string(event.name), std::string(event.type), event.start_ns, event.end_ns});
  }
  void on_intermediate_value(std::string_view name, std::string_view,
                             const ConstTensorView& value) override {
    size_t size = data_type_size(value.dtype);
    for (const int64_t extent : value.shape) size *= static_cast<size_t>(extent);
    const auto* const data = static_cast<const std::byte*>(value.data);
    values_.push_back({std::string(name),
                       std::string(data_type_name(value.dtype)),
                       {value.shape.begin(), value.shape.end()},
                       {data, data + size}});
  }

  const Json& timings() const { return timings_; }
  const std::vector<Value>& values() const { return values_; }

 private:
  int32_t what_;
  Json timings_ = Json::array();
  std::vector<Value> values_;
};

}  // namespace
}  // namespace coreml_delegate::engine

// The functions and handles below are C's, at the top level, so that they cannot stand inside the
// namespaces that they use.
using namespace coreml_delegate;          // NOLINT(google-build-using-namespace): as said above.
using namespace coreml_delegate::engine;  // NOLINT(google-build-using-namespace): as said above.

struct coreml_engine_model {
  std::unique_ptr<Model> model;
  std::shared_ptr<const FunctionDescription> description;
};

struct coreml_engine_state {
  std::shared_ptr<const FunctionDescription> description;
  std::unique_ptr<State> state;
};

struct coreml_engine_record {
  Recorder recorder;
};

namespace {

Status give_model(Result<std::unique_ptr<Model>> loaded, coreml_engine_model** model) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(std::unique_ptr<Model> result, std::move(loaded));
  auto description = std::make_shared<const FunctionDescription>(result->description());
  *model = new coreml_engine_model{std::move(result), std::move(description)};
  return {};
}

Status load(const char* path, const coreml_engine_options& given, coreml_engine_model** model) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(Engine* const engine,
                                   find_engine(string_or_empty(given.engine)));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const LoadOptions options, load_options(given));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const HelperProcess helper, helper_process(given));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const inmemoryfs::InMemoryFileSystem files,
                                   inmemoryfs::read_folder(real_file_system(), path));
  const ModelSource source{ModelKind::kPackage, &files, path};
  return give_model(helper.program.empty()
                        ? engine->load_source(source, options)
                        : load_source_in_helper(helper, *engine, source, options),
                    model);
}

Status compile(const char* path, const char* folder, const coreml_engine_options& given) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(Engine* const engine,
                                   find_engine(string_or_empty(given.engine)));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const LoadOptions options, load_options(given));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const HelperProcess helper, helper_process(given));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const inmemoryfs::InMemoryFileSystem files,
                                   inmemoryfs::read_folder(real_file_system(), path));
  const ModelSource source{ModelKind::kPackage, &files, path};
  return helper.program.empty() ? engine->compile(source, folder, options)
                                : compile_in_helper(helper, *engine, source, folder, options);
}

Status load_compiled(const char* folder, const coreml_engine_options& given,
                     coreml_engine_model** model) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(Engine* const engine,
                                   find_engine(string_or_empty(given.engine)));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const LoadOptions options, load_options(given));
  return give_model(engine->load(folder, options), model);
}

Status execute(const coreml_engine_model& model, const coreml_engine_state* state,
               std::span<const coreml_engine_tensor> inputs,
               std::span<coreml_engine_tensor> outputs, EventSink* events) {
  std::vector<ConstTensorView> input_views;
  std::vector<std::vector<int64_t>> strides;
  for (const coreml_engine_tensor& input : inputs) {
    const DataType dtype = data_type_of(input.dtype);
    const size_t index = input_views.size();
    const std::string name = index < model.description->inputs.size()
                                 ? model.description->inputs[index].to_string()
                                 : model.description->name;
    if (dtype == DataType::kInvalid) {
      return invalid_argument("the array's dtype is " + string_or_empty(input.dtype), name);
    }
    strides.push_back(contiguous_strides(std::span(input.shape, static_cast<size_t>(input.rank))));
    input_views.push_back(
        {dtype, {input.shape, static_cast<size_t>(input.rank)}, strides.back(), input.data});
    uint64_t size = data_type_size(dtype);
    for (const int64_t extent : input_views.back().shape) size *= static_cast<uint64_t>(extent);
    if (size != input.size) return invalid_argument("the array is not contiguous", name);
  }
  std::vector<TensorView> output_views;
  for (const coreml_engine_tensor& output : outputs) {
    output_views.push_back({data_type_of(output.dtype),
                            {output.shape, static_cast<size_t>(output.rank)},
                            {},
                            output.data,
                            static_cast<size_t>(output.size)});
  }
  return model.model->execute(
      input_views, output_views,
      {.state = state != nullptr ? state->state.get() : nullptr, .events = events});
}

Status write_state(const coreml_engine_state& state, const char* name,
                   const coreml_engine_tensor& value) {
  const std::span shape(value.shape, static_cast<size_t>(value.rank));
  for (const TensorSpec& spec : state.description->states) {
    if (spec.name != name) continue;
    if (data_type_of(value.dtype) != spec.dtype || !spec.accepts(shape.data(), shape.size())) {
      return invalid_argument("the array is " + string_or_empty(value.dtype) +
                                  shape_to_string(shape.data(), shape.size()),
                              spec.to_string());
    }
  }
  return state.state->write(
      name, {static_cast<const std::byte*>(value.data), static_cast<size_t>(value.size)});
}

}  // namespace

extern "C" {

int32_t coreml_engine_c_version(void) { return COREML_ENGINE_C_VERSION; }

void coreml_engine_free(char* text) { std::free(text); }

char* coreml_engine_names(char** names) {
  return answer([&] { return give(engine_names(), names); });
}

char* coreml_engine_fingerprint(const char* engine, char** fingerprint) {
  return answer([&]() -> Status {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const Engine* const found,
                                     find_engine(string_or_empty(engine)));
    *fingerprint = new_text(found->fingerprint());
    return *fingerprint != nullptr ? Status() : resource_exhausted("no memory for a text");
  });
}

char* coreml_engine_describe(const char* path, const char* engine, char** description) {
  return answer([&]() -> Status {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const Engine* const found,
                                     find_engine(string_or_empty(engine)));
    COREML_DELEGATE_ASSIGN_OR_RETURN(const inmemoryfs::InMemoryFileSystem files,
                                     inmemoryfs::read_folder(real_file_system(), path));
    COREML_DELEGATE_ASSIGN_OR_RETURN(const std::vector<FunctionDescription> functions,
                                     found->describe({ModelKind::kPackage, &files, path}));
    Json list = Json::array();
    for (const FunctionDescription& function : functions) {
      list.push_back(description_to_json(function));
    }
    return give(list, description);
  });
}

char* coreml_engine_load(const char* path, const coreml_engine_options* options,
                         coreml_engine_model** model) {
  return answer([&] { return load(path, *options, model); });
}

char* coreml_engine_compile(const char* path, const char* folder,
                            const coreml_engine_options* options) {
  return answer([&] { return compile(path, folder, *options); });
}

char* coreml_engine_load_compiled(const char* folder, const coreml_engine_options* options,
                                  coreml_engine_model** model) {
  return answer([&] { return load_compiled(folder, *options, model); });
}

void coreml_engine_free_model(coreml_engine_model* model) { delete model; }

char* coreml_engine_describe_model(const coreml_engine_model* model, char** description) {
  return answer([&] {
    Json json = description_to_json(*model->description);
    json["offers_intermediate_values"] = model->model->offers_intermediate_values();
    return give(json, description);
  });
}

char* coreml_engine_make_state(coreml_engine_model* model, int32_t count, const char* const* names,
                               const coreml_engine_tensor* tensors, coreml_engine_state** state) {
  return answer([&]() -> Status {
    std::vector<InitialStateValue> values;
    for (int32_t i = 0; i < count; ++i) {
      values.push_back({names[i], Bytes(ByteSpan(static_cast<const std::byte*>(tensors[i].data),
                                                 static_cast<size_t>(tensors[i].size)))});
    }
    COREML_DELEGATE_ASSIGN_OR_RETURN(std::unique_ptr<State> made, model->model->make_state(values));
    *state = new coreml_engine_state{model->description, std::move(made)};
    return {};
  });
}

char* coreml_engine_read_state(const coreml_engine_state* state, const char* name, void* data,
                               uint64_t size) {
  return answer([&] {
    return state->state->read(name, {static_cast<std::byte*>(data), static_cast<size_t>(size)});
  });
}

char* coreml_engine_write_state(coreml_engine_state* state, const char* name,
                                const coreml_engine_tensor* value) {
  return answer([&] { return write_state(*state, name, *value); });
}

char* coreml_engine_reset_state(coreml_engine_state* state) {
  return answer([&] { return state->state->reset(); });
}

char* coreml_engine_copy_state(const coreml_engine_state* state, coreml_engine_state** copy) {
  return answer([&]() -> Status {
    COREML_DELEGATE_ASSIGN_OR_RETURN(std::unique_ptr<State> made, state->state->copy());
    *copy = new coreml_engine_state{state->description, std::move(made)};
    return {};
  });
}

void coreml_engine_free_state(coreml_engine_state* state) { delete state; }

char* coreml_engine_execute(coreml_engine_model* model, coreml_engine_state* state,
                            int32_t input_count, const coreml_engine_tensor* inputs,
                            int32_t output_count, coreml_engine_tensor* outputs, int32_t what,
                            coreml_engine_record** record) {
  return answer([&] {
    std::unique_ptr<coreml_engine_record> made(
        record != nullptr ? new coreml_engine_record{Recorder(what)} : nullptr);
    Status status = execute(*model, state, {inputs, static_cast<size_t>(input_count)},
                            {outputs, static_cast<size_t>(output_count)},
                            made != nullptr ? &made->recorder : nullptr);
    if (status.ok() && record != nullptr) *record = made.release();
    return status;
  });
}

char* coreml_engine_record_timings(const coreml_engine_record* record, char** timings) {
  return answer([&] { return give(record->recorder.timings(), timings); });
}

int32_t coreml_engine_record_value_count(const coreml_engine_record* record) {
  return static_cast<int32_t>(record->recorder.values().size());
}

void coreml_engine_record_value(const coreml_engine_record* record, int32_t index,
                                const char** name, coreml_engine_tensor* value) {
  const Recorder::Value& found = record->recorder.values()[static_cast<size_t>(index)];
  *name = found.name.c_str();
  // The caller reads only.
  *value = {found.dtype.c_str(), const_cast<int64_t*>(found.shape.data()),
            static_cast<int32_t>(found.shape.size()), const_cast<std::byte*>(found.data.data()),
            found.data.size()};
}

void coreml_engine_free_record(coreml_engine_record* record) { delete record; }

}  // extern "C"
