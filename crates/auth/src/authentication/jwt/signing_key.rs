//! A key that signs tokens.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use super::{KeyError, PublicKey, encode};

/// A private key, with its public half.
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id())
    }
}

impl SigningKey {
    /// The first private key in a PEM text.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        use rustls_pki_types::pem::Error;
        let der = PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
            Error::NoItemsFound => KeyError::None,
            error => KeyError::Malformed(error.to_string()),
        })?;
        Self::from_der(&der)
    }

    /// A private key as bytes, in any of its three forms.
    pub fn from_der(der: &PrivateKeyDer<'_>) -> Result<Self, KeyError> {
        let rsa = match der {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).ok(),
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok(),
            _ => None,
        };
        if let Some(pair) = rsa {
            let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyError::Unsupported)?;
            let public = PublicKey::from_spki(spki.as_ref())?;
            return Ok(Self { pair: Pair::Rsa(pair), public });
        }
        let curves = [
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &ECDSA_P384_SHA384_FIXED_SIGNING,
            &ECDSA_P521_SHA512_FIXED_SIGNING,
        ];
        let pair = curves
            .into_iter()
            .find_map(|curve| EcdsaKeyPair::from_private_key_der(curve, der.secret_der()).ok())
            .ok_or(KeyError::Unsupported)?;
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyError::Unsupported)?;
        let public = PublicKey::from_spki(spki.as_ref())?;
        Ok(Self { pair: Pair::Ec(pair), public })
    }

    /// Its public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The token with these claims. `None` only if there are no random numbers.
    pub fn sign(&self, claims: &impl serde::Serialize) -> Option<String> {
        let (alg, kid) = (self.public.algorithm().name(), self.public.id());
        let header = serde_json::json!({"alg": alg, "kid": kid});
        let payload = serde_json::to_vec(claims).ok()?;
        let signed = format!("{}.{}", encode(header.to_string()), encode(payload));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).ok()?;
                signature
            }
            Pair::Ec(pair) => pair.sign(&random, signed.as_bytes()).ok()?.as_ref().to_vec(),
        };
        Some(format!("{signed}.{}", encode(signature)))
    }
}
