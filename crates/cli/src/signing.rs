//! Signing on this machine: with a key in a file, or with `ssh-keygen`, which knows agents and security keys. What is signed was made
//! here, from the question; a server that says it shows something else changes nothing.

use std::{
    fs,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use stead_api::run::Run;
use stead_client::Client;
use stead_core::{code, id::EffectId};
use stead_server::{approvers::key_path, clock};
use stead_trust::{
    NAMESPACE,
    key::PublicKey,
    question::Question,
    receipt::{Receipt, Signature},
    signer::Signer,
    statement::{Human, MAX_LIFE, Statement},
};
use zeroize::Zeroizing;

use crate::error::{CliError, Outcome};

/// How long a signed answer counts when its question does not end, in seconds.
const USUAL_LIFE: u64 = 24 * 3_600;
/// Longest file of a key that is read, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// A key that can sign here.
pub(crate) enum Key {
    /// In a file of ours.
    File(Box<Signer>),
    /// What `ssh-keygen -Y sign` takes.
    Ssh {
        /// The file that it is given.
        path: PathBuf,
        /// Its public key.
        public: PublicKey,
    },
}

impl Key {
    /// The key of a file: one of ours, or what OpenSSH can sign with.
    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        let text = read(path)?;
        if let Ok(signer) = text.parse::<Signer>() {
            if mode(path)? & 0o077 != 0 {
                let message = format!("{} can be read by others than its owner", path.display());
                return Err(bad(message).hint(format!("chmod 600 {}", path.display())));
            }
            return Ok(Self::File(Box::new(signer)));
        }
        Self::ssh(path)
    }

    /// A key that `ssh-keygen` signs with: the file of the private key, or of the public one whose private part an agent or a security
    /// key has.
    pub(crate) fn ssh(path: &Path) -> Outcome<Self> {
        let beside = path.with_added_extension("pub");
        let public = [path, &beside].into_iter().find_map(|path| read(path).ok()?.parse().ok());
        let public = public.ok_or_else(|| {
            bad(format!("{} holds no key, and there is no public key {}", path.display(), beside.display()))
                .hint("keys of the kinds ssh-ed25519 and ecdsa-sha2-nistp256, and their sk- forms, are taken")
        })?;
        Ok(Self::Ssh { path: path.to_owned(), public })
    }

    pub(crate) fn public(&self) -> &PublicKey {
        match self {
            Self::File(signer) => signer.public(),
            Self::Ssh { public, .. } => public,
        }
    }

    /// Signs a text.
    pub(crate) fn sign(&self, text: &str) -> Outcome<Signature> {
        match self {
            Self::File(signer) => Ok(signer.sign_text(text)),
            Self::Ssh { path, .. } => ssh_sign(path, text).map(|armored| Signature::Ssh { armored }),
        }
    }
}

/// Asks stock OpenSSH, which may ask for a passphrase or for a touch.
fn ssh_sign(key: &Path, text: &str) -> Outcome<String> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("statement");
    fs::write(&file, text)?;
    let signing = Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", NAMESPACE, "-O", "hashalg=sha512", "-f"])
        .arg(key)
        .arg(&file)
        .status();
    match signing {
        Ok(status) if status.success() => Ok(fs::read_to_string(file.with_added_extension("sig"))?),
        Ok(_) => Err(bad(format!("ssh-keygen did not sign with {}", key.display()))),
        Err(e) => Err(bad(format!("ssh-keygen: {e}")).hint("install the client of OpenSSH")),
    }
}

/// The key of who works alone with this data folder, when there is one.
pub(crate) fn own(data: &Path) -> Outcome<Option<Key>> {
    let path = key_path(data);
    if path.exists() { Key::open(&path).map(Some) } else { Ok(None) }
}

/// Makes a key in a file that only its owner can read, and the public key beside it.
pub(crate) fn make(path: &Path) -> Outcome<Signer> {
    let mut seed = Zeroizing::new([0; 32]);
    clock::fill(&mut seed[..]);
    let signer = Signer::from_seed(seed).map_err(|e| bad(e.to_string()))?;
    let failed = |e: std::io::Error| bad(format!("{}: {e}", path.display()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    std::io::Write::write_all(&mut file, signer.secret_text().as_bytes()).map_err(failed)?;
    fs::write(path.with_added_extension("pub"), format!("{}\n", signer.public())).map_err(failed)?;
    Ok(signer)
}

/// Answers a question: signed when there is a key, with the token alone otherwise. A no needs no signature.
pub(crate) async fn answer(
    client: &Client,
    data: &Path,
    approval: EffectId,
    approved: bool,
    note: Option<String>,
) -> Outcome<Run> {
    match own(data)?.filter(|_| approved) {
        Some(key) => {
            let mut asked = client.question(approval).await;
            if asked.is_err() && client.approvers().await.is_ok_and(|d| d.anchor.is_some()) {
                // It was asked before anybody had a key, and is asked anew when somebody answers.
                let run = client.approve(approval, note.clone()).await?;
                if !run.approvals.iter().any(|open| open.id == approval) {
                    return Ok(run);
                }
                asked = client.question(approval).await;
            }
            match asked {
                Ok(asked) if asked.open && asked.signed => {
                    let question = question(&asked.question, approval)?;
                    signed(client, approval, &question, asked.now, approved, note, &key).await
                }
                // It needs no signature.
                _ => Ok(client.approve(approval, note).await?),
            }
        }
        None if approved => Ok(client.approve(approval, note).await?),
        None => Ok(client.deny(approval, note).await?),
    }
}

/// Signs an answer with a key that the directory knows, and gives it.
pub(crate) async fn signed(
    client: &Client,
    approval: EffectId,
    question: &Question,
    now: u64,
    approved: bool,
    note: Option<String>,
    key: &Key,
) -> Outcome<Run> {
    let receipt = receipt(client, question, now, approved, key).await?;
    Ok(client.answer_signed(approval, approved, note, receipt.to_text()).await?)
}

async fn receipt(client: &Client, question: &Question, now: u64, approved: bool, key: &Key) -> Outcome<Receipt> {
    let id = key.public().id();
    let directory = client.approvers().await?;
    let known = directory.keys.iter().find(|k| k.id == id.to_string() && k.revoked.is_none()).ok_or_else(|| {
        bad(format!("the key {id} is nobody's in this tenant's directory of approvers"))
            .hint("`stead approvals keys enrol` enrols it; `stead approvals keys ls` lists those that count")
    })?;
    let human = Human { issuer: known.issuer.clone(), subject: known.subject.clone() };
    let expires = question.expires.unwrap_or(now + USUAL_LIFE).min(now + MAX_LIFE - 60);
    let mut nonce = [0; 16];
    clock::fill(&mut nonce);
    let text = Statement::about(question, approved, human, id, nonce, expires).to_text();
    Ok(Receipt { signature: key.sign(&text)?, key: key.public().clone(), text })
}

/// The question that a server tells, when it is about that approval.
pub(crate) fn question(text: &str, approval: EffectId) -> Outcome<Question> {
    let question = Question::from_text(text)
        .map_err(|e| CliError::new(code::APPROVAL_SIGNATURE, format!("the server's question cannot be read: {e}")))?;
    if question.run == approval.run.to_string() && question.step == approval.n {
        return Ok(question);
    }
    Err(CliError::new(code::APPROVAL_SIGNATURE, "the server tells the question of another approval"))
}

pub(crate) fn bad(message: impl Into<String>) -> CliError {
    CliError::new(code::APPROVER_KEY, message)
}

fn mode(path: &Path) -> Outcome<u32> {
    Ok(fs::metadata(path)?.permissions().mode())
}

fn read(path: &Path) -> Outcome<Zeroizing<String>> {
    let failed = |e: std::io::Error| bad(format!("{}: {e}", path.display()));
    let file = fs::File::open(path).map_err(failed)?;
    let mut text = Zeroizing::new(String::new());
    std::io::Read::read_to_string(&mut std::io::Read::take(file, MAX_FILE), &mut text).map_err(failed)?;
    Ok(text)
}
