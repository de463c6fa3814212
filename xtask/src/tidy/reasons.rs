//! Every dependency of the workspace's table says why it was chosen.

/// The lines of the table that give no reason. A reason is a comment at the end of the line; crates of the
/// workspace itself need none.
pub(super) fn check(manifest: &str) -> Vec<String> {
    let table = manifest.lines().skip_while(|l| l.trim() != "[workspace.dependencies]").skip(1);
    table
        .take_while(|l| !l.starts_with('['))
        .filter(|l| l.contains('=') && !l.starts_with('#') && !l.contains("path ="))
        .filter(|l| reason(l).is_empty())
        .map(|l| format!("Cargo.toml gives no reason for {}", l.split('=').next().unwrap_or(l).trim()))
        .collect()
}

/// The text after the `#` that stands outside of quotes.
fn reason(line: &str) -> &str {
    let mut quoted = false;
    for (i, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted => return line[i + 1..].trim(),
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_dependency_needs_a_reason_unless_it_is_ours() {
        let manifest = "[workspace.dependencies]\nours = { path = \"x\" }\n# --- data ---\na = \"1\" # why\nb = { git = \"u#v\" }\n[profile.dev]\nc = 1\n";
        assert_eq!(super::check(manifest), ["Cargo.toml gives no reason for b"]);
    }
}
