#ifndef COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_IMAGE_SAMPLING_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_IMAGE_SAMPLING_H_

// The operations that sample an image at computed points: entries of image_ops().

#include "runtime/engine/portable/op_registry.h"

namespace coreml_delegate::engine::portable {

OpResults translate_affine(OpContext& op);
OpResults translate_crop_resize(OpContext& op);
OpResults translate_resample(OpContext& op);

}  // namespace coreml_delegate::engine::portable

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_PORTABLE_IMAGE_SAMPLING_H_
