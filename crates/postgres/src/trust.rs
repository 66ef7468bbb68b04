//! Whose certificate is good enough: rustls with the checks that a mode asks for.

use std::{fs::File, io::Read as _, path::Path, sync::Arc};

use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};

use crate::target::{BadUrl, Mode, Roots};

/// Most bytes of a file of root certificates.
const MAX_ROOTS: u64 = 1 << 20;

/// The TLS of a mode.
pub(crate) fn config(mode: Mode, roots: Option<&Roots>) -> Result<ClientConfig, BadUrl> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| BadUrl(format!("asks for TLS, which cannot be had here: {e}")))?;
    let unchecked = matches!(mode, Mode::Disable | Mode::Prefer | Mode::Require);
    // Named roots must be there, whether or not they are asked.
    let store = match (unchecked, roots) {
        (true, None | Some(Roots::System)) => RootCertStore::empty(),
        (_, Some(Roots::File(path))) => from_file(path)?,
        (false, _) => from_system()?,
    };
    let verifier: Arc<dyn ServerCertVerifier> = match mode {
        Mode::VerifyFull => return Ok(builder.with_root_certificates(store).with_no_client_auth()),
        Mode::VerifyCa => {
            let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
                .build()
                .map_err(|e| BadUrl(format!("has an `sslrootcert` that cannot be used: {e}")))?;
            Arc::new(AnyName(inner))
        }
        Mode::Disable | Mode::Prefer | Mode::Require => Arc::new(Anybody(provider)),
    };
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn from_file(path: &Path) -> Result<RootCertStore, BadUrl> {
    let wrong = |why: String| BadUrl(format!("has an `sslrootcert` that cannot be used: {}: {why}", path.display()));
    let mut pem = Vec::new();
    let file = File::open(path).map_err(|e| wrong(e.to_string()))?;
    file.take(MAX_ROOTS + 1).read_to_end(&mut pem).map_err(|e| wrong(e.to_string()))?;
    if pem.len() as u64 > MAX_ROOTS {
        return Err(wrong(format!("it is larger than {MAX_ROOTS} bytes")));
    }
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| wrong("it is no PEM file".into()))?;
        store.add(certificate).map_err(|e| wrong(e.to_string()))?;
    }
    if store.is_empty() { Err(wrong("it holds no certificate".into())) } else { Ok(store) }
}

fn from_system() -> Result<RootCertStore, BadUrl> {
    let mut store = RootCertStore::empty();
    // Single ones that cannot be read are left out, as libpq's do.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        let cure = "name a file as `sslrootcert`, or write `sslmode=disable` where nobody can listen in between";
        return Err(BadUrl(format!("asks for a certificate, and this host knows no authority for one: {cure}")));
    }
    Ok(store)
}

/// A certificate of a trusted authority, whatever name it is for.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp, now) {
            // The name is looked at last, when everything else has been found right.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
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

/// Any certificate: against those who only listen.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
