//! What a further start keeps, and what it makes anew.

use std::os::unix::fs::PermissionsExt as _;

use time::Duration;

use super::*;

fn names() -> ServerNames {
    ServerNames::new([127, 0, 0, 1].into(), [10, 96, 0, 1].into(), "host", &[])
}

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
}

#[test]
fn a_second_start_reuses_what_the_first_has_made() {
    let dir = tempfile::tempdir().unwrap();
    let first = Pki::open(dir.path(), now()).unwrap();
    let server = first.server(&names(), now()).unwrap();
    let second = Pki::open(dir.path(), now() + Duration::days(1)).unwrap();
    assert_eq!(second.authority(), first.authority());
    assert_eq!(second.admin.certificate, first.admin.certificate);
    assert_eq!(second.server(&names(), now()).unwrap().certificate, server.certificate);
}

#[test]
fn every_key_is_readable_by_its_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    Pki::open(dir.path(), now()).unwrap().server(&names(), now()).unwrap();
    for name in ["ca.key", "apiserver.key", "admin.key"] {
        let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_server_certificate_is_made_anew_near_its_end_or_for_other_names() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open(dir.path(), now()).unwrap();
    let first = pki.server(&names(), now()).unwrap().certificate;
    let other_names = ServerNames::new([10, 1, 2, 3].into(), [10, 96, 0, 1].into(), "host", &[]);
    let rows = [
        ("the same names a month later", names(), Duration::days(30), true),
        ("near its end", names(), Duration::days(320), false),
        ("another address", other_names, Duration::ZERO, false),
    ];
    for (name, names, later, same) in rows {
        let copy = tempfile::tempdir().unwrap();
        for file in fs::read_dir(dir.path()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        let pki = Pki::open(copy.path(), now() + later).unwrap();
        let again = pki.server(&names, now() + later).unwrap().certificate;
        assert_eq!(again == first, same, "{name}");
    }
}

#[test]
fn a_lost_authority_key_is_told_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    Pki::open(dir.path(), now()).unwrap();
    fs::remove_file(dir.path().join("ca.key")).unwrap();
    let error = Pki::open(dir.path(), now()).err().unwrap();
    assert!(error.to_string().contains("ca.key is missing: put it back"), "{error:#}");
}

#[test]
fn certificates_of_another_authority_are_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let first = Pki::open(dir.path(), now()).unwrap();
    fs::remove_file(dir.path().join("ca.key")).unwrap();
    fs::remove_file(dir.path().join("ca.crt")).unwrap();
    let second = Pki::open(dir.path(), now()).unwrap();
    assert_ne!(second.admin.certificate, first.admin.certificate);
}

#[test]
fn files_that_a_loss_of_power_has_emptied_are_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    Pki::open(dir.path(), now()).unwrap();
    for name in ["ca.key", "admin.crt"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    let pki = Pki::open(dir.path(), now()).unwrap();
    assert!(pki.admin.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
}
