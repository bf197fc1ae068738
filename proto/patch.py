s=open('amx3.c').read()
# packed A given in advance: x tiles [strip][k/32][1024]
s=s.replace('_tile_loadd(4,a+s*32,lda*2);','_tile_loadd(4,a+s*1024,64);').replace('_tile_loadd(5,a+16*lda+s*32,lda*2);','_tile_loadd(5,a+s*1024+512,64);')
s=s.replace('x+s*32*ldx+p,ldx,','x+s*32*k+p/32*1024,ldx,')
s=s.replace('''    _mm_prefetch((const char*)(next+s*32),_MM_HINT_T0);
    _mm_prefetch((const char*)(next+lda+s*32),_MM_HINT_T0);''','''    _mm_prefetch((const char*)(next+s*64),_MM_HINT_T0);
    _mm_prefetch((const char*)(next+s*64+32),_MM_HINT_T0);''')
s=s.replace('x+((s+1<s1?s+1:s0)*32+(j-j0)%16*2)*ldx+p','x+(s+1<s1?s+1:s0)*32*k+p/32*1024+(j-j0)%16*512')
open('amx4.c','w').write(s)
