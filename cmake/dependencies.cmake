# One imported target a dependency: clsp_dep_<name>. scripts/deps knows the Debian packages.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)

function(clsp_pkg name)
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET GLOBAL ${ARGN})
  add_library(clsp_dep_${name} ALIAS PkgConfig::${name})
endfunction()

clsp_pkg(jansson jansson>=2.13)
clsp_pkg(xxhash libxxhash)
clsp_pkg(zlib zlib)
clsp_pkg(jpeg libjpeg)
clsp_pkg(png libpng)
clsp_pkg(webp libwebp libwebpdemux)
clsp_pkg(utf8proc libutf8proc)
clsp_pkg(lapacke lapacke)
clsp_pkg(hdf5 hdf5)
clsp_pkg(cairo cairo)

# oneDNN has no pkg-config file, and Debian's CMake package of it asks for OpenCL, which is not needed here.
find_path(DNNL_INCLUDE_DIR dnnl.h REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
add_library(clsp_dep_dnnl UNKNOWN IMPORTED)
set_target_properties(clsp_dep_dnnl PROPERTIES IMPORTED_LOCATION ${DNNL_LIBRARY}
  INTERFACE_INCLUDE_DIRECTORIES ${DNNL_INCLUDE_DIR})
