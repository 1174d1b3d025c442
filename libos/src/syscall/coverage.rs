//! The coverage page docs/SYSCALLS.md, made from Linux's table.

use super::table::TABLE;
use crate::abi::coverage;

const HEAD: &str = "\
# System calls

Generated from the table in `libos/src/syscall/table.rs` by
`UPDATE_DOCS=1 cargo test -p libos coverage`; a test fails when this page is stale. An absent call is `ENOSYS`.
";

/// The whole page in Markdown.
pub fn page() -> String {
    coverage::page(HEAD, TABLE)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checked_in_coverage_page_is_current() {
        crate::abi::coverage::tests::assert_current("SYSCALLS.md", &super::page());
    }
}
