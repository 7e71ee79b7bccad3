#ifndef COREML_DELEGATE_RUNTIME_INCLUDE_COREML_ENGINE_C_H_
#define COREML_DELEGATE_RUNTIME_INCLUDE_COREML_ENGINE_C_H_

// Core ML model packages compiled, loaded and executed by the engines of this library, without
// ExecuTorch: what libcoreml_engine.so shows. The Python package is built on it.
//
//   coreml_engine_options options = {0};
//   coreml_engine_model* model;
//   char* error = coreml_engine_load("model.mlpackage", &options, &model);
//   if (error != NULL) { ...; coreml_engine_free(error); }
//
// Every function that returns `char*` returns null for success, and otherwise what went wrong as
// JSON: {"code": "invalid_argument", "message", "artifact", "text"}, `text` being the whole
// sentence. It, and every other text that is given out, is the caller's, for coreml_engine_free().
// Strings are UTF-8 (paths: the system's bytes) and end in NUL. Tensors are contiguous.
//
// Thread rule: a model may be used from several threads at once, a state by one execution at a
// time.

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COREML_ENGINE_EXPORT __attribute__((visibility("default")))

// Changes with every change of what is declared here.
#define COREML_ENGINE_C_VERSION 1

typedef struct coreml_engine_model coreml_engine_model;
typedef struct coreml_engine_state coreml_engine_state;
typedef struct coreml_engine_record coreml_engine_record;

// Null and 0 are the defaults.
typedef struct {
  const char* engine;         // By name; the platform's.
  const char* function_name;  // The package's default function.
  const char* numeric_mode;   // "float32", "float16", "low_precision".
  // Path of the program that compiles in a process of its own; none: this process.
  const char* compile_helper;
  int64_t compile_helper_memory_mb;  // No limit.
  int32_t compile_helper_timeout_s;  // 600.
  int32_t threads;                   // Of one execution; the engine's choice.
} coreml_engine_options;

typedef struct {
  const char* dtype;  // "bool", "int8", ..., "float16", "float32", "float64".
  int64_t* shape;     // Of outputs also written: the extents that were or would have been written.
  int32_t rank;
  void* data;
  uint64_t size;  // Bytes at `data`; for outputs the capacity.
} coreml_engine_tensor;

// What coreml_engine_execute() records.
enum {
  COREML_ENGINE_TIMINGS = 1,
  COREML_ENGINE_VALUES = 2,
};

COREML_ENGINE_EXPORT int32_t coreml_engine_c_version(void);
COREML_ENGINE_EXPORT void coreml_engine_free(char* text);

// A JSON list of the engines' names.
COREML_ENGINE_EXPORT char* coreml_engine_names(char** names);
// What results may depend on: versions, processor features. `engine` may be null.
COREML_ENGINE_EXPORT char* coreml_engine_fingerprint(const char* engine, char** fingerprint);
// The functions of the package at `path`, a JSON list of what coreml_engine_describe_model() gives.
COREML_ENGINE_EXPORT char* coreml_engine_describe(const char* path, const char* engine,
                                                  char** description);

COREML_ENGINE_EXPORT char* coreml_engine_load(const char* path,
                                              const coreml_engine_options* options,
                                              coreml_engine_model** model);
// Into the existing empty folder `folder`, and from there.
COREML_ENGINE_EXPORT char* coreml_engine_compile(const char* path, const char* folder,
                                                 const coreml_engine_options* options);
COREML_ENGINE_EXPORT char* coreml_engine_load_compiled(const char* folder,
                                                       const coreml_engine_options* options,
                                                       coreml_engine_model** model);
COREML_ENGINE_EXPORT void coreml_engine_free_model(coreml_engine_model* model);

// JSON: {"name", "inputs": [...], "outputs": [...], "states": [...], "images": {name: layout},
// "default_values": {name: number, or "inf", "-inf", "nan"}, "classifier": null or {"label", "probabilities", "classes"},
// "offers_intermediate_values"}; a tensor is {"name", "dtype", "shape", "enumerated_shapes"}, an
// extent a number or [smallest, largest or null].
COREML_ENGINE_EXPORT char* coreml_engine_describe_model(const coreml_engine_model* model,
                                                        char** description);

// A new state. Of `tensors` only data and size are read: the initial value of the state of the same
// index in `names`.
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

// Inputs and outputs in the description's order. `state` is null where the function has none;
// `record` may be null, and is then not made. An output that does not fit fails with nothing
// written, and has the extents that it needs.
COREML_ENGINE_EXPORT char* coreml_engine_execute(coreml_engine_model* model,
                                                 coreml_engine_state* state, int32_t input_count,
                                                 const coreml_engine_tensor* inputs,
                                                 int32_t output_count,
                                                 coreml_engine_tensor* outputs, int32_t what,
                                                 coreml_engine_record** record);
// A JSON list of [kind, name, operation, start_ns, end_ns].
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
