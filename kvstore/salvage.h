#ifndef COREML_DELEGATE_KVSTORE_SALVAGE_H_
#define COREML_DELEGATE_KVSTORE_SALVAGE_H_

#include <cstdint>
#include <string>

#include "base/status.h"
#include "kvstore/database.h"

namespace coreml_delegate::kvstore {

// Copies every row that can still be read from the file `damaged` into `database`, whose stores are
// made as they were. Rows of a part that cannot be read are left out. Returns how many were copied.
Result<int64_t> salvage(const std::string& damaged, Database& database);

}  // namespace coreml_delegate::kvstore

#endif  // COREML_DELEGATE_KVSTORE_SALVAGE_H_
