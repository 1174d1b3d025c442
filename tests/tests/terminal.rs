//! Programs at a terminal: the same keys typed natively and inside, the same screen, the same end.
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
    let ask = "import getpass; print(getpass.getpass(\"word: \"))";
    let shown = same(&python(ask), &["until:word: ", "modes", "send:secret\\r", "until:secret"]);
    assert!(shown.contains("ICANON ISIG\n"), "{shown}");
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
        &["until:hello", "send:x", "until:x", "modes", "send:q"],
    );
}

#[test]
fn keys_for_signals_reach_the_program() {
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
