# Files of the project as arrays of a C file, made when the library is built.
#
# clsp_embed(<target> <output.inc> GLOBS <pattern> ...): <target> gets <output.inc> beside its sources, made again when one
# of the files changes or a new one comes. It holds an array `embedded` of { name, bytes, length }, by name; the bytes end in
# a NUL that is not counted.
function(clsp_embed target output)
  cmake_parse_arguments(EMBED "" "" "GLOBS" ${ARGN})
  file(GLOB files CONFIGURE_DEPENDS ${EMBED_GLOBS})
  list(SORT files)
  string(REPLACE ";" "\n" lines "${files}")
  file(CONFIGURE OUTPUT ${output}.list CONTENT "${lines}" @ONLY) # touched only when it differs: a file that is gone counts too
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DOUTPUT=${output} -P ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${files} ${output}.list ${PROJECT_SOURCE_DIR}/cmake/embed.cmake COMMENT "Embedding the pages" VERBATIM)
  target_sources(${target} PRIVATE ${output})
endfunction()

# The other half: this file as a script.
if(CMAKE_SCRIPT_MODE_FILE)
  file(STRINGS ${OUTPUT}.list files)
  set(arrays)
  set(table)
  set(number 0)
  foreach(file IN LISTS files)
    get_filename_component(name ${file} NAME)
    file(SIZE ${file} length)
    file(READ ${file} bytes HEX)
    string(REGEX REPLACE "(................................................................)" "\\1\n" bytes "${bytes}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
    string(APPEND arrays "static const unsigned char embedded_${number}[] = {\n${bytes}0x00\n};\n")
    string(APPEND table "    { \"${name}\", embedded_${number}, ${length} },\n")
    math(EXPR number "${number} + 1")
  endforeach()
  file(WRITE ${OUTPUT} "${arrays}static const embedded_file embedded[] = {\n${table}    { 0, 0, 0 }\n};\n")
endif()
