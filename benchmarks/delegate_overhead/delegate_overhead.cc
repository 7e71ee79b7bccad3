// What one delegated call costs on top of the engine's own, on a model of one operation (two
// float32 tensors added).
//
//   BareEngine              Model::execute() with its own buffers
//   DelegateInPlace         the backend's execute() with tensors the model takes as they are
//   DelegateConverted       with float64 tensors, which are converted both ways
//
// The argument is the number of elements; the last two print what they add to BareEngine's time in
// the counter `added_ns`, measured call by call in turn with the bare engine, so that a machine
// that changes pace does not count.

#include <executorch/runtime/core/evalue.h>
#include <executorch/runtime/platform/runtime.h>

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
#include "runtime/delegate/delegate_instance.h"
#include "runtime/delegate/in_process_model_provider.h"
#include "runtime/delegate/testing_support.h"
#include "runtime/engine/engine.h"

namespace coreml_delegate {
namespace {

using executorch::aten::ScalarType;
using testing::Arguments;
using testing::TestTensor;

constexpr char kPackage[] = "runtime/engine/cts/testdata/range.mlpackage";

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
  explicit Setup(DataType dtype) {
    executorch::runtime::runtime_init();
    engine::Engine* engine = value_or_die(engine::find_engine("portable"));
    call.blob.files = value_or_die(inmemoryfs::read_folder(real_file_system(), kPackage));
    const engine::ModelSource source{.files = &call.blob.files, .name = kPackage};
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

void BareEngine(benchmark::State& state) {
  Setup setup(DataType::kFloat32);
  BareCall call(state.range(0));
  for (auto _ : state) call.run(*setup.model);
}

void delegate(benchmark::State& state, ScalarType type, DataType dtype) {
  Setup setup(dtype);
  const auto rows = static_cast<int32_t>(state.range(0));
  BareCall bare(rows);
  TestTensor x(type, {rows, 3});
  TestTensor y(type, {rows, 3});
  TestTensor sum(type, {rows, 3}, {}, TestTensor::Dynamism::DYNAMIC_BOUND);
  Arguments args({&x, &y, &sum});
  using Clock = std::chrono::steady_clock;
  std::chrono::nanoseconds bare_time{0};
  std::chrono::nanoseconds delegate_time{0};
  for (auto _ : state) {
    const auto start = Clock::now();
    bare.run(*setup.model);
    const auto middle = Clock::now();
    check(setup.instance->execute(args.span(), nullptr));
    const auto end = Clock::now();
    bare_time += middle - start;
    delegate_time += end - middle;
    state.SetIterationTime(std::chrono::duration<double>(end - middle).count());
  }
  state.counters["added_ns"] = benchmark::Counter(
      static_cast<double>((delegate_time - bare_time).count()), benchmark::Counter::kAvgIterations);
  state.counters["ratio"] =
      static_cast<double>(delegate_time.count()) / static_cast<double>(bare_time.count());
}

void DelegateInPlace(benchmark::State& state) {
  delegate(state, ScalarType::Float, DataType::kFloat32);
}
void DelegateConverted(benchmark::State& state) {
  delegate(state, ScalarType::Double, DataType::kFloat64);
}

BENCHMARK(BareEngine)->Arg(1)->Arg(8);
BENCHMARK(DelegateInPlace)->Arg(1)->Arg(8)->UseManualTime();
BENCHMARK(DelegateConverted)->Arg(1)->Arg(8)->UseManualTime();

}  // namespace
}  // namespace coreml_delegate

BENCHMARK_MAIN();
