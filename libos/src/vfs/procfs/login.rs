//! The files of /proc that tell who logged in and in which session, whatever user a process has become since.
//!
//! The one idea: what pam_loginuid(8) writes once is kept, inherited and told; nothing here is audited. Linux lets a process write only its own,
//! here whoever may write the file may.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::{node::What, process::Subject};
use crate::{
    errno::{Errno, SysResult},
    process::{Login, Thread},
    vfs::Capabilities,
};

/// The number of the next session.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// loginuid
pub(super) fn user(subject: &Subject) -> What {
    let (subject, again) = (subject.clone(), subject.clone());
    let text = move || {
        let process = subject.process()?;
        let shown = match process.attributes.lock().login.user {
            Login::NOBODY => Login::NOBODY,
            user => process.user_namespace().shown_user(user),
        };
        Ok(shown.to_string().into_bytes())
    };
    let sink = move |text: &[u8]| {
        let number = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok());
        set(&*again.thread()?, number.ok_or(Errno::EINVAL)?)
    };
    What::File(Arc::new(text), Some(Arc::new(sink)))
}

/// sessionid
pub(super) fn session(subject: &Subject) -> What {
    let subject = subject.clone();
    What::text(move || {
        let session = subject.process()?.attributes.lock().login.session;
        Ok(session.to_string().into_bytes())
    })
}

fn set(thread: &Thread, user: u32) -> SysResult<()> {
    let users = thread.process.user_namespace();
    let user = if user == Login::NOBODY { user } else { users.kernel_user(user)? };
    let may_change = thread.fs.read().cred.has(Capabilities::AUDIT_CONTROL);
    let mut attributes = thread.process.attributes.lock();
    if attributes.login.user != Login::NOBODY && !may_change {
        return Err(Errno::EPERM);
    }
    let session = match user {
        Login::NOBODY => Login::NOBODY,
        _ => NEXT.fetch_add(1, Ordering::Relaxed),
    };
    attributes.login = Login { user, session };
    Ok(())
}
