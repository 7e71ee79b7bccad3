#ifndef COREML_DELEGATE_RUNTIME_ENGINE_ENGINE_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_ENGINE_H_

// The seam between the delegate and what executes Core ML models: Core ML on Apple platforms, the
// portable engine elsewhere, a fake in tests. An engine compiles a model, loads one of its
// functions and executes it with buffers that the caller owns.
//
//   COREML_DELEGATE_ASSIGN_OR_RETURN(Engine* const engine, find_engine("portable"));
//   COREML_DELEGATE_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model,
//                                    engine->load_source(source, LoadOptions{}));
//   COREML_DELEGATE_ASSIGN_OR_RETURN(const std::unique_ptr<State> state, model->make_state());
//   COREML_DELEGATE_RETURN_IF_ERROR(model->execute(inputs, outputs, {.state = state.get()}));
//
// What a user asks for (LoadOptions) becomes a CompileRequest through plan(): only the engine knows
// which options its compiled form depends on. Whoever keeps, sends or compares compiled models
// handles the request's text and never an option.
//
// Every engine passes engine/cts. Thread rule: an Engine and a Model may be used from several
// threads at once; execute() on one Model may run concurrently (an engine may serialise it). A
// State belongs to one execute() at a time: a second concurrent use is refused with
// failed_precondition. No exception leaves an engine.

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/function_description.h"
#include "base/status.h"
#include "base/tensor_type.h"
#include "inmemoryfs/inmemory_file_system.h"
#include "runtime/engine/numeric_mode.h"

namespace coreml_delegate::engine {

using coreml_delegate::FunctionDescription;

class EventSink;

// Set from any thread to ask a compile or load to stop; it then fails with kCancelled as soon as
// the engine can.
class CancellationToken {
 public:
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  bool is_cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> cancelled_{false};
};

enum class ModelKind {
  kPackage,   // An .mlpackage.
  kCompiled,  // An .mlmodelc.
};

// A model before an engine has compiled it. The tree is borrowed for the duration of the call; the
// Bytes in it carry their owners, and an engine that wants to use weights in place keeps copies of
// those Bytes.
struct ModelSource {
  ModelKind kind = ModelKind::kPackage;
  const inmemoryfs::InMemoryFileSystem* files = nullptr;
  std::string name;  // For messages: the blob's identifier or the package's path.
  // Whose memory the bytes lie in, for an engine that uses weights in place and keeps equal ones
  // once. Empty: they are the owners' that `files` says, and any model may use them. Else they may
  // go with something else, such as a program, that outlives the models loaded with the same text
  // and no other.
  std::string memory = {};
};

// Which hardware may be used, in Core ML's terms. The portable engine runs everything on the CPU
// whatever is asked.
enum class ComputeUnits { kAll, kCpuOnly, kCpuAndGpu, kCpuAndNeuralEngine };

// How often the shapes of inputs change (MLOptimizationHints.reshapeFrequency).
enum class ReshapeFrequency { kFrequent, kInfrequent };
// Whether loading may take longer so that executions take less
// (MLOptimizationHints.specializationStrategy).
enum class SpecializationStrategy { kDefault, kFastPrediction };

// What a user may ask of an engine. An engine leaves alone what it has no use for.
struct LoadOptions {
  // Empty: the package's default function.
  std::string function_name;
  ComputeUnits compute_units = ComputeUnits::kAll;
  NumericMode numeric_mode = NumericMode::kFloat32;
  // Threads of one execute(); 0: the engine's choice.
  int32_t threads = 0;
  // For Core ML alone; core_ml_engine.h says from which system on it knows them.
  ReshapeFrequency reshape_frequency = ReshapeFrequency::kFrequent;
  SpecializationStrategy specialization_strategy = SpecializationStrategy::kDefault;
  // Sums in float16 on the GPU: faster, less exact
  // (MLModelConfiguration.allowLowPrecisionAccumulationOnGPU).
  bool low_precision_accumulation = false;
  const CancellationToken* cancellation = nullptr;  // Borrowed for the call; may be null.
  EventSink* events = nullptr;                      // Borrowed for the call; may be null.
};

// What an engine is to compile and to load, as Engine::plan() wrote it.
struct CompileRequest {
  // All that the compiled form depends on besides the model's content: the engine, its fingerprint,
  // the function and those options that matter. Equal texts and equal content give interchangeable
  // compiled folders. Canonical, UTF-8, and opaque to everybody but the engine.
  std::string text;
  // What a loaded model depends on beside its compiled form, as the engine writes it.
  std::string load_text;
  // What `text` says, for people to read and to compare: "engine", "fingerprint", "platform",
  // "function" and whatever else the engine has to tell.
  std::map<std::string, std::string> attributes;
};

// How a call is watched and stopped; borrowed for the call, and either may be null.
struct Controls {
  const CancellationToken* cancellation = nullptr;
  EventSink* events = nullptr;
};

// A caller-owned tensor. `strides` in elements, one per extent, non-negative; rank is shape.size().
struct ConstTensorView {
  DataType dtype = DataType::kInvalid;
  std::span<const int64_t> shape;
  std::span<const int64_t> strides;
  const void* data = nullptr;
};

// A caller-owned output. The engine writes data and, for a shape that depends on the inputs,
// `shape`.
struct TensorView {
  DataType dtype = DataType::kInvalid;
  // In: the extents the buffer is laid out for. Out: the extents written; after a refusal because
  // `capacity` is too small, the extents that are needed. Same rank before and after.
  std::span<int64_t> shape;
  // Strides in elements of a caller's layout for exactly the shape passed in; empty: contiguous for
  // whatever shape is written.
  std::span<const int64_t> strides;
  void* data = nullptr;
  size_t capacity =
      0;  // Bytes at `data`. An output that needs more is refused before anything is written.
};

// The values of a function's states between executions.
class State {
 public:
  virtual ~State() = default;
  // Back to the initial values given to make_state() (zero where none).
  virtual Status reset() = 0;
  // Contiguous elements in the state's dtype; sizes must match exactly. not_found names the states
  // there are.
  virtual Status read(std::string_view name, std::span<std::byte> destination) const = 0;
  virtual Status write(std::string_view name, ByteSpan source) = 0;
  // An independent state with the same values.
  virtual Result<std::unique_ptr<State>> copy() const = 0;
};

struct InitialStateValue {
  std::string name;
  Bytes value;  // Contiguous elements in the state's dtype.
};

struct ExecuteOptions {
  // Required when the function has states, refused when it has none. It may come from another
  // function of the same package, so that a prefill and a decode function share their cache: every
  // state of this function must be in it, with the same type.
  State* state = nullptr;
  EventSink* events = nullptr;  // Borrowed for the call; may be null: then nothing is measured.
};

// One loaded function.
class Model {
 public:
  virtual ~Model() = default;
  virtual const FunctionDescription& description() const = 0;
  // Whether a tensor of these strides can be read or written in place; else the caller copies it to
  // a contiguous one.
  virtual bool accepts_strides(std::span<const int64_t> shape,
                               std::span<const int64_t> strides) const = 0;
  // Whether execute() can report intermediate values to a sink that wants them. Where it is false,
  // execution goes on without them: a model loaded from a compiled folder may have lost them, and
  // load_source() brings them back.
  virtual bool offers_intermediate_values() const { return false; }
  virtual Result<std::unique_ptr<State>> make_state(
      std::span<const InitialStateValue> initial = {}) = 0;
  // Inputs and outputs in the order of description(), dtypes as described. Everything is checked
  // before anything is written: invalid_argument names the tensor. A failed execution leaves the
  // state as it was, or says that it could not.
  virtual Status execute(std::span<const ConstTensorView> inputs, std::span<TensorView> outputs,
                         const ExecuteOptions& options) = 0;
};

class Engine {
 public:
  virtual ~Engine() = default;
  // "portable", "coreml".
  virtual std::string_view name() const = 0;
  // Changes whenever a compiled folder of before may not be usable or would give other numbers:
  // engine and library versions, CPU features. Same on every call of a process.
  virtual std::string fingerprint() const = 0;

  // Every function of the model, in the package's order, without compiling.
  virtual Result<std::vector<FunctionDescription>> describe(const ModelSource& source) const = 0;

  // The request for what `options` ask for. Reads source.kind and not the files, so that a model
  // that is kept already costs nothing. invalid_argument for a function whose name is not UTF-8.
  virtual Result<CompileRequest> plan(const ModelSource& source,
                                      const LoadOptions& options) const = 0;

  // Compiles one function into the existing empty folder `folder`. On failure the folder's content
  // is unspecified and the caller removes it. All three take a request of plan()'s, of this process
  // or another: failed_precondition for one of another engine or fingerprint.
  virtual Status compile(const ModelSource& source, const std::string& folder,
                         const CompileRequest& request, const Controls& controls) = 0;
  // Loads what compile() made. corrupt_data for a folder that is not whole, failed_precondition for
  // one of another engine, fingerprint or request. That no byte of it has changed is for whoever
  // keeps the folder to see to: a store compares checksums, and an engine reads everything once.
  virtual Result<std::unique_ptr<Model>> load(const std::string& folder,
                                              const CompileRequest& request,
                                              const Controls& controls) = 0;

  // Compiles and loads in one go, keeping nothing on disk: what is used where there is no store.
  virtual Result<std::unique_ptr<Model>> load_source(const ModelSource& source,
                                                     const CompileRequest& request,
                                                     const Controls& controls) = 0;

  // The same for whoever has no use for the request itself.
  Status compile(const ModelSource& source, const std::string& folder, const LoadOptions& options);
  Result<std::unique_ptr<Model>> load(const std::string& folder, const LoadOptions& options);
  Result<std::unique_ptr<Model>> load_source(const ModelSource& source, const LoadOptions& options);
};

// --- Registry. Engines live until the process ends. ---

// Whether an engine may be used where nobody named one, and which is preferred when several may:
// the one that is the platform's own.
enum class DefaultRank { kNever, kAnywhere, kOwnPlatform };

// Adds an engine, usually from a static initialiser of its library. already_exists when the name is
// taken.
Status register_engine(std::unique_ptr<Engine> engine, DefaultRank rank = DefaultRank::kNever);
// By name; the empty name is the engine of the highest DefaultRank, of several the one that was
// registered first. not_found lists the names there are.
Result<Engine*> find_engine(std::string_view name);
std::vector<std::string> engine_names();

}  // namespace coreml_delegate::engine

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_ENGINE_H_
