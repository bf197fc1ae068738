#define _GNU_SOURCE
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/mman.h>
static double now(void){struct timespec t;clock_gettime(CLOCK_THREAD_CPUTIME_ID,&t);return t.tv_sec+1e-9*t.tv_nsec;}
__attribute__((target("avx512f"))) int main(void){
 char*p=aligned_alloc(2<<20,256<<20);madvise(p,256<<20,MADV_HUGEPAGE);memset(p,1,256<<20);
 for(size_t kb=16;kb<=131072;kb*=2){ size_t b=kb<<10; double best=1e9,bw=1e9; size_t reps=(64<<20)/b+1;
  for(int t=0;t<5;t++){double t0=now();__m512i s=_mm512_setzero_si512();for(size_t r=0;r<reps;r++)for(size_t i=0;i<b;i+=256){s=_mm512_xor_si512(s,_mm512_load_si512(p+i));s=_mm512_xor_si512(s,_mm512_load_si512(p+i+64));s=_mm512_xor_si512(s,_mm512_load_si512(p+i+128));s=_mm512_xor_si512(s,_mm512_load_si512(p+i+192));}
   double d=now()-t0;volatile long q=_mm512_reduce_add_epi64(s);(void)q;if(d<best)best=d;
   t0=now();for(size_t r=0;r<reps;r++)memset(p,r,b);d=now()-t0;if(d<bw)bw=d;}
  printf("%zu KB read %.1f GB/s  memset %.1f\n",kb,reps*(double)b/best*1e-9,reps*(double)b/bw*1e-9);}
}
