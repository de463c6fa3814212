//! Certificates that are good, and those that are not.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair,
};

use super::*;

pub(in crate::authentication) struct Authority {
    pub(in crate::authentication) pem: String,
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

pub(in crate::authentication) fn authority(name: &str) -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let der = certificate.der().clone();
    Authority {
        pem: certificate.pem(),
        issuer: Issuer::from_ca_cert_pem(&certificate.pem(), key).unwrap(),
        der,
    }
}

pub(in crate::authentication) fn client(
    authority: &Authority,
    change: impl FnOnce(&mut CertificateParams),
) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "devs");
    params.distinguished_name.push(DnType::CommonName, "jane");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2100, 1, 1);
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    params.signed_by(&key, &authority.issuer).unwrap().der().clone()
}

async fn ask(
    authorities: &Authorities,
    chain: Vec<CertificateDer<'static>>,
) -> Result<Option<Arc<User>>, Rejected> {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    if let Some(peer) = PeerCertificates::new(chain) {
        parts.extensions.insert(peer);
    }
    let authenticator = ClientCertificate(authorities.clone());
    let first = authenticator.authenticate(&parts).await.map(|found| found.map(|found| found.user));
    // The second request of the connection reads the same.
    let again = authenticator.authenticate(&parts).await.map(|found| found.map(|found| found.user));
    assert_eq!(again, first);
    first
}

#[tokio::test]
async fn a_good_certificate_names_its_user() {
    let ca = authority("ca");
    let authorities = Authorities::from_pem([ca.pem.as_bytes()]).unwrap();
    let certificate = client(&ca, |params| {
        let uid = DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 57683, 2]);
        params.distinguished_name.push(uid, "u-1");
    });
    let user = ask(&authorities, vec![certificate]).await.unwrap().unwrap();
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("jane", "u-1"));
    assert_eq!(user.groups, ["devs", "system:authenticated"]);
    let id = &user.extra[CREDENTIAL_ID_KEY][0];
    assert!(id.starts_with("X509SHA256=") && id.len() == 11 + 64, "{id}");
    assert_eq!(ask(&authorities, Vec::new()).await, Ok(None));
}

#[tokio::test]
async fn a_bad_certificate_is_refused_with_its_reason() {
    let (ca, other) = (authority("ca"), authority("other"));
    let authorities = Authorities::from_pem([ca.pem.as_bytes()]).unwrap();
    let mut endless = vec![client(&other, |_| {})];
    endless.extend(std::iter::repeat_n(other.der.clone(), 500));
    let rows = [
        ("another authority", vec![client(&other, |_| {})], "UnknownIssuer"),
        ("expired", vec![client(&ca, |p| p.not_after = rcgen::date_time_ymd(2021, 1, 1))], "expired"),
        (
            "not yet valid",
            vec![client(&ca, |p| p.not_before = rcgen::date_time_ymd(2099, 1, 1))],
            "not valid yet",
        ),
        (
            "for servers",
            vec![client(&ca, |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])],
            "extended key usage",
        ),
        (
            "without a name",
            vec![client(&ca, |p| p.distinguished_name = DistinguishedName::new())],
            "subject with empty common name",
        ),
        ("a chain of hundreds", endless, "x509"),
        ("no certificate at all", vec![CertificateDer::from(vec![1, 2, 3])], "x509"),
    ];
    for (name, chain, want) in rows {
        let error = ask(&authorities, chain).await.unwrap_err();
        assert!(error.0.contains(want), "{name}: {error}");
    }
}

#[tokio::test]
async fn of_several_names_the_last_counts() {
    let ca = authority("ca");
    let authorities = Authorities::from_pem([ca.pem.as_bytes()]).unwrap();
    let two = client(&ca, |params| {
        // The library keeps one value of each type; this one has the bytes of another attribute of the same meaning.
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), "first");
        params.distinguished_name.push(DnType::CommonName, "last");
    });
    let (_, parsed) = x509_parser::parse_x509_certificate(&two).unwrap();
    let names: Vec<_> = parsed.subject().iter_common_name().map(|n| n.as_str().unwrap().to_owned()).collect();
    let user = ask(&authorities, vec![two.clone()]).await.unwrap().unwrap();
    assert_eq!(Some(&user.name), names.last());
    assert_eq!(names.len(), 2, "the certificate has two names: {names:?}");
}

#[tokio::test]
async fn nobody_in_particular_is_not_authenticated_by_a_certificate() {
    let ca = authority("ca");
    let authorities = Authorities::from_pem([ca.pem.as_bytes()]).unwrap();
    let named = |name: &'static str, group: &'static str| {
        client(&ca, |params| {
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::OrganizationName, group);
            params.distinguished_name.push(DnType::CommonName, name);
        })
    };
    let rows = [
        ("system:anonymous", "devs", vec!["devs"]),
        ("jane", "system:unauthenticated", vec!["system:unauthenticated"]),
        ("jane", "system:authenticated", vec!["system:authenticated"]),
        ("jane", "devs", vec!["devs", "system:authenticated"]),
    ];
    for (name, group, want) in rows {
        let user = ask(&authorities, vec![named(name, group)]).await.unwrap().unwrap();
        assert_eq!(user.groups, want, "{name} of {group}");
    }
}

#[tokio::test]
async fn authorities_that_are_replaced_count_no_more_on_connections_that_are_open() {
    let (old, new) = (authority("old"), authority("new"));
    let authorities = Authorities::from_pem([old.pem.as_bytes()]).unwrap();
    let authenticator = ClientCertificate(authorities.clone());
    let request = |certificate| {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.extensions.insert(PeerCertificates::new(vec![certificate]).unwrap());
        parts
    };
    let (before, after) = (request(client(&old, |_| {})), request(client(&new, |_| {})));
    assert!(authenticator.authenticate(&before).await.is_ok());
    assert!(authenticator.authenticate(&after).await.is_err());
    authorities.replace(&Authorities::from_pem([new.pem.as_bytes()]).unwrap());
    assert!(authenticator.authenticate(&before).await.is_err());
    assert!(authenticator.authenticate(&after).await.is_ok());
    assert_eq!(authorities.names().len(), 1);
}
