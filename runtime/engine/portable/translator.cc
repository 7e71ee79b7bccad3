#include "runtime/engine/portable/translator.h"

#include <algorithm>
#include <new>
#include <unordered_set>
#include <utility>

#include "openvino/core/op_extension.hpp"
#include "openvino/op/parameter.hpp"
#include "openvino/op/result.hpp"
#include "openvino/op/util/multi_subgraph_base.hpp"
#include "runtime/engine/portable/attention_fusion.h"
#include "runtime/engine/portable/check_indices.h"
#include "runtime/engine/portable/compressed_weights.h"
#include "runtime/engine/portable/cumulative_sum.h"
#include "runtime/engine/portable/environment.h"
#include "runtime/engine/portable/exact_arithmetic.h"
#include "runtime/engine/portable/exact_reduce.h"
#include "runtime/engine/portable/exceptional_values.h"
#include "runtime/engine/portable/fusion_barriers.h"
#include "runtime/engine/portable/graph.h"
#include "runtime/engine/portable/integer_matmul.h"
#include "runtime/engine/portable/low_precision.h"
#include "runtime/engine/portable/non_maximum_suppression.h"
#include "runtime/engine/portable/op_error.h"
#include "runtime/engine/portable/pass_through.h"
#include "runtime/engine/portable/random_values.h"
#include "runtime/engine/portable/recurrent_layer.h"
#include "runtime/engine/portable/round_to_half.h"
#include "runtime/engine/portable/shared_constants.h"
#include "runtime/engine/portable/softplus.h"
#include "runtime/engine/portable/stored_linear.h"
#include "runtime/engine/portable/stored_linear_fusion.h"
#include "runtime/engine/portable/translation_budget.h"
#include "runtime/engine/portable/weight_roles.h"
#include "runtime/engine/portable/winograd_convolution.h"
#include "runtime/engine/portable/winograd_fusion.h"
#include "runtime/engine/portable/winograd_kernel.h"

namespace coreml_delegate::engine::portable {
namespace {

using model::ValueType;

Opset parse_opset(const std::string& name) {
  static constexpr std::pair<std::string_view, Opset> kOpsets[] = {
      {"CoreML5", Opset::kCoreML5}, {"CoreML6", Opset::kCoreML6}, {"CoreML7", Opset::kCoreML7},
      {"CoreML8", Opset::kCoreML8}, {"CoreML9", Opset::kCoreML9},
  };
  for (const auto& [known, opset] : kOpsets) {
    if (name == known) return opset;
  }
  throw OpError(unsupported(
      "the portable engine supports the opsets CoreML5 to CoreML9, and not \"" + name + "\"",
      name));
}

// The declared shape with the bounds that the model's description gives for its unknown extents.
ov::PartialShape input_shape(const model::Function& function, const model::NamedType& input,
                             bool use_ranges) {
  ov::PartialShape shape = partial_shape(input.type);
  if (!use_ranges || shape.rank().is_dynamic()) return shape;
  for (const model::Feature& feature : function.input_features) {
    if (feature.tensor.name != input.name || feature.tensor.shape.size() != shape.size()) continue;
    for (size_t i = 0; i < shape.size(); ++i) {
      const Dimension& range = feature.tensor.shape[i];
      if (shape[i].is_static() || range.min < 0) continue;
      // A fixed extent of an extent that the program leaves open is honoured too: the engine
      // accepts nothing else.
      if (range.max == Dimension::kUnbounded) {
        shape[i] = ov::Dimension(range.min, -1);
      } else if (range.max >= range.min) {
        shape[i] = ov::Dimension(range.min, range.max);
      }
    }
  }
  return shape;
}

// What OpenVINO computes and keeps when it compiles the graph: values that depend on constants and
// known shapes alone.
void charge_known_values(const ov::Model& model) {
  std::unordered_set<const ov::Node*> known;
  for (const std::shared_ptr<ov::Node>& node : model.get_ordered_ops()) {
    if (const auto* outer = dynamic_cast<ov::op::util::MultiSubGraphOp*>(node.get())) {
      for (size_t i = 0; i < outer->get_internal_subgraphs_size(); ++i) {
        charge_known_values(*outer->get_function(static_cast<int>(i)));
      }
      continue;
    }
    if (dynamic_cast<const ov::op::v0::Constant*>(node.get()) != nullptr) {
      known.insert(node.get());
      continue;
    }
    const ov::OutputVector inputs = node->input_values();
    const bool is_known =
        !inputs.empty() && std::all_of(inputs.begin(), inputs.end(), [&](const Output& input) {
          return known.contains(input.get_node());
        });
    if (!is_known) continue;
    known.insert(node.get());
    for (const Output& output : node->outputs()) {
      if (output.get_partial_shape().is_static()) {
        TranslationBudget::charge(element_count(output.get_shape()),
                                  output.get_element_type().size());
      }
    }
  }
}

class FunctionTranslator {
 public:
  FunctionTranslator(const model::Function& function, const TranslateOptions& options)
      : function_(function), options_(options), environment_(scope_, nullptr) {
    scope_.function = &function;
    scope_.options = &options;
    scope_.opset = parse_opset(function.opset);
  }

  Translation run() {
    add_inputs();
    environment_.run(function_.body);
    add_outputs();
    add_state_outputs();
    if (options_.expose_intermediate_values) add_intermediates();
    Translation& result = translation_;
    result.model = std::make_shared<ov::Model>(results_, parameters_, function_.name);
    result.weights = WeightLayout(options_.memory);
    use_stored_weights(result.model, options_.numeric_mode, result.weights);
    settle_compressed_weights(result.model);
    keep_exceptional_values(result.model);
    add_fusion_barriers(result.model);
    charge_known_values(*result.model);
    if (options_.numeric_mode != NumericMode::kFloat16) {
      fuse_attention(result.model);
      if (winograd_kernel_is_fast()) use_winograd_convolutions(result.model);
    }
    separate_weight_roles(result.model);
    share_small_constants(result.model);
    result.origins = std::move(scope_.origins);
    return std::move(translation_);
  }

 private:
  std::shared_ptr<ov::op::v0::Parameter> add_parameter(const std::string& name,
                                                       const ov::element::Type& type,
                                                       const ov::PartialShape& shape) {
    auto parameter = std::make_shared<ov::op::v0::Parameter>(type, shape);
    parameter->set_friendly_name(name);
    parameter->output(0).set_names({name});
    scope_.origins.emplace(name, Origin{name, "input"});
    parameters_.push_back(parameter);
    return parameter;
  }

  void add_inputs() {
    std::vector<const model::NamedType*> states;
    for (const model::NamedType& input : function_.inputs) {
      if (input.type.kind == ValueType::Kind::kState) {
        states.push_back(&input);
        continue;
      }
      if (input.type.kind != ValueType::Kind::kTensor) {
        throw OpError(unsupported(
            "the input has the type " + input.type.to_string() + ", but must be a tensor",
            input.name));
      }
      const ov::PartialShape shape = input_shape(function_, input, options_.use_feature_ranges);
      translation_.inputs.push_back({input.name, input.type, parameters_.size()});
      auto parameter = add_parameter(input.name, border_type(input.type.element), shape);
      environment_.define(input.name,
                          Value(convert(parameter->output(0), runtime_type(input.type.element)),
                                input.type.element));
    }
    for (const model::NamedType* state : states) {
      ValueType type = state->type;
      type.kind = ValueType::Kind::kTensor;
      if (!type.is_static()) {
        throw OpError(unsupported(
            "the state has the shape " + type.to_string() + ", but states must have fixed shapes",
            state->name));
      }
      const ov::element::Type element = runtime_type(type.element);
      translation_.states.push_back({state->name, type, element, parameters_.size(), std::nullopt});
      auto parameter = add_parameter(state->name, element, partial_shape(type));
      scope_.state_types.emplace(state->name, type);
      environment_.define(state->name, Value(StateReference{state->name}));
      environment_.define_state(state->name, parameter->output(0));
    }
  }

  size_t add_result(Output output, const ov::element::Type& type, const std::string& name) {
    if (may_be_a_parameter(output)) output = make<PassThrough>(output);
    const auto producer = scope_.origins.find(output.get_node()->get_friendly_name());
    output = convert(output, type);
    // OpenVINO computes in float32 and drops this conversion, whose name its source then has.
    if (type == ov::element::f16 && producer != scope_.origins.end()) {
      scope_.name_node(output.get_node(), name + "/border", producer->second);
    }
    auto result = std::make_shared<ov::op::v0::Result>(output);
    scope_.name_node(result.get(), name + "/result", {name, "output"});
    results_.push_back(std::move(result));
    return results_.size() - 1;
  }

  void add_outputs() {
    for (const std::string& name : function_.body.outputs) {
      const Value value = environment_.lookup(name);
      const ValueType* declared = declared_type(name);
      if (value.list() != nullptr || value.state() != nullptr) {
        throw OpError(unsupported("a function's output must be a tensor", name));
      }
      Output output = environment_.materialize(value, name);
      ValueType type;
      if (declared != nullptr) {
        type = *declared;
      } else {
        type.element = value.element();
        type.shape = extents(output);
      }
      const size_t index = add_result(output, border_type(type.element), name);
      translation_.outputs.push_back({name, type, index});
    }
  }

  // The type with which a value of the function's block or inputs is declared.
  const ValueType* declared_type(const std::string& name) const {
    for (const model::NamedType& input : function_.inputs) {
      if (input.name == name) return &input.type;
    }
    for (const model::Operation& operation : function_.body.operations) {
      for (const model::NamedType& output : operation.outputs) {
        if (output.name == name) return &output.type;
      }
    }
    return nullptr;
  }

  void add_state_outputs() {
    for (StateBinding& state : translation_.states) {
      auto it = environment_.written_states().find(state.name);
      if (it == environment_.written_states().end()) continue;
      state.output_index = add_result(it->second, state.element, state.name);
    }
  }

  void add_intermediates() {
    for (const model::Operation& operation : function_.body.operations) {
      if (operation.type == "const") continue;
      for (const model::NamedType& declared : operation.outputs) {
        if (declared.type.kind != ValueType::Kind::kTensor) continue;
        const Value value = environment_.lookup(declared.name);
        const Output* output = value.output();
        if (output == nullptr || declared.type.element == model::ElementType::kString) continue;
        const size_t index = add_result(*output, border_type(declared.type.element), declared.name);
        translation_.intermediates.push_back({declared.name, declared.type, index});
      }
    }
  }

  const model::Function& function_;
  const TranslateOptions& options_;
  TranslationScope scope_;
  Environment environment_;
  ov::ParameterVector parameters_;
  ov::ResultVector results_;
  Translation translation_;
};

}  // namespace

Result<Translation> translate(const model::Function& function, const TranslateOptions& options) {
  try {
    const TranslationBudget budget(TranslationBudget::limit(function.stored_bytes));
    TranslateOptions used = options;
    used.numeric_mode = arithmetic_of(options.numeric_mode);
    return FunctionTranslator(function, used).run();
  } catch (const OpError& error) {
    return error.status().annotate("cannot translate the function", function.name);
  } catch (const std::bad_alloc&) {
    return resource_exhausted("memory ran out while the function was translated", function.name);
  } catch (const std::exception& error) {
    return corrupt_data(std::string("cannot translate the function: ") + error.what(),
                        function.name);
  }
}

std::vector<std::shared_ptr<ov::Extension>> graph_extensions() {
  return {std::make_shared<ov::OpExtension<CheckIndices>>(),
          std::make_shared<ov::OpExtension<CumulativeSum>>(),
          std::make_shared<ov::OpExtension<ExactArithmetic>>(),
          std::make_shared<ov::OpExtension<ExactReduce>>(),
          std::make_shared<ov::OpExtension<IntegerMatMul>>(),
          std::make_shared<ov::OpExtension<NonMaximumSuppression>>(),
          std::make_shared<ov::OpExtension<PassThrough>>(),
          std::make_shared<ov::OpExtension<RandomValues>>(),
          std::make_shared<ov::OpExtension<RecurrentLayer>>(),
          std::make_shared<ov::OpExtension<RoundToHalf>>(),
          std::make_shared<ov::OpExtension<Softplus>>(),
          std::make_shared<ov::OpExtension<StoredLinear>>(),
          std::make_shared<ov::OpExtension<WinogradConvolution>>()};
}

}  // namespace coreml_delegate::engine::portable
