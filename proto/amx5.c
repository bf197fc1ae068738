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
static double now(void){struct timespec t;clock_gettime(CLOCK_THREAD_CPUTIME_ID,&t);return t.tv_sec+1e-9*t.tv_nsec;}
typedef struct { uint8_t palette,start,res[14]; uint16_t bytes[16]; uint8_t rows[16]; } cfg;
T static void config(void){ static cfg c; c.palette=1; for(int i=0;i<8;i++){c.bytes[i]=64;c.rows[i]=16;} __asm__ volatile(""::"r"(&c):"memory"); _tile_loadconfig(&c); }
/* B packed: [n/32][k/32][2 tiles][1024 bytes] */
static void pack(uint16_t*out,const uint16_t*w/*[n,k]*/,size_t n,size_t k){
  for(size_t pb=0;pb<k/256;pb++)for(size_t j=0;j<n/32;j++)for(size_t p=pb*8;p<pb*8+8;p++)for(size_t t=0;t<2;t++)for(size_t r=0;r<16;r++)for(size_t c=0;c<16;c++)for(size_t e=0;e<2;e++)
    *out++ = w[(j*32+t*16+c)*k + p*32+2*r+e];
}

T static inline void blk(float*c,const uint16_t*a,size_t lda,const uint16_t*b,size_t steps,int first,const uint16_t*next){
  if(first){_tile_zero(0);_tile_zero(1);_tile_zero(2);_tile_zero(3);}
  else{_tile_loadd(0,c,64);_tile_loadd(1,c+256,64);_tile_loadd(2,c+512,64);_tile_loadd(3,c+768,64);}
  for(size_t s=0;s<steps;s++){
    _tile_loadd(4,a+s*1024,64); _tile_loadd(6,b+s*1024,64);
    _tile_dpbf16ps(0,4,6);
    _tile_loadd(7,b+s*1024+512,64);
    _tile_dpbf16ps(1,4,7);
#if PF
    _mm_prefetch((const char*)(next+s*64),_MM_HINT_T0);
    _mm_prefetch((const char*)(next+s*64+32),_MM_HINT_T0);
#endif
    _tile_loadd(5,a+s*1024+512,64);
    _tile_dpbf16ps(2,5,6);
    _tile_dpbf16ps(3,5,7);
  }
  _tile_stored(0,c,64);_tile_stored(1,c+256,64);_tile_stored(2,c+512,64);_tile_stored(3,c+768,64);
}
T static void gemm(uint16_t*y,size_t ldy,const uint16_t*x,size_t ldx,const uint16_t*wp,size_t m,size_t n,size_t k,size_t mb,size_t nb,size_t kb){
  size_t strips=m/32,nbl=n/32, mbl=(strips+mb-1)/mb, panels=(nbl+nb-1)/nb; 
  size_t pm=(strips+mbl-1)/mbl, pn=(nbl+panels-1)/panels;
#pragma omp parallel
  { config();
    static _Thread_local float*c; if(!c) c=aligned_alloc(64,4096*1024);
#pragma omp for schedule(static)
    for(size_t task=0;task<mbl*panels;task++){
      size_t j0=task/mbl*pn,j1=j0+pn<nbl?j0+pn:nbl,s0=task%mbl*pm,s1=s0+pm<strips?s0+pm:strips;
      for(size_t p=0;p<k;p+=kb){ size_t steps=(k-p<kb?k-p:kb)/32;
       for(size_t s=s0;s<s1;s++) for(size_t j=j0;j<j1;j++)
        blk(c+((s-s0)*(j1-j0)+(j-j0))*1024,x+s*32*k+p/32*1024,ldx,wp+(p/256*nbl+j)*8192,steps,p==0,x+(s+1<s1?s+1:s0)*32*k+p/32*1024+(j-j0)%16*512);
      }
      for(size_t s=s0;s<s1;s++) for(size_t r=0;r<32;r++) for(size_t j=j0;j<j1;j++){ float*cc=c+((s-s0)*(j1-j0)+(j-j0))*1024+(r/16)*512+(r%16)*16;
          _mm512_storeu_si512(y+(s*32+r)*ldy+j*32,(__m512i)_mm512_cvtne2ps_pbh(_mm512_load_ps(cc+256),_mm512_load_ps(cc))); }
    }
    _tile_release();
  }
}
int main(int argc,char**argv){
  size_t m=2080,k=atoi(argv[1]),n=atoi(argv[2]); int th=atoi(argv[3]);
  size_t ldx=k+32,ldy=n+32;
  syscall(SYS_arch_prctl,0x1023,18); omp_set_num_threads(th);
  uint16_t*x=aligned_alloc(64,m*ldx*2),*w=aligned_alloc(64,n*k*2),*wp=aligned_alloc(64,n*k*2); uint16_t*y=aligned_alloc(64,m*ldy*2);
  for(size_t i=0;i<m*ldx;i++)x[i]=0x3f80+(rand()&0x7f); for(size_t i=0;i<n*k;i++)w[i]=(rand()&0x807f)|0x3c00;
  pack(wp,w,n,k);
  for(size_t mb=4;mb<=16;mb*=2) for(size_t nb=8;nb<=16;nb*=2) for(size_t kb=256;kb<=256;kb*=2){
    double best=1e9; for(int t=0;t<10;t++){double b=now();gemm(y,ldy,x,ldx,wp,m,n,k,mb,nb,kb);double d=now()-b;if(d<best)best=d;}
    printf("mb %zu nb %zu kb %zu: %.0f GFLOP/s\n",mb,nb,kb,2.0*m*n*k/best*1e-9);
  }
  double worst=0; for(int t=0;t<200;t++){size_t i=rand()%m,j=rand()%n;double s=0;for(size_t q=0;q<k;q++){uint32_t a=(uint32_t)x[i*ldx+q]<<16,b=(uint32_t)w[j*k+q]<<16;float fa,fb;memcpy(&fa,&a,4);memcpy(&fb,&b,4);s+=(double)fa*fb;}uint32_t yb=(uint32_t)y[i*ldy+j]<<16;float fy;memcpy(&fy,&yb,4);double e=(s-fy)/s;if(e<0)e=-e;if(e>worst)worst=e;}
  printf("worst %g\n",worst);
}
