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
    let first = authenticator.authenticate(&parts).await;
    // The second request of the connection reads the same.
    assert_eq!(authenticator.authenticate(&parts).await, first);
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
