//! `libos exec` and `libos ps`: a running kernel is asked for something.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener, process::CommandExt},
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use nix::sys::signal::Signal;
use tests::{
    background::{self, Background, until},
    kernel, paths,
    run::Guest,
    scratch::Scratch,
};

/// A kernel named `name` that runs until it is killed.
fn kernel_named(scratch: &Scratch, name: &str) -> Background {
    let machine =
        Background::start(scratch.path(), &["--init", "--name", name, "/bin/sleep", "1000"])
            .unwrap();
    let path = scratch.path().join(format!("libos/{name}.sock"));
    until(|| path.exists().then_some(())).expect("the kernel listens");
    machine
}

fn libos(dir: &Path, words: &[&str]) -> Output {
    background::command(dir).unwrap().args(words).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_program_runs_in_the_kernel_that_is_there() {
    let scratch = Scratch::empty().unwrap();
    let _machine = kernel_named(&scratch, "one");
    let output =
        libos(scratch.path(), &["exec", "sh", "-c", "echo $$ $PPID; echo err >&2; exit 7"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout), text(&output.stderr)),
        (Some(7), "3 1\n".into(), "err\n".into())
    );
    let output = libos(scratch.path(), &["exec", "--name", "one", "sh", "-c", "kill -SEGV $$"]);
    assert_eq!(output.status.code(), Some(139));
    // What one has written another one finds: it is the same machine.
    assert!(libos(scratch.path(), &["exec", "sh", "-c", "echo there >/tmp/note"]).status.success());
    assert_eq!(text(&libos(scratch.path(), &["exec", "cat", "/tmp/note"]).stdout), "there\n");
}

#[test]
fn it_gets_the_clients_arguments_environment_folder_and_streams() {
    let scratch = Scratch::empty().unwrap();
    let _machine = kernel_named(&scratch, "one");
    let script = "echo \"$A $B $1\"; pwd; cat; echo e >&2";
    let mut command = background::command(scratch.path()).unwrap();
    command.args(["exec", "--env", "B=2", "/bin/bash", "-c", script, "x", "a  b"]);
    command.env("A", "1").current_dir("/usr").stdin(fs::File::open("/etc/hostname").unwrap());
    let output = command.output().unwrap();
    let host = fs::read_to_string("/etc/hostname").unwrap();
    assert_eq!(
        (text(&output.stdout), text(&output.stderr)),
        (format!("1 2 a  b\n/usr\n{host}"), "e\n".into())
    );
    let output = libos(scratch.path(), &["exec", "--cwd", "/bin", "--clear-env", "/usr/bin/env"]);
    assert_eq!(text(&output.stdout), "");
    for (words, status) in [
        (&["exec", "no-such"][..], 127),
        (&["exec", "/etc"], 126),
        (&["exec", "--cwd", "/no", "ls"], 126),
        (&["exec", "--name", "no", "ls"], 126),
        (&["exec"], 2),
    ] {
        let output = libos(scratch.path(), words);
        assert_eq!(
            (output.status.code(), output.stdout.is_empty(), output.stderr.is_empty()),
            (Some(status), true, false),
            "{words:?}"
        );
    }
}

#[test]
fn two_at_once_have_their_own_streams_and_ends() {
    let scratch = Scratch::empty().unwrap();
    let _machine = kernel_named(&scratch, "one");
    let start = |script: &str| {
        let mut command = background::command(scratch.path()).unwrap();
        command.args(["exec", "sh", "-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let one = start("while [ ! -e /tmp/go ]; do sleep 0.05; done; echo one; exit 1");
    let two = start("sleep 0.3; touch /tmp/go; echo two; exit 2");
    let (one, two) = (one.wait_with_output().unwrap(), two.wait_with_output().unwrap());
    assert_eq!((one.status.code(), text(&one.stdout)), (Some(1), "one\n".into()));
    assert_eq!((two.status.code(), text(&two.stdout)), (Some(2), "two\n".into()));
}

#[test]
fn signals_to_the_client_are_the_programs_and_its_death_is_a_hangup() {
    let scratch = Scratch::empty().unwrap();
    let _machine = kernel_named(&scratch, "one");
    let start = |script: &str| {
        let mut command = background::command(scratch.path()).unwrap();
        command.args(["exec", "bash", "-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let there = |name: &str| {
        until(|| {
            libos(scratch.path(), &["exec", "test", "-e", name]).status.success().then_some(())
        })
        .expect(name)
    };
    let client = start("trap 'echo told; exit 9' USR1; touch /tmp/a; while :; do sleep 0.1; done");
    there("/tmp/a");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(client.id().cast_signed()), Signal::SIGUSR1)
        .unwrap();
    let output = client.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(9), "told\n".into()));
    let mut client =
        start("trap 'touch /tmp/hup; exit' HUP; touch /tmp/b; while :; do sleep 0.1; done");
    there("/tmp/b");
    client.kill().unwrap();
    client.wait().unwrap();
    there("/tmp/hup");
}

#[test]
fn the_kernels_end_is_the_programs_end() {
    let scratch = Scratch::empty().unwrap();
    let machine = kernel_named(&scratch, "one");
    let mut command = background::command(scratch.path()).unwrap();
    let mut client = command
        .args(["exec", "sh", "-c", "touch /tmp/a; sleep 100"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    until(|| {
        libos(scratch.path(), &["exec", "test", "-e", "/tmp/a"]).status.success().then_some(())
    })
    .unwrap();
    machine.signal(Signal::SIGKILL);
    assert_eq!(client.wait().unwrap().code(), Some(137));
}

/// What the user sees who types `steps` at a terminal where `command` runs; `$RUN` is `libos exec`.
fn at_a_terminal(scratch: &Scratch, command: &str, steps: &[&str]) -> String {
    let user = paths::sources().join("guests/terminal.py");
    let words = [&[user.to_str().unwrap(), command], steps].concat();
    let mut guest = Guest::new("/usr/bin/python3", &words);
    let libos = kernel::binary().unwrap().display().to_string();
    let dir = scratch.path().display().to_string();
    guest.env.extend(
        [("RUN", format!("{libos} exec")), ("XDG_RUNTIME_DIR", dir), ("TERM", "xterm".into())]
            .map(|(name, value)| (name.into(), value)),
    );
    let outcome = guest.native(scratch.path()).unwrap();
    let shown = text(&outcome.stdout);
    assert_eq!(
        (outcome.status, text(&outcome.stderr)),
        (Some(0), String::new()),
        "{command} {steps:?}:\n{shown}"
    );
    shown
}

#[test]
fn a_terminal_is_one_inside() {
    let scratch = Scratch::empty().unwrap();
    let _machine = kernel_named(&scratch, "one");
    let shown = at_a_terminal(&scratch, "$RUN sh -c 'tty; stty size; ps -o tty= -p $$'", &[]);
    assert!(shown.contains("/dev/pts/0\\r\\n24 80\\r\\npts/0"), "{shown}");
    // Lines are edited inside, Ctrl-C is a signal there, the size is passed on and the settings come back.
    let script =
        "$RUN bash -c 'trap \"echo int\" INT; trap \"stty size\" WINCH; read -p name? x; echo hi $x
        for i in 1 2 3 4 5 6 7 8 9; do sleep 0.2; done'";
    let steps = [
        "until:name?",
        "modes",
        "send:anX\\x7fna\\r",
        "until:hi anna",
        "send:\\x03",
        "until:int",
        "size:33x99",
        "until:33 99",
    ];
    let shown = at_a_terminal(&scratch, script, &steps);
    let wanted = "modes:\nscreen: 'name?anX\\x08 \\x08na\\r\\nhi anna\\r\\n^Cint\\r\\n33 99\\r\\n'\nended 0\nmodes: ICANON ECHO ISIG\n";
    assert_eq!(shown, wanted);
    let steps = [
        "send:abc\\r",
        "until:abc\\r\\nabc",
        "send:\\x1a",
        "stopped",
        "modes",
        "continue",
        "send:def\\r",
        "until:def\\r\\ndef",
        "send:\\x04",
    ];
    let shown = at_a_terminal(&scratch, "$RUN cat", &steps);
    let wanted = "stopped 20\nmodes: ICANON ECHO ISIG\nscreen: 'abc\\r\\nabc\\r\\n^Zdef\\r\\ndef\\r\\n'\nended 0\nmodes: ICANON ECHO ISIG\n";
    assert_eq!(shown, wanted);
    // A shell with job control.
    let steps = [
        "until:$ ",
        "send:sleep 50\\r",
        "until:50",
        "send:\\x1a",
        "until:Stopped",
        // Not `wait`, which forgets a job that has ended before, and does not tell.
        "send:kill %1; sleep 0.3\\r",
        "until:Terminated",
        "send:exit 3\\r",
    ];
    let shown = at_a_terminal(&scratch, "$RUN env PS1='$ ' bash --norc --noprofile -i", &steps);
    assert!(shown.contains("Terminated") && shown.contains("ended 3\n"), "{shown}");
}

#[test]
fn the_processes_of_all_kernels_are_listed() {
    let scratch = Scratch::empty().unwrap();
    let _one = kernel_named(&scratch, "one");
    let two = kernel_named(&scratch, "two");
    let lines = |words: &[&str]| {
        let output = libos(scratch.path(), words);
        assert!(output.status.success());
        let lines = text(&output.stdout);
        lines
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
    };
    let all =
        until(|| Some(lines(&["ps"])).filter(|all| all.iter().all(|line| !line.contains(" R "))));
    let all = all.unwrap();
    assert_eq!(all.len(), 5, "{all:?}");
    assert_eq!(all[0], "KERNEL PID PPID STAT TIME MEMORY COMMAND");
    assert!(
        all[1].starts_with("one 1 0 S 00:00:0") && all[1].ends_with(" 0K [libos-init]"),
        "{all:?}"
    );
    assert!(
        all[4].starts_with("two 2 1 S 00:00:0") && all[4].ends_with("K /bin/sleep 1000"),
        "{all:?}"
    );
    assert_eq!(lines(&["ps", "--name", "one"]).len(), 3);
    assert_eq!(libos(scratch.path(), &["exec", "true"]).status.code(), Some(126), "which one?");
    // One that was killed has left its socket.
    two.signal(Signal::SIGKILL);
    drop(two);
    assert!(scratch.path().join("libos/two.sock").exists());
    assert_eq!(lines(&["ps"]).len(), 3);
    assert!(!scratch.path().join("libos/two.sock").exists());
    assert_eq!(libos(scratch.path(), &["--", "ps", "-o", "pid="]).status.code(), Some(0));
}

#[test]
fn a_name_is_one_kernels_and_what_a_dead_one_has_left_is_nobodys() {
    let scratch = Scratch::empty().unwrap();
    let machine = kernel_named(&scratch, "one");
    let output = libos(scratch.path(), &["--name", "one", "/bin/true"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("another kernel has that name"));
    machine.signal(Signal::SIGKILL);
    drop(machine);
    assert!(libos(scratch.path(), &["--name", "one", "/bin/true"]).status.success());
    let folder = scratch.path().join("libos");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "a kernel that ends takes its name back");
    drop(UnixListener::bind(folder.join("one.sock")).unwrap());
    let _machine = kernel_named(&scratch, "one");
    until(|| libos(scratch.path(), &["exec", "true"]).status.success().then_some(()))
        .expect("the new one hears");
}

#[test]
fn a_client_of_another_user_is_refused() {
    if !nix::unistd::geteuid().is_root() {
        // Nobody else can be tried then but root, who is let in.
        return;
    }
    let scratch = Scratch::empty().unwrap();
    let _machine = kernel_named(&scratch, "one");
    // As root leaves the folder nobody gets that far, so it is opened for the test.
    let folder = scratch.path().join("libos");
    for (path, mode) in
        [(scratch.path(), 0o755), (&folder, 0o755), (&folder.join("one.sock"), 0o666)]
    {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let talk = format!(
        "import socket; s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect('{}')
s.sendall(bytes([8, 0, 0, 0, 2]) + b'libos' + bytes([1, 0])); print(s.recv(999)[5:])",
        folder.join("one.sock").display()
    );
    let ask = |uid: u32| {
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", &talk]).uid(uid).gid(uid);
        text(&command.output().unwrap().stdout)
    };
    for (user, wanted) in [(65534, "another user"), (0, "/bin/sleep")] {
        let answer = ask(user);
        assert!(answer.contains(wanted), "{answer}");
    }
    // And a folder that others may enter is nothing to trust.
    assert_eq!(libos(scratch.path(), &["ps"]).status.code(), Some(126));
}

#[test]
fn noise_on_the_socket_does_no_harm() {
    let scratch = Scratch::empty().unwrap();
    let _machine = kernel_named(&scratch, "one");
    let path = scratch.path().join("libos/one.sock");
    for noise in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 100],
        &[255; 100],
        b"\x05\0\0\0\x03\x01\0\0\0",
        b"\x01\0\0\0\x02",
    ] {
        use std::io::{Read, Write};
        let mut socket = std::os::unix::net::UnixStream::connect(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.write_all(noise).unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{noise:?}: {answer:?}");
    }
    assert!(libos(scratch.path(), &["exec", "true"]).status.success());
}
