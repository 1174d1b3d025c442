import mmap, os, tempfile
open("m", "wb").write(b"a" * 10000)
f = open("m", "r+b"); m = mmap.mmap(f.fileno(), 0)
m[0:5] = b"hello"; m[9999:] = b"z"; m.flush()
print(open("m", "rb").read(6), open("m", "rb").read()[-2:], m.find(b"z"), len(m))
p = mmap.mmap(f.fileno(), 4096, flags=mmap.MAP_PRIVATE); p[0:3] = b"XYZ"; print(p[:6], open("m", "rb").read(6))
m.resize(20000); print(len(m), os.path.getsize("m"), m[10000], m[19999]); m.close()
a = mmap.mmap(-1, 1 << 20); a[4096:4100] = b"anon"; print(a[4090:4104], a[1 << 19]); a.madvise(mmap.MADV_DONTNEED, 4096, 4096); print(a[4096:4100]); a.close()
r = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
try: r[0] = 1
except TypeError as e: print(e)
try: mmap.mmap(f.fileno(), 1 << 20, access=mmap.ACCESS_READ)
except ValueError as e: print(e)
with tempfile.TemporaryFile() as t: t.write(b"x" * 5000); t.seek(4999); print(t.read(), os.fstat(t.fileno()).st_nlink)
