# MPI for the command alone (cli/ranks_mpi.c); the library does without. Leak checkers do not like Open MPI.
set(CLIPSPAN_WITH_MPI OFF)
if(CLIPSPAN_MPI STREQUAL "AUTO" AND NOT CLIPSPAN_SANITIZE)
  find_package(MPI QUIET COMPONENTS C)
  set(CLIPSPAN_WITH_MPI ${MPI_C_FOUND})
elseif(CLIPSPAN_MPI AND NOT CLIPSPAN_MPI STREQUAL "AUTO")
  find_package(MPI REQUIRED COMPONENTS C)
  set(CLIPSPAN_WITH_MPI ON)
endif()
