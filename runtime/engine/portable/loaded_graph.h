#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_LOADED_GRAPH_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_LOADED_GRAPH_H_

// A compiled graph ready to execute, and the pool of its infer requests. Includes OpenVINO.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/mutex.h"
#include "base/status.h"
#include "openvino/runtime/compiled_model.hpp"
#include "openvino/runtime/infer_request.hpp"
#include "runtime/engine/portable/function_plan.h"

namespace coreml_delegate::engine::portable {

// An infer request and what is bound to it, so that binding the same buffer again costs nothing.
// Used by one execution at a time.
class BoundRequest {
 public:
  BoundRequest(ov::InferRequest request, size_t inputs, size_t outputs)
      : request_(std::move(request)), inputs_(inputs), outputs_(outputs) {}

  // The buffer must stay valid until the request has run; nothing is read or written before. Throw
  // what OpenVINO throws.
  void bind_input(size_t port, const ov::element::Type& type, std::span<const int64_t> shape,
                  const void* data);
  void bind_output(size_t port, const ov::element::Type& type, std::span<const int64_t> shape,
                   void* data);
  ov::InferRequest& request() { return request_; }

 private:
  struct Binding {
    const void* data = nullptr;
    std::vector<int64_t> shape;
  };
  // False when this is what is bound already.
  static bool update(Binding* binding, std::span<const int64_t> shape, const void* data);

  ov::InferRequest request_;
  std::vector<Binding> inputs_;
  std::vector<Binding> outputs_;
};

// A value of the function's body that a graph gives out for inspection.
struct IntermediatePort {
  std::string name;
  size_t index = 0;  // Of the graph's outputs.
};

// How long a node of a compiled graph took in one execution: 0 where that is less than OpenVINO can
// tell, and for a node that had nothing to compute.
struct NodeTime {
  std::string node;
  uint64_t nanoseconds = 0;
};

// One execution with profiling. Reading the counters takes longer than many an operation, and is
// no part of it.
struct ProfiledExecution {
  std::vector<NodeTime> nodes;
  uint64_t nanoseconds = 0;
};

// Thread rule: may be used from several threads at once; OpenVINO runs executions on one graph
// after the other.
class LoadedGraph {
 public:
  // `keep_alive`: memory that the compiled model may refer to.
  LoadedGraph(ov::CompiledModel compiled, std::vector<IntermediatePort> intermediates,
              std::shared_ptr<const void> keep_alive);

  const ov::CompiledModel& compiled() const { return compiled_; }
  const std::vector<IntermediatePort>& intermediates() const { return intermediates_; }

  // A request of the pool, made when all are taken. Throws what OpenVINO throws. A request that
  // failed is not given back.
  std::unique_ptr<BoundRequest> take();
  void give_back(std::unique_ptr<BoundRequest> request);
  // Executes a request of this graph. Throws what OpenVINO throws.
  void execute(ov::InferRequest& request) const;
  // The same for a graph compiled for profiling, with the time of each node in the order of
  // execution. The same nodes each time, all but inputs and outputs: OpenVINO calls one whose mean
  // is below a microsecond not run, so its status tells nothing. OpenVINO has the mean over all executions of a graph, in whole microseconds; the
  // time is what this execution added to their sum, so that of the nth is known to n microseconds,
  // and the mean over all of them to one. Waits for executions of other threads.
  ProfiledExecution execute_profiled(ov::InferRequest& request);

  // The operation of the program that each node of the compiled graph stands for: a node that
  // OpenVINO fused from several stands for the last of them. By the compiled node's name. Throws
  // what OpenVINO throws.
  const std::map<std::string, OperationName>& executed_operations(
      const std::map<std::string, OperationName, std::less<>>& operations);

 private:
  std::shared_ptr<const void> keep_alive_;  // Outlives what follows.
  ov::CompiledModel compiled_;
  const bool single_threaded_;
  std::vector<IntermediatePort> intermediates_;
  Mutex profile_mutex_;
  uint64_t executions_ COREML_DELEGATE_GUARDED_BY(profile_mutex_) = 0;
  // By node.
  std::vector<uint64_t> nanoseconds_so_far_ COREML_DELEGATE_GUARDED_BY(profile_mutex_);
  Mutex mutex_;
  std::vector<std::unique_ptr<BoundRequest>> free_ COREML_DELEGATE_GUARDED_BY(mutex_);
  // Made once and not changed again.
  std::unique_ptr<const std::map<std::string, OperationName>> executed_
      COREML_DELEGATE_GUARDED_BY(mutex_);
};

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_LOADED_GRAPH_H_
