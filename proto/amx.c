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
/* y [m,n] f32 = x w', variant: nb columns a panel, kb */
T static void gemm(float*y,const uint16_t*x,const uint16_t*wp,size_t m,size_t n,size_t k,size_t mb,size_t kb){
#pragma omp parallel
  { config();
    size_t th=omp_get_num_threads(), id=omp_get_thread_num();
    size_t strips=m/32, nbl=n/32;
    /* split n between threads */
    size_t j0=nbl*id/th, j1=nbl*(id+1)/th;
    for(size_t s0=0;s0<strips;s0+=mb)
     for(size_t p=0;p<k;p+=kb){
      for(size_t j=j0;j<j1;j++){
        const uint16_t*b=wp+(j*(k/32)+p/32)*1024;
        size_t s1=s0+mb<strips?s0+mb:strips;
        for(size_t s=s0;s<s1;s++) block(y+s*32*n+j*32,n,x+s*32*k+p,k,b,(k-p<kb?k-p:kb)/32,p==0);
      }
     }
    _tile_release();
  }
}
int main(int argc,char**argv){
  size_t m=2080,k=atoi(argv[1]),n=atoi(argv[2]); int th=atoi(argv[3]);
  syscall(SYS_arch_prctl,0x1023,18); omp_set_num_threads(th);
  uint16_t*x=aligned_alloc(64,m*k*2),*w=aligned_alloc(64,n*k*2),*wp=aligned_alloc(64,n*k*2); float*y=aligned_alloc(64,m*n*4);
  for(size_t i=0;i<m*k;i++)x[i]=0x3f80+(rand()&0x7f); for(size_t i=0;i<n*k;i++)w[i]=(rand()&0x807f)|0x3c00;
  pack(wp,w,n,k);
  for(size_t mb=4;mb<=65;mb=mb*2+ (mb==32)) for(size_t kb=256;kb<=k;kb*=2){
    double best=1e9; for(int t=0;t<8;t++){double b=now();gemm(y,x,wp,m,n,k,mb,kb);double d=now()-b;if(d<best)best=d;}
    printf("mb %zu kb %zu: %.0f GFLOP/s\n",mb,kb,2.0*m*n*k/best*1e-9);
  }
  /* check */
  double worst=0; for(int t=0;t<200;t++){size_t i=rand()%m,j=rand()%n;double s=0;for(size_t q=0;q<k;q++){uint32_t a=(uint32_t)x[i*k+q]<<16,b=(uint32_t)w[j*k+q]<<16;float fa,fb;memcpy(&fa,&a,4);memcpy(&fb,&b,4);s+=(double)fa*fb;}double e=(s-y[i*n+j]);if(e<0)e=-e;if(e>worst)worst=e;}
  printf("worst %g\n",worst);
}
