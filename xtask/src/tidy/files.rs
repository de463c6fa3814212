//! A file is a room: one that is too large is several.

use std::path::Path;

use anyhow::{Context as _, Result};

/// Lines above which a file must be split. Tests do not count: those at the end of a file (from the line
/// `#[cfg(test)]`), and whole files below a folder `tests` or `benches`.
const MAX_LINES: usize = 800;

/// The files that are too large.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for folder in ["crates", "xtask"] {
        walk(&root.join(folder), &mut |file, text| {
            let lines = counted(text);
            if lines > MAX_LINES {
                let file = file.strip_prefix(root).unwrap_or(file).display();
                complaints.push(format!("{file} has {lines} lines; {MAX_LINES} is the most"));
            }
        })?;
    }
    Ok(complaints)
}

fn counted(text: &str) -> usize {
    text.lines().take_while(|l| l.trim() != "#[cfg(test)]").count()
}

fn walk(folder: &Path, visit: &mut dyn FnMut(&Path, &str)) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
        if path.is_dir() {
            if !matches!(name, "tests" | "benches" | "target") {
                walk(&path, visit)?;
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            visit(&path, &text);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn tests_at_the_end_of_a_file_do_not_count() {
        assert_eq!(super::counted("a\nb\n\n#[cfg(test)]\nmod tests {\n}\n"), 3);
    }
}
