#ifndef COREML_DELEGATE_BLOB_STOCK_METADATA_H_
#define COREML_DELEGATE_BLOB_STOCK_METADATA_H_

// The JSON that the stock exporter puts beside a model (metadata.json) and in place of one (CMJR).

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "blob/blob.h"

namespace coreml_delegate::blob {

// What a flattened directory of the stock exporter holds.
inline constexpr char kStockMetadata[] = "metadata.json";
inline constexpr char kStockDebugInfo[] = "debug_info.json";
inline const char* stock_model_name(Kind kind) {
  return kind == Kind::kCompiled ? "model.mlmodelc" : "model.mlpackage";
}

// The functions that metadata.json names, with the names of their inputs and outputs and nothing
// else (dtype kInvalid, no shape). In the form for one method there is one function without a name;
// in the form for several, one for each method, sorted by name.
// `identifier`, where it is not null, becomes the model's; empty where it has none.
Result<std::vector<Function>> parse_stock_metadata(ByteSpan metadata,
                                                   std::string* identifier = nullptr);

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
