#ifndef COREML_DELEGATE_RUNTIME_INCLUDE_COREML_ENGINE_C_H_
#define COREML_DELEGATE_RUNTIME_INCLUDE_COREML_ENGINE_C_H_

// The C API of libcoreml_engine.so: compiles, loads and executes Core ML model packages with the
// engines of this library, without ExecuTorch. The Python package is built on it.
//
//   coreml_engine_options options = {0};
//   coreml_engine_model* model = NULL;
//   char* error = coreml_engine_load("model.mlpackage", &options, &model);
//   if (error != NULL) {
//     fprintf(stderr, "%s\n", error);
//     coreml_engine_free(error);
//   }
//   coreml_engine_free_model(model);
//
// Every function that returns `char*` returns null for success, and otherwise the failure as JSON:
// {"code": "invalid_argument", "message", "artifact", "text"}, where `text` is the whole sentence.
// The caller frees that text, and every other text that a function writes, by coreml_engine_free().
// Strings are UTF-8 (paths: the system's bytes) and end in NUL. Tensors are contiguous.
//
// Thread rule: several threads may use a model at once, and one execution at a time may use a state.

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COREML_ENGINE_EXPORT __attribute__((visibility("default")))

// This number changes whenever a declaration of this header changes.
#define COREML_ENGINE_C_VERSION 2

typedef struct coreml_engine_model coreml_engine_model;
typedef struct coreml_engine_state coreml_engine_state;
typedef struct coreml_engine_record coreml_engine_record;

typedef struct {
  const char* engine;         // The name of the engine. Null stands for the platform's.
  const char* function_name;  // Null stands for the package's default function.
  // Options of the engine by the names of docs/runtime.md, such as "threads=2". Null stands for the
  // defaults.
  const char* engine_options;
  // The path of the program that compiles in a process of its own. With null this process compiles.
  const char* compile_helper;
  int64_t compile_helper_memory_mb;  // In megabytes (10^6 bytes). With 0 there is no limit.
  int32_t compile_helper_timeout_s;  // In seconds. 0 stands for 600.
} coreml_engine_options;

typedef struct {
  const char* dtype;  // "bool", "int8", ..., "float16", "float32", "float64".
  // The extents. Those of an output are written too: with a flexible shape, they are the extents of
  // what was written, or of what would have been written if it had fitted.
  int64_t* shape;
  int32_t rank;
  void* data;
  uint64_t size;  // The number of bytes at `data`. For an output, how many there is room for.
} coreml_engine_tensor;

// What coreml_engine_execute() records. The values may be combined.
enum {
  COREML_ENGINE_TIMINGS = 1,
  COREML_ENGINE_VALUES = 2,
};

COREML_ENGINE_EXPORT int32_t coreml_engine_c_version(void);
COREML_ENGINE_EXPORT void coreml_engine_free(char* text);

// Writes a JSON list of the engines' names.
COREML_ENGINE_EXPORT char* coreml_engine_names(char** names);
// Writes what the engine's results may depend on, which are versions and processor features. If
// `engine` is null, it is the platform's.
COREML_ENGINE_EXPORT char* coreml_engine_fingerprint(const char* engine, char** fingerprint);
// Describes the functions of the package at `path`: a JSON list of what
// coreml_engine_describe_model() writes.
COREML_ENGINE_EXPORT char* coreml_engine_describe(const char* path, const char* engine,
                                                  char** description);

COREML_ENGINE_EXPORT char* coreml_engine_load(const char* path,
                                              const coreml_engine_options* options,
                                              coreml_engine_model** model);
// Compiles into the existing, empty folder `folder`; coreml_engine_load_compiled() loads from
// there.
COREML_ENGINE_EXPORT char* coreml_engine_compile(const char* path, const char* folder,
                                                 const coreml_engine_options* options);
COREML_ENGINE_EXPORT char* coreml_engine_load_compiled(const char* folder,
                                                       const coreml_engine_options* options,
                                                       coreml_engine_model** model);
COREML_ENGINE_EXPORT void coreml_engine_free_model(coreml_engine_model* model);

// Writes JSON: {"name", "inputs": [...], "outputs": [...], "states": [...], "images": {name: layout},
// "default_values": {name: number, or "inf", "-inf", "nan"}, "classifier": null or {"label",
// "probabilities", "classes"}, "offers_intermediate_values"}; a tensor is {"name", "dtype",
// "shape", "enumerated_shapes"}, an extent a number or [smallest, largest or null].
COREML_ENGINE_EXPORT char* coreml_engine_describe_model(const coreml_engine_model* model,
                                                        char** description);

// Makes a state. tensors[i] is the initial value of the state names[i]; only its data and size are
// read.
COREML_ENGINE_EXPORT char* coreml_engine_make_state(coreml_engine_model* model, int32_t count,
                                                    const char* const* names,
                                                    const coreml_engine_tensor* tensors,
                                                    coreml_engine_state** state);
COREML_ENGINE_EXPORT char* coreml_engine_read_state(const coreml_engine_state* state,
                                                    const char* name, void* data, uint64_t size);
COREML_ENGINE_EXPORT char* coreml_engine_write_state(coreml_engine_state* state, const char* name,
                                                     const coreml_engine_tensor* value);
COREML_ENGINE_EXPORT char* coreml_engine_reset_state(coreml_engine_state* state);
COREML_ENGINE_EXPORT char* coreml_engine_copy_state(const coreml_engine_state* state,
                                                    coreml_engine_state** copy);
COREML_ENGINE_EXPORT void coreml_engine_free_state(coreml_engine_state* state);

// Executes the function. Inputs and outputs are in the order of the description. `state` is null if
// the function has no states; if `record` is null, nothing is recorded. If an output does not fit,
// the call fails, nothing is written, and the output's shape has the extents that it needs.
COREML_ENGINE_EXPORT char* coreml_engine_execute(coreml_engine_model* model,
                                                 coreml_engine_state* state, int32_t input_count,
                                                 const coreml_engine_tensor* inputs,
                                                 int32_t output_count,
                                                 coreml_engine_tensor* outputs, int32_t what,
                                                 coreml_engine_record** record);
// Writes a JSON list of [kind, name, operation, start_ns, end_ns].
COREML_ENGINE_EXPORT char* coreml_engine_record_timings(const coreml_engine_record* record,
                                                        char** timings);
COREML_ENGINE_EXPORT int32_t coreml_engine_record_value_count(const coreml_engine_record* record);
// The pointers are valid until the record is freed.
COREML_ENGINE_EXPORT void coreml_engine_record_value(const coreml_engine_record* record,
                                                     int32_t index, const char** name,
                                                     coreml_engine_tensor* value);
COREML_ENGINE_EXPORT void coreml_engine_free_record(coreml_engine_record* record);

#ifdef __cplusplus
}
#endif

#endif  // COREML_DELEGATE_RUNTIME_INCLUDE_COREML_ENGINE_C_H_
