import threading, queue, time, concurrent.futures as cf
q, done = queue.Queue(8), []
def work():
    while (n := q.get()) is not None:
        done.append(n * n)
ts = [threading.Thread(target=work) for _ in range(8)]
for t in ts: t.start()
for n in range(2000): q.put(n)
for _ in ts: q.put(None)
for t in ts: t.join()
print(len(done), sum(done))
lock, count = threading.Lock(), 0
def add():
    global count
    for _ in range(2000):
        with lock: count += 1
ts = [threading.Thread(target=add) for _ in range(10)]
[t.start() for t in ts]; [t.join() for t in ts]
print(count)
e = threading.Event()
threading.Timer(0.05, e.set).start()
print(e.wait(10), e.wait(0))
print(threading.Condition().acquire(), threading.Semaphore(0).acquire(timeout=0.01))
with cf.ThreadPoolExecutor(4) as pool: print(sum(pool.map(lambda n: n % 7, range(1000))))
b = threading.Barrier(3); out = []
ts = [threading.Thread(target=lambda: (b.wait(), out.append(1))) for _ in range(3)]
[t.start() for t in ts]; [t.join() for t in ts]; print(out)
time.sleep(0.01)
