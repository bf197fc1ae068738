# Installation: headers, both libraries, the command, pkg-config file and CMake package.
