#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_PORTABLE_MODEL_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_PORTABLE_MODEL_H_

// One function, loaded on the portable engine. Includes OpenVINO.
//
// Thread rule: as engine.h says of a Model. Executions on one model follow each other inside
// OpenVINO; each has its own infer request and sees only its caller's buffers.

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/portable/function_plan.h"
#include "runtime/engine/portable/loaded_graph.h"
#include "runtime/engine/portable/portable_state.h"

namespace coreml_delegate::engine::portable {

// Forms in which the graph of a function may be loaded.
enum class GraphForm {
  kPlain,
  kProfiled,  // Every operation is timed.
  kExposed,   // Every operation is timed and every value of the body is an output.
};

// Loads another form of the same function, when a sink asks for what the plain one does not tell.
// Called under a lock.
using GraphLoader = std::function<Result<std::unique_ptr<LoadedGraph>>(GraphForm form)>;

class PortableModel : public Model {
 public:
  // `loader` loads forms other than kPlain, which is `graph`.
  PortableModel(FunctionPlan plan, std::unique_ptr<LoadedGraph> graph, GraphLoader loader,
                bool offers_intermediate_values);

  // Whether the graph's ports are what the plan says of them: false for a compiled folder that fits
  // together no more.
  Status check_ports() const;

  const FunctionDescription& description() const override { return plan_.description; }
  bool accepts_strides(std::span<const int64_t> shape,
                       std::span<const int64_t> strides) const override;
  bool offers_intermediate_values() const override { return offers_intermediate_values_; }
  Result<std::unique_ptr<State>> make_state(std::span<const InitialStateValue> initial) override;
  Status execute(std::span<const ConstTensorView> inputs, std::span<TensorView> outputs,
                 const ExecuteOptions& options) override;

 private:
  Status check_state(State* state, PortableState** portable) const;
  // `events`: told of loading another form than kPlain, which needs it.
  Result<LoadedGraph*> graph_for(GraphForm form, EventSink* events);
  // Sets `measuring_ns` to the time spent on telling `events`, where there are any. Throws what
  // OpenVINO throws.
  Status run(LoadedGraph& graph, std::span<const ConstTensorView> inputs,
             std::span<TensorView> outputs, PortableState* state, EventSink* events,
             uint64_t& measuring_ns);
  void report(LoadedGraph& graph, BoundRequest& request, uint64_t start_ns,
              const std::vector<NodeTime>& times, EventSink& events) const;

  FunctionPlan plan_;
  std::vector<ov::element::Type> input_types_;  // As the next two, in the order of the description.
  std::vector<ov::element::Type> output_types_;
  // The graph's own extents of each output; empty where one is known at run time only.
  std::vector<std::vector<int64_t>> static_outputs_;
  bool all_outputs_static_ = true;
  std::vector<StateLayout> states_;
  bool offers_intermediate_values_;

  std::unique_ptr<LoadedGraph> plain_;
  GraphLoader loader_;
  Mutex mutex_;
  std::unique_ptr<LoadedGraph> profiled_ COREML_DELEGATE_GUARDED_BY(mutex_);
  std::unique_ptr<LoadedGraph> exposed_ COREML_DELEGATE_GUARDED_BY(mutex_);
};

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_PORTABLE_MODEL_H_
