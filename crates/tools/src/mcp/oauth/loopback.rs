//! A person at a browser on this machine: the authorization server sends it back to a port of loopback (RFC 8252, section 7.3).

use std::{net::Ipv4Addr, time::Duration};

use reqwest::Url;
use stead_ports::BoxFuture;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Mutex,
    time::timeout,
};

use super::{Consent, redirect::state_of};

/// How long a person is waited for.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long one browser may take to say what it wants.
const READ: Duration = Duration::from_secs(5);
/// Most bytes of a request's head.
const MAX_HEAD: usize = 16 << 10;
/// Where it is sent back to.
const PATH: &str = "/callback";

/// See the module. `show` is given the page's URL, to print it or open it.
pub struct Loopback {
    listener: Mutex<TcpListener>,
    port: u16,
    show: Box<dyn Fn(&str) + Send + Sync>,
}

impl Loopback {
    /// Listens at a free port of `127.0.0.1`, or at that one.
    ///
    /// # Errors
    /// The port cannot be had.
    pub async fn listen(port: u16, show: impl Fn(&str) + Send + Sync + 'static) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener: Mutex::new(listener), port, show: Box::new(show) })
    }

    async fn wait(&self, page: String) -> Result<String, String> {
        let listener = self.listener.lock().await;
        let state = Url::parse(&page).ok().and_then(|page| state_of(&page));
        (self.show)(&page);
        loop {
            let (stream, _) = listener.accept().await.map_err(|e| format!("the browser cannot be heard: {e}"))?;
            // Whoever asks for something else, as for an icon, says nothing, or answers another request, is no answer to this one.
            if let Ok(Some(target)) = timeout(READ, answer(stream, state.as_deref())).await {
                return Ok(format!("http://127.0.0.1:{}{target}", self.port));
            }
        }
    }
}

impl Consent for Loopback {
    fn redirect_uri(&self) -> String {
        format!("http://127.0.0.1:{}{PATH}", self.port)
    }

    fn authorize(&self, page: String) -> BoxFuture<'_, Result<String, String>> {
        Box::pin(async move {
            let late = || format!("nobody authorised within {} s", PATIENCE.as_secs());
            timeout(PATIENCE, self.wait(page)).await.map_err(|_| late())?
        })
    }
}

/// Reads a request and answers it; its target when it is the redirect with that `state`.
async fn answer(mut stream: TcpStream, state: Option<&str>) -> Option<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 2048];
        let read = stream.read(&mut piece).await.ok()?;
        if read == 0 || head.len() + read > MAX_HEAD {
            return None;
        }
        head.extend_from_slice(&piece[..read]);
    }
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    let target = line.strip_prefix("GET ").and_then(|rest| rest.split(' ').next());
    let target = target.filter(|target| target.strip_prefix(PATH).is_some_and(|rest| rest.starts_with('?')));
    let target = target.filter(|target| {
        let url = Url::parse(&format!("http://127.0.0.1{target}")).ok();
        url.is_some_and(|url| state_of(&url).as_deref() == state)
    });
    let (status, words) = match target {
        Some(_) => ("200 OK", "You can close this window and go back to the terminal."),
        None => ("404 Not Found", "There is nothing here."),
    };
    let told = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         referrer-policy: no-referrer\r\nconnection: close\r\n\r\n{words}",
        words.len()
    );
    let _ = stream.write_all(told.as_bytes()).await;
    let _ = stream.shutdown().await;
    target.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use super::*;

    async fn get(port: u16, target: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        stream.write_all(format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_redirect_is_heard_and_nothing_else() {
        let loopback =
            Arc::new(Loopback::listen(0, |page| assert_eq!(page, "https://as/authorize?state=s")).await.unwrap());
        let port = loopback.port;
        let waiting = tokio::spawn({
            let loopback = Arc::clone(&loopback);
            async move { loopback.authorize("https://as/authorize?state=s".into()).await }
        });
        assert!(get(port, "/favicon.ico").await.starts_with("HTTP/1.1 404"));
        assert!(get(port, "/callbackx?code=c").await.starts_with("HTTP/1.1 404"));
        assert!(get(port, "/callback?code=c&state=other").await.starts_with("HTTP/1.1 404"));
        assert!(get(port, "/callback?code=c&state=s").await.starts_with("HTTP/1.1 200"));
        assert_eq!(waiting.await.unwrap().unwrap(), format!("{}?code=c&state=s", loopback.redirect_uri()));
    }
}
