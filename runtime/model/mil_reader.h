#ifndef COREML_DELEGATE_RUNTIME_MODEL_MIL_READER_H_
#define COREML_DELEGATE_RUNTIME_MODEL_MIL_READER_H_

#include <optional>

#include "base/bytes.h"
#include "runtime/model/mil.h"

namespace coreml_delegate::model {

// Reads a model specification (model.mlmodel), as protobuf would: fields that mil.h lacks are
// passed over, strings are UTF-8. Nothing where the bytes are no message of the kind or nested
// deeper than `max_depth` messages. Nothing is borrowed; only the wire format is checked.
std::optional<mil::Model> read_specification(ByteSpan bytes, int max_depth);

// The same of one value, for tests.
std::optional<mil::Value> read_value(ByteSpan bytes, int max_depth);

}  // namespace coreml_delegate::model

#endif  // COREML_DELEGATE_RUNTIME_MODEL_MIL_READER_H_
