#ifndef COREML_DELEGATE_RUNTIME_MODEL_TESTING_MIL_COMPARISON_H_
#define COREML_DELEGATE_RUNTIME_MODEL_TESTING_MIL_COMPARISON_H_

// What mil_reader.h and protobuf make of the same bytes. Test only.

#include "base/bytes.h"

namespace coreml_delegate::model::testing {

enum class Comparison {
  kSame,           // Both read them, field by field the same; or both refuse them.
  kDifferent,      // Both read them, and not the same.
  kOnlyOurs,       // Protobuf refuses what our reader takes.
  kOnlyProtobufs,  // Our reader refuses what protobuf takes.
};

// Of a model specification, nested at most `max_depth` messages deep.
Comparison compare_readers(ByteSpan specification, int max_depth);

}  // namespace coreml_delegate::model::testing

#endif  // COREML_DELEGATE_RUNTIME_MODEL_TESTING_MIL_COMPARISON_H_
