import subprocess,re
s=open('amx6.c').read().replace('CLOCK_MONOTONIC','CLOCK_THREAD_CPUTIME_ID')
s=s.replace('for(size_t mb=4;mb<=16;mb*=2) for(size_t nb=8;nb<=16;nb*=2)','for(size_t mb=4;mb<=8;mb*=2) for(size_t nb=8;nb<=16;nb*=2)')
def run(name,t):
    open('ab.c','w').write(t); subprocess.check_call('gcc -O3 -DPF=1 -fopenmp ab.c -o ab',shell=True)
    o=subprocess.run(['./ab','1024','4096','1'],capture_output=True,text=True).stdout
    print(name,re.findall(r': (\d+) GF',o))
run('base',s)
noep=s.replace('for(size_t s=s0;s<s1;s++) for(size_t r=0;r<32;r++) for(size_t j=j0;j<j1;j++){','for(size_t s=s0;s<s0+(ldy==1);s++) for(size_t r=0;r<32;r++) for(size_t j=j0;j<j1;j++){')
run('no epilogue',noep)
fa=noep.replace('x+s*32*k+p/32*1024','x+(s-s0)*32*k+p/32*1024')
run('+A same',fa)
fb=fa.replace('wp+(p/256*nbl+j)*8192','wp+(p/256*nbl+j-j0)*8192')
run('+B panel same',fb)
fc=fb.replace('wp+(p/256*nbl+j-j0)*8192','wp+(j-j0)*8192')
run('+B one k-block',fc)
fd=fc.replace('x+(s-s0)*32*k+p/32*1024','x+(s-s0)*32*256')
run('+A one k-block',fd)
