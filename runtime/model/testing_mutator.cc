#include "runtime/model/testing_mutator.h"

#include <cstring>
#include <iterator>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "runtime/model/mil.pb.h"

namespace coreml_delegate::model::testing {
namespace {

constexpr int64_t kIntegers[] = {0,
                                 1,
                                 -1,
                                 2,
                                 255,
                                 int64_t{1} << 16,
                                 (int64_t{1} << 31) - 1,
                                 int64_t{1} << 31,
                                 int64_t{1} << 32,
                                 (int64_t{1} << 62) + 1,
                                 std::numeric_limits<int64_t>::max(),
                                 std::numeric_limits<int64_t>::min()};
constexpr float kFloats[] = {0.0f,
                             -0.0f,
                             1e30f,
                             -1e30f,
                             1e-45f,
                             std::numeric_limits<float>::infinity(),
                             std::numeric_limits<float>::quiet_NaN()};

class Mutator {
 public:
  Mutator(proto::Model* model, uint32_t seed) : generator_(seed) {
    for (auto& [name, function] : *model->mutable_mlprogram()->mutable_functions()) {
      for (proto::NamedValueType& input : *function.mutable_inputs())
        types_.push_back(input.mutable_type());
      for (auto& [opset, block] : *function.mutable_block_specializations()) collect(&block);
    }
  }

  bool run() {
    switch (below(9)) {
      case 0:
      case 1:
      case 2:
        return !values_.empty() && change(pick(values_));
      case 3:
        return !types_.empty() && change_extent(pick(types_));
      case 4:
        return !types_.empty() && change_element(pick(types_));
      case 5:
        return exchange(values_);
      case 6:
        return exchange(arguments_);
      case 7:
        return exchange_types_of_operations();
      default:
        return !operations_.empty() && drop_argument(pick(operations_));
    }
  }

 private:
  void collect(proto::Block* block) {
    for (proto::Operation& operation : *block->mutable_operations()) {
      operations_.push_back(&operation);
      for (auto& [name, argument] : *operation.mutable_inputs()) {
        for (proto::Argument::Binding& binding : *argument.mutable_arguments()) {
          arguments_.push_back(&binding);
          if (binding.has_value()) values_.push_back(binding.mutable_value());
        }
      }
      for (auto& [name, value] : *operation.mutable_attributes()) values_.push_back(&value);
      for (proto::NamedValueType& output : *operation.mutable_outputs())
        types_.push_back(output.mutable_type());
      for (proto::Block& inner : *operation.mutable_blocks()) collect(&inner);
    }
  }

  size_t below(size_t count) { return generator_() % count; }
  template <typename T>
  T* pick(const std::vector<T*>& from) {
    return from[below(from.size())];
  }

  // A constant of another kind, or with other numbers.
  bool change(proto::Value* value) {
    proto::TensorType* const type = value->mutable_type()->mutable_tensortype();
    proto::TensorValue* const tensor = value->mutable_immediatevalue()->mutable_tensor();
    switch (below(5)) {
      case 0: {  // As many strings.
        size_t count = 1;
        for (const proto::Dimension& dimension : type->dimensions())
          count *= static_cast<size_t>(dimension.constant().size());
        type->set_datatype(proto::STRING);
        tensor->mutable_strings();
        for (size_t i = 0; i < count && i < 64; ++i) tensor->mutable_strings()->add_values("a");
        return true;
      }
      case 1: {  // A list.
        proto::Value item;
        item.mutable_type()->mutable_tensortype()->set_datatype(proto::INT32);
        item.mutable_immediatevalue()->mutable_tensor()->mutable_ints()->add_values(1);
        value->Clear();
        *value->mutable_type()->mutable_listtype()->mutable_type() = item.type();
        value->mutable_type()->mutable_listtype()->mutable_length()->mutable_constant()->set_size(
            2);
        for (int i = 0; i < 2; ++i)
          *value->mutable_immediatevalue()->mutable_list()->add_values() = item;
        return true;
      }
      case 2: {  // 64-bit integers.
        if (!tensor->has_ints() && !tensor->has_longints()) return false;
        std::vector<int64_t> numbers(tensor->longints().values().begin(),
                                     tensor->longints().values().end());
        if (tensor->has_ints())
          numbers.assign(tensor->ints().values().begin(), tensor->ints().values().end());
        if (numbers.empty()) return false;
        numbers[below(numbers.size())] = kIntegers[below(std::size(kIntegers))];
        type->set_datatype(proto::INT64);
        tensor->mutable_longints()->mutable_values()->Assign(numbers.begin(), numbers.end());
        return true;
      }
      case 3: {  // Floats.
        if (!tensor->has_floats() || tensor->floats().values().empty()) return false;
        auto* const numbers = tensor->mutable_floats()->mutable_values();
        numbers->Set(static_cast<int>(below(static_cast<size_t>(numbers->size()))),
                     kFloats[below(std::size(kFloats))]);
        return true;
      }
      default: {  // One value for a large tensor of few bits.
        if (type->dimensions_size() == 0) return false;
        type->set_datatype(below(2) == 0 ? proto::UINT1 : proto::UINT8);
        tensor->mutable_ints()->mutable_values()->Resize(1, 0);
        return change_extent(value->mutable_type());
      }
    }
  }

  bool change_extent(proto::ValueType* type) {
    proto::TensorType* const tensor = type->mutable_tensortype();
    if (tensor->dimensions_size() == 0) return false;
    proto::Dimension* const dimension = tensor->mutable_dimensions(
        static_cast<int>(below(static_cast<size_t>(tensor->dimensions_size()))));
    if (below(4) == 0) {
      dimension->mutable_unknown();
    } else {
      dimension->mutable_constant()->set_size(
          static_cast<uint64_t>(kIntegers[below(std::size(kIntegers))]));
    }
    return true;
  }

  bool change_element(proto::ValueType* type) {
    int number = 0;
    do {
      number = static_cast<int>(below(proto::DataType_MAX + 1));
    } while (!proto::DataType_IsValid(number));
    type->mutable_tensortype()->set_datatype(static_cast<proto::DataType>(number));
    return true;
  }

  template <typename T>
  bool exchange(const std::vector<T*>& among) {
    if (among.size() < 2) return false;
    T* const to = pick(among);
    const T copy = *pick(among);
    *to = copy;
    return true;
  }

  bool exchange_types_of_operations() {
    if (operations_.size() < 2) return false;
    const std::string type = pick(operations_)->type();
    pick(operations_)->set_type(type);
    return true;
  }

  bool drop_argument(proto::Operation* operation) {
    auto& inputs = *operation->mutable_inputs();
    if (inputs.empty()) return false;
    auto chosen = inputs.begin();
    std::advance(chosen, below(inputs.size()));
    inputs.erase(chosen->first);
    return true;
  }

  std::mt19937 generator_;
  std::vector<proto::Operation*> operations_;
  std::vector<proto::Argument::Binding*> arguments_;
  std::vector<proto::Value*> values_;
  std::vector<proto::ValueType*> types_;
};

}  // namespace

size_t mutate_package(uint8_t* data, size_t size, size_t max_size, uint32_t seed) {
  if (size < 4) return 0;
  uint32_t specification_size;
  std::memcpy(&specification_size, data, 4);
  if (specification_size > size - 4) return 0;
  proto::Model model;
  if (!model.ParseFromArray(data + 4, static_cast<int>(specification_size)) ||
      !model.has_mlprogram()) {
    return 0;
  }
  if (!Mutator(&model, seed).run()) return 0;
  const std::string specification = model.SerializeAsString();
  const size_t weights = size - 4 - specification_size;
  if (specification.size() + weights + 4 > max_size) return 0;
  std::memmove(data + 4 + specification.size(), data + 4 + specification_size, weights);
  std::memcpy(data + 4, specification.data(), specification.size());
  const auto new_size = static_cast<uint32_t>(specification.size());
  std::memcpy(data, &new_size, 4);
  return 4 + specification.size() + weights;
}

}  // namespace coreml_delegate::model::testing
