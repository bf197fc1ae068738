# ranks under mpirun: the store of one process, whatever their number; killed, failing and resumed
if ! command -v mpirun >/dev/null || OMPI_COMM_WORLD_SIZE=2 clipspan decompose a b -o c 2>&1 | grep -q 'without MPI'; then
  echo 'skipped: mpirun or a build with MPI is missing (scripts/deps mpi)'
  exit 77
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_btl=self,vader OMPI_MCA_btl_vader_single_copy_mechanism=none # one machine, without privileges
ranks() { n=$1; shift; mpirun --oversubscribe -n "$n" "$BUILD/clipspan" decompose model "$@" --shard-images 4 --batch 4 --neurons; }
says() { "$@" 2>&1 >/dev/null | grep clipspan | sed "s|$scratch|TMP|g"; }
tiny model
scenes scenes 40
list=scenes/labels.csv
clipspan decompose model $list -o whole --shard-images 4 --batch 4 --neurons --threads 2 --quiet
ranks 4 $list -o store --threads 1
diff -r whole store && echo same
# a rank that fails stops the others, and is the one that speaks
mv scenes/images/000023.png picture
head -c 100 picture >scenes/images/000023.png
says ranks 3 $list -o failed --strict
mv picture scenes/images/000023.png
# gone on with by two, one of which is killed, unless it was done before; then by one process
ranks 2 $list -o failed --quiet >/dev/null 2>&1 &
while kill -0 $! 2>/dev/null && ! [ -s failed/lock-2-of-2 ]; do :; done
kill -9 "$(cat failed/lock-2-of-2 2>/dev/null)" 2>/dev/null || true
wait $! || true
clipspan decompose model $list -o failed --shard-images 4 --batch 4 --neurons --threads 1 --quiet
diff -r whole failed && echo 'same after a failure and a kill'
# what goes wrong at once is said once
says ranks 3 $list -o store --store-dtype f16
says ranks 2 no-list -o new
[ -e new ] || echo 'nothing is left'
