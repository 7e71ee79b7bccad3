// The engines in Python: executorch.backends.apple.coreml.runtime._engine.
//
//   model = _engine.load("model.mlpackage", function_name="", numeric_mode="float32", threads=0)
//   outputs = model.predict({"x": numpy_array}, state=model.make_state())
//
// A failed Status becomes an EngineError with its `code` ("invalid_argument"), `message` and
// `artifact`, and the whole text as str(). Inputs must have the dtype and shape that
// `model.description` says; they are read in place when C-contiguous.
//
// Thread rule: as for engine.h; the interpreter's lock is released while a model is loaded or
// executed.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "inmemoryfs/disk.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/event_sink.h"
#include "runtime/engine/helper/compile_helper.h"

namespace coreml_delegate::engine {
namespace {

namespace py = pybind11;

// Set when the module is initialised; the interpreter keeps it.
PyObject* engine_error = nullptr;

[[noreturn]] void raise(const Status& status) {
  py::object error = py::reinterpret_borrow<py::object>(engine_error)(status.to_string());
  error.attr("code") = std::string(status_code_name(status.code()));
  error.attr("message") = status.message();
  error.attr("artifact") = status.artifact();
  PyErr_SetObject(engine_error, error.ptr());
  throw py::error_already_set();
}
void check(const Status& status) {
  if (!status.ok()) raise(status);
}
template <typename T>
T check(Result<T> result) {
  if (!result.ok()) raise(result.status());
  return *std::move(result);
}

py::dtype numpy_dtype(DataType dtype) { return py::dtype(std::string(data_type_name(dtype))); }

// kInvalid for a dtype that engines do not have.
DataType data_type_of(const py::dtype& dtype) {
  for (int i = 1; i <= static_cast<int>(DataType::kFloat64); ++i) {
    const DataType candidate = static_cast<DataType>(i);
    if (dtype.equal(numpy_dtype(candidate))) return candidate;
  }
  return DataType::kInvalid;
}

std::vector<int64_t> shape_of(const py::array& array) {
  return std::vector<int64_t>(array.shape(), array.shape() + array.ndim());
}

py::dict spec_to_dict(const TensorSpec& spec) {
  py::list shape;
  for (const Dimension& dimension : spec.shape) {
    if (dimension.is_fixed()) {
      shape.append(dimension.min);
    } else {
      shape.append(py::make_tuple(dimension.min, dimension.max == Dimension::kUnbounded
                                                     ? py::object(py::none())
                                                     : py::int_(dimension.max)));
    }
  }
  py::dict result;
  result["name"] = spec.name;
  result["dtype"] = std::string(data_type_name(spec.dtype));
  result["shape"] = py::tuple(shape);
  result["enumerated_shapes"] = spec.enumerated_shapes;
  return result;
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

py::dict description_to_dict(const FunctionDescription& description) {
  const auto list = [](const std::vector<TensorSpec>& specs) {
    py::list result;
    for (const TensorSpec& spec : specs) result.append(spec_to_dict(spec));
    return result;
  };
  py::dict result;
  result["name"] = description.name;
  result["inputs"] = list(description.inputs);
  result["outputs"] = list(description.outputs);
  result["states"] = list(description.states);
  py::dict images;
  for (const auto& [name, layout] : description.images) {
    images[py::str(name)] = color_layout_name(layout);
  }
  result["images"] = images;
  result["default_values"] = description.default_values;
  result["classifier"] = py::none();
  if (description.classifier) {
    py::dict classifier;
    classifier["label"] = description.classifier->label;
    classifier["probabilities"] = description.classifier->probabilities;
    classifier["classes"] = description.classifier->numbers.empty()
                                ? py::cast(description.classifier->names)
                                : py::cast(description.classifier->numbers);
    result["classifier"] = classifier;
  }
  return result;
}

// Keeps what an engine tells, as Python objects.
class Recorder : public EventSink {
 public:
  Recorder(bool timings, bool values) : timings_(timings), values_(values) {}
  bool wants_operation_timings() const override { return timings_; }
  bool wants_intermediate_values() const override { return values_; }
  void on_timing(const TimingEvent& event) override {
    const char* kind = "operation";
    if (event.kind == EventKind::kCompile) kind = "compile";
    if (event.kind == EventKind::kLoad) kind = "load";
    if (event.kind == EventKind::kExecute) kind = "execute";
    events_.push_back(
        {kind, std::string(event.name), std::string(event.type), event.start_ns, event.end_ns});
  }
  void on_intermediate_value(std::string_view name, std::string_view,
                             const ConstTensorView& value) override {
    const py::gil_scoped_acquire lock;
    py::array array(numpy_dtype(value.dtype),
                    std::vector<py::ssize_t>(value.shape.begin(), value.shape.end()), value.data);
    intermediates_.emplace_back(std::string(name), std::move(array));
  }

  py::list events() const {
    py::list result;
    for (const Event& event : events_) {
      result.append(py::make_tuple(event.kind, event.name, event.type, event.start, event.end));
    }
    return result;
  }
  py::dict intermediates() const {
    py::dict result;
    for (const auto& [name, array] : intermediates_) result[py::str(name)] = array;
    return result;
  }

 private:
  struct Event {
    const char* kind;
    std::string name;
    std::string type;
    uint64_t start;
    uint64_t end;
  };
  bool timings_;
  bool values_;
  std::vector<Event> events_;
  std::vector<std::pair<std::string, py::array>> intermediates_;
};

class PyModel;

class PyState {
 public:
  PyState(std::shared_ptr<const FunctionDescription> description, std::unique_ptr<State> state)
      : description_(std::move(description)), state_(std::move(state)) {}

  py::array read(const std::string& name) const {
    for (const TensorSpec& spec : description_->states) {
      if (spec.name != name) continue;
      std::vector<py::ssize_t> shape;
      for (const Dimension& dimension : spec.shape) shape.push_back(dimension.min);
      py::array result(numpy_dtype(spec.dtype), shape);
      check(state_->read(name, std::span(static_cast<std::byte*>(result.mutable_data()),
                                         static_cast<size_t>(result.nbytes()))));
      return result;
    }
    check(state_->read(name, {}));  // Says which states there are.
    return {};
  }
  void write(const std::string& name, const py::array& value) {
    const py::array dense = py::array::ensure(value, py::array::c_style);
    for (const TensorSpec& spec : description_->states) {
      if (spec.name != name) continue;
      const std::vector<int64_t> shape = shape_of(dense);
      if (data_type_of(dense.dtype()) != spec.dtype || !spec.accepts(shape.data(), shape.size())) {
        raise(invalid_argument("the array is " + std::string(py::str(dense.dtype())) +
                                   shape_to_string(shape.data(), shape.size()),
                               spec.to_string()));
      }
    }
    check(state_->write(name, ByteSpan(static_cast<const std::byte*>(dense.data()),
                                       static_cast<size_t>(dense.nbytes()))));
  }
  void reset() { check(state_->reset()); }
  PyState copy() const { return PyState(description_, check(state_->copy())); }
  State* get() const { return state_.get(); }

 private:
  std::shared_ptr<const FunctionDescription> description_;
  std::unique_ptr<State> state_;
};

class PyModel {
 public:
  explicit PyModel(std::unique_ptr<Model> model)
      : model_(std::move(model)),
        description_(std::make_shared<const FunctionDescription>(model_->description())),
        capacities_(description_->outputs.size()) {}

  py::dict description() const { return description_to_dict(*description_); }
  bool offers_intermediate_values() const { return model_->offers_intermediate_values(); }

  PyState make_state(const py::dict& initial) {
    std::vector<InitialStateValue> values;
    std::vector<py::array> keep;
    for (const auto& [name, value] : initial) {
      keep.push_back(py::array::ensure(value, py::array::c_style));
      if (!keep.back())
        raise(invalid_argument("the value is no array", std::string(py::str(name))));
      values.push_back({std::string(py::str(name)),
                        Bytes(ByteSpan(static_cast<const std::byte*>(keep.back().data()),
                                       static_cast<size_t>(keep.back().nbytes())))});
    }
    return PyState(description_, check(model_->make_state(values)));
  }

  py::dict predict(const py::dict& inputs, PyState* state) { return run(inputs, state, nullptr); }
  py::tuple inspect(const py::dict& inputs, PyState* state, bool timings, bool values) {
    Recorder recorder(timings, values);
    py::dict outputs = run(inputs, state, &recorder);
    return py::make_tuple(outputs, recorder.events(), recorder.intermediates());
  }

 private:
  py::dict run(const py::dict& inputs, PyState* state, EventSink* events) {
    std::vector<py::array> arrays;
    std::vector<std::vector<int64_t>> shapes;
    std::vector<std::vector<int64_t>> strides;
    std::vector<ConstTensorView> views;
    for (const TensorSpec& spec : description_->inputs) {
      if (!inputs.contains(spec.name.c_str())) {
        raise(invalid_argument("the input is missing", spec.to_string()));
      }
      const py::object value = inputs[spec.name.c_str()];
      py::array array = py::array::ensure(value, py::array::c_style);
      if (!array) raise(invalid_argument("the input is no array", spec.to_string()));
      const DataType dtype = data_type_of(array.dtype());
      if (dtype == DataType::kInvalid) {
        raise(invalid_argument("the array's dtype is " + std::string(py::str(array.dtype())),
                               spec.to_string()));
      }
      std::vector<int64_t> shape = shape_of(array);
      // A scalar is described as one element.
      if (shape.empty() && spec.shape.size() == 1) shape = {1};
      std::vector<int64_t>& contiguous = strides.emplace_back(shape.size(), 1);
      for (size_t i = contiguous.size(); i-- > 1;) contiguous[i - 1] = contiguous[i] * shape[i];
      shapes.push_back(std::move(shape));
      views.push_back({dtype, {}, {}, array.data()});
      arrays.push_back(std::move(array));
    }
    if (py::len(inputs) != arrays.size()) {
      for (const auto& [name, value] : inputs) {
        const std::string text = py::str(name);
        bool known = false;
        for (const TensorSpec& spec : description_->inputs) known = known || spec.name == text;
        if (!known) raise(invalid_argument("the function has no such input", text));
      }
    }
    for (size_t i = 0; i < views.size(); ++i) {
      views[i].shape = shapes[i];
      views[i].strides = strides[i];
    }

    // The size of a result that depends on its inputs is known after the first try.
    const size_t count = description_->outputs.size();
    std::vector<py::array> results(count);
    std::vector<std::vector<int64_t>> result_shapes(count);
    for (int attempt = 0;; ++attempt) {
      std::vector<TensorView> result_views(count);
      for (size_t i = 0; i < count; ++i) {
        const TensorSpec& spec = description_->outputs[i];
        std::vector<int64_t>& shape = result_shapes[i];
        if (shape.empty()) {
          for (const Dimension& dimension : spec.shape) shape.push_back(dimension.min);
        }
        py::ssize_t elements = 1;
        for (const int64_t extent : shape) elements *= extent;
        if (attempt == 0 && !spec.is_static()) elements = std::max(elements, capacities_[i]);
        results[i] = py::array(numpy_dtype(spec.dtype), std::vector<py::ssize_t>{elements});
        result_views[i] = {spec.dtype,
                           shape,
                           {},
                           results[i].mutable_data(),
                           static_cast<size_t>(results[i].nbytes())};
      }
      Status status;
      {
        const py::gil_scoped_release unlocked;
        status =
            model_->execute(views, result_views,
                            {.state = state != nullptr ? state->get() : nullptr, .events = events});
      }
      if (status.ok()) break;
      bool too_small = false;
      for (size_t i = 0; i < count; ++i) {
        py::ssize_t elements = 1;
        for (const int64_t extent : result_shapes[i]) elements *= extent;
        if (elements > results[i].size()) too_small = true;
        capacities_[i] = std::max(capacities_[i], elements);
      }
      if (!too_small || attempt > 0) raise(status);
    }

    py::dict named;
    for (size_t i = 0; i < count; ++i) {
      py::ssize_t elements = 1;
      for (const int64_t extent : result_shapes[i]) elements *= extent;
      py::array result = results[i];
      if (result.size() != elements) {
        result = py::array(result[py::slice(0, elements, 1)]);
      }
      named[py::str(description_->outputs[i].name)] = result.reshape(
          std::vector<py::ssize_t>(result_shapes[i].begin(), result_shapes[i].end()));
    }
    return named;
  }

  std::unique_ptr<Model> model_;
  std::shared_ptr<const FunctionDescription> description_;
  std::vector<py::ssize_t> capacities_;  // Elements, of outputs whose shape depends on the inputs.
};

NumericMode numeric_mode_from(const std::string& name) {
  std::string known;
  for (const auto& [candidate, mode] : kNumericModeNames) {
    if (candidate == name) return mode;
    known += (known.empty() ? "" : ", ") + std::string(candidate);
  }
  raise(invalid_argument("numeric_mode is one of " + known, name));
}

LoadOptions load_options(const std::string& function_name, const std::string& numeric_mode,
                         int32_t threads) {
  LoadOptions options;
  options.function_name = function_name;
  options.numeric_mode = numeric_mode_from(numeric_mode);
  options.threads = threads;
  return options;
}

inmemoryfs::InMemoryFileSystem read_package(const std::string& path) {
  return check(inmemoryfs::read_folder(real_file_system(), path));
}

HelperProcess helper_process(const std::string& program, int32_t timeout_s, int64_t memory_mb) {
  if (timeout_s < 0 || memory_mb < 0 || memory_mb > std::numeric_limits<int32_t>::max()) {
    raise(invalid_argument("a limit of the compile helper is out of range", program));
  }
  return {.program = program,
          .timeout_seconds = timeout_s,
          .memory_limit_bytes = memory_mb * 1'000'000};
}

PyModel load(const std::string& path, const std::string& function_name,
             const std::string& numeric_mode, int32_t threads, const std::string& engine_name,
             const std::string& compile_helper, int32_t timeout_s, int64_t memory_mb) {
  Engine* const engine = check(find_engine(engine_name));
  const LoadOptions options = load_options(function_name, numeric_mode, threads);
  const HelperProcess helper = helper_process(compile_helper, timeout_s, memory_mb);
  const inmemoryfs::InMemoryFileSystem files = read_package(path);
  Result<std::unique_ptr<Model>> model = internal_error("not loaded");
  {
    const py::gil_scoped_release unlocked;
    const ModelSource source{ModelKind::kPackage, &files, path};
    model = helper.program.empty() ? engine->load_source(source, options)
                                   : load_source_in_helper(helper, *engine, source, options);
  }
  return PyModel(check(std::move(model)));
}

void compile(const std::string& path, const std::string& folder, const std::string& function_name,
             const std::string& numeric_mode, const std::string& engine_name,
             const std::string& compile_helper, int32_t timeout_s, int64_t memory_mb) {
  Engine* const engine = check(find_engine(engine_name));
  const LoadOptions options = load_options(function_name, numeric_mode, 0);
  const HelperProcess helper = helper_process(compile_helper, timeout_s, memory_mb);
  const inmemoryfs::InMemoryFileSystem files = read_package(path);
  Status status;
  {
    const py::gil_scoped_release unlocked;
    const ModelSource source{ModelKind::kPackage, &files, path};
    status = helper.program.empty() ? engine->compile(source, folder, options)
                                    : compile_in_helper(helper, *engine, source, folder, options);
  }
  check(status);
}

PyModel load_compiled(const std::string& folder, const std::string& function_name,
                      const std::string& numeric_mode, int32_t threads,
                      const std::string& engine_name) {
  Engine* const engine = check(find_engine(engine_name));
  const LoadOptions options = load_options(function_name, numeric_mode, threads);
  Result<std::unique_ptr<Model>> model = internal_error("not loaded");
  {
    const py::gil_scoped_release unlocked;
    model = engine->load(folder, options);
  }
  return PyModel(check(std::move(model)));
}

py::list describe(const std::string& path, const std::string& engine_name) {
  Engine* const engine = check(find_engine(engine_name));
  const inmemoryfs::InMemoryFileSystem files = read_package(path);
  py::list result;
  for (const FunctionDescription& description :
       check(engine->describe({ModelKind::kPackage, &files, path}))) {
    result.append(description_to_dict(description));
  }
  return result;
}

}  // namespace

PYBIND11_MODULE(_engine, module) {
  module.doc() = "Core ML model packages executed by the engines of this library.";
  static py::exception<void> error(module, "EngineError", PyExc_RuntimeError);
  engine_error = error.ptr();

  py::class_<PyState>(module, "State", "The values of a function's states between predictions.")
      .def("read", &PyState::read, py::arg("name"))
      .def("write", &PyState::write, py::arg("name"), py::arg("value"))
      .def("reset", &PyState::reset, "Back to the values given to make_state(), zero where none.")
      .def("copy", &PyState::copy, "An independent state with the same values.");
  py::class_<PyModel>(module, "Model", "One loaded function.")
      .def_property_readonly("description", &PyModel::description)
      .def_property_readonly("offers_intermediate_values", &PyModel::offers_intermediate_values)
      .def("make_state", &PyModel::make_state, py::arg("initial") = py::dict())
      .def("predict", &PyModel::predict, py::arg("inputs"), py::arg("state") = nullptr,
           "Outputs by name.")
      .def("inspect", &PyModel::inspect, py::arg("inputs"), py::arg("state") = nullptr,
           py::arg("timings") = true, py::arg("values") = false,
           "(outputs, [(kind, name, type, start_ns, end_ns)], {name: intermediate value}).");
  module.def("load", &load, py::arg("path"), py::arg("function_name") = "",
             py::arg("numeric_mode") = "float32", py::arg("threads") = 0, py::arg("engine") = "",
             py::arg("compile_helper") = "", py::arg("compile_helper_timeout_s") = 0,
             py::arg("compile_helper_memory_mb") = 0,
             "Compiles and loads a function of the model package at `path`.");
  module.def("compile", &compile, py::arg("path"), py::arg("folder"), py::arg("function_name") = "",
             py::arg("numeric_mode") = "float32", py::arg("engine") = "",
             py::arg("compile_helper") = "", py::arg("compile_helper_timeout_s") = 0,
             py::arg("compile_helper_memory_mb") = 0,
             "Compiles a function into the existing empty folder.");
  module.def("load_compiled", &load_compiled, py::arg("folder"), py::arg("function_name") = "",
             py::arg("numeric_mode") = "float32", py::arg("threads") = 0, py::arg("engine") = "",
             "Loads what compile() made.");
  module.def("describe", &describe, py::arg("path"), py::arg("engine") = "",
             "The description of every function of the package.");
  module.def("engine_names", &engine_names);
  module.def(
      "fingerprint",
      [](const std::string& name) { return check(find_engine(name))->fingerprint(); },
      py::arg("engine") = "");
}

}  // namespace coreml_delegate::engine
