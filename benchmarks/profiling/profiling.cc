// What an event tracer costs an execution of a method, tracer by tracer:
//
//   none   no tracer
//   off    an ETDump that asks for the method's time only
//   on     an ETDump that asks for every operation's
//
//   tools/bazel run -c opt //benchmarks/profiling -- MODEL.pte [ROUNDS]
//
// The method is loaded three times, and each round executes each twice, in turns, and times the
// second, so that a machine that changes pace does not count. Printed: the median of each, and the
// median of off / none and on / none over the rounds with a 95 % interval (bootstrap over the
// rounds, seeded).

#include <executorch/devtools/etdump/etdump_flatcc.h>
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

using executorch::etdump::ETDumpGen;
using executorch::extension::Module;
using executorch::runtime::EValue;
using executorch::runtime::EventTracerProfilingLevel;

constexpr int kWarmUp = 5;
constexpr int kResamples = 2000;

struct Configuration {
  const char* name;
  bool has_tracer;
  EventTracerProfilingLevel level;
};

constexpr Configuration kConfigurations[] = {
    {"none", false, EventTracerProfilingLevel::kProfileMethodOnly},
    {"off", true, EventTracerProfilingLevel::kProfileMethodOnly},
    {"on", true, EventTracerProfilingLevel::kProfileAllEvents},
};

[[noreturn]] void die(const char* what, const char* path) {
  std::fprintf(stderr, "profiling: %s: %s\n", path, what);
  std::exit(1);
}

// A loaded method and inputs of ones.
class Runner {
 public:
  Runner(const char* path, const Configuration& configuration) : path_(path) {
    std::unique_ptr<ETDumpGen> tracer;
    if (configuration.has_tracer) {
      tracer = std::make_unique<ETDumpGen>();
      tracer->set_event_tracer_profiling_level(configuration.level);
      tracer_ = tracer.get();
    }
    module_ = std::make_unique<Module>(path, Module::LoadMode::File, std::move(tracer));
    const auto meta = module_->method_meta("forward");
    if (!meta.ok()) die("cannot be loaded, or has no method forward", path);
    for (size_t i = 0; i < meta->num_inputs(); ++i) {
      const auto info = meta->input_tensor_meta(i);
      if (!info.ok()) die("takes something that is no tensor", path);
      const std::vector<executorch::aten::SizesType> sizes(info->sizes().begin(),
                                                           info->sizes().end());
      tensors_.push_back(executorch::extension::ones(sizes, info->scalar_type()));
      inputs_.emplace_back(*tensors_.back());
    }
  }

  // Nanoseconds.
  double execute() {
    // What was recorded before would only take memory.
    if (tracer_ != nullptr) tracer_->reset();
    const auto start = std::chrono::steady_clock::now();
    const auto outputs = module_->execute("forward", inputs_);
    const auto end = std::chrono::steady_clock::now();
    if (!outputs.ok()) die("cannot be executed", path_);
    return std::chrono::duration<double, std::nano>(end - start).count();
  }

 private:
  const char* const path_;
  ETDumpGen* tracer_ = nullptr;
  std::unique_ptr<Module> module_;
  std::vector<executorch::extension::TensorPtr> tensors_;
  std::vector<EValue> inputs_;
};

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void print_ratio(const char* name, const std::vector<double>& ratios) {
  std::mt19937 generator(0);
  std::uniform_int_distribution<size_t> pick(0, ratios.size() - 1);
  std::vector<double> medians(kResamples);
  std::vector<double> sample(ratios.size());
  for (double& resampled : medians) {
    for (double& ratio : sample) ratio = ratios[pick(generator)];
    resampled = median(sample);
  }
  std::sort(medians.begin(), medians.end());
  std::printf("%-10s %.3f  [%.3f, %.3f]\n", name, median(ratios), medians[kResamples / 40],
              medians[kResamples - 1 - kResamples / 40]);
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 200;
  if (argc < 2 || argc > 3 || rounds < 1) {
    std::fprintf(stderr, "usage: profiling MODEL.pte [ROUNDS]\n");
    return 2;
  }
  std::vector<std::unique_ptr<Runner>> runners;
  for (const Configuration& configuration : kConfigurations) {
    runners.push_back(std::make_unique<Runner>(argv[1], configuration));
    for (int i = 0; i < kWarmUp; ++i) runners.back()->execute();
  }
  std::vector<std::vector<double>> times(runners.size());
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < runners.size(); ++i) {
      // Each is first, second and last equally often. The execution before the timed one is its
      // own: threads and caches of another's would cost the next.
      const size_t which = (i + static_cast<size_t>(round)) % runners.size();
      runners[which]->execute();
      times[which].push_back(runners[which]->execute());
    }
  }
  for (size_t i = 0; i < runners.size(); ++i) {
    std::printf("%-10s %.4f ms\n", kConfigurations[i].name, median(times[i]) / 1e6);
  }
  for (size_t i = 1; i < runners.size(); ++i) {
    std::vector<double> ratios;
    for (int round = 0; round < rounds; ++round) {
      const auto at = static_cast<size_t>(round);
      ratios.push_back(times[i][at] / times[0][at]);
    }
    print_ratio((std::string(kConfigurations[i].name) + " / none").c_str(), ratios);
  }
  return 0;
}
