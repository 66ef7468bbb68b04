//! The authority of one session: it exists in this process only, and only the session's box trusts it.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SerialNumber, date_time_ymd,
};
use stead_core::code;
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use crate::{calendar, error::Refusal, limits::LEAVES, rules::Name};

const DAY: Duration = Duration::from_secs(86_400);
/// How long the authority's certificate is good, and one of a host; that one is made anew after half of it.
const OWN_LIFE: u32 = 365;
const LEAF_LIFE: u32 = 30;

/// Makes certificates of hosts for one box.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    /// One key for all hosts: the box that sees them is the same.
    key: KeyPair,
    leaves: Mutex<HashMap<Name, (Arc<ServerConfig>, SystemTime)>>,
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
        limited(&mut params, OWN_LIFE)?;
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
        let now = SystemTime::now();
        if let Some((kept, made)) = self.leaves.lock().get(host)
            && now.duration_since(*made).is_ok_and(|age| age < DAY * LEAF_LIFE / 2)
        {
            return Ok(Arc::clone(kept));
        }
        let made = Arc::new(self.make(host)?);
        let mut leaves = self.leaves.lock();
        if leaves.len() >= LEAVES {
            leaves.clear();
        }
        leaves.insert(host.clone(), (Arc::clone(&made), now));
        Ok(made)
    }

    fn make(&self, host: &Name) -> Result<ServerConfig, Refusal> {
        let mut params = CertificateParams::new(vec![host.to_string()]).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, "Stead egress proxy");
        limited(&mut params, LEAF_LIFE)?;
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

/// Gives a certificate so many days from yesterday on, and a number of its own: two of one number are a forgery to some clients (RFC
/// 5280 section 4.1.2.2), and rcgen makes it of the key, which all of them share.
fn limited(params: &mut CertificateParams, days: u32) -> Result<(), Refusal> {
    let day = |at: SystemTime| {
        let seconds = at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let (year, month, day) = calendar::date(seconds);
        date_time_ymd(i32::try_from(year).unwrap_or(i32::MAX), month, day)
    };
    let now = SystemTime::now();
    (params.not_before, params.not_after) = (day(now - DAY), day(now + DAY * days));
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(failed)?;
    // Positive, and never shorter.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(())
}

fn failed(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(
        code::EGRESS_CERTIFICATE,
        format!("a certificate for the box cannot be made: {error}"),
        "this is a defect of the proxy; please report it",
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// The certificate of a host, as bytes.
    fn leaf(authority: &Authority, host: &str) -> Vec<u8> {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        limited(&mut params, LEAF_LIFE).unwrap();
        params.signed_by(&authority.key, &authority.issuer).unwrap().der().to_vec()
    }

    #[test]
    fn each_certificate_has_a_number_of_its_own_and_an_end() {
        let authority = Authority::new().unwrap();
        // Version and number stand first (RFC 5280 section 4.1): the sequences' heads, then `a0 03 02 01 02`, then `02 10` and the number.
        let number = |der: &[u8]| {
            let at = der.windows(7).position(|w| w == [0xa0, 3, 2, 1, 2, 2, 16]).unwrap();
            der[at + 7..at + 23].to_vec()
        };
        let (a, b) = (leaf(&authority, "a.example"), leaf(&authority, "b.example"));
        assert_ne!(number(&a), number(&b));
        // As rcgen writes times without one: to the year 4096.
        assert!(!a.windows(4).any(|w| w == b"4096"));
        let kept = authority.server(&Name::parse("a.example").unwrap()).unwrap();
        assert!(Arc::ptr_eq(&kept, &authority.server(&Name::parse("a.example").unwrap()).unwrap()));
    }
}
