//! `sa.key` and `sa.pub`: what signs the tokens of service accounts.
//!
//! It is an RSA key, since everybody who verifies such tokens knows RS256 and not all know more. Making one takes longer
//! than the whole start, so it is made beside it: whoever needs a token waits for it, nobody else does.

use std::path::Path;

use anyhow::{Context as _, Result};

/// The key's text; `None` before it was made.
pub(crate) fn read(dir: &Path) -> Result<Option<String>> {
    let Some(key) = super::read(&dir.join("sa.key"))? else { return Ok(None) };
    if super::read(&dir.join("sa.pub"))?.is_none() {
        let pair = rcgen::KeyPair::from_pem(&key).with_context(|| {
            format!("{0}/sa.key cannot be used: put it back, or remove it", dir.display())
        })?;
        super::write(dir, "sa.pub", &pair.public_key_pem())?;
    }
    Ok(Some(key))
}

/// Makes the key and writes it down; its text. It takes long.
pub(crate) fn make(dir: &Path) -> Result<String> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).context("cannot make a key")?;
    let text = key.serialize_pem();
    // Nothing is signed before both are written, so a start that is killed here loses nothing.
    super::write(dir, "sa.pub", &key.public_key_pem())?;
    super::write(dir, "sa.key", &text)?;
    crate::private_file::sync(dir).with_context(|| format!("cannot write {}", dir.display()))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_readable_by_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path()).unwrap().is_none());
        let made = make(dir.path()).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(made));
        assert_eq!(fs::metadata(dir.path().join("sa.key")).unwrap().permissions().mode() & 0o777, 0o600);
        let public = fs::read_to_string(dir.path().join("sa.pub")).unwrap();
        fs::remove_file(dir.path().join("sa.pub")).unwrap();
        read(dir.path()).unwrap();
        assert_eq!(
            fs::read_to_string(dir.path().join("sa.pub")).unwrap(),
            public,
            "it is made anew from the key"
        );
        fs::write(dir.path().join("sa.key"), "").unwrap();
        assert!(read(dir.path()).unwrap().is_none(), "a loss of power has emptied it");
    }
}
