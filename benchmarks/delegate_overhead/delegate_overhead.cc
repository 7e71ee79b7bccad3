// What one delegated call costs on top of a bare OpenVINO infer request, on a model of one
// operation (two float32 tensors added).
//
//   BareEngine              Model::execute() with its caller's own buffers
//   DelegateInPlace         the backend's execute() with tensors the model takes as they are
//   DelegateConverted       with float64 tensors, which are converted both ways
//
// The arguments are the number of rows of three and whether the model takes 1 to 8 rows (1) or two
// only (0). Each call is followed by one of an ov::InferRequest of the same graph, whose tensors
// were set once and for all, so that a machine that changes pace does not count. The counters, in
// nanoseconds: `openvino`, the median of that request; `added`, the median of the call minus it.

#include <executorch/runtime/core/evalue.h>
#include <executorch/runtime/platform/runtime.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "benchmark/benchmark.h"
#include "blob/blob.h"
#include "inmemoryfs/disk.h"
#include "openvino/core/model.hpp"
#include "openvino/op/add.hpp"
#include "openvino/op/parameter.hpp"
#include "openvino/op/result.hpp"
#include "openvino/runtime/core.hpp"
#include "openvino/runtime/properties.hpp"
#include "runtime/delegate/delegate_instance.h"
#include "runtime/delegate/in_process_model_provider.h"
#include "runtime/delegate/testing_support.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate {
namespace {

using executorch::aten::ScalarType;
using testing::Arguments;
using testing::TestTensor;

constexpr char kFixed[] = "runtime/engine/cts/testdata/add.mlpackage";
constexpr char kRange[] = "runtime/engine/cts/testdata/range.mlpackage";

template <typename T>
T value_or_die(Result<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.status().to_string().c_str());
    std::exit(1);
  }
  return *std::move(result);
}

void check(const Status& status) {
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.to_string().c_str());
    std::exit(1);
  }
}

// The model on the portable engine, bare and behind a delegate call as a program of ours declares
// it (with the tensors' dtype).
struct Setup {
  Setup(const char* package, DataType dtype) {
    executorch::runtime::runtime_init();
    engine::Engine* engine = value_or_die(engine::find_engine("portable"));
    call.blob.files = value_or_die(inmemoryfs::read_folder(real_file_system(), package));
    const engine::ModelSource source{.files = &call.blob.files, .name = package};
    const auto description = value_or_die(engine->describe(source)).front();
    blob::Function function{.name = description.name,
                            .method = "forward",
                            .inputs = description.inputs,
                            .outputs = description.outputs,
                            .states = {}};
    for (TensorSpec& spec : function.inputs) spec.dtype = dtype;
    for (TensorSpec& spec : function.outputs) spec.dtype = dtype;
    call.blob.functions.push_back(std::move(function));
    model = value_or_die(engine->load_source(source, {.function_name = description.name}));
    DelegateOptions options;
    options.engine = "portable";
    instance = value_or_die(DelegateInstance::create(call, "forward", options, provider, nullptr));
  }

  blob::DelegateCall call;
  InProcessModelProvider provider;
  std::unique_ptr<engine::Model> model;
  std::unique_ptr<DelegateInstance> instance;
};

// Its rows of three; the model takes 1 to 8 of them.
struct BareCall {
  explicit BareCall(int64_t rows)
      : shape{rows, 3}, x(rows * 3, 1.0f), y(rows * 3, 2.0f), sum(rows * 3) {}
  void run(engine::Model& model) {
    output_shape = shape;
    const engine::ConstTensorView inputs[] = {{DataType::kFloat32, shape, strides, x.data()},
                                              {DataType::kFloat32, shape, strides, y.data()}};
    engine::TensorView output{
        DataType::kFloat32, output_shape, {}, sum.data(), sum.size() * sizeof(float)};
    check(model.execute(inputs, {&output, 1}, {}));
  }
  std::vector<int64_t> shape;
  std::vector<int64_t> strides{3, 1};
  std::vector<int64_t> output_shape;
  std::vector<float> x, y, sum;
};

// The same graph made by hand, on a request of its own.
class OpenVinoCall {
 public:
  OpenVinoCall(size_t rows, bool is_range) {
    const ov::PartialShape shape{is_range ? ov::Dimension(1, 8) : ov::Dimension(rows), 3};
    const auto x = std::make_shared<ov::op::v0::Parameter>(ov::element::f32, shape);
    const auto y = std::make_shared<ov::op::v0::Parameter>(ov::element::f32, shape);
    const auto sum = std::make_shared<ov::op::v1::Add>(x, y);
    const ov::ParameterVector parameters{x, y};
    const auto graph = std::make_shared<ov::Model>(ov::OutputVector{sum}, parameters);
    request_ = ov::Core()
                   .compile_model(graph, "CPU",
                                  ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
                                  ov::hint::inference_precision(ov::element::f32))
                   .create_infer_request();
    for (size_t i = 0; i < 2; ++i) {
      request_.set_input_tensor(i, ov::Tensor(ov::element::f32, ov::Shape{rows, 3}));
    }
  }
  void run() { request_.infer(); }

 private:
  ov::InferRequest request_;
};

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// `call` and a bare request, in turn.
template <typename Call>
void measure(benchmark::State& state, const Call& call) {
  using Clock = std::chrono::steady_clock;
  OpenVinoCall bare(static_cast<size_t>(state.range(0)), state.range(1) != 0);
  std::vector<double> ours;
  std::vector<double> openvino;
  std::vector<double> added;
  for (auto _ : state) {
    const auto start = Clock::now();
    bare.run();
    const auto middle = Clock::now();
    call();
    const auto end = Clock::now();
    openvino.push_back(std::chrono::duration<double, std::nano>(middle - start).count());
    ours.push_back(std::chrono::duration<double, std::nano>(end - middle).count());
    added.push_back(ours.back() - openvino.back());
    state.SetIterationTime(ours.back() * 1e-9);
  }
  state.counters["openvino"] = median(openvino);
  state.counters["added"] = median(added);
}

const char* package_of(const benchmark::State& state) {
  return state.range(1) != 0 ? kRange : kFixed;
}

void BareEngine(benchmark::State& state) {
  Setup setup(package_of(state), DataType::kFloat32);
  BareCall call(state.range(0));
  measure(state, [&] { call.run(*setup.model); });
}

void delegate(benchmark::State& state, ScalarType type, DataType dtype) {
  Setup setup(package_of(state), dtype);
  const auto rows = static_cast<int32_t>(state.range(0));
  const auto dynamism =
      state.range(1) != 0 ? TestTensor::Dynamism::DYNAMIC_BOUND : TestTensor::Dynamism::STATIC;
  TestTensor x(type, {rows, 3});
  TestTensor y(type, {rows, 3});
  TestTensor sum(type, {rows, 3}, {}, dynamism);
  Arguments args({&x, &y, &sum});
  measure(state, [&] { check(setup.instance->execute(args.span(), nullptr)); });
}

void DelegateInPlace(benchmark::State& state) {
  delegate(state, ScalarType::Float, DataType::kFloat32);
}
void DelegateConverted(benchmark::State& state) {
  delegate(state, ScalarType::Double, DataType::kFloat64);
}

void arguments(benchmark::internal::Benchmark* benchmark) {
  benchmark->Args({2, 0})->Args({1, 1})->Args({8, 1})->UseManualTime();
}
BENCHMARK(BareEngine)->Apply(arguments);
BENCHMARK(DelegateInPlace)->Apply(arguments);
BENCHMARK(DelegateConverted)->Apply(arguments);

}  // namespace
}  // namespace coreml_delegate

BENCHMARK_MAIN();
