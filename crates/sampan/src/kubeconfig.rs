//! The kubeconfig of the cluster's administrator.

use std::fs;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::cli;
use crate::data_dir::DataDir;
use crate::pki::Pair;

/// The text of a kubeconfig that carries its certificates in itself.
pub(crate) fn text(url: &str, authority: &str, user: &Pair) -> String {
    let [authority, certificate, key] =
        [authority, &user.certificate, &user.key].map(|pem| STANDARD.encode(pem));
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: sampan
  cluster:
    server: {url}
    certificate-authority-data: {authority}
users:
- name: kubernetes-admin
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
contexts:
- name: sampan
  context:
    cluster: sampan
    user: kubernetes-admin
current-context: sampan
"
    )
}

/// The URL under which this machine reaches a server that listens on `address`.
pub(crate) fn url(mut address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip([127, 0, 0, 1].into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(std::net::Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("https://{address}")
}

/// `sampan kubeconfig`.
pub(crate) fn print(options: &cli::Kubeconfig) -> Result<()> {
    let dir = DataDir::of(&options.place)?;
    let path = dir.admin_kubeconfig();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "there is no cluster in {}: start one with `sampan up`, or name its directory with --data-dir",
            dir.path().display()
        ),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_one_that_this_machine_can_reach() {
        let rows = [
            ("127.0.0.1:6443", "https://127.0.0.1:6443"),
            ("0.0.0.0:6443", "https://127.0.0.1:6443"),
            ("[::]:6443", "https://[::1]:6443"),
            ("10.1.2.3:443", "https://10.1.2.3:443"),
        ];
        for (address, want) in rows {
            assert_eq!(url(address.parse().unwrap()), want);
        }
    }
}
