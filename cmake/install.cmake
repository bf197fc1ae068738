# Installation: headers, both libraries, the command, its man page, text pools, pkg-config file and CMake package.
include(CMakePackageConfigHelpers)

install(TARGETS clipspan EXPORT clipspan LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS clipspan_static EXPORT clipspan ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS clipspan_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY include/clipspan DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(DIRECTORY models/pools DESTINATION ${CMAKE_INSTALL_DATADIR}/clipspan FILES_MATCHING PATTERN "*.txt")
install(DIRECTORY models/demo/clipspan-demo DESTINATION ${CMAKE_INSTALL_DATADIR}/clipspan OPTIONAL)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${PROJECT_BINARY_DIR}/clipspan.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)

set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/clipspan)
install(EXPORT clipspan NAMESPACE clipspan:: FILE clipspanTargets.cmake DESTINATION ${config_dir})
configure_package_config_file(cmake/clipspanConfig.cmake.in clipspanConfig.cmake INSTALL_DESTINATION ${config_dir})
write_basic_package_version_file(clipspanConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/clipspanConfig.cmake ${PROJECT_BINARY_DIR}/clipspanConfigVersion.cmake
        cmake/dependencies.cmake DESTINATION ${config_dir})

file(RELATIVE_PATH CLSP_PREFIX_FROM_PC "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
set(CLSP_STATIC_PACKAGES "jansson libxxhash zlib hdf5 libjpeg libpng libwebp libwebpdemux libutf8proc lapacke cairo")
set(CLSP_STATIC_LIBS "${OpenMP_C_FLAGS} -lpthread -lm")
foreach(name clipspan clipspan-static)
  configure_file(cmake/${name}.pc.in ${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
