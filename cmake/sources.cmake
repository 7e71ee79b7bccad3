# Written from the BUILD files: tools/bazel build //cmake:written_sources && cp -f bazel-bin/cmake/written/sources.cmake cmake/
#
# coreml_delegate_sources(GROUP SOURCE...): what is compiled for GROUP: common, apple or portable.
# coreml_delegate_library(GROUP NAME SOURCES ... OPTIONS ... DEFINITIONS ...): the same, with options of its own.
# COREML_DELEGATE_TRANSLATION_SOURCES: of what runtime/engine/portable/translation_version.cc has a digest.

coreml_delegate_sources(common
  base/cpu_features.cc
  base/file.cc
  base/logging.cc
  base/private_folder.cc
  base/status.cc
  base/tensor_type.cc
  base/utf8.cc
  blob/blob.cc
  blob/content_identity.cc
  blob/coreml_blob_reader.cc
  blob/flattened_directory.cc
  blob/json.cc
  blob/rules.cc
  blob/stock_form.cc
  blob/stock_metadata.cc
  inmemoryfs/disk.cc
  inmemoryfs/inmemory_file_system.cc
  kvstore/connection.cc
  kvstore/database.cc
  kvstore/raw_store.cc
  kvstore/salvage.cc
  runtime/assets/asset_index.cc
  runtime/assets/asset_key.cc
  runtime/assets/asset_store.cc
  runtime/assets/asset_store_open.cc
  runtime/assets/asset_store_room.cc
  runtime/assets/manifest.cc
  runtime/delegate/argument_binding.cc
  runtime/delegate/binding_plan.cc
  runtime/delegate/c_api.cc
  runtime/delegate/cache.cc
  runtime/delegate/cache_c_api.cc
  runtime/delegate/coreml_backend.cc
  runtime/delegate/delegate_instance.cc
  runtime/delegate/edge.cc
  runtime/delegate/error_map.cc
  runtime/delegate/event_bridge.cc
  runtime/delegate/executorch_log.cc
  runtime/delegate/in_process_model_provider.cc
  runtime/delegate/options.cc
  runtime/delegate/program_memory.cc
  runtime/delegate/registration.cc
  runtime/delegate/shared_states.cc
  runtime/delegate/static_registration.cc
  runtime/delegate/stock_delegate.cc
  runtime/delegate/stored_models.cc
  runtime/delegate/tensor_types.cc
  runtime/delegate/warm_up.cc
  runtime/engine/engine.cc
  runtime/engine/helper/answer.cc
  runtime/engine/helper/child_process.cc
  runtime/engine/helper/compile_helper.cc
  runtime/engine/helper/helper_command.cc
  runtime/engine/registry.cc
)

coreml_delegate_library(common checksum
  SOURCES base/checksum.cc
  OPTIONS -O2
)

coreml_delegate_library(common half
  SOURCES base/half.cc
  OPTIONS -O2
)

coreml_delegate_library(common sha256
  SOURCES base/sha256.cc
  OPTIONS -O2
)

coreml_delegate_library(common tensor_conversion
  SOURCES runtime/delegate/tensor_conversion.cc
  OPTIONS -O2
)

coreml_delegate_sources(apple
  base/platform.cc
  runtime/engine/call_checks.cc
  runtime/engine/compile_request.cc
  runtime/engine/coreml/app_settings.mm
  runtime/engine/coreml/compilation.mm
  runtime/engine/coreml/compiled_folder.cc
  runtime/engine/coreml/configuration.mm
  runtime/engine/coreml/core_ml_engine.mm
  runtime/engine/coreml/core_ml_model.mm
  runtime/engine/coreml/core_ml_state.mm
  runtime/engine/coreml/estimates.mm
  runtime/engine/coreml/guard.mm
  runtime/engine/coreml/register.cc
  runtime/engine/coreml/tensors.mm
  runtime/engine/description_json.cc
  runtime/model/classifier_parser.cc
  runtime/model/description.cc
  runtime/model/feature_parser.cc
  runtime/model/mil_reader.cc
  runtime/model/package.cc
  runtime/model/program.cc
  runtime/model/program_parser.cc
  runtime/model/value_parser.cc
  runtime/model/weights.cc
  runtime/model/wire.cc
  runtime/platform_engine_apple.cc
)

coreml_delegate_library(apple tensor_layout
  SOURCES runtime/engine/tensor_layout.cc
  OPTIONS -O2
)

coreml_delegate_sources(portable
  base/platform.cc
  runtime/engine/call_checks.cc
  runtime/engine/compile_request.cc
  runtime/engine/description_json.cc
  runtime/engine/portable/attention_fusion.cc
  runtime/engine/portable/borders.cc
  runtime/engine/portable/check_indices.cc
  runtime/engine/portable/compiled_folder.cc
  runtime/engine/portable/compressed_weights.cc
  runtime/engine/portable/constant_elements.cc
  runtime/engine/portable/environment.cc
  runtime/engine/portable/exact_arithmetic.cc
  runtime/engine/portable/exact_reduce.cc
  runtime/engine/portable/exceptional_values.cc
  runtime/engine/portable/function_plan.cc
  runtime/engine/portable/fusion_barriers.cc
  runtime/engine/portable/graph.cc
  runtime/engine/portable/graph_extra.cc
  runtime/engine/portable/image_sampling.cc
  runtime/engine/portable/integer_matmul.cc
  runtime/engine/portable/loaded_graph.cc
  runtime/engine/portable/low_precision.cc
  runtime/engine/portable/non_maximum_suppression.cc
  runtime/engine/portable/op_context.cc
  runtime/engine/portable/op_registry.cc
  runtime/engine/portable/openvino_core.cc
  runtime/engine/portable/openvino_cpu.cc
  runtime/engine/portable/ops_activation.cc
  runtime/engine/portable/ops_attention.cc
  runtime/engine/portable/ops_constexpr.cc
  runtime/engine/portable/ops_control_flow.cc
  runtime/engine/portable/ops_conv.cc
  runtime/engine/portable/ops_elementwise_binary.cc
  runtime/engine/portable/ops_elementwise_unary.cc
  runtime/engine/portable/ops_image.cc
  runtime/engine/portable/ops_linear.cc
  runtime/engine/portable/ops_list.cc
  runtime/engine/portable/ops_normalization.cc
  runtime/engine/portable/ops_pool.cc
  runtime/engine/portable/ops_random.cc
  runtime/engine/portable/ops_recurrent.cc
  runtime/engine/portable/ops_reduction.cc
  runtime/engine/portable/ops_scatter_gather.cc
  runtime/engine/portable/ops_slice.cc
  runtime/engine/portable/ops_state.cc
  runtime/engine/portable/ops_tensor_operation.cc
  runtime/engine/portable/ops_tensor_transformation.cc
  runtime/engine/portable/parallel.cc
  runtime/engine/portable/pass_through.cc
  runtime/engine/portable/portable_engine.cc
  runtime/engine/portable/portable_model.cc
  runtime/engine/portable/portable_state.cc
  runtime/engine/portable/random_values.cc
  runtime/engine/portable/recurrent_kernel.cc
  runtime/engine/portable/recurrent_layer.cc
  runtime/engine/portable/register.cc
  runtime/engine/portable/resizing.cc
  runtime/engine/portable/round_to_half.cc
  runtime/engine/portable/shared_constants.cc
  runtime/engine/portable/shared_weights.cc
  runtime/engine/portable/stored_linear.cc
  runtime/engine/portable/stored_linear_fusion.cc
  runtime/engine/portable/stored_linear_kernel.cc
  runtime/engine/portable/translation_budget.cc
  runtime/engine/portable/translator.cc
  runtime/engine/portable/weight_roles.cc
  runtime/engine/portable/winograd_convolution.cc
  runtime/engine/portable/winograd_fusion.cc
  runtime/engine/portable/winograd_kernel.cc
  runtime/model/classifier_parser.cc
  runtime/model/description.cc
  runtime/model/feature_parser.cc
  runtime/model/mil_reader.cc
  runtime/model/package.cc
  runtime/model/program.cc
  runtime/model/program_parser.cc
  runtime/model/value_parser.cc
  runtime/model/weights.cc
  runtime/model/wire.cc
  runtime/platform_engine_portable.cc
  third-party/openvino/sanitized_dlopen.cc
)

coreml_delegate_library(portable cumulative_sum
  SOURCES runtime/engine/portable/cumulative_sum.cc
  OPTIONS -O2
)

coreml_delegate_library(portable recurrent_kernel_avx2
  SOURCES runtime/engine/portable/recurrent_kernel_variant.cc
  OPTIONS -O3 -ffp-contract=fast -mavx2 -mfma -mf16c
  DEFINITIONS COREML_DELEGATE_RECURRENT_KERNEL=recurrent_kernel_avx2 COREML_DELEGATE_RECURRENT_LANES=8
)

coreml_delegate_library(portable recurrent_kernel_avx512
  SOURCES runtime/engine/portable/recurrent_kernel_variant.cc
  OPTIONS -O3 -ffp-contract=fast -mf16c -mavx512f -mavx512vl -mavx512dq -mprefer-vector-width=512
  DEFINITIONS COREML_DELEGATE_RECURRENT_KERNEL=recurrent_kernel_avx512 COREML_DELEGATE_RECURRENT_LANES=16
)

coreml_delegate_library(portable recurrent_kernel_baseline
  SOURCES runtime/engine/portable/recurrent_kernel_variant.cc
  OPTIONS -O3 -ffp-contract=fast
  DEFINITIONS COREML_DELEGATE_RECURRENT_KERNEL=recurrent_kernel_baseline COREML_DELEGATE_RECURRENT_LANES=4
)

coreml_delegate_library(portable reduce_floats
  SOURCES runtime/engine/portable/reduce_floats.cc
  OPTIONS -O3
)

coreml_delegate_library(portable softplus
  SOURCES runtime/engine/portable/softplus.cc
  OPTIONS -O3
)

coreml_delegate_library(portable stored_linear_kernel_avx2
  SOURCES runtime/engine/portable/stored_linear_kernel_variant.cc
  OPTIONS -O3 -mavx2 -mfma -mf16c
  DEFINITIONS COREML_DELEGATE_STORED_LINEAR_KERNEL=stored_linear_kernel_avx2 COREML_DELEGATE_STORED_LINEAR_LANES=8
)

coreml_delegate_library(portable stored_linear_kernel_avx512
  SOURCES runtime/engine/portable/stored_linear_kernel_variant.cc
  OPTIONS -O3 -mavx2 -mfma -mf16c -mavx512f -mavx512vl -mavx512dq -mavx512bw -mprefer-vector-width=512
  DEFINITIONS COREML_DELEGATE_STORED_LINEAR_KERNEL=stored_linear_kernel_avx512 COREML_DELEGATE_STORED_LINEAR_LANES=16
)

coreml_delegate_library(portable tensor_layout
  SOURCES runtime/engine/tensor_layout.cc
  OPTIONS -O2
)

coreml_delegate_library(portable winograd_kernel_avx2
  SOURCES runtime/engine/portable/winograd_kernel_variant.cc
  OPTIONS -O3 -ffp-contract=on -mavx2 -mfma
  DEFINITIONS COREML_DELEGATE_WINOGRAD_KERNEL=winograd_kernel_avx2 COREML_DELEGATE_WINOGRAD_LANES=8
)

coreml_delegate_library(portable winograd_kernel_avx512
  SOURCES runtime/engine/portable/winograd_kernel_variant.cc
  OPTIONS -O3 -ffp-contract=on -mavx512f -mavx512vl -mavx512dq -mprefer-vector-width=512
  DEFINITIONS COREML_DELEGATE_WINOGRAD_KERNEL=winograd_kernel_avx512 COREML_DELEGATE_WINOGRAD_LANES=16
)

coreml_delegate_library(portable winograd_kernel_baseline
  SOURCES runtime/engine/portable/winograd_kernel_variant.cc
  OPTIONS -O3 -ffp-contract=on
  DEFINITIONS COREML_DELEGATE_WINOGRAD_KERNEL=winograd_kernel_baseline COREML_DELEGATE_WINOGRAD_LANES=4
)

set(COREML_DELEGATE_TRANSLATION_SOURCES
  base/half.cc
  base/half.h
  base/strides.h
  runtime/engine/portable/attention_fusion.cc
  runtime/engine/portable/attention_fusion.h
  runtime/engine/portable/borders.cc
  runtime/engine/portable/borders.h
  runtime/engine/portable/check_indices.cc
  runtime/engine/portable/check_indices.h
  runtime/engine/portable/checked_math.h
  runtime/engine/portable/compiled_folder.cc
  runtime/engine/portable/compiled_folder.h
  runtime/engine/portable/compressed_weights.cc
  runtime/engine/portable/compressed_weights.h
  runtime/engine/portable/constant_elements.cc
  runtime/engine/portable/constant_elements.h
  runtime/engine/portable/cumulative_sum.cc
  runtime/engine/portable/cumulative_sum.h
  runtime/engine/portable/environment.cc
  runtime/engine/portable/environment.h
  runtime/engine/portable/exact_arithmetic.cc
  runtime/engine/portable/exact_arithmetic.h
  runtime/engine/portable/exact_reduce.cc
  runtime/engine/portable/exact_reduce.h
  runtime/engine/portable/exceptional_values.cc
  runtime/engine/portable/exceptional_values.h
  runtime/engine/portable/function_plan.cc
  runtime/engine/portable/function_plan.h
  runtime/engine/portable/fusion_barriers.cc
  runtime/engine/portable/fusion_barriers.h
  runtime/engine/portable/graph.cc
  runtime/engine/portable/graph.h
  runtime/engine/portable/graph_extra.cc
  runtime/engine/portable/graph_extra.h
  runtime/engine/portable/image_sampling.cc
  runtime/engine/portable/image_sampling.h
  runtime/engine/portable/integer_matmul.cc
  runtime/engine/portable/integer_matmul.h
  runtime/engine/portable/low_precision.cc
  runtime/engine/portable/low_precision.h
  runtime/engine/portable/non_maximum_suppression.cc
  runtime/engine/portable/non_maximum_suppression.h
  runtime/engine/portable/op_context.cc
  runtime/engine/portable/op_context.h
  runtime/engine/portable/op_error.h
  runtime/engine/portable/op_registry.cc
  runtime/engine/portable/op_registry.h
  runtime/engine/portable/openvino_core.cc
  runtime/engine/portable/openvino_core.h
  runtime/engine/portable/ops_activation.cc
  runtime/engine/portable/ops_attention.cc
  runtime/engine/portable/ops_constexpr.cc
  runtime/engine/portable/ops_control_flow.cc
  runtime/engine/portable/ops_conv.cc
  runtime/engine/portable/ops_elementwise_binary.cc
  runtime/engine/portable/ops_elementwise_unary.cc
  runtime/engine/portable/ops_image.cc
  runtime/engine/portable/ops_linear.cc
  runtime/engine/portable/ops_list.cc
  runtime/engine/portable/ops_normalization.cc
  runtime/engine/portable/ops_pool.cc
  runtime/engine/portable/ops_random.cc
  runtime/engine/portable/ops_recurrent.cc
  runtime/engine/portable/ops_reduction.cc
  runtime/engine/portable/ops_scatter_gather.cc
  runtime/engine/portable/ops_slice.cc
  runtime/engine/portable/ops_state.cc
  runtime/engine/portable/ops_tensor_operation.cc
  runtime/engine/portable/ops_tensor_transformation.cc
  runtime/engine/portable/pass_through.cc
  runtime/engine/portable/pass_through.h
  runtime/engine/portable/random_values.cc
  runtime/engine/portable/random_values.h
  runtime/engine/portable/recurrent_kernel.cc
  runtime/engine/portable/recurrent_kernel.h
  runtime/engine/portable/recurrent_layer.cc
  runtime/engine/portable/recurrent_layer.h
  runtime/engine/portable/reduce_floats.cc
  runtime/engine/portable/reduce_floats.h
  runtime/engine/portable/resizing.cc
  runtime/engine/portable/resizing.h
  runtime/engine/portable/round_to_half.cc
  runtime/engine/portable/round_to_half.h
  runtime/engine/portable/shared_constants.cc
  runtime/engine/portable/shared_constants.h
  runtime/engine/portable/shared_weights.cc
  runtime/engine/portable/shared_weights.h
  runtime/engine/portable/softplus.cc
  runtime/engine/portable/softplus.h
  runtime/engine/portable/stored_linear.cc
  runtime/engine/portable/stored_linear.h
  runtime/engine/portable/stored_linear_fusion.cc
  runtime/engine/portable/stored_linear_fusion.h
  runtime/engine/portable/stored_linear_kernel.h
  runtime/engine/portable/translation_budget.cc
  runtime/engine/portable/translation_budget.h
  runtime/engine/portable/translator.cc
  runtime/engine/portable/translator.h
  runtime/engine/portable/value.h
  runtime/engine/portable/weight_roles.cc
  runtime/engine/portable/weight_roles.h
  runtime/engine/portable/winograd_convolution.cc
  runtime/engine/portable/winograd_convolution.h
  runtime/engine/portable/winograd_fusion.cc
  runtime/engine/portable/winograd_fusion.h
  runtime/engine/portable/winograd_kernel.h
  runtime/model/classifier_parser.cc
  runtime/model/classifier_parser.h
  runtime/model/description.cc
  runtime/model/description.h
  runtime/model/feature_parser.cc
  runtime/model/feature_parser.h
  runtime/model/float_formats.h
  runtime/model/mil.h
  runtime/model/mil_fields.h
  runtime/model/mil_reader.cc
  runtime/model/mil_reader.h
  runtime/model/package.cc
  runtime/model/package.h
  runtime/model/program.cc
  runtime/model/program.h
  runtime/model/program_parser.cc
  runtime/model/program_parser.h
  runtime/model/value_parser.cc
  runtime/model/value_parser.h
  runtime/model/weights.cc
  runtime/model/weights.h
  runtime/model/wire.cc
  runtime/model/wire.h
)
