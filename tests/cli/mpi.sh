# ranks under mpirun: the store of one process, whatever their number; killed, failing and resumed
if ! command -v mpirun >/dev/null || OMPI_COMM_WORLD_SIZE=2 clipspan decompose a b -o c 2>&1 | grep -q 'without MPI'; then
  echo 'skipped: mpirun or a build with MPI is missing (scripts/deps mpi)'
  exit 77
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_WAIT_POLICY=passive
export OMPI_MCA_btl=self,vader OMPI_MCA_btl_vader_single_copy_mechanism=none # one machine, without privileges
ranks() { n=$1; shift; mpirun --oversubscribe -n "$n" "$BUILD/clipspan" "$@"; }
tiny model
scenes scenes 100
list=scenes/labels.csv
options="--shard-images 4 --batch 4 --threads 1"
clipspan decompose model $list -o whole $options --quiet
ranks 4 decompose model $list -o store $options
diff -r whole store && echo same
clipspan decompose model $list -o whole-moments $options --moments --neurons --quiet
ranks 3 decompose model $list -o moments $options --moments --neurons --quiet
diff -r whole-moments moments && echo 'same moments'
# begun by one process, gone on with by three, by two, and by hand
timeout -s KILL 0.1 "$BUILD/clipspan" decompose model $list -o killed $options --quiet >/dev/null 2>&1 || true
ranks 3 decompose model $list -o killed $options --quiet >/dev/null 2>&1 &
while kill -0 $! 2>/dev/null && ! [ -s killed/lock-2-of-3 ]; do :; done
kill -9 "$(cat killed/lock-2-of-3)" && echo killed
wait $! || true
ranks 2 decompose model $list -o killed $options --quiet
diff -r whole killed && echo 'same after kills'
# what goes wrong is said once
says() { "$@" 2>&1 >/dev/null | grep clipspan | sed "s|$scratch|TMP|g"; }
says ranks 3 decompose model $list -o store $options --store-dtype f16
says ranks 2 decompose model no-list -o new $options
[ -e new ] || echo 'nothing is left'
