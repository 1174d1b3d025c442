//! What a shell hands on besides standard input and output: each script starts its program by way of `$RUN`, which is nothing
//! natively and `libos` inside, and both runs print the same and leave the same files.

use std::fs;

use tests::{
    kernel,
    run::{Guest, Outcome},
    scratch::Scratch,
};

fn run(scratch: &Scratch, script: &str, run: &str) -> Outcome {
    scratch.reset().unwrap();
    fs::write(scratch.path().join("in"), "first\nsecond\nthird\n").unwrap();
    fs::create_dir(scratch.path().join("dir")).unwrap();
    fs::write(scratch.path().join("dir/entry"), "inside\n").unwrap();
    let mut guest = Guest::new("/bin/bash", &["-c", script]);
    guest.env.push(("RUN".into(), run.into()));
    let outcome = guest.native(scratch.path()).unwrap();
    assert!(outcome.status.is_some(), "RUN={run} {script} does not end");
    outcome
}

#[track_caller]
fn same(script: &str) {
    let scratch = Scratch::empty().unwrap();
    let native = run(&scratch, script, "");
    let native_tree = scratch.tree().unwrap();
    let libos = kernel::binary().unwrap();
    let inside = run(&scratch, script, libos.to_str().unwrap());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(text(&native.stdout), text(&inside.stdout), "{script}\n{}", text(&inside.stderr));
    assert_eq!(text(&native.stderr), text(&inside.stderr), "{script}");
    assert_eq!((native.status, native_tree), (inside.status, scratch.tree().unwrap()), "{script}");
}

#[test]
fn files_are_read_and_written_by_their_numbers() {
    same("$RUN bash -c 'read -r x <&3; echo \"$x\" >&4; read -r y <&3; echo $y' 3<in 4>out");
    same("$RUN bash -c 'echo more >&9' 9>>in; cat in");
    same("$RUN bash -c 'read -r x <&3; echo \"<$x>\" >&3' 3<>in; cat in");
    same("$RUN cat /proc/self/fd/5 5<in");
}

#[test]
fn a_file_keeps_the_position_that_it_shares() {
    same("{ read -r x; $RUN bash -c 'read -r y; echo $y'; read -r z; echo $x $z; } <in");
    same("{ $RUN bash -c 'read -r y <&3; echo $y'; read -r z <&3; echo $z; } 3<in");
    same("{ echo one; $RUN echo two; echo three; } >out; cat out");
}

/// Nobody is told when a disk has answered.
#[test]
fn what_is_not_in_memory_is_fetched() {
    let cold = "sync in; dd if=in iflag=nocache count=0 status=none";
    same(&format!("{cold}; $RUN cat <in"));
    same(&format!("{cold}; $RUN bash -c 'cat <&7' 7<in"));
    same(&format!("seq 500000 >in; {cold}; $RUN md5sum <in"));
    for call in ["splice(0, pipe, 9)", "sendfile(pipe, 0, None, 9)"] {
        same(&format!(
            "{cold}; $RUN python3 -c 'import os; end, pipe = os.pipe(); print(os.{call}, os.read(end, 9))' <in"
        ));
    }
    same(&format!(
        "{cold}; $RUN python3 -c 'import os; out = open(\"out\", \"w+\"); print(os.copy_file_range(0, out.fileno(), 9), out.read()); os.unlink(\"out\")' <in"
    ));
}

#[test]
fn two_numbers_of_one_file_share_its_position() {
    same("$RUN bash -c 'echo a; echo b >&2; echo c' >out 2>&1; cat out");
    same("$RUN bash -c 'read -r x <&3; read -r y <&4; echo $x $y' 3<in 4<&3");
    same("$RUN bash -c 'read -r x <&3; read -r y <&4; echo $x $y' 3<in 4<in");
    same(
        "$RUN python3 -c 'import os; os.write(1, b\"abc\"); print(os.lseek(2, 0, 1), file=os.fdopen(3, \"w\"))' \
         3>&1 >out 2>&1",
    );
}

#[test]
fn pipes_and_sockets_work_in_both_directions() {
    same("echo hello | $RUN bash -c 'read -r x <&5; echo got $x' 5<&0 </dev/null");
    same("$RUN bash -c 'echo through >&7' 7> >(cat; echo end) | cat");
    same(
        "python3 -c '
import os, socket, subprocess, sys
here, there = socket.socketpair()
script = \"read -r x <&%d; echo answer to $x >&%d\" % (there.fileno(), there.fileno())
run = os.environ[\"RUN\"].split()
child = subprocess.Popen(run + [\"bash\", \"-c\", script], pass_fds=[there.fileno()])
there.close()
here.send(b\"question\\n\")
print(here.makefile().read(), child.wait())'",
    );
}

#[test]
fn who_reads_a_pipe_sees_its_end_when_the_guest_closes_it() {
    same(
        "mkfifo f; exec 8<>f; { exec $RUN bash -c 'echo x; exec >&-; read -r go <&8'; } | { cat; echo go >&8; }",
    );
    same(
        "mkfifo f; exec 8<>f; \
         { exec $RUN bash -c 'echo x >&6; exec 6>&-; read -r go <&8' 6>&1 >/dev/null; } | { cat; echo go >&8; }",
    );
}

#[test]
fn a_directory_is_one_to_find_files_with() {
    same(
        "$RUN python3 -c 'import os; print(os.listdir(3), os.open(\"entry\", 0, dir_fd=3)); os.fchdir(3); print(os.listdir())' \
         3<dir",
    );
}

#[test]
fn there_are_as_many_as_there_were_and_none_of_the_kernels() {
    same("$RUN ls /proc/self/fd 4<in 11<dir");
    same("$RUN bash -c 'echo x >&12'");
    same("exec 3<in; $RUN bash -c 'exec 3<&-; read -r x <&3'; read -r y <&3; echo $y");
}
