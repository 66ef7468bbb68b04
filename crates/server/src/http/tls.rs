//! TLS of the listener: rustls, HTTP/1.1 only.

use std::{path::Path, sync::Arc};

use stead_core::code;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use crate::config::{ConfigError, Tls};

/// Reads certificate and key.
pub(super) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, ConfigError> {
    let wrong = |file: &Path, why: &dyn std::fmt::Display| {
        ConfigError::new(code::CONFIG, file, format!("cannot be used for TLS: {why}"))
    };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(&tls.cert).and_then(Iterator::collect).map_err(|e| wrong(&tls.cert, &e))?;
    if chain.is_empty() {
        return Err(wrong(&tls.cert, &"it holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|e| wrong(&tls.key, &e))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(&tls.cert, &e))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| wrong(&tls.cert, &e))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
