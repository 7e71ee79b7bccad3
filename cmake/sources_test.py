"""What CMake compiles is what Bazel compiles."""

import pathlib


def test_sources_are_those_of_the_build_files() -> None:
    checked_in = pathlib.Path("cmake/sources.cmake").read_text(encoding="utf-8")
    written = pathlib.Path("cmake/written/sources.cmake").read_text(encoding="utf-8")
    assert checked_in == written, (
        "run: tools/bazel build //cmake:written_sources && cp -f bazel-bin/cmake/written/sources.cmake cmake/"
    )


def test_every_group_is_there() -> None:
    text = pathlib.Path("cmake/sources.cmake").read_text(encoding="utf-8")
    for source in (
        "runtime/delegate/coreml_backend.cc",
        "runtime/engine/coreml/core_ml_model.mm",
        "runtime/platform_engine_apple.cc",
        "runtime/platform_engine_portable.cc",
    ):
        assert text.count(f"  {source}\n") == 1, source
    assert text.count("winograd_kernel_variant.cc") == 3
    assert "gnustep" not in text
    assert "_test.cc" not in text
