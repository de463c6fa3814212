//! A key that verifies tokens.

use aws_lc_rs::signature::VerificationAlgorithm as _;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::algorithm::{RsaComponents, Verifier};
use super::{Algorithm, Jwk, KeyError, SigningKey, encode};

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: String,
    material: Material,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Material {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    Ec { curve: Curve, point: Vec<u8> },
}

/// An elliptic curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    /// Its name in a JWK, how many bytes a coordinate has, and the algorithm of its keys.
    pub(super) fn facts(self) -> (&'static str, usize, Algorithm) {
        match self {
            Curve::P256 => ("P-256", 32, Algorithm::Es256),
            Curve::P384 => ("P-384", 48, Algorithm::Es384),
            Curve::P521 => ("P-521", 66, Algorithm::Es512),
        }
    }

    const ALL: [Curve; 3] = [Curve::P256, Curve::P384, Curve::P521];

    pub(super) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.facts().0 == name)
    }

    /// The curve of an uncompressed point.
    fn of_point(point: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|c| point.len() == 1 + 2 * c.facts().1 && point[0] == 4)
    }
}

impl PublicKey {
    pub(super) fn new(id: String, material: Material) -> Self {
        Self { id, material }
    }

    /// The key in a SubjectPublicKeyInfo. Its id is the hash of that, as upstream has it.
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let (_, info) =
            SubjectPublicKeyInfo::from_der(der).map_err(|e| KeyError::Malformed(e.to_string()))?;
        let material = match info.parsed().map_err(|e| KeyError::Malformed(e.to_string()))? {
            Parsed::RSA(key) => {
                let modulus = trim(key.modulus);
                // 2047 bits are 256 bytes too; the library looks closer when it verifies.
                if modulus.len() < 256 {
                    return Err(KeyError::Unsupported);
                }
                Material::Rsa { modulus: modulus.to_vec(), exponent: trim(key.exponent).to_vec() }
            }
            Parsed::EC(point) => {
                let curve = Curve::of_point(point.data()).ok_or(KeyError::Unsupported)?;
                Material::Ec { curve, point: point.data().to_vec() }
            }
            _ => return Err(KeyError::Unsupported),
        };
        Ok(Self { id: encode(Sha256::digest(der)), material })
    }

    /// All keys in a PEM text: public keys, certificates, and private keys (whose public half is meant).
    pub fn from_pem(text: &[u8]) -> Result<Vec<Self>, KeyError> {
        let mut keys = Vec::new();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
            let (kind, der) = section.map_err(|e| KeyError::Malformed(e.to_string()))?;
            match kind {
                SectionKind::PublicKey => keys.push(Self::from_spki(&der)?),
                SectionKind::Certificate => {
                    let (_, certificate) = x509_parser::parse_x509_certificate(&der)
                        .map_err(|e| KeyError::Malformed(e.to_string()))?;
                    keys.push(Self::from_spki(certificate.public_key().raw)?);
                }
                SectionKind::RsaPrivateKey | SectionKind::PrivateKey | SectionKind::EcPrivateKey => {
                    let der = match kind {
                        SectionKind::RsaPrivateKey => PrivateKeyDer::Pkcs1(der.into()),
                        SectionKind::EcPrivateKey => PrivateKeyDer::Sec1(der.into()),
                        _ => PrivateKeyDer::Pkcs8(der.into()),
                    };
                    keys.push(SigningKey::from_der(&der)?.public().clone());
                }
                _ => {}
            }
        }
        if keys.is_empty() { Err(KeyError::None) } else { Ok(keys) }
    }

    /// The name under which the headers of tokens mean it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The algorithm that the server itself uses with such a key.
    pub fn algorithm(&self) -> Algorithm {
        match &self.material {
            Material::Rsa { .. } => Algorithm::Rs256,
            Material::Ec { curve, .. } => curve.facts().2,
        }
    }

    /// Whether `signature` is that of this key for `message`. `false` for an algorithm of other keys.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match (&self.material, algorithm.verifier()) {
            (Material::Rsa { modulus, exponent }, Verifier::Rsa(parameters)) => {
                let key = RsaComponents { n: modulus, e: exponent };
                key.verify(parameters, message, signature).is_ok()
            }
            (Material::Ec { curve, point }, Verifier::Ec(verifier)) if curve.facts().2 == algorithm => {
                verifier.verify_sig(point, message, signature).is_ok()
            }
            _ => false,
        }
    }

    /// The key as others read it.
    pub fn jwk(&self) -> Jwk {
        let mut jwk = Jwk {
            usage: Some("sig".into()),
            kid: self.id.clone(),
            alg: Some(self.algorithm().name().into()),
            ..Jwk::default()
        };
        match &self.material {
            Material::Rsa { modulus, exponent } => {
                jwk.kty = "RSA".into();
                jwk.n = Some(encode(modulus));
                jwk.e = Some(encode(exponent));
            }
            Material::Ec { curve, point } => {
                let (name, length, _) = curve.facts();
                jwk.kty = "EC".into();
                jwk.crv = Some(name.into());
                jwk.x = Some(encode(&point[1..=length]));
                jwk.y = Some(encode(&point[1 + length..]));
            }
        }
        jwk
    }
}

/// A number without its leading zeros.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    &bytes[zeros..]
}
