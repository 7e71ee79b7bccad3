#include "runtime/engine/coreml/gnustep/prediction.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/half.h"
#include "base/strides.h"
#include "runtime/engine/tensor_layout.h"

namespace coreml_delegate::core_ml_gnustep {

namespace {

namespace layout = engine;

struct Input {
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;
  std::vector<std::byte> gathered;  // Of a value that does not lie contiguously, or a default.
  const void *data = nullptr;
};

struct Output {
  std::vector<int64_t> shape;
  MLMultiArray *backing = nil;  // Borrowed from the caller.
  std::vector<std::byte> memory;
  void *data = nullptr;
  size_t capacity = 0;
};

NSError *feature_error(const std::string &name, const std::string &what) {
  return make_error(MLModelErrorFeatureType, "the feature " + name + " " + what);
}

// The value of an optional input that was left out.
std::vector<std::byte> default_content(const TensorSpec &spec, double value, size_t count) {
  std::vector<std::byte> bytes(count * data_type_size(spec.dtype));
  for (size_t i = 0; i < count; ++i) {
    std::byte *const at = bytes.data() + i * data_type_size(spec.dtype);
    const float single = static_cast<float>(value);
    const uint16_t half = float_to_half(single);
    const int32_t whole = static_cast<int32_t>(value);
    switch (spec.dtype) {
      case DataType::kFloat16:
        std::memcpy(at, &half, sizeof half);
        break;
      case DataType::kFloat32:
        std::memcpy(at, &single, sizeof single);
        break;
      case DataType::kFloat64:
        std::memcpy(at, &value, sizeof value);
        break;
      default:
        std::memcpy(at, &whole, sizeof whole);
        break;
    }
  }
  return bytes;
}

NSError *take_input(const model::Feature &feature, MLFeatureDescription *description,
                    MLFeatureValue *value, Input *input) {
  const TensorSpec &spec = feature.tensor;
  if (value == nil || value.isUndefined) {
    if (!feature.optional) return feature_error(spec.name, "is required and was not given");
    input->shape = extents(description.multiArrayConstraint.shape);
    input->gathered = default_content(spec, feature.default_value.value_or(0),
                                      static_cast<size_t>(layout::element_count(input->shape)));
    input->data = input->gathered.data();
    return nil;
  }
  if (![description isAllowedValue:value]) {
    return feature_error(
        spec.name,
        "does not allow the value given: its type or shape is another than " + spec.to_string());
  }
  MLMultiArray *const array = value.multiArrayValue;
  input->shape = extents(array.shape);
  const std::vector<int64_t> strides = extents(array.strides);
  input->data = array.dataPointer;
  if (!is_contiguous(input->shape, strides)) {
    const size_t size = data_type_size(spec.dtype);
    input->gathered.resize(static_cast<size_t>(layout::element_count(input->shape)) * size);
    layout::copy_strided(input->shape, size, array.dataPointer, strides, input->gathered.data(),
                         {});
    input->data = input->gathered.data();
  }
  input->strides = contiguous_strides(input->shape);
  return nil;
}

NSError *take_backing(const TensorSpec &spec, MLFeatureDescription *description, id backing,
                      Output *output) {
  if (backing == nil) return nil;
  if (![backing isKindOfClass:[MLMultiArray class]] ||
      ![description isAllowedValue:[MLFeatureValue featureValueWithMultiArray:backing]]) {
    return feature_error(spec.name, "does not allow the output backing given");
  }
  // The backing of an output whose shape is not known yet cannot be used.
  if (spec.is_static() && !backings_ignored()) output->backing = backing;
  return nil;
}

Status execute(CMLModelBox &model, std::vector<Input> &inputs, std::vector<Output> &outputs,
               engine::State *state) {
  const engine::FunctionDescription &function = model.model->description();
  std::vector<engine::ConstTensorView> input_views;
  for (size_t i = 0; i < inputs.size(); ++i) {
    input_views.push_back(
        {function.inputs[i].dtype, inputs[i].shape, inputs[i].strides, inputs[i].data});
  }
  Status status;
  // Twice where a result's size is known only once it has been computed: a refusal says what is
  // needed and changes nothing.
  for (int attempt = 0; attempt < 2; ++attempt) {
    std::vector<engine::TensorView> output_views;
    for (size_t i = 0; i < outputs.size(); ++i) {
      output_views.push_back(
          {function.outputs[i].dtype, outputs[i].shape, {}, outputs[i].data, outputs[i].capacity});
    }
    status = model.model->execute(input_views, output_views, {.state = state, .events = nullptr});
    if (status.ok() || attempt == 1) break;
    bool grown = false;
    for (size_t i = 0; i < outputs.size(); ++i) {
      const size_t needed =
          static_cast<size_t>(std::max<int64_t>(layout::element_count(outputs[i].shape), 0)) *
          data_type_size(function.outputs[i].dtype);
      if (needed <= outputs[i].capacity) continue;
      outputs[i].memory.resize(needed);
      outputs[i].data = outputs[i].memory.data();
      outputs[i].capacity = needed;
      grown = true;
    }
    if (!grown) break;
  }
  return status;
}

// The array that the caller gets for an output, retained.
MLMultiArray *finish_output(const TensorSpec &spec, Output &output) {
  const size_t size = data_type_size(spec.dtype);
  count_output(output.backing != nil);
  if (output.backing != nil) {
    if (output.data != output.backing.dataPointer) {
      layout::copy_strided(output.shape, size, output.data, {}, output.backing.dataPointer,
                           extents(output.backing.strides));
    }
    return [output.backing retain];
  }
  MLMultiArray *const array = [[MLMultiArray alloc] initWithShape:numbers(output.shape)
                                                         dataType:multi_array_type(spec.dtype)
                                                            error:nullptr];
  const int64_t count = layout::element_count(output.shape);
  if (count > 0) std::memcpy(array.dataPointer, output.data, static_cast<size_t>(count) * size);
  return array;
}

}  // namespace

id<MLFeatureProvider> predict(CMLModelBox &model, MLModelDescription *description,
                              id<MLFeatureProvider> input, MLState *state, NSDictionary *backings,
                              NSError **error) {
  count_prediction();
  const Injected injected = enter(Stage::kPredict);
  if (injected.fails) {
    set_error(error, injected.error);
    return nil;
  }
  const engine::FunctionDescription &function = model.model->description();
  std::vector<Input> inputs(function.inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const model::Feature &feature = model.signature.input_features[i];
    NSString *const name = string(feature.tensor.name);
    NSError *const failure =
        take_input(feature, [description.inputDescriptionsByName objectForKey:name],
                   [input featureValueForName:name], &inputs[i]);
    if (failure != nil) {
      set_error(error, failure);
      return nil;
    }
  }
  std::vector<Output> outputs(function.outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    const TensorSpec &spec = function.outputs[i];
    Output &output = outputs[i];
    NSString *const name = string(spec.name);
    NSError *const failure =
        take_backing(spec, [description.outputDescriptionsByName objectForKey:name],
                     [backings objectForKey:name], &output);
    if (failure != nil) {
      set_error(error, failure);
      return nil;
    }
    for (const Dimension &dimension : spec.shape) output.shape.push_back(dimension.min);
    if (!spec.is_static()) continue;
    output.capacity =
        static_cast<size_t>(layout::element_count(output.shape)) * data_type_size(spec.dtype);
    if (output.backing != nil && is_contiguous(output.shape, extents(output.backing.strides))) {
      output.data = output.backing.dataPointer;
    } else {
      output.memory.resize(std::max<size_t>(output.capacity, 1));
      output.data = output.memory.data();
    }
  }

  CMLStateBox *const box = [state box];
  if (box != nullptr && box->model != model.identity) {
    set_error(error, make_error(MLModelErrorGeneric, "the state was made by another MLModel"));
    return nil;
  }
  if (box == nullptr && !function.states.empty()) {
    set_error(error,
              make_error(MLModelErrorGeneric, "the model has states: use a stateful prediction"));
    return nil;
  }
  // "Each stateful prediction that uses the same MLState must be serialized": what is undefined
  // there is an exception here.
  if (box != nullptr && box->busy.exchange(true)) {
    [NSException raise:NSInternalInconsistencyException
                format:@"two predictions used one MLState at the same time"];
  }
  const Status status =
      execute(model, inputs, outputs, box != nullptr ? box->state.get() : nullptr);
  if (box != nullptr) box->busy = false;
  if (!status.ok()) {
    set_error(error, make_error(status));
    return nil;
  }
  NSMutableDictionary *const values = [NSMutableDictionary dictionary];
  for (size_t i = 0; i < outputs.size(); ++i) {
    MLMultiArray *const array = finish_output(function.outputs[i], outputs[i]);
    [values setObject:[MLFeatureValue featureValueWithMultiArray:array]
               forKey:string(function.outputs[i].name)];
    [array release];
  }
  return [[[MLDictionaryFeatureProvider alloc] initWithDictionary:values error:error] autorelease];
}

}  // namespace coreml_delegate::core_ml_gnustep
