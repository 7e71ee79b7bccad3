#ifndef COREML_DELEGATE_KVSTORE_CODEC_H_
#define COREML_DELEGATE_KVSTORE_CODEC_H_

// How keys and values of a type are kept in a database. There are codecs for int64_t, double,
// std::string (NULs included) and Blob; a struct gets one by specialising Codec:
//
//   template <>
//   struct Codec<Point> {
//     static constexpr CellType kType = CellType::kBlob;
//     static constexpr std::string_view kName = "point 1";   // Another name: another format.
//     static Cell encode(const Point& point, std::string& scratch);      // May point into either.
//     static Result<Point> decode(const Cell& cell);                     // corrupt_data
//   };
//
// A codec may have `static Status decode_into(const Cell&, T&)` besides, which scans then use: it
// can keep what memory the value has.
//
// Nothing is narrowed: every bit of a value comes back, NaN, -0.0 and the ends of int64_t included.
// Narrower and unsigned integers have no codec on purpose.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace coreml_delegate::kvstore {

using Blob = std::vector<std::byte>;

// Part of a database's format.
enum class CellType : int64_t { kInteger = 1, kReal = 2, kString = 3, kBlob = 4 };

constexpr bool is_integer_cell(CellType type) {
  return type == CellType::kInteger || type == CellType::kReal;
}

// What is handed to or came from the database. `integer` for kInteger and kReal, else `bytes`,
// borrowed.
struct Cell {
  int64_t integer = 0;
  std::string_view bytes;
};

template <typename T>
struct Codec;

template <>
struct Codec<int64_t> {
  static constexpr CellType kType = CellType::kInteger;
  static constexpr std::string_view kName = "int64";
  static Cell encode(int64_t value, std::string& /*scratch*/) { return {value, {}}; }
  static Result<int64_t> decode(const Cell& cell) { return cell.integer; }
};

// As an integer that sorts as the number does: SQLite keeps NaN as null and -0.0 as 0.
template <>
struct Codec<double> {
  static constexpr CellType kType = CellType::kReal;
  static constexpr std::string_view kName = "double";
  static Cell encode(double value, std::string& /*scratch*/) {
    return {flip(std::bit_cast<int64_t>(value)), {}};
  }
  static Result<double> decode(const Cell& cell) {
    return std::bit_cast<double>(flip(cell.integer));
  }

 private:
  // Negative numbers grow with their magnitude's bits; an order for integers wants the opposite.
  static constexpr int64_t flip(int64_t bits) { return bits < 0 ? bits ^ INT64_MAX : bits; }
};

template <>
struct Codec<std::string> {
  static constexpr CellType kType = CellType::kString;
  static constexpr std::string_view kName = "string";
  static Cell encode(const std::string& value, std::string& /*scratch*/) { return {0, value}; }
  static Result<std::string> decode(const Cell& cell) { return std::string(cell.bytes); }
  static Status decode_into(const Cell& cell, std::string& value) {
    value.assign(cell.bytes);
    return {};
  }
};

template <>
struct Codec<Blob> {
  static constexpr CellType kType = CellType::kBlob;
  static constexpr std::string_view kName = "blob";
  static Cell encode(const Blob& value, std::string& /*scratch*/) {
    return {0, {reinterpret_cast<const char*>(value.data()), value.size()}};
  }
  static Result<Blob> decode(const Cell& cell) {
    const auto* bytes = reinterpret_cast<const std::byte*>(cell.bytes.data());
    return Blob(bytes, bytes + cell.bytes.size());
  }
  static Status decode_into(const Cell& cell, Blob& value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(cell.bytes.data());
    value.assign(bytes, bytes + cell.bytes.size());
    return {};
  }
};

}  // namespace coreml_delegate::kvstore

#endif  // COREML_DELEGATE_KVSTORE_CODEC_H_
