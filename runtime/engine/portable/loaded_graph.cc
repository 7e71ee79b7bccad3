#include "runtime/engine/portable/loaded_graph.h"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <thread>
#include <utility>

#include "openvino/core/model.hpp"
#include "openvino/runtime/properties.hpp"

namespace coreml_delegate::engine::portable {

namespace {

// ov::exec_model_info::ORIGINAL_NAMES, whose header OpenVINO does not install.
constexpr char kOriginalNames[] = "originalLayersNames";

ov::Tensor wrap(const ov::element::Type& type, std::span<const int64_t> shape, const void* data) {
  // OpenVINO wants an address even for no elements, and a writable one even for inputs, which it
  // does not write.
  static std::byte nothing[64];
  if (data == nullptr) data = nothing;
  return ov::Tensor(type, ov::Shape(shape.begin(), shape.end()), const_cast<void*>(data));
}

}  // namespace

bool BoundRequest::update(Binding* binding, std::span<const int64_t> shape, const void* data) {
  if (binding->data == data && data != nullptr &&
      std::equal(shape.begin(), shape.end(), binding->shape.begin(), binding->shape.end())) {
    return false;
  }
  binding->data = data;
  binding->shape.assign(shape.begin(), shape.end());
  return true;
}

void BoundRequest::bind_input(size_t port, const ov::element::Type& type,
                              std::span<const int64_t> shape, const void* data) {
  if (update(&inputs_[port], shape, data)) request_.set_input_tensor(port, wrap(type, shape, data));
}

void BoundRequest::bind_output(size_t port, const ov::element::Type& type,
                               std::span<const int64_t> shape, void* data) {
  if (update(&outputs_[port], shape, data)) {
    request_.set_output_tensor(port, wrap(type, shape, data));
  }
}

LoadedGraph::LoadedGraph(ov::CompiledModel compiled, std::vector<IntermediatePort> intermediates,
                         std::shared_ptr<const void> keep_alive)
    : keep_alive_(std::move(keep_alive)),
      compiled_(std::move(compiled)),
      single_threaded_(compiled_.get_property(ov::inference_num_threads) == 1 ||
                       std::thread::hardware_concurrency() == 1),
      intermediates_(std::move(intermediates)) {}

std::unique_ptr<BoundRequest> LoadedGraph::take() {
  {
    const MutexLock lock(mutex_);
    if (!free_.empty()) {
      std::unique_ptr<BoundRequest> request = std::move(free_.back());
      free_.pop_back();
      return request;
    }
  }
  return std::make_unique<BoundRequest>(compiled_.create_infer_request(), compiled_.inputs().size(),
                                        compiled_.outputs().size());
}

void LoadedGraph::execute(ov::InferRequest& request) const {
  // OpenVINO 2026.4's infer() loses every exception of an execution that has one thread and leaves
  // stale or empty results; wait() has them.
  if (single_threaded_) {
    request.start_async();
    request.wait();
  } else {
    request.infer();
  }
}

ProfiledExecution LoadedGraph::execute_profiled(ov::InferRequest& request) {
  const MutexLock lock(profile_mutex_);
  const auto start = std::chrono::steady_clock::now();
  execute(request);
  ProfiledExecution result;
  result.nanoseconds = static_cast<uint64_t>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count());
  ++executions_;
  const std::vector<ov::ProfilingInfo> nodes = request.get_profiling_info();
  nanoseconds_so_far_.resize(nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].node_type == "Parameter" || nodes[i].node_type == "Result") continue;
    const std::chrono::nanoseconds mean = nodes[i].real_time;
    const uint64_t total = static_cast<uint64_t>(mean.count()) * executions_;
    const uint64_t before = std::min(total, nanoseconds_so_far_[i]);
    nanoseconds_so_far_[i] = total;
    result.nodes.push_back({nodes[i].node_name, total - before});
  }
  return result;
}

void LoadedGraph::give_back(std::unique_ptr<BoundRequest> request) {
  const MutexLock lock(mutex_);
  free_.push_back(std::move(request));
}

const std::map<std::string, OperationName>& LoadedGraph::executed_operations(
    const std::map<std::string, OperationName, std::less<>>& operations) {
  const MutexLock lock(mutex_);
  if (executed_ != nullptr) return *executed_;
  auto executed = std::make_unique<std::map<std::string, OperationName>>();
  for (const std::shared_ptr<ov::Node>& node : compiled_.get_runtime_model()->get_ordered_ops()) {
    const OperationName* operation = nullptr;
    const auto& info = node->get_rt_info();
    const auto names = info.find(kOriginalNames);
    if (names != info.end()) {
      // "conv_1,relu_2": in the order in which they were fused.
      const std::string list = names->second.as<std::string>();
      for (size_t begin = 0; begin <= list.size();) {
        const size_t end = std::min(list.find(',', begin), list.size());
        const auto found = operations.find(std::string_view(list).substr(begin, end - begin));
        if (found != operations.end()) operation = &found->second;
        begin = end + 1;
      }
    }
    if (operation == nullptr) {
      const auto found = operations.find(node->get_friendly_name());
      if (found != operations.end()) operation = &found->second;
    }
    if (operation != nullptr) executed->emplace(node->get_friendly_name(), *operation);
  }
  executed_ = std::move(executed);
  return *executed_;
}

}  // namespace coreml_delegate::engine::portable
