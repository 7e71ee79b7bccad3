#ifndef COREML_DELEGATE_BLOB_JSON_H_
#define COREML_DELEGATE_BLOB_JSON_H_

// JSON from untrusted bytes: nlohmann/json without its exceptions. base/json_members.h looks into
// it.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/json_members.h"
#include "base/status.h"

namespace coreml_delegate::blob {

inline constexpr int kMaxJsonDepth = 16;
inline constexpr size_t kMaxJsonBytes = size_t{64} << 20;

// The value `text` is. corrupt_data, with `what` in its message, for text that is no JSON, not
// UTF-8, deeper than kMaxJsonDepth, longer than kMaxJsonBytes, or in which an object has one name
// twice.
Result<nlohmann::json> parse_json(std::string_view text, const std::string& what);

}  // namespace coreml_delegate::blob

#endif  // COREML_DELEGATE_BLOB_JSON_H_
