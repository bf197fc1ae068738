# the README's program compiles as it stands, warnings as errors, and runs
awk '/^```c$/ {code = 1; next} /^```$/ {code = 0} code' "$SOURCE/README.md" >readme.c
sanitize=$(grep -q '^CLIPSPAN_SANITIZE:.*=address' "$BUILD/CMakeCache.txt" && echo '-fsanitize=address,undefined' || true)
cc -std=c17 -Wall -Wextra -Werror $sanitize -I"$SOURCE/include" readme.c -L"$BUILD/src" -lclipspan -o readme
tiny model
scenes scenes 10
LD_LIBRARY_PATH="$BUILD/src" ./readme model scenes/labels.csv | sed 's/: .*/: N/'
LD_LIBRARY_PATH="$BUILD/src" ./readme nowhere scenes/labels.csv 2>&1 || echo "exit $?"
