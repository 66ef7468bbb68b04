//! Which certificates of hosts are trusted.

use std::{fmt, sync::Arc};

use stead_core::code;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, pem::PemObject},
    },
};

use crate::error::Refusal;

/// The authorities that hosts' certificates are checked against. Cheap to clone.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

impl Trust {
    /// Those of this host; Mozilla's where it has none.
    ///
    /// # Errors
    /// `ST0258` when the list cannot be used.
    pub fn system() -> Result<Self, Refusal> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        }
        Self::of(roots)
    }

    /// Those of a PEM text alone: an organisation's own authority.
    ///
    /// # Errors
    /// `ST0258` when it holds no certificate.
    pub fn pem(text: &str) -> Result<Self, Refusal> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(text.as_bytes()).flatten());
        Self::of(roots)
    }

    fn of(roots: RootCertStore) -> Result<Self, Refusal> {
        let unusable =
            |what: String| Refusal::new(code::EGRESS_CERTIFICATE, what, "give certificates of authorities as PEM");
        if roots.is_empty() {
            return Err(unusable("there is no authority by which hosts could be trusted".to_owned()));
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| unusable(e.to_string()))?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::clone(&self.0))
    }
}
