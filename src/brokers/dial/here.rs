//! Certificates of programs on this machine: a gateway signs its own, and nobody else can.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Returns TLS settings that take any certificate of this machine, and everybody else's as always.
///
/// What is said to this machine does not leave it, so that a certificate would prove nothing.
///
/// # Errors
/// When the provider of cryptography takes no version of the protocol, which is a fault of the build.
pub fn tls() -> Result<ClientConfig, Error> {
    let mut config = super::tls()?;
    config.dangerous().set_certificate_verifier(Arc::new(Here::new()?));
    Ok(config)
}

/// Takes any certificate of this machine.
#[derive(Debug)]
struct Here(Arc<WebPkiServerVerifier>);

impl Here {
    fn new() -> Result<Self, Error> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let public = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Self(public.map_err(|error| Error::General(error.to_string()))?))
    }
}

/// Returns whether a name is this machine's.
fn is_here(name: &ServerName<'_>) -> bool {
    match name {
        ServerName::DnsName(name) => name.as_ref() == "localhost",
        ServerName::IpAddress(address) => IpAddr::from(*address).is_loopback(),
        _ => false,
    }
}

impl ServerCertVerifier for Here {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if is_here(server_name) {
            return Ok(ServerCertVerified::assertion());
        }
        self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    /// A certificate that signed itself, and names nobody's host.
    const OWN: &str = "\
        MIIBfzCCASWgAwIBAgIUJYmgUY9xrychB1MiJrLuxaRakvswCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJYSBnYXRld2F5MCAXDTI2\
        MTEyMjIwMDEwNVoYDzIxMjYxMDI5MjAwMTA1WjAUMRIwEAYDVQQDDAlhIGdhdGV3YXkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\
        AAQxaqXFu7fPKPRCQF0nWpRK2VvQxBcjtzhxkH8RK1kDAKcac4OGGgEPldPvqAmL+dEqz+uqPbGOk5kaWnXQmtHLo1MwUTAdBgNV\
        HQ4EFgQUPgpqkkEp/s/xKxuw/Sh9eBeOZ8wwHwYDVR0jBBgwFoAUPgpqkkEp/s/xKxuw/Sh9eBeOZ8wwDwYDVR0TAQH/BAUwAwEB\
        /zAKBggqhkjOPQQDAgNIADBFAiEA5A0x4vHLxEjMTBv1KL1clag7cUI5PfpzGum4Cpul+asCIBQzupDcF+hR4Os5VlodGR9yrNsq\
        KVg7SLNtSoz7iDK9";

    #[test]
    fn only_this_machine_may_sign_its_own_certificate() {
        let own = CertificateDer::from(BASE64_STANDARD.decode(OWN).unwrap());
        let verifier = Here::new().unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000));
        let is_taken = |name: &str| {
            let name = ServerName::try_from(name.to_owned()).unwrap();
            verifier.verify_server_cert(&own, &[], &name, &[], now).is_ok()
        };
        for here in ["localhost", "127.0.0.1", "::1"] {
            assert!(is_taken(here), "{here}");
        }
        for other in ["api.ibkr.com", "localhost.example.com", "10.0.0.1", "8.8.8.8"] {
            assert!(!is_taken(other), "{other}");
        }
        assert!(tls().is_ok());
    }
}
