//! Programs at a terminal: the same keys typed natively and inside, the same screen, the same end. What is not the same is the mode of the
//! terminal meanwhile: inside it is raw from the first time on that a program asks for input.
//!
//! `tests/guests/terminal.py` is the user and the shell.

use tests::{kernel, paths, run::Guest, scratch::Scratch};

fn at_a_terminal(run: &str, program: &str, steps: &[&str]) -> String {
    let scratch = Scratch::empty().unwrap();
    let user = paths::sources().join("guests/terminal.py");
    let command = format!("$RUN {program}");
    let words = [&[user.to_str().unwrap(), &command], steps].concat();
    let mut guest = Guest::new("/usr/bin/python3", &words);
    let env = [("RUN", run), ("TERM", "xterm")];
    guest.env.extend(env.map(|(name, value)| (name.into(), value.into())));
    let outcome = guest.native(scratch.path()).unwrap();
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let errors = String::from_utf8_lossy(&outcome.stderr);
    assert_eq!((outcome.status, &*errors), (Some(0), ""), "RUN={run} {program} {steps:?}:\n{text}");
    text
}

fn inside(program: &str, steps: &[&str]) -> String {
    at_a_terminal(kernel::binary().unwrap().to_str().unwrap(), program, steps)
}

#[track_caller]
fn same(program: &str, steps: &[&str]) -> String {
    let native = at_a_terminal("", program, steps);
    assert_eq!(native, inside(program, steps), "{program} {steps:?}");
    native
}

/// A Python program that says when it is ready.
fn python(text: &str) -> String {
    format!("/usr/bin/python3 -c '\nimport os, signal, sys, termios, tty, time\n{text}'")
}

#[test]
fn settings_and_size_are_the_terminals() {
    same("stty -a", &[]);
    same("tput cols", &[]);
    let ask = "input(\"go? \"); print(os.get_terminal_size())";
    same(&python(ask), &["until:go? ", "size:33x99", "send:\\r"]);
}

#[test]
fn a_line_is_read_and_a_password_is_not_shown() {
    same(
        &python("print(\"hi\", input(\"name? \"))"),
        &["until:name? ", "send:anna\\r", "until:hi"],
    );
    let ask = "import getpass; print(\"got\", getpass.getpass(\"word: \"))";
    let shown = same(&python(ask), &["until:word: ", "send:secret\\r", "until:secret"]);
    assert!(shown.contains("word: \\r\\ngot secret"), "{shown}");
    let editing = ["until:name? ", "send:aXx\\x7f\\x7fnna\\x16\\x03\\r", "until:hi"];
    same(&python("print(\"hi\", repr(input(\"name? \")))"), &editing);
}

#[test]
fn the_caller_is_in_the_foreground_of_its_terminal() {
    same(
        &python(
            "print(os.tcgetpgrp(0) == os.getpgrp(), os.getsid(0) != 0)
os.tcsetpgrp(0, os.getpgrp())
for wrong in (-1, 4000000):
    try: os.tcsetpgrp(0, wrong)
    except OSError as error: print(error)
termios.tcdrain(1); termios.tcflow(1, termios.TCOON); termios.tcflush(0, termios.TCIFLUSH); termios.tcsendbreak(0, 0)
with open(\"/dev/tty\", \"w\") as terminal: print(\"by name\", terminal.isatty(), file=terminal)
print(os.isatty(0), os.get_terminal_size())",
        ),
        &[],
    );
}

#[test]
fn raw_mode_gives_every_key_and_is_over_when_the_program_is() {
    let raw = "tty.setraw(0); print(\"ready\", end=\"\", flush=True); key = os.read(0, 9); ";
    let steps = ["until:ready", "modes", "send:\\x03"];
    same(
        &python(&format!(
            "old = termios.tcgetattr(0); {raw} termios.tcsetattr(0, 1, old); print(key)"
        )),
        &steps,
    );
    // Whatever becomes of the program: natively a shell would have to put that right.
    for end in ["sys.exit(7)", "os.abort()", "os.kill(os.getpid(), 9)", "os.kill(os.getpid(), 15)"]
    {
        let shown = inside(&python(&format!("{raw} {end}")), &steps);
        assert!(
            shown.contains("modes:\n") && shown.ends_with("modes: ICANON ECHO ISIG\n"),
            "{shown}"
        );
    }
}

#[test]
fn a_full_screen_program_draws_the_same() {
    same(
        &python(
            "import curses
def main(screen):
    screen.addstr(3, 5, \"hello\"); screen.refresh()
    key = screen.getkey()
    screen.addstr(4, 5, \"key \" + key); screen.refresh()
    screen.getkey()
curses.wrapper(main)",
        ),
        &["until:hello", "send:x", "until:x", "send:q"],
    );
}

#[test]
fn what_is_typed_ahead_is_shown_once_and_read_later() {
    let late = "os.write(1, b\"ready\"); time.sleep(0.8); print(sys.stdin.readlines())";
    same(&python(late), &["until:ready", "send:one\\rtwX\\x7fo\\r\\x04", "until:["]);
    let raw = "os.write(1, b\"ready\"); time.sleep(0.8); old = termios.tcgetattr(0)
tty.setraw(0, 0); key = os.read(0, 99); termios.tcsetattr(0, 1, old); print(key)";
    same(&python(raw), &["until:ready", "send:abc", "until:abc"]);
    let half = "os.write(1, b\"ready\"); time.sleep(0.8); print(repr(input(\"go? \")))";
    same(&python(half), &["until:ready", "send:abc", "until:go? ", "send:d\\r", "until:abcd"]);
}

#[test]
fn keys_for_signals_reach_the_program() {
    // Python looks for a signal before it reads and after: one that comes between the two is seen at the next, here a timer's.
    let asked = "
signal.signal(2, signal.default_int_handler)
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.3, 0.3)
try: input(\"go? \")
except KeyboardInterrupt: print(\"interrupted\", termios.tcgetattr(0)[3], os.tcgetpgrp(0) == os.getpgrp())";
    same(&python(asked), &["until:go? ", "send:ab\\x03", "until:interrupted"]);
    let wait = "os.write(1, b\"ready\")\nwhile True: time.sleep(1)";
    same(
        &python(&format!("signal.signal(2, signal.SIG_DFL)\n{wait}")),
        &["until:ready", "send:\\x03"],
    );
    let handled = "signal.signal(2, lambda *_: sys.exit(5))\nsignal.signal(3, lambda *_: print(\"quit\", flush=True))\n";
    let steps = ["until:ready", "send:\\x1c", "until:quit", "send:\\x03"];
    same(&python(&format!("{handled}{wait}")), &steps);
    let resized = "signal.signal(signal.SIGWINCH, lambda *_: (print(os.get_terminal_size(0)), sys.exit(0)))\n";
    same(&python(&format!("{resized}{wait}")), &["until:ready", "size:50x100"]);
}

#[test]
fn a_program_stops_and_goes_on_as_the_shell_says() {
    let main = "os.write(1, b\"ready\")\nprint(\"got\", sys.stdin.readline().strip())";
    let steps = ["until:ready", "send:\\x1a", "stopped", "continue", "send:on\\r", "until:got"];
    same(&python(main), &steps);
    // One that wants to put the screen in order before, as editors do, and stops itself then.
    let handler = "
def stop(*_):
    print(\"stopping\", flush=True)
    signal.signal(signal.SIGTSTP, signal.SIG_DFL); os.kill(0, signal.SIGTSTP)
    print(\"back\", flush=True)
signal.signal(signal.SIGTSTP, stop)\n";
    // Its last word comes before what is typed next, or the terminal's echo may.
    let steps = [
        "until:ready",
        "send:\\x1a",
        "stopped",
        "continue",
        "until:back",
        "send:on\\r",
        "until:got",
    ];
    same(&python(&format!("{handler}{main}")), &steps);
    same(
        &python(&format!("signal.signal(signal.SIGTSTP, signal.SIG_IGN)\n{main}")),
        &["until:ready", "send:\\x1aon\\r", "until:got"],
    );
    same(
        &python(&format!("os.kill(os.getpid(), signal.SIGSTOP)\n{main}")),
        &["stopped", "continue", "until:ready", "send:on\\r"],
    );
}

#[test]
fn a_shell_controls_its_jobs() {
    let steps = [
        "until:> ",
        // Not `cat` alone: what is typed before the shell has put the terminal's modes back is the shell's.
        "send:sh -c 'echo ready; exec cat'\\r",
        "until:\\rready\\r\\n",
        "send:hello\\r",
        "until:hello\\r\\nhello",
        "send:\\x1a",
        "until:Stopped",
        "until:> ",
        "send:jobs\\r",
        "until:Stopped",
        "until:> ",
        "send:fg\\r",
        "until:exec cat'\\r\\n",
        "send:again\\r",
        "until:again\\r\\nagain",
        "send:\\x03",
        "until:> ",
        "send:echo $?\\r",
        "until:130",
        "until:> ",
        "send:(exit 3) | cat; echo ${PIPESTATUS[*]}\\r",
        "until:3 0",
        "until:> ",
        "send:exit 7\\r",
    ];
    let shown = same("/usr/bin/env PS1='> ' /bin/bash --norc --noprofile -i", &steps);
    assert!(shown.contains("ended 7\n"), "{shown}");
}

#[test]
fn a_program_runs_others_at_ptys_of_its_own() {
    let keys = ["send:abc\\r", "until:abc\\r\\nabc", "send:\\x04"];
    same("/usr/bin/script -qc 'cat; stty -a' /dev/null", &keys);
    let spawn = "import pty
print(os.waitstatus_to_exitcode(pty.spawn([\"/bin/sh\", \"-c\", \"stty size; tty >/dev/null && exit 4\"])))
child, master = pty.fork()
if child == 0: os.execvp(\"cat\", [\"cat\"])
os.write(master, b\"hey\\n\\x04\")
said = b\"\"
try:
    while True: said += os.read(master, 99)
except OSError as error: print(said, error, os.waitpid(child, 0)[1])";
    same(&python(spawn), &[]);
}
