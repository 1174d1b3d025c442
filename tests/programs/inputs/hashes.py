import hashlib, hmac, zlib, base64, bz2, lzma, gzip, random
d = bytes(range(256)) * 1000
for n in ("md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b"): print(n, hashlib.new(n, d).hexdigest())
print(hmac.new(b"key", d, "sha256").hexdigest(), zlib.crc32(d), zlib.adler32(d))
print(len(zlib.compress(d, 9)), len(bz2.compress(d)), len(lzma.compress(d)), gzip.decompress(gzip.compress(d)) == d)
print(hashlib.pbkdf2_hmac("sha256", b"pw", b"salt", 5000).hex(), base64.b85encode(b"hello"))
r = random.Random(7); print([r.randrange(1000) for _ in range(8)], round(r.gauss(0, 1), 9))
