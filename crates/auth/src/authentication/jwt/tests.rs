//! Keys of all sorts, and tokens that must fit none of them.

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256};
use serde_json::json;

use super::*;

fn pem(algorithm: &'static rcgen::SignatureAlgorithm) -> (String, String) {
    let pair = KeyPair::generate_for(algorithm).unwrap();
    (pair.serialize_pem(), pair.public_key_pem())
}

#[test]
fn what_a_key_signs_its_public_half_verifies_in_every_form() {
    let rows = [
        ("RSA", &PKCS_RSA_SHA256, Algorithm::Rs256),
        ("P-256", &PKCS_ECDSA_P256_SHA256, Algorithm::Es256),
        ("P-384", &PKCS_ECDSA_P384_SHA384, Algorithm::Es384),
    ];
    for (name, algorithm, want) in rows {
        let (private, public) = pem(algorithm);
        let key = SigningKey::from_pem(private.as_bytes()).unwrap();
        let token = key.sign(&json!({"iss": "me"})).unwrap();
        let compact = Compact::parse(&token).unwrap();
        assert_eq!(compact.algorithm, want, "{name}");
        assert_eq!(compact.issuer(), "me");
        let from_public = PublicKey::from_pem(public.as_bytes()).unwrap().remove(0);
        let from_private = PublicKey::from_pem(private.as_bytes()).unwrap().remove(0);
        assert_eq!(from_public, from_private, "{name}");
        assert_eq!(compact.key_id, from_public.id());
        let set = JwkSet { keys: vec![from_public.jwk()] };
        let set: JwkSet = serde_json::from_str(&serde_json::to_string(&set).unwrap()).unwrap();
        for key in [&from_public, &set.verifying()[0]] {
            assert!(compact.is_signed_by(key), "{name}");
        }
        let (other, _) = pem(algorithm);
        let other = SigningKey::from_pem(other.as_bytes()).unwrap();
        assert!(!compact.is_signed_by(other.public()), "{name}");
    }
}

#[test]
fn a_token_that_is_not_signed_by_a_public_key_is_no_token() {
    let (private, public) = pem(&PKCS_RSA_SHA256);
    let key = SigningKey::from_pem(private.as_bytes()).unwrap();
    let token = key.sign(&json!({"iss": "me"})).unwrap();
    let [header, payload, signature]: [&str; 3] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let with_header = |header: serde_json::Value, signature: &str| {
        format!("{}.{payload}.{signature}", encode(header.to_string()))
    };
    // The public key's text as the secret of an HMAC: the classic confusion.
    let confused = format!("{}.{payload}", encode(json!({"alg": "HS256"}).to_string()));
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public.as_bytes());
    let confused = format!("{confused}.{}", encode(aws_lc_rs::hmac::sign(&secret, confused.as_bytes())));
    let rows = [
        ("no algorithm", with_header(json!({"alg": "none"}), "")),
        ("the public key as a secret", confused),
        ("an unknown extension", with_header(json!({"alg": "RS256", "crit": ["exp"]}), signature)),
        ("four parts", format!("{token}.x")),
        ("two parts", format!("{header}.{payload}")),
        ("no base64", format!("{header}.{payload}.***")),
        ("nothing", String::new()),
    ];
    for (name, token) in rows {
        assert!(Compact::parse(&token).is_none(), "{name}");
    }
    let other_algorithm = with_header(json!({"alg": "PS256"}), signature);
    let changed = format!("{header}.{}.{signature}", encode(json!({"iss": "you"}).to_string()));
    for (name, token) in [("another algorithm", other_algorithm), ("another payload", changed)] {
        assert!(!Compact::parse(&token).unwrap().is_signed_by(key.public()), "{name}");
    }
}

#[test]
fn keys_that_are_too_weak_or_no_keys_are_refused() {
    let ed25519 = pem(&rcgen::PKCS_ED25519);
    let rows = [
        ("nothing", String::new(), KeyError::None),
        ("another curve", ed25519.0.clone(), KeyError::Unsupported),
        ("another public key", ed25519.1, KeyError::Unsupported),
    ];
    for (name, text, want) in rows {
        assert_eq!(PublicKey::from_pem(text.as_bytes()).unwrap_err(), want, "{name}");
    }
}

#[test]
fn audiences_are_one_or_many_and_times_may_have_fractions() {
    let one: Audiences = serde_json::from_str("\"a\"").unwrap();
    let many: Audiences = serde_json::from_str("[\"a\",\"b\"]").unwrap();
    assert_eq!((one.0.len(), many.0.len()), (1, 2));
    assert_eq!(serde_json::from_str::<NumericDate>("12.9").unwrap(), NumericDate(12));
    assert_eq!(serde_json::from_str::<NumericDate>("12").unwrap(), NumericDate(12));
}
