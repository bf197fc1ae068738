#define _GNU_SOURCE
#include <immintrin.h>
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#define T __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bf16,avx512bw,avx512vl")))
static double now(void){struct timespec t;clock_gettime(CLOCK_MONOTONIC,&t);return t.tv_sec+1e-9*t.tv_nsec;}
typedef struct { uint8_t palette,start,res[14]; uint16_t bytes[16]; uint8_t rows[16]; } cfg;
T static void config(void){ static cfg c; c.palette=1; for(int i=0;i<8;i++){c.bytes[i]=64;c.rows[i]=16;} __asm__ volatile(""::"r"(&c):"memory"); _tile_loadconfig(&c); }
/* B packed: [n/32][k/32][2 tiles][1024 bytes] */
static void pack(uint16_t*out,const uint16_t*w/*[n,k]*/,size_t n,size_t k){
  for(size_t j=0;j<n/32;j++)for(size_t p=0;p<k/32;p++)for(size_t t=0;t<2;t++)for(size_t r=0;r<16;r++)for(size_t c=0;c<16;c++)for(size_t e=0;e<2;e++)
    *out++ = w[(j*32+t*16+c)*k + p*32+2*r+e];
}
/* c 32x32 f32 (ldc) += a[32,kb] b */
T static inline void block(float*c,size_t ldc,const uint16_t*a,size_t lda,const uint16_t*b,size_t steps,int first){
  if(first){_tile_zero(0);_tile_zero(1);_tile_zero(2);_tile_zero(3);}
  else{ _tile_loadd(0,c,ldc*4);_tile_loadd(1,c+16,ldc*4);_tile_loadd(2,c+16*ldc,ldc*4);_tile_loadd(3,c+16*ldc+16,ldc*4);}
  for(size_t s=0;s<steps;s++){
    _tile_loadd(4,a+s*32,lda*2); _tile_loadd(6,b+s*1024,64);
    _tile_dpbf16ps(0,4,6);
    _tile_loadd(7,b+s*1024+512,64);
    _tile_dpbf16ps(1,4,7);
    _tile_loadd(5,a+16*lda+s*32,lda*2);
    _tile_dpbf16ps(2,5,6);
    _tile_dpbf16ps(3,5,7);
  }
  _tile_stored(0,c,ldc*4);_tile_stored(1,c+16,ldc*4);_tile_stored(2,c+16*ldc,ldc*4);_tile_stored(3,c+16*ldc+16,ldc*4);
}

T static inline void block2(float*c,const uint16_t*a,const uint16_t*b,size_t steps){
  _tile_zero(0);_tile_zero(1);_tile_zero(2);_tile_zero(3);
  for(size_t s=0;s<steps;s++){
    _tile_loadd(4,a+s*1024,64); _tile_loadd(6,b+s*1024,64);
    _tile_dpbf16ps(0,4,6);
    _tile_loadd(7,b+s*1024+512,64);
    _tile_dpbf16ps(1,4,7);
    _tile_loadd(5,a+s*1024+512,64);
    _tile_dpbf16ps(2,5,6);
    _tile_dpbf16ps(3,5,7);
  }
  _tile_stored(0,c,128);_tile_stored(1,c+16,128);_tile_stored(2,c+512,128);_tile_stored(3,c+512+16,128);
}
/* y [m,n] bf16 out */
T static void gemm(uint16_t*y,const uint16_t*x,const uint16_t*wp,size_t m,size_t n,size_t k,size_t mb,size_t jb){
#pragma omp parallel
  { config();
    size_t th=omp_get_num_threads(), id=omp_get_thread_num();
    size_t strips=m/32, nbl=n/32;
    size_t j0=nbl*id/th, j1=nbl*(id+1)/th;
    static _Thread_local uint16_t*ap; if(!ap) ap=aligned_alloc(64,65*32*4096*2);
    float c[32*32] __attribute__((aligned(64)));
    for(size_t s0=0;s0<strips;s0+=mb){
      size_t s1=s0+mb<strips?s0+mb:strips;
      for(size_t s=s0;s<s1;s++) for(size_t r=0;r<32;r++) for(size_t p=0;p<k/32;p++)
        _mm512_store_si512(ap+((s-s0)*(k/32)+p)*1024+(r/16)*512+(r%16)*32,_mm512_loadu_si512(x+(s*32+r)*k+p*32));
      for(size_t jj=j0;jj<j1;jj+=jb)
      for(size_t s=s0;s<s1;s++)
      for(size_t j=jj;j<jj+jb&&j<j1;j++){
        block2(c,ap+(s-s0)*(k/32)*1024,wp+j*(k/32)*1024,k/32);
        for(size_t r=0;r<32;r++){ 
          __m512 lo=_mm512_load_ps(c+r*32),hi=_mm512_load_ps(c+r*32+16);
          _mm512_storeu_si512(y+(s*32+r)*n+j*32,(__m512i)_mm512_cvtne2ps_pbh(hi,lo)); }
      }
    }
    _tile_release();
  }
}

int main(int argc,char**argv){
  syscall(SYS_arch_prctl,0x1023,18); config();
  uint16_t*a=aligned_alloc(64,1<<24),*b=aligned_alloc(64,1<<24); float c[1024] __attribute__((aligned(64)));
  memset(a,0,1<<24);memset(b,0,1<<24);
  for(size_t steps=4;steps<=32;steps*=2) for(size_t nb=1;nb<=64;nb*=4){
    double best=1e9; size_t reps=20000/nb*32/steps/4+1;
    for(int t=0;t<5;t++){double t0=now(); for(size_t r=0;r<reps;r++) for(size_t j=0;j<nb;j++) block2(c,a,b+j*steps*1024,steps); double d=now()-t0; if(d<best)best=d;}
    printf("A %zu KB in L1, B %zu KB: %.0f GFLOP/s\n",steps*2,steps*2*nb,2.0*1024*32*steps*nb*reps/best*1e-9);
  }
}
