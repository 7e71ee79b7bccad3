#include "runtime/model/mil_reader.h"

#include <bit>
#include <concepts>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "runtime/model/mil_fields.h"
#include "runtime/model/wire.h"

namespace coreml_delegate::model {

namespace {

template <typename T>
concept Number = std::is_arithmetic_v<T> || std::is_enum_v<T>;

template <typename Message>
bool read_message(ByteSpan bytes, int depth, Message* message);

// How a number of this type lies on the wire.
template <Number T>
constexpr WireType kWireType = std::is_same_v<T, double>  ? WireType::kFixed64
                               : std::is_same_v<T, float> ? WireType::kFixed32
                                                          : WireType::kVarint;

template <Number T>
T number_of(uint64_t value) {
  if constexpr (std::is_same_v<T, double>) {
    return std::bit_cast<double>(value);
  } else if constexpr (std::is_same_v<T, float>) {
    return std::bit_cast<float>(static_cast<uint32_t>(value));
  } else if constexpr (std::is_same_v<T, bool>) {
    return value != 0;
  } else {
    // What does not fit is cut, as protobuf does.
    return static_cast<T>(static_cast<int64_t>(value));
  }
}

template <Number T>
bool read_packed(ByteSpan bytes, std::vector<T>* numbers) {
  WireReader reader(bytes);
  uint64_t value;
  while (kWireType<T> == WireType::kVarint    ? reader.next_varint(&value)
         : kWireType<T> == WireType::kFixed32 ? reader.next_fixed32(&value)
                                              : reader.next_fixed64(&value)) {
    numbers->push_back(number_of<T>(value));
  }
  return reader.at_end();
}

// An overload of read_member() for each kind of member: what the field adds to it. False where the
// field's content is wrong. A field of another wire type than the member's is one that is not
// known.

template <Number T>
bool read_member(const WireField& field, int, T* member) {
  if (field.type == kWireType<T>) *member = number_of<T>(field.value);
  return true;
}

bool read_member(const WireField& field, int, std::string* member) {
  if (field.type != WireType::kBytes) return true;
  member->assign(as_text(field.bytes));
  return is_valid_utf8(*member);
}

bool read_member(const WireField& field, int, std::vector<std::byte>* member) {
  if (field.type == WireType::kBytes) member->assign(field.bytes.begin(), field.bytes.end());
  return true;
}

template <Number T>
bool read_member(const WireField& field, int, std::vector<T>* member) {
  if (field.type == WireType::kBytes) return read_packed(field.bytes, member);
  if (field.type == kWireType<T>) member->push_back(number_of<T>(field.value));
  return true;
}

template <typename Message>
  requires std::is_class_v<Message>
bool read_member(const WireField& field, int depth, Message* member) {
  return field.type != WireType::kBytes || read_message(field.bytes, depth, member);
}

template <typename Item>
  requires std::is_class_v<Item>
bool read_member(const WireField& field, int depth, std::vector<Item>* member) {
  return field.type != WireType::kBytes || read_member(field, depth, &member->emplace_back());
}

template <typename Item>
bool read_member(const WireField& field, int depth, std::map<std::string, Item>* member) {
  if (field.type != WireType::kBytes) return true;
  mil::MapEntry<Item> entry;
  if (!read_message(field.bytes, depth, &entry)) return false;
  (*member)[std::move(entry.key)] = std::move(entry.value);
  return true;
}

template <typename Message>
bool read_member(const WireField& field, int depth, std::unique_ptr<Message>* member) {
  if (field.type != WireType::kBytes) return true;
  // What is there already is added to.
  if (*member == nullptr) *member = std::make_unique<Message>();
  return read_member(field, depth, member->get());
}

template <typename T>
bool read_member(const WireField& field, int depth, std::optional<T>* member) {
  if constexpr (Number<T>) {
    if (field.type != kWireType<T>) return true;
  } else {
    if (field.type != WireType::kBytes) return true;
  }
  return read_member(field, depth, &member->emplace());
}

template <typename Member>
constexpr bool kIsChoice = false;
template <typename T>
constexpr bool kIsChoice<std::optional<T>> = true;
template <typename T>
constexpr bool kIsChoice<std::unique_ptr<T>> = true;

// Ends the choices that exclude field `number` of choice `choice`.
template <typename Message>
void reset_others(int number, int choice, Message* message) {
  std::apply(
      [&](const auto&... row) {
        const auto reset = [&](const auto& other) {
          if constexpr (kIsChoice<std::remove_cvref_t<decltype(message->*other.member)>>) {
            if (other.choice == choice && other.number != number) {
              (message->*other.member).reset();
            }
          }
        };
        (reset(row), ...);
      },
      mil::fields(message));
}

template <typename Message>
bool read_field(const WireField& field, int depth, Message* message) {
  bool good = true;
  std::apply(
      [&](const auto&... row) {
        // Of a message without fields there is no row to read.
        [[maybe_unused]] const auto read = [&](const auto& entry) {
          if (static_cast<uint32_t>(entry.number) != field.number) return false;
          auto& member = message->*entry.member;
          good = read_member(field, depth, &member);
          if constexpr (kIsChoice<std::remove_cvref_t<decltype(member)>>) {
            if (member) reset_others(entry.number, entry.choice, message);
          }
          return true;
        };
        (void)(read(row) || ...);
      },
      mil::fields(message));
  return good;
}

// Adds the fields in `bytes` to `message`. `depth`: how many messages may be nested.
template <typename Message>
bool read_message(ByteSpan bytes, int depth, Message* message) {
  if (depth == 0) return false;
  WireReader reader(bytes);
  WireField field;
  while (reader.next(&field)) {
    if (!read_field(field, depth - 1, message)) return false;
  }
  return reader.at_end();
}

template <typename Message>
std::optional<Message> read_whole(ByteSpan bytes, int max_depth) {
  std::optional<Message> message(std::in_place);
  if (!read_message(bytes, max_depth, &*message)) message.reset();
  return message;
}

}  // namespace

std::optional<mil::Model> read_specification(ByteSpan bytes, int max_depth) {
  return read_whole<mil::Model>(bytes, max_depth);
}

std::optional<mil::Value> read_value(ByteSpan bytes, int max_depth) {
  return read_whole<mil::Value>(bytes, max_depth);
}

}  // namespace coreml_delegate::model
