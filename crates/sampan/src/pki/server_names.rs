//! The names under which clients reach the server.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// Names and addresses that the server's certificate is valid for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ServerNames {
    pub(crate) dns: BTreeSet<String>,
    pub(crate) addresses: BTreeSet<IpAddr>,
}

impl ServerNames {
    /// The names that every server has, those of this machine, and those that the user adds.
    pub(crate) fn new(listen: IpAddr, service: IpAddr, hostname: &str, further: &[String]) -> Self {
        let mut names = Self::default();
        for name in [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
        ] {
            names.dns.insert(name.to_owned());
        }
        names.addresses.extend([Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into(), service]);
        if !listen.is_unspecified() {
            names.addresses.insert(listen);
        }
        for name in std::iter::once(hostname).chain(further.iter().map(String::as_str)) {
            names.add(name);
        }
        names
    }

    /// The names of a node: its own, and its addresses.
    pub(crate) fn of_node(name: &str, addresses: &[IpAddr]) -> Self {
        let mut names = Self::default();
        names.add(name);
        names.addresses.extend([IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()]);
        names.addresses.extend(addresses);
        names
    }

    /// The names of a node that others vouch for: without those by which only the machine itself reaches it.
    pub(crate) fn of_node_for_others(name: &str, addresses: &[IpAddr]) -> Self {
        let mut names = Self::default();
        names.add(name);
        names.addresses.extend(addresses);
        names
    }

    fn add(&mut self, name: &str) {
        if let Ok(address) = name.parse() {
            self.addresses.insert(address);
        } else if !name.is_empty() && name.is_ascii() {
            self.dns.insert(name.to_ascii_lowercase());
        }
    }

    /// The names of a certificate.
    pub(crate) fn of(certificate: &X509Certificate<'_>) -> Self {
        let mut names = Self::default();
        let Ok(Some(extension)) = certificate.subject_alternative_name() else { return names };
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => {
                    names.dns.insert((*name).to_owned());
                }
                GeneralName::IPAddress(bytes) => {
                    let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                    let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
                    names.addresses.extend(v4.or(v6));
                }
                _ => {}
            }
        }
        names
    }
}
