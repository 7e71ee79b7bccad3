#ifndef COREML_DELEGATE_RUNTIME_MODEL_MIL_FIELDS_H_
#define COREML_DELEGATE_RUNTIME_MODEL_MIL_FIELDS_H_

// Which field of a message of mil.proto is which member of mil.h. What reads and writes messages
// walks these tables; mil_reader_test.cc compares them with mil.proto. Internal to runtime/model.

#include <string>
#include <tuple>

#include "runtime/model/mil.h"

namespace coreml_delegate::model::mil {

template <typename Message, typename Member>
struct Field {
  int number;
  Member Message::*member;
  int choice;  // Fields of one number but 0 exclude each other.

  constexpr Field(int number_, Member Message::*member_, int choice_ = 0)
      : number(number_), member(member_), choice(choice_) {}
};

// Of an entry of a map, which is a message on the wire.
template <typename Item>
struct MapEntry {
  std::string key;
  Item value{};
};
template <typename Item>
constexpr auto fields(const MapEntry<Item>*) {
  using M = MapEntry<Item>;
  return std::tuple(Field{1, &M::key}, Field{2, &M::value});
}

constexpr auto fields(const Nothing*) { return std::tuple(); }

constexpr auto fields(const SizeRange*) {
  using M = SizeRange;
  return std::tuple(Field{1, &M::lower_bound}, Field{2, &M::upper_bound});
}
constexpr auto fields(const DictionaryFeatureType*) {
  using M = DictionaryFeatureType;
  return std::tuple(Field{1, &M::int64_key_type, 1}, Field{2, &M::string_key_type, 1});
}
constexpr auto fields(const ImageSize*) {
  using M = ImageSize;
  return std::tuple(Field{1, &M::width}, Field{2, &M::height});
}
constexpr auto fields(const EnumeratedImageSizes*) {
  return std::tuple(Field{1, &EnumeratedImageSizes::sizes});
}
constexpr auto fields(const ImageSizeRange*) {
  using M = ImageSizeRange;
  return std::tuple(Field{1, &M::width_range}, Field{2, &M::height_range});
}
constexpr auto fields(const ImageFeatureType*) {
  using M = ImageFeatureType;
  return std::tuple(Field{1, &M::width}, Field{2, &M::height}, Field{3, &M::color_space},
                    Field{21, &M::enumerated_sizes, 1}, Field{31, &M::image_size_range, 1});
}
constexpr auto fields(const Shape*) { return std::tuple(Field{1, &Shape::shape}); }
constexpr auto fields(const EnumeratedShapes*) {
  return std::tuple(Field{1, &EnumeratedShapes::shapes});
}
constexpr auto fields(const ShapeRange*) { return std::tuple(Field{1, &ShapeRange::size_ranges}); }
constexpr auto fields(const ArrayFeatureType*) {
  using M = ArrayFeatureType;
  return std::tuple(Field{1, &M::shape}, Field{2, &M::data_type},
                    Field{21, &M::enumerated_shapes, 1}, Field{31, &M::shape_range, 1},
                    Field{41, &M::int_default_value, 2}, Field{51, &M::float_default_value, 2},
                    Field{61, &M::double_default_value, 2});
}
constexpr auto fields(const StateFeatureType*) {
  return std::tuple(Field{1, &StateFeatureType::array_type, 1});
}
constexpr auto fields(const FeatureType*) {
  using M = FeatureType;
  return std::tuple(Field{1, &M::int64_type, 1}, Field{2, &M::double_type, 1},
                    Field{3, &M::string_type, 1}, Field{4, &M::image_type, 1},
                    Field{5, &M::multi_array_type, 1}, Field{6, &M::dictionary_type, 1},
                    Field{7, &M::sequence_type, 1}, Field{8, &M::state_type, 1},
                    Field{1000, &M::is_optional});
}
constexpr auto fields(const FeatureDescription*) {
  using M = FeatureDescription;
  return std::tuple(Field{1, &M::name}, Field{2, &M::short_description}, Field{3, &M::type});
}
constexpr auto fields(const FunctionDescription*) {
  using M = FunctionDescription;
  return std::tuple(Field{1, &M::name}, Field{2, &M::input}, Field{3, &M::output},
                    Field{6, &M::state});
}
constexpr auto fields(const Metadata*) { return std::tuple(Field{100, &Metadata::user_defined}); }
constexpr auto fields(const ModelDescription*) {
  using M = ModelDescription;
  return std::tuple(Field{1, &M::input}, Field{10, &M::output}, Field{13, &M::state},
                    Field{20, &M::functions}, Field{21, &M::default_function_name},
                    Field{100, &M::metadata});
}

constexpr auto fields(const ConstantDimension*) {
  return std::tuple(Field{1, &ConstantDimension::size});
}
constexpr auto fields(const UnknownDimension*) {
  return std::tuple(Field{1, &UnknownDimension::variadic});
}
constexpr auto fields(const Dimension*) {
  return std::tuple(Field{1, &Dimension::constant, 1}, Field{2, &Dimension::unknown, 1});
}
constexpr auto fields(const TensorType*) {
  using M = TensorType;
  return std::tuple(Field{1, &M::data_type}, Field{2, &M::rank}, Field{3, &M::dimensions});
}
constexpr auto fields(const ValueType*) {
  using M = ValueType;
  return std::tuple(Field{1, &M::tensor_type, 1}, Field{2, &M::list_type, 1},
                    Field{3, &M::tuple_type, 1}, Field{4, &M::dictionary_type, 1},
                    Field{5, &M::state_type, 1});
}
constexpr auto fields(const ListType*) {
  return std::tuple(Field{1, &ListType::type}, Field{2, &ListType::length});
}
constexpr auto fields(const TupleType*) { return std::tuple(Field{1, &TupleType::types}); }
constexpr auto fields(const DictionaryType*) {
  return std::tuple(Field{1, &DictionaryType::key_type}, Field{2, &DictionaryType::value_type});
}
constexpr auto fields(const StateType*) { return std::tuple(Field{1, &StateType::wrapped_type}); }
constexpr auto fields(const NamedValueType*) {
  return std::tuple(Field{1, &NamedValueType::name}, Field{2, &NamedValueType::type});
}

template <typename T>
constexpr auto fields(const Repeated<T>*) {
  return std::tuple(Field{1, &Repeated<T>::values});
}
constexpr auto fields(const RepeatedBytes*) { return std::tuple(Field{1, &RepeatedBytes::values}); }
constexpr auto fields(const TensorValue*) {
  using M = TensorValue;
  return std::tuple(Field{1, &M::floats, 1}, Field{2, &M::ints, 1}, Field{3, &M::bools, 1},
                    Field{4, &M::strings, 1}, Field{5, &M::long_ints, 1}, Field{6, &M::doubles, 1},
                    Field{7, &M::bytes, 1});
}
constexpr auto fields(const ImmediateValue*) {
  using M = ImmediateValue;
  return std::tuple(Field{1, &M::tensor, 1}, Field{2, &M::tuple, 1}, Field{3, &M::list, 1},
                    Field{4, &M::dictionary, 1});
}
constexpr auto fields(const BlobFileValue*) {
  return std::tuple(Field{1, &BlobFileValue::file_name}, Field{2, &BlobFileValue::offset});
}
constexpr auto fields(const Value*) {
  using M = Value;
  return std::tuple(Field{2, &M::type}, Field{3, &M::immediate_value, 1},
                    Field{5, &M::blob_file_value, 1});
}
constexpr auto fields(const TupleValue*) { return std::tuple(Field{1, &TupleValue::values}); }
constexpr auto fields(const ListValue*) { return std::tuple(Field{1, &ListValue::values}); }
constexpr auto fields(const KeyValuePair*) {
  return std::tuple(Field{1, &KeyValuePair::key}, Field{2, &KeyValuePair::value});
}
constexpr auto fields(const DictionaryValue*) {
  return std::tuple(Field{1, &DictionaryValue::values});
}

constexpr auto fields(const Binding*) {
  return std::tuple(Field{1, &Binding::name, 1}, Field{2, &Binding::value, 1});
}
constexpr auto fields(const Argument*) { return std::tuple(Field{1, &Argument::arguments}); }
constexpr auto fields(const Operation*) {
  using M = Operation;
  return std::tuple(Field{1, &M::type}, Field{2, &M::inputs}, Field{3, &M::outputs},
                    Field{4, &M::blocks}, Field{5, &M::attributes});
}
constexpr auto fields(const Block*) {
  using M = Block;
  return std::tuple(Field{1, &M::inputs}, Field{2, &M::outputs}, Field{3, &M::operations});
}
constexpr auto fields(const Function*) {
  using M = Function;
  return std::tuple(Field{1, &M::inputs}, Field{2, &M::opset}, Field{3, &M::block_specializations});
}
constexpr auto fields(const Program*) {
  return std::tuple(Field{1, &Program::version}, Field{2, &Program::functions});
}
constexpr auto fields(const Model*) {
  using M = Model;
  return std::tuple(Field{1, &M::specification_version}, Field{2, &M::description},
                    Field{10, &M::is_updatable}, Field{202, &M::pipeline, 1},
                    Field{500, &M::neural_network, 1}, Field{502, &M::ml_program, 1});
}

}  // namespace coreml_delegate::model::mil

#endif  // COREML_DELEGATE_RUNTIME_MODEL_MIL_FIELDS_H_
