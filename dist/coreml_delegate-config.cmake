# The Core ML delegate as the Python package executorch-coreml carries it.
#
#   find_package(executorch REQUIRED)
#   find_package(coreml_delegate REQUIRED)
#   target_link_libraries(app PRIVATE executorch::backend_coreml ${EXECUTORCH_LIBRARIES})
#
# With CMAKE_PREFIX_PATH, or coreml_delegate_DIR set to this folder:
#   python -c "import pathlib, executorch_coreml; print(pathlib.Path(executorch_coreml.__file__).parent / 'share/cmake')"
#
# executorch::backend_coreml   registers CoreMLBackend when the program starts, and has the headers
#                              <coreml_backend/coreml_backend_options.h> and <coreml_delegate_c.h>
# coreml_delegate::engine      the engines alone, without ExecuTorch: <coreml_engine_c.h>
#
# A program that is installed elsewhere adds COREML_DELEGATE_LIBRARY_DIRS to its RPATH.

if(NOT executorch_FOUND AND NOT EXECUTORCH_FOUND)
  set(coreml_delegate_FOUND FALSE)
  set(coreml_delegate_NOT_FOUND_MESSAGE "find_package(executorch) has to come first: the delegate links to ExecuTorch's runtime")
  return()
endif()
# With CMake before 3.28 that package has no targets, only EXECUTORCH_LIBRARIES.
set(_coreml_delegate_executorch "")
if(TARGET executorch::runtime)
  set(_coreml_delegate_executorch executorch::runtime)
endif()

get_filename_component(_coreml_delegate_package "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
get_filename_component(_coreml_delegate_site "${_coreml_delegate_package}/.." ABSOLUTE)
set(_coreml_delegate_openvino "${_coreml_delegate_site}/openvino/libs")
if(NOT IS_DIRECTORY "${_coreml_delegate_openvino}")
  set(coreml_delegate_FOUND FALSE)
  set(coreml_delegate_NOT_FOUND_MESSAGE
      "the delegate needs the Python package openvino, which is not in ${_coreml_delegate_site}: pip install executorch-coreml with its dependencies"
  )
  return()
endif()
set(COREML_DELEGATE_LIBRARY_DIRS "${_coreml_delegate_package}/lib" "${_coreml_delegate_openvino}")

foreach(_coreml_delegate_name libcoremldelegate libcoreml_engine)
  if(NOT TARGET coreml_delegate::${_coreml_delegate_name})
    add_library(coreml_delegate::${_coreml_delegate_name} SHARED IMPORTED)
    set_target_properties(
      coreml_delegate::${_coreml_delegate_name}
      PROPERTIES IMPORTED_LOCATION "${_coreml_delegate_package}/lib/${_coreml_delegate_name}.so"
                 IMPORTED_NO_SONAME TRUE
                 INTERFACE_INCLUDE_DIRECTORIES "${_coreml_delegate_package}/include"
                 INTERFACE_LINK_OPTIONS "LINKER:-rpath-link,${_coreml_delegate_openvino}:${_coreml_delegate_site}/executorch/lib:${_coreml_delegate_package}/lib"
    )
  endif()
endforeach()

if(NOT TARGET executorch::backend_coreml)
  # The program uses none of its symbols, and it must be there all the same.
  add_library(executorch::backend_coreml INTERFACE IMPORTED)
  set_target_properties(
    executorch::backend_coreml
    PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_coreml_delegate_package}/include"
               INTERFACE_LINK_LIBRARIES "-Wl,--push-state,--no-as-needed;coreml_delegate::libcoremldelegate;-Wl,--pop-state;${_coreml_delegate_executorch}"
  )
endif()
if(NOT TARGET coreml_delegate::engine)
  add_library(coreml_delegate::engine INTERFACE IMPORTED)
  set_target_properties(coreml_delegate::engine PROPERTIES INTERFACE_LINK_LIBRARIES coreml_delegate::libcoreml_engine)
endif()
set(coreml_delegate_FOUND TRUE)
