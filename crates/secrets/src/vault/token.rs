//! The token: read from its file, or given for a role; renewed at half of its lease as long as the vault lets it be.

use std::{
    fs::File,
    io::Read as _,
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

use stead_ports::secret::{Secret, SecretError};
use tokio::{sync::Mutex, task::JoinHandle};
use zeroize::Zeroizing;

use super::{
    Login,
    api::{Api, Granted, Refused},
    wrong,
};

/// Bytes of a token or a secret id.
const MAX_FILE: u64 = 16 << 10;
/// The shortest pause between two renewals.
const SHORTEST: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Tokens {
    api: Arc<Api>,
    login: Login,
    held: Mutex<Option<Held>>,
}

struct Held {
    token: Secret,
    renewal: Option<JoinHandle<()>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(renewal) = &self.renewal {
            renewal.abort();
        }
    }
}

impl Tokens {
    pub(super) fn new(api: Arc<Api>, login: Login) -> Self {
        Self { api, login, held: Mutex::default() }
    }

    /// The token as it is now.
    pub(super) async fn current(self: &Arc<Self>) -> Result<Secret, SecretError> {
        let mut held = self.held.lock().await;
        if let Some(held) = &*held
            && self.written()?.is_none_or(|written| written == held.token)
        {
            return Ok(held.token.clone());
        }
        self.take(&mut held).await
    }

    /// Another token than one that was refused; none when there is no other.
    pub(super) async fn fresh(self: &Arc<Self>, refused: &Secret) -> Result<Option<Secret>, SecretError> {
        let mut held = self.held.lock().await;
        // Another caller has seen to it meanwhile.
        if let Some(held) = held.as_ref().filter(|held| held.token != *refused) {
            return Ok(Some(held.token.clone()));
        }
        match &self.login {
            Login::AppRole { .. } => self.take(&mut held).await.map(Some),
            Login::TokenFile(_) if self.written()?.is_some_and(|written| written != *refused) => {
                self.take(&mut held).await.map(Some)
            }
            Login::TokenFile(_) | Login::Token(_) => Ok(None),
        }
    }

    /// The token that stands in the file, when it is one of a file.
    fn written(&self) -> Result<Option<Secret>, SecretError> {
        match &self.login {
            Login::TokenFile(path) => read(path).map(Some),
            Login::Token(_) | Login::AppRole { .. } => Ok(None),
        }
    }

    async fn take(self: &Arc<Self>, held: &mut Option<Held>) -> Result<Secret, SecretError> {
        *held = None;
        let (token, granted) = match &self.login {
            Login::AppRole { mount, role_id, secret_id_file } => {
                let secret_id = read(secret_id_file)?;
                let granted = self.api.log_in(mount, role_id, &secret_id).await.map_err(|e| self.told(e))?;
                let token = granted.token.clone().ok_or_else(|| wrong("the login gave no token"))?;
                (token, granted)
            }
            Login::TokenFile(path) => self.looked_up(read(path)?).await?,
            Login::Token(token) => self.looked_up(token.clone()).await?,
        };
        let renewal = granted
            .lease
            .filter(|_| granted.renewable)
            .map(|lease| tokio::spawn(renew(Arc::downgrade(self), token.clone(), lease)));
        *held = Some(Held { token: token.clone(), renewal });
        Ok(token)
    }

    async fn looked_up(&self, token: Secret) -> Result<(Secret, Granted), SecretError> {
        let granted = match self.api.look_up(&token).await {
            Ok(granted) => granted,
            // It may read secrets and not itself: then nobody here knows how long it is good for.
            Err(Refused::Denied) => Granted { token: None, lease: None, renewable: false },
            Err(Refused::Other(e)) => return Err(e),
        };
        Ok((token, granted))
    }

    fn told(&self, refused: Refused) -> SecretError {
        match refused {
            Refused::Denied => wrong(format!("{}: the login is refused", self.api.place())),
            Refused::Other(e) => e,
        }
    }
}

/// Renews a token at half of each lease, until it is let go or cannot be any more.
async fn renew(tokens: Weak<Tokens>, token: Secret, mut lease: Duration) {
    loop {
        tokio::time::sleep((lease / 2).max(SHORTEST)).await;
        let Some(tokens) = tokens.upgrade() else { return };
        match tokens.api.renew(&token).await {
            Ok(Granted { lease: Some(next), renewable: true, .. }) => lease = next,
            Ok(_) => return,
            Err(Refused::Denied) => {
                tracing::warn!(vault = tokens.api.place(), "the vault's token is not renewed any more");
                return;
            }
            // It may answer before the rest of the lease is over.
            Err(Refused::Other(error)) => {
                tracing::warn!(%error, "the vault's token could not be renewed yet");
                lease /= 2;
                if lease < SHORTEST {
                    return;
                }
            }
        }
    }
}

fn read(path: &Path) -> Result<Secret, SecretError> {
    let failed = |why: String| wrong(format!("{}: {why}", path.display()));
    let mut text = Zeroizing::new(String::new());
    let file = File::open(path).map_err(|e| failed(e.to_string()))?;
    file.take(MAX_FILE).read_to_string(&mut text).map_err(|e| failed(e.to_string()))?;
    match text.trim() {
        "" => Err(failed("it is empty".into())),
        text => Ok(Secret::new(text)),
    }
}
