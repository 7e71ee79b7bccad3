#ifndef COREML_DELEGATE_BLOB_C_API_BLOB_C_API_H_
#define COREML_DELEGATE_BLOB_C_API_BLOB_C_API_H_

// Folders as the bytes that the stock runtime reads, and back, and whether the table of a blob may
// be read: what libcoreml_blob.so shows to Python (executorchcoreml.py, blob/table_verifier.py).
//
// Every function that returns `char*` returns null for success and otherwise a sentence, which is
// the caller's, for coreml_blob_free(). Thread rule: none; a plan belongs to one thread at a time.

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COREML_BLOB_EXPORT __attribute__((visibility("default")))

typedef struct coreml_blob_plan coreml_blob_plan;

COREML_BLOB_EXPORT void coreml_blob_free(char* text);

// Reads the folder at `path`, and says how many bytes it becomes.
COREML_BLOB_EXPORT char* coreml_blob_plan_flat(const char* path, coreml_blob_plan** plan,
                                               uint64_t* size);
// Writes them to `data`, which has room for exactly that many.
COREML_BLOB_EXPORT char* coreml_blob_write_flat(const coreml_blob_plan* plan, char* data,
                                                uint64_t size);
COREML_BLOB_EXPORT void coreml_blob_free_plan(coreml_blob_plan* plan);

// Writes flattened bytes as a new folder into the folder at `path`.
COREML_BLOB_EXPORT char* coreml_blob_unflatten(const char* data, uint64_t size, const char* path);

// Whether `data` begins with a table of a blob, size prefix included, that may be read through
// generated accessors (verify_coreml_blob_table in blob/coreml_blob_reader.h).
COREML_BLOB_EXPORT char* coreml_blob_verify_table(const char* data, uint64_t size);

#ifdef __cplusplus
}
#endif

#endif  // COREML_DELEGATE_BLOB_C_API_BLOB_C_API_H_
