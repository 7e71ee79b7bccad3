#include "blob/flattened_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "blob/testing_blob.h"

namespace coreml_delegate::blob {
namespace {

using inmemoryfs::InMemoryFileSystem;
using testing::HasSubstr;

std::vector<std::pair<std::string, std::string>> contents(const InMemoryFileSystem& tree) {
  std::vector<std::pair<std::string, std::string>> result;
  const Status status = tree.walk("", [&](std::string_view path, const inmemoryfs::Metadata& m,
                                          const Bytes& content) {
    result.emplace_back(
        path, m.kind == inmemoryfs::NodeKind::kDirectory ? "<directory>" : as_text(content.span()));
    return Status();
  });
  EXPECT_TRUE(status.ok());
  return result;
}

std::string written(const InMemoryFileSystem& tree) {
  const Result<FlattenedDirectoryWriter> writer = FlattenedDirectoryWriter::create(tree);
  EXPECT_TRUE(writer.ok()) << writer.status().to_string();
  std::vector<std::byte> bytes;
  VectorSink sink(bytes);
  EXPECT_TRUE(writer->write(sink).ok());
  EXPECT_EQ(bytes.size(), writer->size());
  return std::string(as_text(bytes));
}

std::string text_at(const Result<InMemoryFileSystem>& tree, const std::string& path) {
  if (!tree.ok()) return tree.status().to_string();
  const Result<Bytes> bytes = tree->read(path);
  return bytes.ok() ? std::string(as_text(bytes->span())) : bytes.status().to_string();
}

InMemoryFileSystem sample() {
  InMemoryFileSystem tree = owning_tree({{"a/b/deep", "deep"},
                                         {"a/empty", ""},
                                         {"quote\"back\\slash", "odd name"},
                                         {"gr\xc3\xbc\xc3\x9f", "umlaut"},
                                         {"{}", "braces"}});
  EXPECT_TRUE(tree.add_directory("empty folder").ok());
  return tree;
}

// Trap: a zero-length file crashes the stock exporter; here there is one in the tree.
TEST(FlattenedDirectoryTest, WhatIsWrittenReadsBack) {
  const std::string bytes = written(sample());
  const Result<InMemoryFileSystem> tree = read_flattened_directory(owning_bytes(bytes));
  ASSERT_TRUE(tree.ok()) << tree.status().to_string();
  EXPECT_EQ(contents(*tree), contents(sample()));
  EXPECT_EQ(written(*tree), bytes) << "the same tree gives the same bytes";
}

TEST(FlattenedDirectoryTest, EmptyTree) {
  const Result<InMemoryFileSystem> tree =
      read_flattened_directory(owning_bytes(written(InMemoryFileSystem())));
  ASSERT_TRUE(tree.ok()) << tree.status().to_string();
  EXPECT_EQ(tree->file_count(), 0u);
}

TEST(FlattenedDirectoryTest, BorrowsItsBytes) {
  const Bytes bytes = owning_bytes(written(sample()));
  const Result<InMemoryFileSystem> tree = read_flattened_directory(bytes);
  const Result<Bytes> file = tree->read("a/b/deep");
  ASSERT_TRUE(file.ok());
  EXPECT_GE(file->data(), bytes.data());
  EXPECT_LT(file->data(), bytes.data() + bytes.size());
  EXPECT_EQ(file->owner(), bytes.owner());
}

TEST(FlattenedDirectoryTest, FilesStartAtMultiplesOf64) {
  const Bytes bytes = owning_bytes(written(sample()));
  const Result<InMemoryFileSystem> tree = read_flattened_directory(bytes);
  for (const char* path : {"a/b/deep", "quote\"back\\slash", "{}"}) {
    EXPECT_EQ((tree->read(path)->data() - bytes.data()) % 64, 0) << path;
  }
}

// What other versions of the stock exporter may write.

constexpr char kNodes[] =
    "{\"nodes\":[{\"name\":\"f\",\"kind\":0,\"dataRegion\":{\"offset\":1,\"size\":3}},"
    "{\"name\":\"root\",\"kind\":1,\"children\":{\"f\":0}}]}";

TEST(FlattenedDirectoryTest, OddOffsetsGapsAndAbuttingIndex) {
  EXPECT_EQ(text_at(read_flattened_directory(owning_bytes(flattened("0123", kNodes, 0))), "f"),
            "123");
  EXPECT_EQ(text_at(read_flattened_directory(owning_bytes(flattened("0123 gap", kNodes, 0))), "f"),
            "123");
}

TEST(FlattenedDirectoryTest, AnyNumberOfNulsAndWhiteSpaceFollows) {
  for (const std::string& tail :
       {std::string(5000, '\0'), std::string(" \t\n\r\v\f"), std::string("\0 \0\n", 4)}) {
    EXPECT_EQ(
        text_at(read_flattened_directory(owning_bytes(flattened("0123", kNodes, 0) + tail)), "f"),
        "123");
  }
}

TEST(FlattenedDirectoryTest, WhiteSpaceInTheIndex) {
  EXPECT_EQ(text_at(read_flattened_directory(owning_bytes(
                        flattened("0123",
                                  "{ \"nodes\" :\n[ {\"dataRegion\": {\"size\": 2, \"offset\": 2}},"
                                  " {\"kind\": 1, \"children\": {\"f\": 0}} ] }"))),
                    "f"),
            "23");
}

// File data that looks like an index's end must not be taken into it, whatever follows.
TEST(FlattenedDirectoryTest, DataMayHaveBracesAndQuotes) {
  const InMemoryFileSystem tree = owning_tree({{"f", "}\"{\\}}{{\"\"\\\\"}});
  EXPECT_EQ(contents(*read_flattened_directory(owning_bytes(written(tree)))), contents(tree));
}

TEST(FlattenedDirectoryTest, NamesMayHaveBracesAndEscapes) {
  EXPECT_EQ(text_at(read_flattened_directory(owning_bytes(
                        flattened("0123",
                                  "{\"nodes\":[{\"dataRegion\":{\"size\":4}},"
                                  "{\"kind\":1,\"children\":{\"}\\\"{\\\\\\u00fc\":0}}]}"))),
                    "}\"{\\\xc3\xbc"),
            "0123");
}

TEST(FlattenedDirectoryTest, MissingFieldsMeanEmptyOrZero) {
  const Result<InMemoryFileSystem> tree = read_flattened_directory(
      owning_bytes(flattened("", "{\"nodes\":[{},{\"kind\":1,\"children\":{\"f\":0}}]}")));
  ASSERT_TRUE(tree.ok()) << tree.status().to_string();
  EXPECT_EQ(tree->metadata("f")->kind, inmemoryfs::NodeKind::kFile);
  EXPECT_EQ(tree->metadata("f")->size, 0u);
}

TEST(FlattenedDirectoryTest, TheRootsNameIsIgnored) {
  const Result<InMemoryFileSystem> tree = read_flattened_directory(
      owning_bytes(flattened("", "{\"nodes\":[{\"name\":\"../../etc\",\"kind\":1}]}")));
  EXPECT_TRUE(tree.ok()) << tree.status().to_string();
}

TEST(FlattenedDirectoryTest, UnknownMembersAreIgnored) {
  EXPECT_TRUE(read_flattened_directory(
                  owning_bytes(flattened("", "{\"nodes\":[{\"kind\":1,\"new\":[]}],\"x\":{}}")))
                  .ok());
}

TEST(FlattenedDirectoryTest, EveryPrefixIsRefused) {
  const std::string bytes = written(sample());
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(read_flattened_directory(owning_bytes(bytes.substr(0, length))).ok()) << length;
  }
}

TEST(FlattenedDirectoryTest, ChangedBytesNeverLeaveTheBlob) {
  const std::string original = written(sample());
  for (size_t i = 0; i < original.size(); ++i) {
    for (const int change : {0x01, 0x55, 0x80}) {
      std::string changed = original;
      changed[i] = static_cast<char>(changed[i] ^ change);
      const Bytes bytes = owning_bytes(changed);
      const Result<InMemoryFileSystem> tree = read_flattened_directory(bytes);
      if (tree.ok())
        (void)contents(*tree);  // Reads every byte: the sanitizer sees what is outside.
    }
  }
}

}  // namespace
}  // namespace coreml_delegate::blob
