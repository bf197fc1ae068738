# Language, warnings and sanitizers, the same for every target of the project.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_C_FLAGS_RELEASE "-O3 -DNDEBUG")

add_library(clsp_options INTERFACE)
target_compile_definitions(clsp_options INTERFACE _POSIX_C_SOURCE=200809L _DEFAULT_SOURCE)
# Strict floating point: never -ffast-math; no silent contraction into fused operations either.
target_compile_options(clsp_options INTERFACE
  $<$<COMPILE_LANGUAGE:C>:-Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes
    -Wwrite-strings -Wvla -Wundef -Wformat=2 -ffp-contract=off>)
# GCC 12 for Arm breaks down (internal compiler error) where a loop takes fmax or fmin over floats widened to double.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64" AND CMAKE_C_COMPILER_ID STREQUAL "GNU" AND
   CMAKE_C_COMPILER_VERSION VERSION_GREATER_EQUAL 12 AND CMAKE_C_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(clsp_options INTERFACE $<$<COMPILE_LANGUAGE:C>:-fno-builtin-fmax -fno-builtin-fmin>)
endif()
if(CLIPSPAN_WERROR)
  target_compile_options(clsp_options INTERFACE -Werror)
endif()
if(CLIPSPAN_SANITIZE)
  target_compile_options(clsp_options INTERFACE -fsanitize=${CLIPSPAN_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(clsp_options INTERFACE -fsanitize=${CLIPSPAN_SANITIZE})
endif()
