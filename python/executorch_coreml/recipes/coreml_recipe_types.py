"""The names of the Core ML recipes; `recipe_table.py` says what each is and which arguments it takes."""

from executorch.export import RecipeType

COREML_BACKEND: str = "coreml"


class CoreMLRecipeType(RecipeType):
    """What a model is turned into.

    All take minimum_deployment_target, compute_unit, skip_ops_for_coreml_delegation, lower_full_graph and take_over_constant_data; methods, a dictionary
    of method names and what of these a method has otherwise, for a program of several methods, all of which it must name; and edge_transform_passes and
    edge_manager_transform_passes of executorch.export's LoweringRecipe.

    The PT2E recipes also take the fields of its QuantizationRecipe: calibration_inputs_fn, or is_qat=True with train_fn; dynamic_batch_size; and
    pre_prepare_passes, post_prepare_passes, pre_convert_passes and post_convert_passes.
    """

    # No quantization; weights and arithmetic in this precision.
    FP32 = "coreml_fp32"
    FP16 = "coreml_fp16"

    # 8-bit weights and activations; the ranges of activations are calibrated with example inputs. iOS 17.
    PT2E_INT8_STATIC = "coreml_pt2e_int8_static"
    # 8-bit weights of convolutions and linear layers; float activations. iOS 17.
    PT2E_INT8_WEIGHT_ONLY = "coreml_pt2e_int8_weight_only"

    # Weights of linear layers, or of those that filter_fn(module, name) chooses; one scale per row, or per group_size (32) columns of a row.
    TORCHAO_INT4_WEIGHT_ONLY_PER_CHANNEL = "coreml_torchao_int4_weight_only_per_channel"  # iOS 18
    TORCHAO_INT4_WEIGHT_ONLY_PER_GROUP = "coreml_torchao_int4_weight_only_per_group"  # iOS 18
    TORCHAO_INT8_WEIGHT_ONLY_PER_CHANNEL = "coreml_torchao_int8_weight_only_per_channel"  # iOS 16
    TORCHAO_INT8_WEIGHT_ONLY_PER_GROUP = "coreml_torchao_int8_weight_only_per_group"  # iOS 18

    # Palettization: weights of linear layers and embeddings become indices of `bits` (1 to 8) bits into tables of 2**bits values, one table
    # per block of block_size=[rows, columns] (-1: all); filter_fn as above. iOS 18.
    CODEBOOK_WEIGHT_ONLY = "coreml_codebook_weight_only"

    @classmethod
    def get_backend_name(cls) -> str:
        return COREML_BACKEND
