#include "runtime/runner/npy.h"

#include <cstring>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace coreml_delegate::runner {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string with_header(const std::string& dictionary, const std::string& elements) {
  std::string file("\x93NUMPY\x01\x00", 8);
  file += static_cast<char>(dictionary.size());
  file += '\0';
  return file + dictionary + elements;
}

TEST(NpyTest, WhatIsWrittenCanBeRead) {
  const std::vector<std::vector<int64_t>> shapes = {{}, {4}, {2, 3}, {1, 0, 5}, {1, 2, 3, 4, 5}};
  for (const DataType dtype : {DataType::kBool, DataType::kInt8, DataType::kUInt8, DataType::kInt16,
                               DataType::kUInt16, DataType::kInt32, DataType::kInt64,
                               DataType::kFloat16, DataType::kFloat32, DataType::kFloat64}) {
    for (const std::vector<int64_t>& shape : shapes) {
      const std::string header = make_npy_header(dtype, shape);
      EXPECT_EQ(header.size() % 64, 0u);
      size_t bytes = data_type_size(dtype);
      for (const int64_t extent : shape) bytes *= static_cast<size_t>(extent);
      const std::string elements(bytes, 'x');
      const std::string file = header + elements + "more";
      const Result<NpyArray> array = parse_npy(as_bytes(file), "a.npy");
      ASSERT_TRUE(array.ok()) << array.status().to_string();
      EXPECT_EQ(array->dtype, dtype);
      EXPECT_EQ(array->shape, shape);
      EXPECT_EQ(as_text(array->elements), elements);
    }
  }
}

TEST(NpyTest, NumpysOwnHeadersCanBeRead) {
  const std::string file = with_header(
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }\n", std::string(8, '\0'));
  const Result<NpyArray> array = parse_npy(as_bytes(file), "a.npy");
  ASSERT_TRUE(array.ok()) << array.status().to_string();
  EXPECT_THAT(array->shape, ElementsAre(2, 1));
}

TEST(NpyTest, EveryCutIsRefused) {
  const std::string whole =
      make_npy_header(DataType::kInt32, std::vector<int64_t>{3}) + std::string(12, '\1');
  ASSERT_TRUE(parse_npy(as_bytes(whole), "a.npy").ok());
  for (size_t size = 0; size < whole.size(); ++size) {
    // Its own memory, so that a read beyond it is seen.
    const std::vector<char> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    const Result<NpyArray> array = parse_npy(as_bytes({cut.data(), cut.size()}), "a.npy");
    ASSERT_FALSE(array.ok()) << size;
    EXPECT_EQ(array.status().code(), StatusCode::kCorruptData) << size;
  }
}

TEST(NpyTest, WhatCannotBeReadIsSaid) {
  const auto refusal = [](const std::string& dictionary) {
    const std::string file = with_header(dictionary, std::string(64, '\0'));
    return parse_npy(as_bytes(file), "a.npy").status().to_string();
  };
  EXPECT_THAT(refusal("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }"),
              HasSubstr("only little-endian numbers"));
  EXPECT_THAT(refusal("{'descr': '<U4', 'fortran_order': False, 'shape': (2,), }"),
              HasSubstr("elements of type <U4"));
  EXPECT_THAT(refusal("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }"),
              HasSubstr("Fortran order"));
  EXPECT_THAT(refusal("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }"),
              HasSubstr("shape"));
  EXPECT_THAT(refusal("{'descr': '<f4', 'fortran_order': False}"), HasSubstr("header"));
  // A product that does not fit 64 bits.
  EXPECT_THAT(refusal("{'descr': '<f8', 'fortran_order': False, 'shape': (2147483647, 2147483647"
                      ", 2147483647), }"),
              HasSubstr("cut short"));
  // No elements, and an extent that ExecuTorch's 32 bits would cut to 3.
  EXPECT_THAT(refusal("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4294967299), }"),
              HasSubstr("the shape in the .npy file cannot be read"));
  EXPECT_THAT(parse_npy(as_bytes("PK\x03\x04 some zip"), "a.npz").status().to_string(),
              HasSubstr("not a .npy file"));
}

}  // namespace
}  // namespace coreml_delegate::runner
