//! The terminal of the host at which the user sits, as a terminal of the guest.
//!
//! The one idea: the host's line discipline steps aside for ours. Until a program asks for input (reads, polls, changes the settings) the host edits
//! lines and turns keys into signals itself, so that a program which only writes leaves the terminal to those with whom it
//! shares it, a pager behind a pipe say. From then on the host's terminal is raw, and each key comes here as a byte. The host goes on doing what
//! is done to output, by the guest's settings: so what this kernel itself writes looks right, too.
//!
//! The first settings are put back whenever this process ends or stops ([`hal::console`]).

use std::sync::{Arc, Weak};

use hal::{
    console::{self, TermiosWhen},
    host::{HostError, HostStream},
    reactor::Watch,
};
use linux_raw_sys::general as raw;

use super::{
    table::CONSOLE,
    terminal::{KernelSlot, State, Terminal},
    termios::{Termios, WindowSize},
};
use crate::{
    errno::SysResult,
    vfs::{DeviceNumber, Metadata},
};

/// How much is moved at once.
const CHUNK: usize = 4096;
/// So many lines may have been typed before a program asks for the first.
const TYPED_AHEAD: usize = 4096;

/// The host's side of a terminal.
pub(super) struct HostEnd {
    stream: HostStream,
    /// Which of the host's terminals it is.
    host_device: DeviceNumber,
    /// It has a place in the guest's tree: /dev/console.
    has_place: bool,
    /// It has been raw once.
    taken: bool,
    /// It is raw.
    raw: bool,
    /// Tells when something was typed or can be shown. Begun when it is first needed.
    watch: Option<Watch>,
    terminal: Weak<Terminal>,
}

impl HostEnd {
    /// The host's raw settings, but for output, which is treated as `guest` says.
    fn settings(host: &console::Termios, guest: &Termios) -> console::Termios {
        let mut raw = console::Termios { iflag: 0, oflag: guest.oflag, lflag: 0, ..*host };
        for (which, value) in [(raw::VMIN, 1), (raw::VTIME, 0)] {
            if let Some(character) = raw.cc.get_mut(which as usize) {
                *character = value;
            }
        }
        raw
    }

    fn begin_watch(&mut self) {
        if self.watch.is_none() {
            let terminal = self.terminal.clone();
            let notice = move |_| {
                if let Some(terminal) = terminal.upgrade() {
                    terminal.pump();
                }
            };
            match self.stream.watch(notice) {
                Ok(watch) => self.watch = Some(watch),
                Err(error) => log::error!("keys typed at the terminal are not noticed: {error}"),
            }
        }
    }
}

impl State {
    /// Has the host's line discipline step aside; what was typed so far has been edited and shown by it. Called before a program's use of input.
    pub(super) fn take_over(&mut self) {
        let Some(host) = &mut self.host else { return };
        if host.raw {
            return;
        }
        let Ok(settings) = host.stream.termios() else { return };
        host.taken = true;
        let edited = settings.lflag & raw::ICANON != 0;
        let mut bytes = [0; CHUNK];
        if edited {
            for _ in 0..TYPED_AHEAD {
                // A read gives one line.
                let Ok(count) = host.stream.try_read(&mut bytes) else { break };
                let line = bytes.get(..count).unwrap_or_default();
                self.line.adopt(line);
                if !line.ends_with(b"\n") {
                    self.line.adopt_end_of_file();
                    if host.stream.ready().hangup {
                        break;
                    }
                }
            }
        }
        let wanted = HostEnd::settings(&settings, self.line.termios());
        if edited {
            // The beginning of a line can be read once lines are not waited for. Until keys come here untranslated they mean what the host
            // made of them: were both changed at once, an end of line typed just then would be taken for an edited character.
            let lines_end = console::Termios {
                lflag: settings.lflag & !raw::ICANON,
                cc: wanted.cc,
                ..settings
            };
            // In the background this stops the whole process, until its shell wants it in the foreground.
            if host.stream.set_termios(&lines_end, TermiosWhen::Now).is_ok() {
                while let Ok(count @ 1..) = host.stream.try_read(&mut bytes) {
                    self.line.adopt(bytes.get(..count).unwrap_or_default());
                }
            }
        }
        host.raw = host.stream.set_termios(&wanted, TermiosWhen::Now).is_ok();
        host.begin_watch();
    }

    /// Has the host treat output by the settings as they are now.
    pub(super) fn pass_settings_on(&mut self) {
        let Some(host) = self.host.as_ref().filter(|host| host.raw) else { return };
        if let Ok(settings) = host.stream.termios() {
            let wanted = HostEnd::settings(&settings, self.line.termios());
            if wanted != settings
                && let Err(error) = host.stream.set_termios(&wanted, TermiosWhen::Now)
            {
                log::warn!("the terminal keeps its settings: {error}");
            }
        }
    }

    /// Takes what was typed, as far as there is room. False when the host's terminal was hung up.
    fn take_typed(&mut self) -> bool {
        let mut bytes = [0; CHUNK];
        while self.has_room() {
            let Some(host) = self.host.as_ref().filter(|host| host.raw) else { break };
            match host.stream.try_read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => {
                    self.typed(bytes.get(..count).unwrap_or_default());
                }
                Err(error) if HostError::would_block(error) => break,
                Err(_) => return false,
            }
        }
        true
    }

    /// Shows what there is, as far as the host takes it.
    pub(super) fn show_on_host(&mut self) {
        let Some(host) = &mut self.host else { return };
        let output = self.line.output();
        while !output.is_empty() {
            match host.stream.try_write(output.front()) {
                Ok(0) => break,
                Ok(count) => output.discard(count),
                Err(error) if error.would_block() => {
                    host.begin_watch();
                    break;
                }
                // Nobody sees it any more.
                Err(_) => output.discard(usize::MAX),
            }
        }
    }

    pub(super) fn host_window_size(&self) -> Option<WindowSize> {
        self.host.as_ref()?.stream.window_size().ok()
    }

    /// True if there is a host that tells when it has done so.
    pub(super) fn set_host_window_size(&self, size: WindowSize) -> bool {
        self.host.as_ref().is_some_and(|host| host.stream.set_window_size(size).is_ok())
    }

    /// What stat(2) tells of a terminal that has no place in the guest's tree.
    pub(super) fn host_metadata(&self) -> Option<SysResult<Metadata>> {
        let host = self.host.as_ref().filter(|host| !host.has_place)?;
        Some(crate::vfs::stdio::metadata_of(&host.stream))
    }

    /// The host's name of it.
    pub(super) fn host_path(&self) -> Vec<u8> {
        let path = self.host.as_ref().and_then(|host| host.stream.path().ok());
        path.unwrap_or_else(|| b"/dev/console".to_vec())
    }
}

impl Terminal {
    /// The terminal behind a stream of the host, which has these `settings`, at `device`.
    pub(super) fn adopt(
        stream: HostStream,
        settings: &console::Termios,
        host_device: DeviceNumber,
        device: DeviceNumber,
        kernel: &KernelSlot,
    ) -> Arc<Self> {
        let termios = Termios::from_host(settings);
        Arc::new_cyclic(|me| {
            let host = HostEnd {
                stream,
                host_device,
                has_place: device == CONSOLE,
                taken: false,
                raw: false,
                watch: None,
                terminal: me.clone(),
            };
            Self::of_host(device, termios, host, kernel)
        })
    }

    /// Which of the host's terminals it is.
    pub(super) fn host_device(&self) -> Option<DeviceNumber> {
        self.look(|state| state.host.as_ref().map(|host| host.host_device))
    }

    /// Whether it is the controlling terminal of this process on the host.
    pub(super) fn controls_this_process(&self) -> bool {
        self.look(|state| {
            state.host.as_ref().is_some_and(|host| host.stream.check_controlling().is_ok())
        })
    }

    /// Moves on what was typed and what is to be shown, as far as there is room.
    pub(super) fn pump(self: &Arc<Self>) {
        let is_host = self.look(|state| state.host.is_some());
        if is_host && !self.change(State::take_typed) {
            self.change(|state| {
                if let Some(host) = &mut state.host {
                    // There is nothing to be had from it any more.
                    host.raw = false;
                }
            });
            self.hang_up();
        }
    }

    /// Whether its keys become signals here, not on the host.
    pub(super) fn is_raw(&self) -> bool {
        self.look(|state| state.host.as_ref().is_some_and(|host| host.raw))
    }

    /// Before this process stops: gives the host's terminal back.
    pub(super) fn give_back(&self) {
        self.change(|state| {
            if let Some(host) = &mut state.host
                && std::mem::replace(&mut host.raw, false)
            {
                console::restore();
            }
        });
    }

    /// After this process stopped: takes the host's terminal again, if it had been and this process is in the foreground.
    pub(super) fn take_again(self: &Arc<Self>) {
        self.change(|state| {
            let Some(host) = &mut state.host else { return };
            if host.taken && host.stream.in_foreground() == Ok(true) {
                // Whoever had it meanwhile may have changed its settings.
                host.raw = false;
                state.take_over();
            }
        });
        self.pump();
    }
}
