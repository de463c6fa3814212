//! Keys as JSON (RFC 7517).

use serde::{Deserialize, Serialize};

use super::public_key::{Curve, Material, trim};
use super::{Algorithm, KeyError, PublicKey, decode};

/// One key. Fields of sorts of keys that are not known here are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Jwk {
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
    #[serde(default)]
    pub kty: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
}

/// Several keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<Jwk>,
}

impl JwkSet {
    /// Those that verify signatures of tokens; an issuer may publish others beside them.
    pub fn verifying(&self) -> Vec<PublicKey> {
        let for_signatures = |jwk: &&Jwk| jwk.usage.as_deref().is_none_or(|u| u == "sig");
        self.keys.iter().filter(for_signatures).filter_map(|jwk| PublicKey::try_from(jwk).ok()).collect()
    }
}

impl TryFrom<&Jwk> for PublicKey {
    type Error = KeyError;

    fn try_from(jwk: &Jwk) -> Result<Self, KeyError> {
        let number = |field: &Option<String>| {
            let text = field.as_deref().unwrap_or_default();
            decode(text)
                .filter(|b| !b.is_empty())
                .ok_or_else(|| KeyError::Malformed("a number is missing".into()))
        };
        let material = match jwk.kty.as_str() {
            "RSA" => Material::Rsa {
                modulus: trim(&number(&jwk.n)?).to_vec(),
                exponent: trim(&number(&jwk.e)?).to_vec(),
            },
            "EC" => {
                let curve = jwk.crv.as_deref().and_then(Curve::of_name).ok_or(KeyError::Unsupported)?;
                let length = curve.facts().1;
                let mut point = vec![4];
                for coordinate in [number(&jwk.x)?, number(&jwk.y)?] {
                    let digits = trim(&coordinate);
                    let zeros = length
                        .checked_sub(digits.len())
                        .ok_or_else(|| KeyError::Malformed("a coordinate is too long".into()))?;
                    point.resize(point.len() + zeros, 0);
                    point.extend_from_slice(digits);
                }
                Material::Ec { curve, point }
            }
            _ => return Err(KeyError::Unsupported),
        };
        let key = PublicKey::new(jwk.kid.clone(), material);
        match jwk.alg.as_deref() {
            Some(alg) if Algorithm::parse(alg).is_none() => Err(KeyError::Unsupported),
            _ => Ok(key),
        }
    }
}
