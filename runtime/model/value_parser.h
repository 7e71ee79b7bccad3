#ifndef COREML_DELEGATE_RUNTIME_MODEL_VALUE_PARSER_H_
#define COREML_DELEGATE_RUNTIME_MODEL_VALUE_PARSER_H_

// Types and constant values of MIL, from protobuf to program.h. Internal to runtime/model.

#include <map>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/status.h"
#include "inmemoryfs/inmemory_file_system.h"
#include "runtime/model/mil.pb.h"
#include "runtime/model/program.h"

namespace coreml_delegate::model {

ElementType element_type_from_proto(proto::DataType type);

// Checks ranks, extents, the number of elements of a static tensor, and the depth of nested types.
Result<ValueType> parse_type(const proto::ValueType& type);

// Parses values whose blobs lie in the files of one folder.
//
// Thread rule: one thread at a time.
class ValueParser {
 public:
  // `files` is the tree of the folder that `@model_path` stands for; `owner` keeps the protobuf
  // messages alive, whose bytes constants borrow. Both are borrowed or shared for the life of the
  // parser.
  ValueParser(const inmemoryfs::InMemoryFileSystem& files, std::shared_ptr<const void> owner)
      : files_(files), owner_(std::move(owner)) {}

  Result<ConstantPtr> parse(const proto::Value& value);

  // Bytes of the weight files that values referred to so far.
  uint64_t weight_bytes() const;

 private:
  Result<Constant> parse_value(const proto::Value& value, int depth);
  Status parse_tensor(const proto::TensorValue& value, Constant* constant);
  Result<Bytes> read_blob(const proto::Value::BlobFileValue& value, const ValueType& type);

  const inmemoryfs::InMemoryFileSystem& files_;
  std::shared_ptr<const void> owner_;
  std::map<std::string, Bytes> weight_files_;
  uint64_t splat_bytes_ = 0;
};

}  // namespace coreml_delegate::model

#endif  // COREML_DELEGATE_RUNTIME_MODEL_VALUE_PARSER_H_
