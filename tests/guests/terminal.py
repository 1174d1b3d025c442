"""A user at a terminal: starts a command on a new pseudo-terminal as a shell with job control does, carries out steps, and prints
what the screen showed and how the command ended.

  terminal.py COMMAND STEP...

  until:TEXT    read until the screen shows TEXT, after what was waited for before
  send:KEYS     type; backslash escapes as in Python
  size:RxC      change the window
  modes         print the terminal's local modes
  stopped       wait until the shell sees the command stopped, and print the signal
  continue      put it in the foreground again
"""
import fcntl, os, pty, select, signal, struct, sys, termios, time

LIMIT = 40
# Seconds that a user takes to react to what is shown. Natively too a key that comes between a prompt and the read for which it was shown can
# find a program that does not wait yet.
REACTION = 0.1


def shell(command, reports, orders):
    """The session's leader: starts the command in a group of its own and tells what becomes of it."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpgrp())
        # As a login leaves them, whatever whoever runs the tests ignores.
        for number in signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTTOU:
            signal.signal(number, signal.SIG_DFL)
        os.closerange(3, 64)
        os.execvp("bash", ["bash", "-c", "exec " + command])
    while True:
        _, status = os.waitpid(child, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            os.write(reports, b"stopped %d\n" % os.WSTOPSIG(status))
            os.read(orders, 1)
            os.tcsetpgrp(0, child)
            os.kill(-child, signal.SIGCONT)
        else:
            code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            os.write(reports, b"ended %d\n" % code)
            os.read(orders, 1)
            os._exit(0)


def main(command, steps):
    report_in, report_out = os.pipe()
    order_in, order_out = os.pipe()

    child, screen = pty.fork()
    if child == 0:
        shell(command, report_out, order_in)
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    shown, seen, deadline = b"", 0, time.monotonic() + LIMIT

    def fail(why):
        print("screen:", repr(shown.decode("latin-1")))
        print("FAILED:", why)
        os.kill(child, signal.SIGKILL)
        sys.exit(1)

    def more(wanted):
        """Waits for the screen or a report; returns a report if there is one."""
        nonlocal shown
        ready, _, _ = select.select([screen, report_in], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            fail(wanted)
        if screen in ready:
            try:
                shown += os.read(screen, 65536)
            except OSError:
                pass
        elif report_in in ready:
            return os.read(report_in, 100).decode().strip()

    def modes():
        flags = termios.tcgetattr(screen)[3]
        names = ("ICANON", "ECHO", "ISIG")
        print("modes:", *[name for name in names if flags & getattr(termios, name)])

    for step in steps:
        kind, _, value = step.partition(":")
        value = value.encode().decode("unicode_escape").encode("latin-1")
        if kind == "until":
            while value not in shown[seen:]:
                if report := more(step):
                    fail(step + ", but " + report)
            seen = shown.index(value, seen) + len(value)
        elif kind == "send":
            time.sleep(REACTION)
            os.write(screen, value)
        elif kind == "size":
            rows, columns = map(int, value.split(b"x"))
            fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        elif kind == "modes":
            modes()
        elif kind == "stopped":
            while not (report := more(step)):
                pass
            print(report)
        elif kind == "continue":
            os.write(order_out, b"c")
        else:
            fail(step)
    while not (report := more("the end")):
        pass
    while select.select([screen], [], [], 0)[0]:
        shown += os.read(screen, 65536)
    print("screen:", repr(shown.decode("latin-1")))
    print(report)
    modes()
    os.write(order_out, b"c")
    os.waitpid(child, 0)


main(sys.argv[1], sys.argv[2:])
