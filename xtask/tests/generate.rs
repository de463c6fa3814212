//! The committed data files are what the generator writes.

use std::process::Command;

#[test]
fn the_committed_types_are_those_that_are_published() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).args(["generate", "--check"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
