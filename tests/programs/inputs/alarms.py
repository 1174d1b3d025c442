import signal, time, os, select, errno
def h(n, f): print("signal", signal.Signals(n).name)
signal.signal(signal.SIGALRM, h)
signal.setitimer(signal.ITIMER_REAL, 0.05); t = time.monotonic(); time.sleep(0.15); print(time.monotonic() - t >= 0.149)
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
n = 0
def count(*a):
    global n; n += 1
signal.signal(signal.SIGALRM, count)
while n < 5: pass
signal.setitimer(signal.ITIMER_REAL, 0); print(n >= 5, signal.getitimer(signal.ITIMER_REAL))
signal.signal(signal.SIGUSR1, h); os.kill(os.getpid(), signal.SIGUSR1); signal.raise_signal(signal.SIGUSR1)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1}); os.kill(os.getpid(), signal.SIGUSR1)
print(sorted(s.name for s in signal.sigpending()), signal.sigwait({signal.SIGUSR1}).name)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
print(signal.sigtimedwait({signal.SIGUSR2}, 0.01))
r, w = os.pipe(); os.set_blocking(w, False); signal.set_wakeup_fd(w); os.kill(os.getpid(), signal.SIGUSR1); print(os.read(r, 10) == bytes([signal.SIGUSR1]))
signal.set_wakeup_fd(-1)
class Alarm(Exception): pass
def boom(*a): raise Alarm
signal.signal(signal.SIGALRM, boom); signal.alarm(1)
try: select.select([r], [], [], 10); print("no")
except Alarm: print("raised out of select")
def fpe(*a): raise ZeroDivisionError
signal.signal(signal.SIGTERM, fpe)
try: os.kill(os.getpid(), signal.SIGTERM); time.sleep(1)
except ZeroDivisionError: print("term")
