//! AutoMTLS: a certificate made anew for each process, and the one certificate of the host that started it.
//!
//! The host's certificate stands for itself, so it is compared and not verified against anything; that the peer has its key is what TLS proves.
//! Hosts written in Go have keys on P-521, which ring does not know.

use std::io;
use std::sync::Arc;

use base64::prelude::{Engine, BASE64_STANDARD_NO_PAD};
use p521::ecdsa::signature::Verifier;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{ring, verify_tls13_signature, CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    alg_id, AlgorithmIdentifier, CertificateDer, InvalidSignature, PrivatePkcs8KeyDer, SignatureVerificationAlgorithm, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};
use tokio_rustls::TlsAcceptor;

/// How we accept connections, and our certificate as the handshake line carries it.
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) field: String,
}

/// Serves whoever has the key of this certificate (PEM), and nobody else.
pub(crate) fn accept_only(host_certificate: &str) -> io::Result<Tls> {
    let host = CertificateDer::from_pem_slice(host_certificate.as_bytes())
        .map_err(|error| io::Error::other(format!("PLUGIN_CLIENT_CERT is no certificate: {error}")))?;
    let (certificate, key) = make_certificate().map_err(io::Error::other)?;
    // A Go host refuses padding.
    let field = BASE64_STANDARD_NO_PAD.encode(&certificate);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_client_cert_verifier(Arc::new(OnlyHost { host }))
        .with_single_cert(vec![certificate], key.into())
        .map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), field })
}

/// From the system; fails only where there is no randomness.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rustls::crypto::SecureRandom::fill(ring::default_provider().secure_random, &mut bytes).expect("the system gives random bytes");
    bytes
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// P-256 and no CA, which Go, OpenSSL, BoringSSL and rustls all take as it is.
fn make_certificate() -> Result<(CertificateDer<'static>, PrivatePkcs8KeyDer<'static>), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["localhost".into()])?;
    params.distinguished_name.push(DnType::OrganizationName, "fn");
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyAgreement];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.self_signed(&key)?;
    Ok((certificate.into(), PrivatePkcs8KeyDer::from(key.serialize_der())))
}

/// Knows one client.
#[derive(Debug)]
struct OnlyHost {
    host: CertificateDer<'static>,
}

impl ClientCertVerifier for OnlyHost {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        sent: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if *sent == self.host {
            return Ok(ClientCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Never spoken: this build of rustls has TLS 1.3 alone.
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = if signed.scheme == SignatureScheme::ECDSA_NISTP521_SHA512 {
            WITH_P521
        } else {
            ring::default_provider().signature_verification_algorithms
        };
        verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = ring::default_provider().signature_verification_algorithms.supported_schemes();
        schemes.push(SignatureScheme::ECDSA_NISTP521_SHA512);
        schemes
    }
}

const WITH_P521: WebPkiSupportedAlgorithms =
    WebPkiSupportedAlgorithms { all: &[&P521_SHA512], mapping: &[(SignatureScheme::ECDSA_NISTP521_SHA512, &[&P521_SHA512])] };

/// ECDSA on P-521 with SHA-512.
#[derive(Debug)]
struct P521Sha512;

static P521_SHA512: P521Sha512 = P521Sha512;

impl SignatureVerificationAlgorithm for P521Sha512 {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature = p521::ecdsa::Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        key.verify(message, &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P521
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA512
    }
}

#[cfg(test)]
mod tests {
    use rustls::client::ResolvesClientCert;
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::sign::CertifiedKey;
    use rustls::{ClientConfig, RootCertStore};
    use tokio_rustls::TlsConnector;

    use super::*;

    type Identity = (CertificateDer<'static>, PrivatePkcs8KeyDer<'static>);

    #[derive(Debug)]
    struct Presents(Option<Arc<CertifiedKey>>);

    impl ResolvesClientCert for Presents {
        fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            self.0.clone()
        }

        fn has_certs(&self) -> bool {
            self.0.is_some()
        }
    }

    fn presents((certificate, key): (&CertificateDer<'static>, &PrivatePkcs8KeyDer<'static>)) -> Presents {
        let key = ring::sign::any_supported_type(&PrivateKeyDer::from(key.clone_key())).unwrap();
        Presents(Some(Arc::new(CertifiedKey::new(vec![certificate.clone()], key))))
    }

    /// Whether a client that presents this gets through to a plugin whose host has that certificate.
    async fn gets_through(host: &Identity, client: Presents) -> bool {
        let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", base64::prelude::BASE64_STANDARD.encode(&host.0));
        let tls = accept_only(&pem).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(BASE64_STANDARD_NO_PAD.decode(&tls.field).unwrap().into()).unwrap();
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_cert_resolver(Arc::new(client));
        config.alpn_protocols = vec![b"h2".to_vec()];
        let (ours, theirs) = tokio::net::UnixStream::pair().unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let (accepted, _connected) =
            tokio::join!(tls.acceptor.accept(ours), connector.connect(ServerName::try_from("localhost").unwrap(), theirs));
        accepted.is_ok()
    }

    #[tokio::test]
    async fn only_the_host_gets_through() {
        let (host, other) = (make_certificate().unwrap(), make_certificate().unwrap());
        assert!(gets_through(&host, presents((&host.0, &host.1))).await);
        assert!(!gets_through(&host, presents((&other.0, &other.1))).await, "another certificate");
        assert!(!gets_through(&host, presents((&host.0, &other.1))).await, "the certificate without its key");
        assert!(!gets_through(&host, Presents(None)).await, "no certificate");
    }

    #[test]
    fn what_is_no_certificate_is_told() {
        let error = accept_only("nonsense").err().unwrap();
        assert!(error.to_string().starts_with("PLUGIN_CLIENT_CERT is no certificate"));
    }

    /// Made by OpenSSL, over the text `message`.
    const PUBLIC_KEY: &str = "BAF2MawKFW+skkxzbmusct2DHY+dsrrw2tK6r8iEukqmRd6PQzXRt+cHhMlb7k3yNXVymqmSHVJWxWcVEDDRG11GEQAcJ7Ib5jCtvSwaQ1Hb+0gWJ/2Qi6j4df6nfgvKmomZpMAiz2b+7x8rLdtZdFzL9mVCBBl9zhJXJZgBNg2vTkqbTA==";
    const SIGNATURE: &str = "MIGHAkEWIpu+s54wz5Wi2NoL6Kq/SnebL/CyTOMFrFFewfAGf09j4bA8fG2Vj9QMhFWP6IG4gKFEaZmxYCID8aiNulVvAwJCANPnP9E4rmVJIC82IiaAftVMuZCOQ3CiN3Seg86jjHJn04Lz8TBYhnWeKmtsQ9nSmtvZAGw1rFJwRWNrbq/AEaJv";

    #[test]
    fn a_signature_on_p521_is_verified() {
        let decode = |text| base64::prelude::BASE64_STANDARD.decode(text).unwrap();
        let (key, signature) = (decode(PUBLIC_KEY), decode(SIGNATURE));
        assert!(P521_SHA512.verify_signature(&key, b"message", &signature).is_ok());
        assert!(P521_SHA512.verify_signature(&key, b"another", &signature).is_err());
        let other_key = p521::ecdsa::SigningKey::from_slice(&[[0; 65].as_slice(), &[7]].concat()).unwrap();
        let other_key = p521::ecdsa::VerifyingKey::from(&other_key).to_encoded_point(false);
        assert!(P521_SHA512.verify_signature(other_key.as_bytes(), b"message", &signature).is_err());
        assert!(P521_SHA512.verify_signature(b"", b"message", b"").is_err());
    }
}
