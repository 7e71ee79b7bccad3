#ifndef COREML_DELEGATE_BLOB_CORRUPT_CASES_H_
#define COREML_DELEGATE_BLOB_CORRUPT_CASES_H_

// One blob for each rule that a reader checks, named for what it breaks. make_testdata writes them
// to testdata/corrupt/, the test opens the files and compares with what is said here.

#include <string>
#include <vector>

#include "base/status.h"
#include "blob/blob.h"

namespace coreml_delegate::blob {

struct CorruptCase {
  std::string name;  // Of the file.
  StatusCode code;
  std::string message;  // A part of Status::to_string().
  std::string bytes;
  bool verify_checksums = false;  // The fault shows only then.
};

std::vector<CorruptCase> corrupt_cases();

// The named data that the cases and goldens are opened with: the golden's weights under
// kGoldenWeightKey, the whole golden under kGoldenBlobKey, a reference under "coreml_reference", a
// stock model without methods under "stock_single".
NamedDataLookup corrupt_case_named_data();

}  // namespace coreml_delegate::blob

#endif  // COREML_DELEGATE_BLOB_CORRUPT_CASES_H_
