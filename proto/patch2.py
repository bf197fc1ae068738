s=open('amx4.c').read()
# B: [k/256][n/32][8][1024]
s=s.replace('''for(size_t j=0;j<n/32;j++)for(size_t p=0;p<k/32;p++)for(size_t t=0;t<2;t++)''','''for(size_t pb=0;pb<k/256;pb++)for(size_t j=0;j<n/32;j++)for(size_t p=pb*8;p<pb*8+8;p++)for(size_t t=0;t<2;t++)''')
s=s.replace('wp+(j*(k/32)+p/32)*1024','wp+(p/256*nbl+j)*8192')
open('amx5.c','w').write(s)
