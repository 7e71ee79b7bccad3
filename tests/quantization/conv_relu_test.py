"""The introduction's quantization example, through to a run."""

import conv_relu


def test_the_example_runs_and_computes_what_the_quantized_program_computes(tmp_path):
    outcome = conv_relu.run(tmp_path)
    assert "conv    conv2d + relu  weight int8 per channel, activations uint8  global_config" in outcome.report
    # float32 arithmetic between the same quantized values: at most a few of them fall on the other side of a border between two steps.
    assert outcome.from_quantized <= 1 / 255 + 1e-6
    assert outcome.from_float < 0.02
