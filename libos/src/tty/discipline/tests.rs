//! Tables of what is typed and what comes of it, and random input of any kind.

use linux_raw_sys::general as raw;
use proptest::prelude::*;

use super::*;
use crate::tty::termios::CHARACTERS;

/// A change of the settings of a new terminal.
type Change = fn(&mut Termios);

fn with(change: Change) -> LineDiscipline {
    let mut termios = Termios::default();
    change(&mut termios);
    LineDiscipline::new(termios, Output::of_pty(20480, 4095))
}

fn same(_: &mut Termios) {}

fn raw_mode(termios: &mut Termios) {
    (termios.iflag, termios.oflag, termios.lflag) = (0, 0, 0);
}

fn shown(line: &mut LineDiscipline) -> String {
    line.output().take(usize::MAX).escape_ascii().to_string()
}

/// Everything that can be read, a line or so in each element.
fn lines(line: &mut LineDiscipline) -> Vec<String> {
    let mut all = Vec::new();
    while line.is_readable(1) {
        all.push(line.read(4096).escape_ascii().to_string());
    }
    all
}

#[track_caller]
fn check(change: Change, typed: &[u8], read: &[&str], screen: &str) {
    let mut line = with(change);
    assert_eq!(line.receive(typed), typed.len());
    let typed = typed.escape_ascii();
    assert_eq!(shown(&mut line), screen, "screen of {typed}");
    assert_eq!(lines(&mut line), read, "lines of {typed}");
}

#[test]
fn lines_are_edited_and_shown() {
    check(same, b"abc\r", &["abc\\n"], "abc\\r\\n");
    check(same, b"abc", &[], "abc");
    check(same, b"one\ntwo\nthr", &["one\\n", "two\\n"], "one\\r\\ntwo\\r\\nthr");
    check(same, b"ab\x7fc\n", &["ac\\n"], r"ab\x08 \x08c\r\n");
    check(same, b"\x7f\x7fa\n", &["a\\n"], "a\\r\\n");
    check(same, b"one two\x17x\n", &["one x\\n"], r"one two\x08 \x08\x08 \x08\x08 \x08x\r\n");
    check(same, b"one  \x17x\n", &["x\\n"], &format!(r"one  {}x\r\n", r"\x08 \x08".repeat(5)));
    check(same, b"abc\x15x\n", &["x\\n"], &format!(r"abc{}x\r\n", r"\x08 \x08".repeat(3)));
    check(same, b"\x01\x7fx\n", &["x\\n"], r"^A\x08 \x08\x08 \x08x\r\n");
    check(same, b"abc\x12d\n", &["abcd\\n"], r"abc^R\r\nabcd\r\n");
    check(same, b"\x16\x03\x16\x7f\n", &[r"\x03\x7f\n"], r"^\x08^C^\x08^?\r\n");
    check(same, b"\x00\n", &[r"\x00\n"], r"^@\r\n");
    check(same, b"\xff\n", &[r"\xff\n"], r"\xff\r\n");
}

#[test]
fn erasing_a_tab_goes_back_to_where_it_began() {
    check(same, b"a\t\x7fb\n", &["ab\\n"], &format!(r"a\t{}b\r\n", r"\x08".repeat(7)));
    check(same, b"\t\t\x7f\n", &["\\t\\n"], &format!(r"\t\t{}\r\n", r"\x08".repeat(8)));
    let mut line = with(same);
    line.write(b"name: ");
    line.receive(b"a\t\x7f");
    assert_eq!(shown(&mut line), r"name: a\t\x08");
}

#[test]
fn a_character_of_several_bytes_is_erased_at_once_if_the_terminal_knows() {
    let utf8: Change = |termios| termios.iflag |= raw::IUTF8;
    let word = "aé€".as_bytes();
    check(
        utf8,
        &[word, b"\x7f\x7f\n"].concat(),
        &["a\\n"],
        r"a\xc3\xa9\xe2\x82\xac\x08 \x08\x08 \x08\r\n",
    );
    check(
        same,
        &[word, b"\x7f\n"].concat(),
        &[r"a\xc3\xa9\xe2\x82\n"],
        r"a\xc3\xa9\xe2\x82\xac\x08 \x08\r\n",
    );
    check(utf8, b"\x80\x80\x7f\n", &[r"\x80\x80\n"], r"\x80\x80\r\n");
}

#[test]
fn an_end_of_file_ends_a_line_without_being_in_it() {
    check(same, b"ab\x04", &["ab"], "ab");
    check(same, b"\x04", &[""], "");
    check(same, b"a\x04b\n\x04", &["a", "b\\n", ""], "ab\\r\\n");
    let mut line = with(same);
    line.receive(b"abcd\x04ef\n");
    assert_eq!((line.read(2), line.read(2)), (b"ab".to_vec(), b"cd".to_vec()));
    assert_eq!(line.read(9), b"ef\n", "what was read to its end has no empty rest");
    let ends: Change = |termios| {
        termios.cc[raw::VEOL as usize] = b'.';
        termios.cc[raw::VEOL2 as usize] = b'!';
    };
    check(ends, b"a.b!c\n", &["a.", "b!", "c\\n"], "a.b!c\\r\\n");
}

#[test]
fn the_settings_say_what_is_shown() {
    let silent: Change = |termios| termios.lflag &= !raw::ECHO;
    check(silent, b"ab\x7fc\x15d\n", &["d\\n"], "");
    let newline: Change = |termios| termios.lflag = termios.lflag & !raw::ECHO | raw::ECHONL;
    check(newline, b"ab\n", &["ab\\n"], "\\r\\n");
    let no_echoe: Change = |termios| termios.lflag &= !raw::ECHOE;
    check(no_echoe, b"ab\x7f\n", &["a\\n"], "ab^?\\r\\n");
    let kill: Change = |termios| termios.lflag &= !raw::ECHOKE;
    check(kill, b"ab\x15c\n", &["c\\n"], r"ab^U\r\nc\r\n");
    let no_kill: Change = |termios| termios.lflag &= !(raw::ECHOKE | raw::ECHOK);
    check(no_kill, b"ab\x15c\n", &["c\\n"], r"ab^Uc\r\n");
    let paper: Change = |termios| termios.lflag |= raw::ECHOPRT;
    check(paper, b"abc\x7f\x7fd\n", &["ad\\n"], r"abc\\cb/d\r\n");
    check(paper, b"ab\x7f\x7f\n", &["\\n"], r"ab\\ba/\r\n");
    let no_caret: Change = |termios| termios.lflag &= !raw::ECHOCTL;
    check(no_caret, b"\x01\x7fa\n", &["a\\n"], r"\x01a\r\n");
    let basic: Change = |termios| termios.lflag &= !raw::IEXTEN;
    check(basic, b"a\x16b\x17\n", &[r"a\x16b\x17\n"], "a^Vb^W\\r\\n");
}

#[test]
fn the_settings_say_what_a_carriage_return_is() {
    let none: Change = |termios| termios.iflag = 0;
    check(none, b"a\rb\n", &["a\\rb\\n"], "a^Mb\\r\\n");
    let ignored: Change = |termios| termios.iflag |= raw::IGNCR;
    check(ignored, b"a\rb\n", &["ab\\n"], "ab\\r\\n");
    let swapped: Change = |termios| termios.iflag |= raw::INLCR;
    check(swapped, b"a\nb\r", &["a\\rb\\n"], "a^Mb\\r\\n");
    let stripped: Change = |termios| termios.iflag |= raw::ISTRIP;
    check(stripped, b"\xe1\x8d", &["a\\n"], "a\\r\\n");
    let lower: Change = |termios| termios.iflag |= raw::IUCLC;
    check(lower, b"ABz\n", &["abz\\n"], "abz\\r\\n");
    let marked: Change = |termios| termios.iflag |= raw::PARMRK;
    check(marked, b"\xff\n", &[r"\xff\xff\n"], r"\xff\r\n");
}

#[test]
fn keys_send_signals_and_forget_what_was_typed() {
    let mut line = with(same);
    line.receive(b"abc");
    line.receive(b"\x03de\x1c\x1af\n");
    assert_eq!(line.take_signals().as_slice(), [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP]);
    assert_eq!(lines(&mut line), ["f\\n"]);
    assert_eq!(
        shown(&mut line),
        r"abc^Zf\r\n",
        "echoes that arrived together with a signal are called back"
    );
    let kept: Change = |termios| termios.lflag |= raw::NOFLSH;
    check(kept, b"ab\x03c\n", &["abc\\n"], "ab^Cc\\r\\n");
    let none: Change = |termios| termios.lflag &= !raw::ISIG;
    check(none, b"\x03\n", &[r"\x03\n"], "^C\\r\\n");
}

#[test]
fn output_is_what_the_settings_make_of_it() {
    let cases: [(Change, &[u8], &str); 9] = [
        (same, b"a\nb", r"a\r\nb"),
        (|termios| termios.oflag = 0, b"a\nb", r"a\nb"),
        (|termios| termios.oflag = raw::OPOST, b"a\nb", r"a\nb"),
        (|termios| termios.oflag |= raw::OCRNL, b"a\rb\n", r"a\nb\r\n"),
        (|termios| termios.oflag |= raw::ONOCR, b"\ra\r\r", r"a\r"),
        (|termios| termios.oflag |= raw::XTABS, b"ab\tc\n\td", r"ab      c\r\n        d"),
        (|termios| termios.oflag |= raw::OLCUC, b"aZ\xe9", r"AZ\xc9"),
        (|termios| termios.oflag |= raw::XTABS, b"ab\x08\tc", r"ab\x08       c"),
        (|termios| termios.oflag |= raw::ONLRET, b"ab\n\r\tc", r"ab\r\n\r\tc"),
    ];
    for (change, written, expected) in cases {
        let mut line = with(change);
        assert_eq!(line.write(written), written.len());
        assert_eq!(shown(&mut line), expected, "{}", written.escape_ascii());
    }
}

#[test]
fn what_somebody_else_processes_stays_as_it_is() {
    let mut termios = Termios::default();
    termios.oflag |= raw::XTABS | raw::OLCUC | raw::ONOCR;
    let mut line = LineDiscipline::new(termios, Output::of_host(99));
    assert_eq!(line.write(b"ab\tc\n\r\td"), 8);
    line.receive(b"x\x7f");
    assert_eq!(shown(&mut line), r"ab\tc\n\r\tdx\x08 \x08");
}

#[test]
fn output_stops_and_goes_on() {
    let mut line = with(same);
    line.receive(b"\x13");
    assert_eq!((line.write(b"abc"), line.is_stopped()), (0, true));
    line.receive(b"x");
    assert_eq!(shown(&mut line), "");
    line.receive(b"\x11");
    assert_eq!((line.write(b"abc"), shown(&mut line).as_str()), (3, "xabc"));
    line.flow(Flow::OutputOff);
    line.receive(b"\x11");
    assert_eq!(line.write(b"abc"), 0, "only a program goes on with what one stopped");
    line.flow(Flow::InputOff);
    line.flow(Flow::OutputOn);
    assert_eq!((line.write(b"d"), shown(&mut line).as_str()), (1, r"\x13d"));
    let mut any = with(|termios| termios.iflag |= raw::IXANY);
    any.receive(b"\x13a");
    assert_eq!((any.is_stopped(), shown(&mut any).as_str()), (false, "a"));
    let mut line = with(same);
    line.receive(b"\x13");
    line.set_termios(Termios { iflag: 0, ..Termios::default() });
    assert!(!line.is_stopped());
}

#[test]
fn what_was_typed_survives_a_change_of_mode() {
    let mut line = with(same);
    line.receive(b"one\nab\x04cd");
    line.set_termios(Termios { lflag: 0, ..Termios::default() });
    assert_eq!(line.read(99), b"one\nab\0cd");
    line.receive(b"efg");
    line.set_termios(Termios::default());
    assert_eq!((line.read(99), line.is_readable(1)), (b"efg".to_vec(), false));
}

#[test]
fn a_line_can_be_too_long_and_still_be_ended() {
    let mut line = with(|termios| termios.lflag &= !raw::ECHO);
    let typed = [vec![b'z'; 5000], b"Q\n".to_vec()].concat();
    assert_eq!(line.receive(&typed), typed.len());
    assert_eq!(line.receive(b"more"), 0, "a finished line has to be read first");
    let read = line.read(9999);
    assert_eq!((read.len(), read.ends_with(b"z\n")), (4096, true));
    let mut line = with(raw_mode);
    assert_eq!((line.receive(&[1; 5000]), line.receive(&[1])), (4095, 0));
    assert_eq!((line.read(10).len(), line.receive(&[1; 99])), (10, 10));
}

#[test]
fn packet_mode_tells_what_happened() {
    let mut line = with(same);
    assert_eq!(line.packet_status(), 0);
    line.set_packet_mode(true);
    line.receive(b"\x13");
    assert_eq!(line.packet_status(), raw::TIOCPKT_STOP as u8);
    line.receive(b"\x11");
    assert_eq!(line.take_packet_status(), raw::TIOCPKT_START as u8);
    line.receive(b"\x03");
    let flushed = (raw::TIOCPKT_FLUSHREAD | raw::TIOCPKT_FLUSHWRITE) as u8;
    assert_eq!(line.take_packet_status(), flushed);
    line.set_termios(Termios { iflag: 0, ..Termios::default() });
    assert_eq!(line.take_packet_status(), raw::TIOCPKT_NOSTOP as u8);
    line.set_termios(Termios { lflag: raw::EXTPROC, ..Termios::default() });
    let both = (raw::TIOCPKT_DOSTOP | raw::TIOCPKT_IOCTL) as u8;
    assert_eq!(line.take_packet_status(), both);
    line.set_packet_mode(false);
    line.receive(b"\x13");
    assert_eq!(line.packet_status(), 0);
}

#[test]
fn what_others_have_edited_is_a_line_and_is_not_shown_again() {
    let mut line = with(same);
    line.adopt(b"a\x7fb\n");
    line.adopt(b"cd");
    line.adopt_end_of_file();
    line.adopt(b"ef");
    line.receive(b"\x7fg\n");
    assert_eq!(lines(&mut line), [r"a\x7fb\n", "cd", "eg\\n"]);
    assert_eq!(shown(&mut line), r"\x08 \x08g\r\n");
}

/// What can be done to a line discipline.
#[derive(Clone, Debug)]
enum Step {
    Type(Vec<u8>),
    Write(Vec<u8>),
    Read(usize),
    Show(usize),
    Set(Box<Termios>),
    Flow(u64),
    FlushInput,
    FlushOutput,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes =
        || proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), 0..32u8], 0..300);
    let termios = any::<([u32; 3], [u8; CHARACTERS])>().prop_map(|(flags, cc)| {
        let mut termios = Termios::default();
        [termios.iflag, termios.oflag, termios.lflag] = flags;
        termios.cc.iter_mut().zip(cc).for_each(|(to, from)| *to = from % 40);
        Step::Set(Box::new(termios))
    });
    let step = prop_oneof![
        4 => bytes().prop_map(Step::Type),
        2 => bytes().prop_map(Step::Write),
        2 => (0..5000usize).prop_map(Step::Read),
        2 => (0..5000usize).prop_map(Step::Show),
        1 => termios,
        1 => (0..4u64).prop_map(Step::Flow),
        1 => Just(Step::FlushInput),
        1 => Just(Step::FlushOutput),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn nothing_that_is_typed_or_set_breaks_it(steps in steps()) {
        const ROOM: usize = 3000;
        let mut line = LineDiscipline::new(Termios::default(), Output::of_pty(ROOM, 500));
        for step in steps {
            match step {
                Step::Type(bytes) => {
                    let taken = line.receive(&bytes);
                    line.look_ahead(&bytes[taken..]);
                    // What is not taken waits only for a reader.
                    prop_assert!(taken == bytes.len() || line.is_readable(1));
                }
                Step::Write(bytes) => {
                    let taken = line.write(&bytes);
                    prop_assert!(taken == bytes.len() || line.write_room() < 8);
                }
                Step::Read(max) => {
                    let (readable, before) = (line.is_readable(1), line.held());
                    let read = line.read(max);
                    prop_assert!(read.len() <= max && (readable || read.is_empty()));
                    prop_assert!(!readable || max == 0 || line.held() < before);
                }
                Step::Show(max) => drop(line.output().take(max)),
                Step::Set(termios) => line.set_termios(*termios),
                Step::Flow(flow) => line.flow(Flow::from_raw(flow).unwrap()),
                Step::FlushInput => line.flush_input(),
                Step::FlushOutput => line.flush_output(),
            }
            line.take_signals();
            prop_assert!(line.held() <= INPUT_SIZE && line.finished <= line.held());
            prop_assert!(line.available() <= line.held());
            prop_assert!(line.shown() <= ROOM + 64);
        }
    }

    #[test]
    fn how_the_typed_bytes_are_cut_up_does_not_matter(
        bytes in proptest::collection::vec(prop_oneof![32..128u8, 0..32u8], 0..400),
        cut in 1..50usize,
    ) {
        // But for what calls back or stops the echo of all that came with it.
        let change: Change = |termios| {
            termios.lflag |= raw::NOFLSH;
            termios.iflag &= !raw::IXON;
        };
        let (mut whole, mut parts) = (with(change), with(change));
        whole.receive(&bytes);
        bytes.chunks(cut).for_each(|part| assert_eq!(parts.receive(part), part.len()));
        prop_assert_eq!(&whole.input, &parts.input);
        prop_assert_eq!(whole.take_signals(), parts.take_signals());
        prop_assert_eq!(shown(&mut whole), shown(&mut parts));
    }

    #[test]
    fn raw_mode_changes_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
        let mut line = with(raw_mode);
        line.receive(&bytes);
        line.write(&bytes);
        prop_assert_eq!(line.read(4096), bytes.clone());
        prop_assert_eq!(line.output().take(4096), bytes);
    }
}
