#ifndef COREML_DELEGATE_RUNTIME_MODEL_TESTING_MIL_WRITER_H_
#define COREML_DELEGATE_RUNTIME_MODEL_TESTING_MIL_WRITER_H_

// Writes messages of mil.h as protobuf writes them, so that the two can be compared: fields by
// number, maps by key, what is empty left out. A message that is no choice is always written. Test
// only.

#include <bit>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "base/bytes.h"
#include "runtime/model/mil_fields.h"
#include "runtime/model/wire.h"

namespace coreml_delegate::model::testing {

template <typename Message>
std::string write_message(const Message& message);

class MilWriter {
 public:
  std::string& text() { return text_; }

  template <typename T>
    requires(std::is_arithmetic_v<T> || std::is_enum_v<T>)
  void write(int number, const T& value, bool always = false) {
    if (!always && is_zero(value)) return;
    tag(number, type_of<T>());
    append(value);
  }
  void write(int number, const std::string& value, bool always = false) {
    if (always || !value.empty()) write_bytes(number, value);
  }
  void write(int number, const std::vector<std::byte>& value) {
    if (!value.empty()) write_bytes(number, std::string(as_text(value)));
  }
  template <typename T>
    requires(std::is_arithmetic_v<T>)
  void write(int number, const std::vector<T>& values) {
    MilWriter packed;
    for (const T value : values) packed.append(value);
    if (!values.empty()) write_bytes(number, packed.text());
  }
  template <typename T>
    requires(std::is_class_v<T>)
  void write(int number, const std::vector<T>& items) {
    for (const T& item : items) write(number, item, true);
  }
  template <typename T>
  void write(int number, const std::map<std::string, T>& items) {
    for (const auto& [key, value] : items) {
      MilWriter entry;
      entry.write(1, key, true);
      entry.write(2, value, true);
      write_bytes(number, entry.text());
    }
  }
  template <typename T>
  void write(int number, const std::unique_ptr<T>& choice) {
    if (choice != nullptr) write(number, *choice, true);
  }
  template <typename T>
  void write(int number, const std::optional<T>& choice) {
    if (choice) write(number, *choice, true);
  }
  template <typename Message>
    requires(std::is_class_v<Message>)
  void write(int number, const Message& message, bool = true) {
    write_bytes(number, write_message(message));
  }

 private:
  template <typename T>
  static constexpr WireType type_of() {
    return std::is_same_v<T, double>  ? WireType::kFixed64
           : std::is_same_v<T, float> ? WireType::kFixed32
                                      : WireType::kVarint;
  }
  // Minus zero is not.
  template <typename T>
  static bool is_zero(T value) {
    if constexpr (std::is_same_v<T, float>) return std::bit_cast<uint32_t>(value) == 0;
    if constexpr (std::is_same_v<T, double>) return std::bit_cast<uint64_t>(value) == 0;
    return value == T{};
  }
  template <typename T>
  void append(T value) {
    if constexpr (std::is_floating_point_v<T>) {
      text_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    } else {
      varint(static_cast<uint64_t>(static_cast<int64_t>(value)));
    }
  }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) text_ += static_cast<char>(value | 0x80);
    text_ += static_cast<char>(value);
  }
  void tag(int number, WireType type) {
    varint(static_cast<uint64_t>(number) << 3 | static_cast<uint64_t>(type));
  }
  void write_bytes(int number, const std::string& bytes) {
    tag(number, WireType::kBytes);
    varint(bytes.size());
    text_ += bytes;
  }

  std::string text_;
};

template <typename Message>
std::string write_message(const Message& message) {
  MilWriter writer;
  std::apply(
      [&](const auto&... field) { (writer.write(field.number, message.*field.member), ...); },
      mil::fields(&message));
  return std::move(writer.text());
}

}  // namespace coreml_delegate::model::testing

#endif  // COREML_DELEGATE_RUNTIME_MODEL_TESTING_MIL_WRITER_H_
