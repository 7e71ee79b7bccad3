#ifndef COREML_DELEGATE_RUNTIME_ENGINE_COREML_GNUSTEP_PREDICTION_H_
#define COREML_DELEGATE_RUNTIME_ENGINE_COREML_GNUSTEP_PREDICTION_H_

#include "runtime/engine/coreml/gnustep/framework.h"

namespace coreml_delegate::core_ml_gnustep {

// One prediction; nil and an error when it fails. `state` and `backings` may be nil. Inputs may
// have any layout. A backing is used when its output's shape is known before executing; else, and
// where it is missing, the array is allocated.
id<MLFeatureProvider> predict(CMLModelBox &model, MLModelDescription *description,
                              id<MLFeatureProvider> input, MLState *state, NSDictionary *backings,
                              NSError **error);

}  // namespace coreml_delegate::core_ml_gnustep

#endif  // COREML_DELEGATE_RUNTIME_ENGINE_COREML_GNUSTEP_PREDICTION_H_
