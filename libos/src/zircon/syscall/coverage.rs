//! The coverage page docs/ZIRCON.md, made from Zircon's table and the functions of the vDSO.

use std::fmt::Write;

use super::table::TABLE;
use crate::{abi::coverage, zircon::vdso};

const HEAD: &str = "\
# Zircon's system calls

Generated from the table in `libos/src/zircon/syscall/table.rs` by
`UPDATE_DOCS=1 cargo test -p libos coverage`; a test fails when this page is stale. An absent call is
`ZX_ERR_NOT_SUPPORTED`, a number without a call `ZX_ERR_BAD_SYSCALL`. The numbers are ours: as in Fuchsia, they are
private to the kernel and its vDSO, and programs know names. Calls that are about the machine below, its devices and its power, are
absent for *hardware*: there is none. Kernel debugging is *off*, as on a Zircon without
`kernel.enable-debugging-syscalls=true`, whose documented answer is the same.
";

/// The whole page in Markdown.
pub fn page() -> String {
    let mut page = coverage::page(HEAD, TABLE);
    page.push_str("\nWithout the kernel, in the vDSO alone:\n\n");
    for function in vdso::FUNCTIONS {
        let _ = writeln!(page, "- {}", function.name);
    }
    page
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checked_in_coverage_page_is_current() {
        crate::abi::coverage::tests::assert_current("ZIRCON.md", &super::page());
    }
}
