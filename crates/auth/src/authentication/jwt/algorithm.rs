//! The algorithms that tokens may be signed with: those of public keys, none with a shared secret.

use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED,
    EcdsaVerificationAlgorithm, RsaParameters,
};

/// A signature algorithm (RFC 7518, section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
}

/// What verifies an algorithm.
pub(super) enum Verifier {
    /// With an RSA key.
    Rsa(&'static RsaParameters),
    /// With a key on one curve.
    Ec(&'static EcdsaVerificationAlgorithm),
}

impl Algorithm {
    const ALL: [(&'static str, Algorithm); 9] = [
        ("RS256", Algorithm::Rs256),
        ("RS384", Algorithm::Rs384),
        ("RS512", Algorithm::Rs512),
        ("PS256", Algorithm::Ps256),
        ("PS384", Algorithm::Ps384),
        ("PS512", Algorithm::Ps512),
        ("ES256", Algorithm::Es256),
        ("ES384", Algorithm::Es384),
        ("ES512", Algorithm::Es512),
    ];

    /// The algorithm of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(n, _)| *n == name).map(|(_, algorithm)| *algorithm)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, a)| *a == self).map_or("", |(name, _)| name)
    }

    pub(super) fn verifier(self) -> Verifier {
        use Verifier::{Ec, Rsa};
        match self {
            Algorithm::Rs256 => Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::Rs384 => Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::Rs512 => Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::Ps256 => Rsa(&signature::RSA_PSS_2048_8192_SHA256),
            Algorithm::Ps384 => Rsa(&signature::RSA_PSS_2048_8192_SHA384),
            Algorithm::Ps512 => Rsa(&signature::RSA_PSS_2048_8192_SHA512),
            Algorithm::Es256 => Ec(&ECDSA_P256_SHA256_FIXED),
            Algorithm::Es384 => Ec(&ECDSA_P384_SHA384_FIXED),
            Algorithm::Es512 => Ec(&ECDSA_P521_SHA512_FIXED),
        }
    }
}

/// The components of an RSA key, as the library takes them.
pub(super) type RsaComponents<'a> = rsa::PublicKeyComponents<&'a [u8]>;
