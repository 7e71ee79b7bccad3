#ifndef COREML_DELEGATE_BLOB_STOCK_METADATA_H_
#define COREML_DELEGATE_BLOB_STOCK_METADATA_H_

// The JSON that the stock exporter puts beside a model (metadata.json) and in place of one (CMJR).

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "blob/blob.h"

namespace coreml_delegate::blob {

// The functions that metadata.json names, with the names of their inputs and outputs and nothing
// else (dtype kInvalid, no shape). In the form for one method there is one function without a name;
// in the form for several, one for each method, sorted by name.
Result<std::vector<Function>> parse_stock_metadata(ByteSpan metadata);

struct StockReference {
  std::string key;            // Of the program's named data.
  std::string function_name;  // Of the model there.
};

// Whether the bytes begin with CMJR.
bool is_stock_reference(ByteSpan bytes);

// Precondition: is_stock_reference().
Result<StockReference> parse_stock_reference(ByteSpan bytes);

}  // namespace coreml_delegate::blob

#endif  // COREML_DELEGATE_BLOB_STOCK_METADATA_H_
