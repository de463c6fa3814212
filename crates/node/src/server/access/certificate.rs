//! Whom a client certificate speaks for. TLS has verified it before.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::User;

/// The user of a certificate: its common name, with its organizations as groups. `None` without a common name.
pub(in crate::server) fn user_of(der: &[u8]) -> Option<User> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().last()?.as_str().ok().filter(|name| !name.is_empty())?;
    let mut groups: Vec<String> =
        subject.iter_organization().filter_map(|group| group.as_str().ok()).map(str::to_owned).collect();
    groups.push("system:authenticated".to_owned());
    let hash = Sha256::digest(der).iter().fold(String::new(), |mut hash, byte| {
        write!(hash, "{byte:02x}").expect("a string can be written to");
        hash
    });
    let id = ("authentication.kubernetes.io/credential-id".to_owned(), vec![format!("X509SHA256={hash}")]);
    Some(User { name: name.to_owned(), uid: String::new(), groups, extra: [id].into() })
}
