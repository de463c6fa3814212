//! The workspace is tidy.

use std::process::Command;

fn xtask(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn crates_files_and_dependencies_are_in_order() {
    xtask(&["tidy"]);
}
