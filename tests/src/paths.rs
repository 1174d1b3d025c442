//! Where things are: the workspace's sources and the folders under `target/` that the harness writes to.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The top of the workspace.
pub fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// The sources of this crate: `tests/`.
pub fn sources() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Cargo's target folder, found from where this very test program lies.
pub fn target() -> PathBuf {
    let from_exe = env::current_exe().ok().and_then(|exe| {
        let deps = exe.ancestors().find(|dir| dir.ends_with("deps"))?;
        Some(deps.parent()?.parent()?.to_path_buf())
    });
    from_exe.unwrap_or_else(|| workspace().join("target"))
}
