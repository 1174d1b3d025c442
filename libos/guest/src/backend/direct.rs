//! Calls made at once, by the thread that is here.

use crate::abi::Submission;

/// Makes the call of a submission; its result as a completion has it.
///
/// # Safety
///
/// As the submission's: what the call does to the memory that its arguments lead to must be allowed until this returns.
pub(super) unsafe fn call(submission: &Submission) -> i64 {
    let [a, b, c, d, e, f] = submission.arguments;
    // SAFETY: the caller's promise. Whatever the number is, it is the program's own wish.
    let result = unsafe { libc::syscall(submission.call.into(), a, b, c, d, e, f) };
    if result == -1 { -last_error() } else { result }
}

/// The error of the call that was made last.
pub(super) fn last_error() -> i64 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO).into()
}

/// Whether the submission is of that call.
pub(super) fn is(submission: &Submission, number: libc::c_long) -> bool {
    i64::from(submission.call) == number
}
