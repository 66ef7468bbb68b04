//! The authority of one session: it exists in this process only, and only the session's box trusts it.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use stead_core::code;
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use crate::{error::Refusal, limits::LEAVES, rules::Name};

/// Makes certificates of hosts for one box.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    /// One key for all hosts: the box that sees them is the same.
    key: KeyPair,
    leaves: Mutex<HashMap<Name, Arc<ServerConfig>>>,
}

impl Authority {
    /// A fresh one.
    ///
    /// # Errors
    /// `ST0258` when no key can be made.
    pub(crate) fn new() -> Result<Self, Refusal> {
        let (own, key) = (KeyPair::generate().map_err(failed)?, KeyPair::generate().map_err(failed)?);
        let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, "Stead egress proxy, this sandbox only");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let pem = params.self_signed(&own).map_err(failed)?.pem();
        Ok(Self { issuer: Issuer::new(params, own), pem, key, leaves: Mutex::default() })
    }

    /// Its certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// What the proxy shows the box as that host; kept for the next connection.
    pub(crate) fn server(&self, host: &Name) -> Result<Arc<ServerConfig>, Refusal> {
        if let Some(kept) = self.leaves.lock().get(host) {
            return Ok(Arc::clone(kept));
        }
        let made = Arc::new(self.make(host)?);
        let mut leaves = self.leaves.lock();
        if leaves.len() >= LEAVES {
            leaves.clear();
        }
        leaves.insert(host.clone(), Arc::clone(&made));
        Ok(made)
    }

    fn make(&self, host: &Name) -> Result<ServerConfig, Refusal> {
        let mut params = CertificateParams::new(vec![host.to_string()]).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, "Stead egress proxy");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ServerAuth);
        let certificate = params.signed_by(&self.key, &self.issuer).map_err(failed)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|b| b.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key))
            .map_err(failed)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn failed(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(
        code::EGRESS_CERTIFICATE,
        format!("a certificate for the box cannot be made: {error}"),
        "this is a defect of the proxy; please report it",
    )
}
