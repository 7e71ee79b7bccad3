#include "runtime/engine/coreml/core_ml_model.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/private_folder.h"
#include "runtime/engine/call_checks.h"
#include "runtime/engine/coreml/core_ml_state.h"
#include "runtime/engine/coreml/guard.h"
#include "runtime/engine/coreml/tensors.h"
#include "runtime/engine/stage_timer.h"
#include "runtime/engine/tensor_layout.h"

namespace coreml_delegate::engine::coreml {

namespace {

// MLMultiArray takes any strides.
constexpr Layouts kLayouts = Layouts::kDisjoint;

bool backings_available() {
  if (@available(macOS 11.0, iOS 16.0, tvOS 16.0, watchOS 9.0, *)) return true;
  return false;
}

}  // namespace

CoreMLModel::CoreMLModel(ObjCPtr<MLModel> model, FunctionDescription description,
                         std::shared_ptr<const PrivateFolder> folder)
    : model_(std::move(model)), description_(std::move(description)), folder_(std::move(folder)) {
  for (const TensorSpec& spec : description_.outputs) {
    fixed_outputs_.emplace_back();
    if (!spec.is_static()) {
      all_outputs_fixed_ = false;
      continue;
    }
    for (const Dimension& dimension : spec.shape) fixed_outputs_.back().push_back(dimension.min);
  }
}

bool CoreMLModel::accepts_strides(std::span<const int64_t> shape,
                                  std::span<const int64_t> strides) const {
  return engine::accepts_strides(kLayouts, shape, strides);
}

Result<std::unique_ptr<State>> CoreMLModel::make_state(std::span<const InitialStateValue> initial) {
  if (description_.states.empty()) {
    return failed_precondition("the function has no states", description_.name);
  }
  COREML_DELEGATE_ASSIGN_OR_RETURN(std::unique_ptr<CoreMLState> state,
                                   CoreMLState::create(model_.get(), description_.states, initial));
  return std::unique_ptr<State>(std::move(state));
}

Status CoreMLModel::check_known_capacities(std::span<TensorView> outputs) const {
  // Each one, so that a caller learns all the extents it needs at once.
  Status capacity;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!description_.outputs[i].is_static()) continue;
    Status checked = check_capacity(description_, i, fixed_outputs_[i], &outputs[i]);
    if (capacity.ok()) capacity = std::move(checked);
  }
  return capacity;
}

Result<MLDictionaryFeatureProvider*> CoreMLModel::bind_inputs(
    std::span<const ConstTensorView> inputs) const {
  NSMutableDictionary* const values = [NSMutableDictionary dictionaryWithCapacity:inputs.size()];
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::string& name = description_.inputs[i].name;
    COREML_DELEGATE_ASSIGN_OR_RETURN(
        MLMultiArray* const array,
        borrow(inputs[i].dtype, inputs[i].shape, inputs[i].strides, inputs[i].data, name));
    [values setObject:[MLFeatureValue featureValueWithMultiArray:array] forKey:to_ns(name)];
  }
  NSError* error = nil;
  MLDictionaryFeatureProvider* const provider =
      [[[MLDictionaryFeatureProvider alloc] initWithDictionary:values error:&error] autorelease];
  if (provider == nil) return status_of_error(error, "pass the inputs", description_.name);
  return provider;
}

Result<std::vector<MLMultiArray*>> CoreMLModel::bind_outputs(
    std::span<const TensorView> outputs) const {
  std::vector<MLMultiArray*> backings;
  if (!all_outputs_fixed_ || !backings_available()) return backings;
  for (size_t i = 0; i < outputs.size(); ++i) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(backings.emplace_back(),
                                     borrow(outputs[i].dtype, fixed_outputs_[i], outputs[i].strides,
                                            outputs[i].data, description_.outputs[i].name));
  }
  return backings;
}

Result<id<MLFeatureProvider>> CoreMLModel::predict(MLDictionaryFeatureProvider* inputs,
                                                   std::span<MLMultiArray* const> backings,
                                                   NSObject* state) const {
  MLPredictionOptions* const options = [[[MLPredictionOptions alloc] init] autorelease];
  if (@available(macOS 11.0, iOS 16.0, tvOS 16.0, watchOS 9.0, *)) {
    NSMutableDictionary* const proposed = [NSMutableDictionary dictionary];
    for (size_t i = 0; i < backings.size(); ++i) {
      // Nothing can be written to an array without elements.
      if (backings[i].count == 0) continue;
      [proposed setObject:backings[i] forKey:to_ns(description_.outputs[i].name)];
    }
    options.outputBackings = proposed;
  }
  NSError* error = nil;
  id<MLFeatureProvider> result = nil;
  if (state == nil) {
    result = [model_.get() predictionFromFeatures:inputs options:options error:&error];
  } else if (@available(macOS 15.0, iOS 18.0, tvOS 18.0, watchOS 11.0, *)) {
    result = [model_.get() predictionFromFeatures:inputs
                                       usingState:static_cast<MLState*>(state)
                                          options:options
                                            error:&error];
  }
  if (result == nil) return status_of_error(error, "execute the function", description_.name);
  return result;
}

Status CoreMLModel::take_results(id<MLFeatureProvider> result,
                                 std::span<MLMultiArray* const> backings,
                                 std::span<TensorView> outputs) const {
  std::vector<MLMultiArray*> arrays;
  Status capacity;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const TensorSpec& spec = description_.outputs[i];
    MLMultiArray* const array = [result featureValueForName:to_ns(spec.name)].multiArrayValue;
    if (array == nil || data_type(array.dataType) != spec.dtype) {
      return engine_failure("Core ML returned no multi-array of this type", spec.to_string());
    }
    arrays.push_back(array);
    if (!backings.empty() && array == backings[i]) continue;
    std::vector<int64_t> extents = from_numbers(array.shape);
    // One element, however many dimensions Core ML gives a scalar.
    if (spec.shape.empty() && array.count == 1) extents.clear();
    Status checked = check_capacity(description_, i, extents, &outputs[i]);
    if (capacity.ok()) capacity = std::move(checked);
  }
  COREML_DELEGATE_RETURN_IF_ERROR(capacity);
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!backings.empty() && arrays[i] == backings[i]) continue;
    const std::vector<int64_t> extents = from_numbers(arrays[i].shape);
    const bool is_scalar = description_.outputs[i].shape.empty();
    with_bytes(arrays[i], [&](const void* bytes, std::span<const int64_t> strides) {
      copy_strided(is_scalar ? std::span<const int64_t>() : std::span<const int64_t>(extents),
                   data_type_size(outputs[i].dtype), bytes,
                   is_scalar ? std::span<const int64_t>() : strides, outputs[i].data,
                   outputs[i].strides);
    });
  }
  return {};
}

Status CoreMLModel::run(std::span<const ConstTensorView> inputs, std::span<TensorView> outputs,
                        CoreMLState* state) {
  COREML_DELEGATE_ASSIGN_OR_RETURN(MLDictionaryFeatureProvider* const bound, bind_inputs(inputs));
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::vector<MLMultiArray*> backings,
                                   bind_outputs(outputs));
  if (state == nullptr) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const id<MLFeatureProvider> result,
                                     predict(bound, backings, nil));
    return take_results(result, backings, outputs);
  }
  COREML_DELEGATE_ASSIGN_OR_RETURN(NSObject* const prepared,
                                   state->prepare(model_.get(), description_.states));
  if (all_outputs_fixed_) {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const id<MLFeatureProvider> result,
                                     predict(bound, backings, prepared));
    return take_results(result, backings, outputs);
  }
  COREML_DELEGATE_ASSIGN_OR_RETURN(const CoreMLState::Snapshot before, state->snapshot());
  // Core ML may leave by an exception: it is turned into a failure here already, so that the state
  // is put back.
  const Status status = guarded("execute the function", description_.name, [&]() -> Status {
    COREML_DELEGATE_ASSIGN_OR_RETURN(const id<MLFeatureProvider> result,
                                     predict(bound, backings, prepared));
    return take_results(result, backings, outputs);
  });
  if (status.ok()) return {};
  if (const Status restored = state->restore(before); !restored.ok()) {
    return restored.annotate(
        "the execution failed (" + status.to_string() +
            "), and the state could not be restored: it may be partly changed; reset or write it",
        description_.name);
  }
  return status;
}

Status CoreMLModel::execute(std::span<const ConstTensorView> inputs, std::span<TensorView> outputs,
                            const ExecuteOptions& options) {
  const StageTimer timer(options.events, EventKind::kExecute);
  COREML_DELEGATE_RETURN_IF_ERROR(check_inputs(description_, kLayouts, inputs));
  COREML_DELEGATE_RETURN_IF_ERROR(check_outputs(description_, kLayouts, outputs));
  COREML_DELEGATE_RETURN_IF_ERROR(check_has_state(description_, options.state));
  auto* const state = dynamic_cast<CoreMLState*>(options.state);
  if (state == nullptr && options.state != nullptr) {
    return invalid_argument("the state was made by another engine", description_.name);
  }
  std::optional<CoreMLState::Use> use;
  if (state != nullptr) {
    use.emplace(*state);
    if (const Status free = use->status(); !free.ok()) {
      return free.annotate("cannot execute the function", description_.name);
    }
  }
  COREML_DELEGATE_RETURN_IF_ERROR(check_known_capacities(outputs));

  const MutexLock lock(mutex_);
  Status status = guarded("execute the function", description_.name,
                          [&] { return run(inputs, outputs, state); });
  // What was refused before Core ML ran has another code.
  if (!status.ok() && state != nullptr && all_outputs_fixed_ &&
      status.code() != StatusCode::kInvalidArgument) {
    return status.annotate(
        "the failed execution may have changed the state: reset the state, or write it",
        description_.name);
  }
  if (status.ok()) timer.succeed(description_.name);
  return status;
}

Status CoreMLModel::execute_batch(std::span<const BatchEntry> entries) {
  if (!description_.states.empty()) {
    return failed_precondition(
        "a function with states cannot execute a batch: pass its inputs one after the other",
        description_.name);
  }
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto check = [&]() -> Status {
      COREML_DELEGATE_RETURN_IF_ERROR(check_inputs(description_, kLayouts, entries[i].inputs));
      COREML_DELEGATE_RETURN_IF_ERROR(check_outputs(description_, kLayouts, entries[i].outputs));
      return check_known_capacities(entries[i].outputs);
    };
    if (const Status status = check(); !status.ok()) {
      return status.annotate("cannot execute entry " + std::to_string(i) + " of the batch",
                             description_.name);
    }
  }
  const MutexLock lock(mutex_);
  return guarded("execute a batch", description_.name, [&]() -> Status {
    NSMutableArray* const providers = [NSMutableArray arrayWithCapacity:entries.size()];
    for (const BatchEntry& entry : entries) {
      COREML_DELEGATE_ASSIGN_OR_RETURN(MLDictionaryFeatureProvider* const provider,
                                       bind_inputs(entry.inputs));
      [providers addObject:provider];
    }
    MLArrayBatchProvider* const batch =
        [[[MLArrayBatchProvider alloc] initWithFeatureProviderArray:providers] autorelease];
    NSError* error = nil;
    id<MLBatchProvider> const results =
        [model_.get() predictionsFromBatch:batch
                                   options:[[[MLPredictionOptions alloc] init] autorelease]
                                     error:&error];
    if (results == nil) return status_of_error(error, "execute a batch", description_.name);
    if (static_cast<size_t>([results count]) != entries.size()) {
      return engine_failure("Core ML returned another number of results than there are inputs",
                            description_.name);
    }
    for (size_t i = 0; i < entries.size(); ++i) {
      COREML_DELEGATE_RETURN_IF_ERROR(take_results(
          [results featuresAtIndex : static_cast<NSInteger>(i)], {}, entries[i].outputs));
    }
    return {};
  });
}

Status execute_batch(Model& model, std::span<const BatchEntry> entries) {
  auto* const own = dynamic_cast<CoreMLModel*>(&model);
  if (own == nullptr) return invalid_argument("the model was loaded by another engine");
  return own->execute_batch(entries);
}

}  // namespace coreml_delegate::engine::coreml
