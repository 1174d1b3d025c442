//! Trace events as text: the JSON array that Perfetto and Chrome's viewer read.
//!
//! The one idea: an event is written piece by piece into one buffer, and what makes the array an array goes before each event, so that
//! the text is whole after every one of them, but for the bracket at its end that viewers do without.

use std::fmt::{self, Display, Write};

use super::record::Who;

/// A piece of the array.
#[derive(Debug, Default)]
pub(super) struct Events {
    text: String,
    begun: bool,
}

impl Events {
    /// The text since the last time.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// That text was written.
    pub(super) fn written(&mut self) {
        self.text.clear();
    }

    /// Begins an event of the kind that `phase` is the letter of, on the track of `who`.
    pub(super) fn add(&mut self, phase: char, who: Who) -> Event<'_> {
        self.text.push_str(if self.begun { ",\n" } else { "[\n" });
        self.begun = true;
        let mut event = Event { text: &mut self.text, arguments: false };
        event.put(format_args!("{{\"ph\":\"{phase}\",\"pid\":{},\"tid\":{}", who.pid, who.tid));
        event
    }

    /// Ends the array.
    pub(super) fn end(&mut self) {
        self.text.push_str(if self.begun { "\n]\n" } else { "[]\n" });
    }
}

/// An event that is being written: all fields before all arguments.
#[must_use = "ends when it is dropped"]
pub(super) struct Event<'a> {
    text: &'a mut String,
    arguments: bool,
}

impl Event<'_> {
    /// When it was: `time` in ns, as microseconds with a fraction.
    pub(super) fn at(mut self, time: u64) -> Self {
        self.put(format_args!(",\"ts\":{}.{:03}", time / 1000, time % 1000));
        self
    }

    /// A field with a text.
    pub(super) fn field(mut self, key: &str, value: impl Display) -> Self {
        self.put(format_args!(",\"{key}\":"));
        self.string(value);
        self
    }

    /// An argument with a text.
    pub(super) fn argument(mut self, key: &str, value: impl Display) -> Self {
        self.key(key);
        self.string(value);
        self
    }

    /// An argument with a number.
    pub(super) fn number(mut self, key: &str, value: impl Into<i128>) -> Self {
        self.key(key);
        let value: i128 = value.into();
        self.put(format_args!("{value}"));
        self
    }

    fn key(&mut self, key: &str) {
        let before = if self.arguments { "," } else { ",\"args\":{" };
        self.arguments = true;
        self.put(format_args!("{before}\"{key}\":"));
    }

    fn string(&mut self, value: impl Display) {
        self.text.push('"');
        // Writing to a String can not fail.
        let _ = write!(Escaped(self.text), "{value}");
        self.text.push('"');
    }

    fn put(&mut self, what: fmt::Arguments<'_>) {
        let _ = self.text.write_fmt(what);
    }
}

impl Drop for Event<'_> {
    fn drop(&mut self) {
        self.text.push_str(if self.arguments { "}}" } else { "}" });
    }
}

/// Writes what may stand between quotation marks.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            match char {
                '"' | '\\' => self.0.extend(['\\', char]),
                '\0'..='\x1f' => write!(self.0, "\\u{:04x}", u32::from(char))?,
                char => self.0.push(char),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_an_array_with_fields_and_arguments() {
        let who = Who { pid: 1, tid: 2 };
        let mut events = Events::default();
        let event = events.add('B', who).at(1_002_003).field("name", "read");
        drop(event.argument("fd", 3).number("n", -4));
        let first = "[\n{\"ph\":\"B\",\"pid\":1,\"tid\":2,\"ts\":1002.003,\"name\":\"read\",\"args\":{\"fd\":\"3\",\"n\":-4}}";
        assert_eq!(events.text(), first);
        events.written();
        drop(events.add('E', who).at(5).field("name", "a\"b\\c\n\u{1}é"));
        events.end();
        let rest = ",\n{\"ph\":\"E\",\"pid\":1,\"tid\":2,\"ts\":0.005,\"name\":\"a\\\"b\\\\c\\u000a\\u0001é\"}\n]\n";
        assert_eq!(events.text(), rest);
    }

    #[test]
    fn an_array_without_events_is_one() {
        let mut events = Events::default();
        events.end();
        assert_eq!(events.text(), "[]\n");
    }
}
