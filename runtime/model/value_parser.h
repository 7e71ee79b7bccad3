#ifndef COREML_DELEGATE_RUNTIME_MODEL_VALUE_PARSER_H_
#define COREML_DELEGATE_RUNTIME_MODEL_VALUE_PARSER_H_

// Types and constant values of MIL, from mil.h to program.h. Internal to runtime/model.

#include <map>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/status.h"
#include "inmemoryfs/inmemory_file_system.h"
#include "runtime/model/mil.h"
#include "runtime/model/program.h"

namespace coreml_delegate::model {

ElementType element_type_from_proto(mil::DataType type);

// Checks ranks, extents, the number of elements of a static tensor, and the depth of nested types.
Result<ValueType> parse_type(const mil::ValueType& type);

// Parses values whose blobs lie in the files of one folder.
//
// Thread rule: one thread at a time.
class ValueParser {
 public:
  // `files` is the tree of the folder that `@model_path` stands for; `owner` keeps the
  // messages alive, whose numbers constants borrow. Both are borrowed or shared for the life of the
  // parser.
  ValueParser(const inmemoryfs::InMemoryFileSystem& files, std::shared_ptr<const void> owner)
      : files_(files), owner_(std::move(owner)) {}

  Result<ConstantPtr> parse(const mil::Value& value);

  // Bytes of the weight files that values referred to so far.
  uint64_t weight_bytes() const;

 private:
  Result<Constant> parse_value(const mil::Value& value, int depth);
  Status parse_tensor(const mil::TensorValue& value, Constant* constant);
  Result<Bytes> read_blob(const mil::BlobFileValue& value, const ValueType& type);

  const inmemoryfs::InMemoryFileSystem& files_;
  std::shared_ptr<const void> owner_;
  std::map<std::string, Bytes> weight_files_;
  uint64_t splat_bytes_ = 0;
};

}  // namespace coreml_delegate::model

#endif  // COREML_DELEGATE_RUNTIME_MODEL_VALUE_PARSER_H_
