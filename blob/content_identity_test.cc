#include "blob/content_identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <functional>
#include <set>
#include <string>

#include "blob/testdata_path.h"

namespace coreml_delegate::blob {
namespace {

struct Content {
  Kind kind = Kind::kPackage;
  int32_t specification_version = 9;
  std::vector<FileRecord> files;
  std::vector<Function> functions;

  std::string id() const {
    return to_hex(content_identity(kind, specification_version, files, functions));
  }
};

FileRecord record(const std::string& path, const std::string& content) {
  return {path, content.size(), sha256(as_bytes(content)), {}};
}

// The example of docs/blob_format.md.
Content example() {
  Content content;
  content.files = {record("Manifest.json", "{}"), record("Data/model.mlmodel", "model"),
                   record("state.bin", std::string(8, '\0'))};
  Function main;
  main.name = "main";
  main.inputs = {{"x", DataType::kFloat32, {{1, 1}, {1, Dimension::kUnbounded}}, {{1, 4}, {1, 8}}}};
  main.outputs = {{"y", DataType::kFloat32, {{1, 1}, {1, Dimension::kUnbounded}}, {}}};
  main.states = {{{"cache", DataType::kFloat16, {{4, 4}}, {}}, "state.bin"}};
  content.functions = {main};
  return content;
}

constexpr char kExampleId[] = "0d688c0cc8ba3aca0d48d150f3aac546f2dfaacb5d16491842aef6f083a0949e";

TEST(ContentIdentityTest, ExampleOfTheDocument) {
  const Content content = example();
  EXPECT_EQ(content.id(), kExampleId);
  const std::string document(as_text(read_data("docs/blob_format.md").span()));
  EXPECT_THAT(document, testing::HasSubstr(std::string("the identity is `") + kExampleId));
  // Every byte of the stream as the document shows it.
  const std::vector<std::byte> stream = content_identity_stream(
      content.kind, content.specification_version, content.files, content.functions);
  EXPECT_EQ(stream.size(), 534u);
  for (size_t line = 0; line < stream.size(); line += 16) {
    char text[16];
    std::snprintf(text, sizeof(text), "%04zx ", line);
    std::string expected = text;
    for (size_t i = line; i < std::min(line + 16, stream.size()); ++i) {
      std::snprintf(text, sizeof(text), " %02x", static_cast<unsigned>(stream[i]));
      expected += text;
    }
    EXPECT_THAT(document, testing::HasSubstr(expected));
  }
}

TEST(ContentIdentityTest, OrderOfFilesFunctionsAndStatesDoesNotMatter) {
  Content content = example();
  Function other;
  other.name = "another";
  content.functions.push_back(other);
  content.functions[0].states.push_back({{"a", DataType::kFloat16, {{4, 4}}, {}}, ""});
  Content turned = content;
  std::swap(turned.files[0], turned.files[2]);
  std::swap(turned.functions[0], turned.functions[1]);
  std::swap(turned.functions[1].states[0], turned.functions[1].states[1]);
  EXPECT_EQ(turned.id(), content.id());
}

TEST(ContentIdentityTest, WhatMustNotChangeIt) {
  Content content = example();
  content.files[0].named_data_key = "weights";
  content.functions[0].method = "forward";
  EXPECT_EQ(content.id(), kExampleId);
}

TEST(ContentIdentityTest, WhatMustChangeIt) {
  const std::vector<std::pair<const char*, std::function<void(Content&)>>> changes = {
      {"kind", [](Content& c) { c.kind = Kind::kCompiled; }},
      {"specification version", [](Content& c) { c.specification_version = 8; }},
      {"a path", [](Content& c) { c.files[0].path += "x"; }},
      {"a checksum", [](Content& c) { c.files[0].checksum[31] ^= 1; }},
      {"a size", [](Content& c) { c.files[0].size += 1; }},
      {"a file less", [](Content& c) { c.files.pop_back(); }},
      {"a function's name", [](Content& c) { c.functions[0].name = "other"; }},
      {"a function more",
       [](Content& c) {
         c.functions.push_back({"f", "", {}, {}, {}});
       }},
      {"an input's name", [](Content& c) { c.functions[0].inputs[0].name = "z"; }},
      {"an input's dtype", [](Content& c) { c.functions[0].inputs[0].dtype = DataType::kFloat16; }},
      {"a dimension", [](Content& c) { c.functions[0].inputs[0].shape[1].max = 9; }},
      {"the rank",
       [](Content& c) {
         c.functions[0].outputs[0].shape.push_back({1, 1});
       }},
      {"an enumerated shape",
       [](Content& c) { c.functions[0].inputs[0].enumerated_shapes[0][1] = 5; }},
      {"the order of enumerated shapes",
       [](Content& c) {
         std::swap(c.functions[0].inputs[0].enumerated_shapes[0],
                   c.functions[0].inputs[0].enumerated_shapes[1]);
       }},
      {"an output moved to the inputs",
       [](Content& c) {
         c.functions[0].inputs.push_back(c.functions[0].outputs[0]);
         c.functions[0].outputs.clear();
       }},
      {"a state's initial value",
       [](Content& c) { c.functions[0].states[0].initial_value_path.clear(); }},
      {"a state less", [](Content& c) { c.functions[0].states.clear(); }},
  };
  std::set<std::string> ids{kExampleId};
  for (const auto& [what, change] : changes) {
    Content content = example();
    change(content);
    EXPECT_TRUE(ids.insert(content.id()).second) << what;
  }
}

TEST(ContentIdentityTest, OrderOfInputsMatters) {
  Content content = example();
  content.functions[0].inputs.push_back({"z", DataType::kBool, {}, {}});
  Content turned = content;
  std::swap(turned.functions[0].inputs[0], turned.functions[0].inputs[1]);
  EXPECT_NE(turned.id(), content.id());
}

// Names and lengths are length-prefixed: moving a byte from one name to its neighbour is seen.
TEST(ContentIdentityTest, NeighboursDoNotRunIntoEachOther) {
  Content one, two;
  one.functions = {{"ab", "", {}, {}, {}}, {"c", "", {}, {}, {}}};
  two.functions = {{"a", "", {}, {}, {}}, {"bc", "", {}, {}, {}}};
  EXPECT_NE(one.id(), two.id());
}

}  // namespace
}  // namespace coreml_delegate::blob
