#include "runtime/model/feature_parser.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>

namespace coreml_delegate::model {

namespace {

enum class Role { kInput, kOutput, kState };

std::string_view role_name(Role role) {
  switch (role) {
    case Role::kInput:
      return "input";
    case Role::kOutput:
      return "output";
    case Role::kState:
      return "state";
  }
  return "feature";
}

DataType declared_type(mil::ArrayDataType type) {
  switch (type) {
    case mil::ArrayDataType::kFloat16:
      return DataType::kFloat16;
    case mil::ArrayDataType::kFloat32:
      return DataType::kFloat32;
    case mil::ArrayDataType::kDouble:
      return DataType::kFloat64;
    case mil::ArrayDataType::kInt32:
      return DataType::kInt32;
    case mil::ArrayDataType::kInt8:
      return DataType::kInt8;
    default:
      return DataType::kInvalid;
  }
}

DataType data_type_of(ElementType type) {
  switch (type) {
    case ElementType::kBool:
      return DataType::kBool;
    case ElementType::kFloat16:
      return DataType::kFloat16;
    case ElementType::kFloat32:
      return DataType::kFloat32;
    case ElementType::kFloat64:
      return DataType::kFloat64;
    case ElementType::kInt8:
      return DataType::kInt8;
    case ElementType::kUInt8:
      return DataType::kUInt8;
    case ElementType::kInt16:
      return DataType::kInt16;
    case ElementType::kUInt16:
      return DataType::kUInt16;
    case ElementType::kInt32:
      return DataType::kInt32;
    case ElementType::kInt64:
      return DataType::kInt64;
    default:
      return DataType::kInvalid;
  }
}

bool is_float(DataType type) {
  return type == DataType::kFloat16 || type == DataType::kFloat32 || type == DataType::kFloat64;
}

// What kind of feature it is when it is no multi-array.
std::string_view other_kind(const mil::FeatureType& type) {
  if (type.image_type != nullptr) return "an image";
  if (type.int64_type != nullptr) return "an integer";
  if (type.double_type != nullptr) return "a number";
  if (type.string_type != nullptr) return "a string";
  if (type.dictionary_type != nullptr) return "a dictionary";
  if (type.sequence_type != nullptr) return "a sequence";
  if (type.state_type != nullptr) return "a state";
  return "of no type";
}

Result<std::vector<int64_t>> parse_shape(const std::vector<int64_t>& shape) {
  for (const int64_t extent : shape) {
    if (extent < 0) return corrupt_data("a shape has the extent " + std::to_string(extent));
  }
  return std::vector<int64_t>(shape.begin(), shape.end());
}

// The extents the description allows; empty when it declares none.
Status parse_declared_shape(const mil::ArrayFeatureType& array, TensorSpec* spec) {
  if (array.enumerated_shapes != nullptr) {
    for (const auto& shape : array.enumerated_shapes->shapes) {
      COREML_DELEGATE_ASSIGN_OR_RETURN(std::vector<int64_t> extents, parse_shape(shape.shape));
      if (!spec->enumerated_shapes.empty() && extents.size() != spec->enumerated_shapes[0].size()) {
        return corrupt_data("enumerated shapes have different ranks");
      }
      spec->enumerated_shapes.push_back(std::move(extents));
    }
    if (spec->enumerated_shapes.empty()) return corrupt_data("the enumeration of shapes is empty");
    for (const int64_t extent : spec->enumerated_shapes[0]) spec->shape.push_back({extent, extent});
    for (const std::vector<int64_t>& extents : spec->enumerated_shapes) {
      for (size_t i = 0; i < extents.size(); ++i) {
        spec->shape[i].min = std::min(spec->shape[i].min, extents[i]);
        spec->shape[i].max = std::max(spec->shape[i].max, extents[i]);
      }
    }
    return {};
  }
  if (array.shape_range != nullptr) {
    for (const mil::SizeRange& range : array.shape_range->size_ranges) {
      const int64_t upper = range.upper_bound < 0 ? Dimension::kUnbounded : range.upper_bound;
      if (range.lower_bound > static_cast<uint64_t>(INT64_MAX) ||
          (upper != Dimension::kUnbounded && static_cast<int64_t>(range.lower_bound) > upper)) {
        return corrupt_data("a range of extents runs from " + std::to_string(range.lower_bound) +
                            " to " + std::to_string(range.upper_bound));
      }
      spec->shape.push_back({static_cast<int64_t>(range.lower_bound), upper});
    }
    return {};
  }
  COREML_DELEGATE_ASSIGN_OR_RETURN(const std::vector<int64_t> extents, parse_shape(array.shape));
  for (const int64_t extent : extents) spec->shape.push_back({extent, extent});
  return {};
}

// The program's static extents must be allowed by the description; for an output the description
// may say less.
Status reconcile_shape(const ValueType& type, Role role, TensorSpec* spec) {
  if (type.unknown_rank) {
    return unsupported("a tensor of unknown rank cannot be described");
  }
  // Core ML has no arrays of rank 0: a scalar input is described as [1] (and a scalar output with
  // no shape).
  const bool scalar_as_vector =
      type.shape.empty() && spec->shape.size() == 1 && spec->shape[0] == Dimension{1, 1};
  if (scalar_as_vector) return {};
  if (role == Role::kOutput && spec->shape.empty()) {
    for (const int64_t extent : type.shape) {
      spec->shape.push_back(extent == kDynamicExtent ? Dimension{0, Dimension::kUnbounded}
                                                     : Dimension{extent, extent});
    }
    return {};
  }
  bool fits = spec->shape.size() == type.shape.size();
  for (size_t i = 0; fits && i < type.shape.size(); ++i) {
    const int64_t extent = type.shape[i];
    if (extent == kDynamicExtent) {
      // The shape of an output that depends on its inputs is an example at best.
      if (role == Role::kOutput) spec->shape[i] = {0, Dimension::kUnbounded};
      continue;
    }
    fits = spec->shape[i].contains(extent);
    if (fits) spec->shape[i] = {extent, extent};
  }
  if (!fits) {
    return corrupt_data("the description says " + spec->to_string() + ", but the program says " +
                        type.to_string());
  }
  return {};
}

// Image features stand for tensors [1, channels, height, width] of the program's type.
Result<Feature> parse_image(const mil::FeatureDescription& description, Role role,
                            const ValueType& type) {
  const mil::ImageFeatureType& image = *description.type.image_type;
  Feature feature;
  feature.tensor.name = description.name;
  feature.optional = description.type.is_optional;
  int64_t channels = 1;
  switch (image.color_space) {
    case mil::ColorSpace::kGrayscale:
      feature.image = ColorLayout::kGrayscale;
      break;
    case mil::ColorSpace::kGrayscaleFloat16:
      feature.image = ColorLayout::kGrayscaleFloat16;
      break;
    case mil::ColorSpace::kRgb:
      feature.image = ColorLayout::kRgb;
      channels = 3;
      break;
    case mil::ColorSpace::kBgr:
      feature.image = ColorLayout::kBgr;
      channels = 3;
      break;
    default:
      return corrupt_data("the image has the color space " +
                          std::to_string(static_cast<int32_t>(image.color_space)));
  }
  if (type.kind != ValueType::Kind::kTensor || type.unknown_rank || type.shape.size() != 4 ||
      !is_float(type.element)) {
    return unsupported("an image is described where the program has " + type.to_string() +
                       " instead of a floating-point tensor [1, channels, height, width]");
  }
  feature.tensor.dtype = data_type_of(type.element);
  if (!is_float(feature.tensor.dtype)) {
    return unsupported("an image cannot have the element type of " + type.to_string());
  }
  // The same flexibility as of a multi-array of these extents.
  mil::ArrayFeatureType array;
  const auto extents = [&](int64_t height, int64_t width) {
    return std::vector<int64_t>{1, channels, height, width};
  };
  array.shape = extents(image.height, image.width);
  if (image.enumerated_sizes != nullptr) {
    array.enumerated_shapes = std::make_unique<mil::EnumeratedShapes>();
    for (const mil::ImageSize& size : image.enumerated_sizes->sizes) {
      array.enumerated_shapes->shapes.push_back(
          {extents(static_cast<int64_t>(size.height), static_cast<int64_t>(size.width))});
    }
  } else if (image.image_size_range != nullptr) {
    array.shape_range = std::make_unique<mil::ShapeRange>();
    array.shape_range->size_ranges = {{1, 1},
                                      {static_cast<uint64_t>(channels), channels},
                                      image.image_size_range->height_range,
                                      image.image_size_range->width_range};
  }
  COREML_DELEGATE_RETURN_IF_ERROR(parse_declared_shape(array, &feature.tensor));
  COREML_DELEGATE_RETURN_IF_ERROR(reconcile_shape(type, role, &feature.tensor));
  return feature;
}

Result<Feature> parse_feature(const mil::FeatureDescription& description, Role role,
                              const ValueType& type) {
  const mil::ArrayFeatureType* array = nullptr;
  if (role == Role::kState) {
    if (type.kind != ValueType::Kind::kState || description.type.state_type == nullptr ||
        description.type.state_type->array_type == nullptr) {
      return corrupt_data("the description has a state that is not a state of the program");
    }
    array = description.type.state_type->array_type.get();
  } else if (description.type.image_type != nullptr) {
    return parse_image(description, role, type);
  } else {
    if (description.type.multi_array_type == nullptr) {
      return unsupported("the " + std::string(role_name(role)) + " is " +
                         std::string(other_kind(description.type)) +
                         "; only multi-arrays, images and classes are supported");
    }
    if (type.kind != ValueType::Kind::kTensor) {
      return corrupt_data("a multi-array is described where the program has " + type.to_string());
    }
    array = description.type.multi_array_type.get();
  }

  Feature feature;
  feature.tensor.name = description.name;
  feature.optional = description.type.is_optional;
  feature.tensor.dtype = array->data_type == mil::ArrayDataType::kInvalid
                             ? data_type_of(type.element)
                             : declared_type(array->data_type);
  const DataType in_program = data_type_of(type.element);
  if (feature.tensor.dtype == DataType::kInvalid || in_program == DataType::kInvalid ||
      (is_float(feature.tensor.dtype) != is_float(in_program))) {
    return unsupported("the description's element type " +
                       std::to_string(static_cast<int32_t>(array->data_type)) +
                       " cannot stand for the program's " + type.to_string());
  }
  COREML_DELEGATE_RETURN_IF_ERROR(parse_declared_shape(*array, &feature.tensor));
  COREML_DELEGATE_RETURN_IF_ERROR(reconcile_shape(type, role, &feature.tensor));
  if (role == Role::kState && !type.is_static()) {
    return corrupt_data("the state has the dynamic type " + type.to_string());
  }
  if (array->int_default_value) feature.default_value = *array->int_default_value;
  if (array->float_default_value) feature.default_value = *array->float_default_value;
  if (array->double_default_value) feature.default_value = *array->double_default_value;
  return feature;
}

// The dictionary of a classifier, by its tensor.
Result<Feature> parse_probabilities(const mil::FeatureDescription& description,
                                    const Classifier& classifier, const ValueType& type) {
  const mil::DictionaryFeatureType* const dictionary = description.type.dictionary_type.get();
  if (dictionary == nullptr ||
      (dictionary->string_key_type != nullptr) != classifier.numbers.empty()) {
    return corrupt_data(
        "the description gives the program's dictionary of probabilities another type");
  }
  Feature feature;
  feature.tensor.name = description.name;
  feature.tensor.dtype = data_type_of(type.element);
  COREML_DELEGATE_RETURN_IF_ERROR(reconcile_shape(type, Role::kOutput, &feature.tensor));
  return feature;
}

bool describes_label(const mil::FeatureDescription& description, const Classifier& classifier) {
  return description.name == classifier.label &&
         (classifier.numbers.empty() ? description.type.string_type != nullptr
                                     : description.type.int64_type != nullptr);
}

template <typename FindType>
Status parse_role(const FeatureDescriptions& descriptions, Role role, const FindType& find_type,
                  const std::optional<Classifier>& classifier, std::vector<Feature>* features) {
  std::unordered_set<std::string_view> names;
  for (const mil::FeatureDescription& description : descriptions) {
    const auto annotate = [&](const Status& status) {
      return status.annotate("cannot read the description of an " + std::string(role_name(role)),
                             description.name);
    };
    if (description.name.empty()) {
      return annotate(corrupt_data("the feature has no name"));
    }
    if (!names.insert(description.name).second) {
      return annotate(corrupt_data("the feature is described twice"));
    }
    const bool is_output = role == Role::kOutput;
    if (is_output && classifier && describes_label(description, *classifier)) continue;
    const ValueType* type = find_type(description.name);
    if (type == nullptr) {
      return annotate(corrupt_data("the program has no such " + std::string(role_name(role))));
    }
    Result<Feature> feature =
        is_output && classifier && description.name == classifier->probabilities
            ? parse_probabilities(description, *classifier, *type)
            : parse_feature(description, role, *type);
    if (!feature.ok()) return annotate(feature.status());
    features->push_back(*std::move(feature));
  }
  return {};
}

}  // namespace

Status parse_features(const FunctionFeatures& features,
                      const std::unordered_map<std::string, ValueType>& outputs,
                      Function* function) {
  size_t state_count = 0;
  for (const NamedType& input : function->inputs) {
    if (input.type.kind == ValueType::Kind::kState) ++state_count;
  }
  const auto find_input = [&](const std::string& name) -> const ValueType* {
    for (const NamedType& input : function->inputs) {
      if (input.name == name) return &input.type;
    }
    return nullptr;
  };
  const auto find_output = [&](const std::string& name) -> const ValueType* {
    const auto found = outputs.find(name);
    return found == outputs.end() ? nullptr : &found->second;
  };
  COREML_DELEGATE_RETURN_IF_ERROR(
      parse_role(*features.inputs, Role::kInput, find_input, {}, &function->input_features));
  COREML_DELEGATE_RETURN_IF_ERROR(parse_role(*features.outputs, Role::kOutput, find_output,
                                             function->classifier, &function->output_features));
  COREML_DELEGATE_RETURN_IF_ERROR(
      parse_role(*features.states, Role::kState, find_input, {}, &function->state_features));
  // Names are unique on both sides and each described one is in the program, so counting finds what
  // is not described.
  if (function->input_features.size() + state_count != function->inputs.size() ||
      function->state_features.size() != state_count) {
    return corrupt_data(
        "the function has " + std::to_string(function->inputs.size()) +
        " inputs and states, but the description has " +
        std::to_string(function->input_features.size() + function->state_features.size()));
  }
  return {};
}

}  // namespace coreml_delegate::model
