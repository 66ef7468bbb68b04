//! What stands before everything under `/approvals`: where a request comes from, whose session it has, and what every answer says to the
//! browser about what it may do with it.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use stead_api::right::Right;
use stead_core::code;
use stead_ports::clock::Clock as _;

use super::Pages;
use crate::{
    auth::Principal,
    clock::SystemClock,
    http::{
        app::App,
        failure::{Answer, Failure},
        guard, input,
    },
};

/// Where the page's scripts ask.
const API: &str = "/approvals/api/";
/// What needs no session: what a browser has before it signs in, and what it signs in with.
const OPEN: [&str; 4] = ["place", "enter", "login", "login/finish"];
/// The header with the second half of a session. Scripts of no other origin can send it.
const HALF: HeaderName = HeaderName::from_static("x-stead-page");
/// The header of what a page asks by itself, while somebody may or may not look: it keeps no session from ending.
const WATCHING: HeaderName = HeaderName::from_static("x-stead-watching");
/// What a session may do, whatever else its token may.
const RIGHTS: [Right; 2] = [Right::Read, Right::Approve];

/// What each answer says to the browser. Nothing of anybody else is loaded, nothing inline runs, nobody frames it, and no script makes HTML
/// of a text.
const HEADERS: [(HeaderName, &str); 9] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
    (
        HeaderName::from_static("permissions-policy"),
        "publickey-credentials-get=(self), publickey-credentials-create=(self), camera=(), geolocation=(), microphone=()",
    ),
];

/// Whether a path is the page's.
pub(crate) fn is_page(path: &str) -> bool {
    path == "/approvals" || path.starts_with("/approvals/")
}

/// Lets a request of the page on, with whom it is from.
pub(crate) async fn guarded(app: &App, request: Request, next: Next) -> Response {
    let mut response = match checked(app, request).await {
        Ok(request) => next.run(request).await,
        Err(failure) => failure.into_response(),
    };
    let headers = response.headers_mut();
    // No bearer token would help a browser.
    headers.remove(header::WWW_AUTHENTICATE);
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn checked(app: &App, mut request: Request) -> Answer<Request> {
    let Some(what) = request.uri().path().strip_prefix(API).map(str::to_owned) else { return Ok(request) };
    from_here(&app.pages, request.method(), request.headers())?;
    if !OPEN.contains(&&*what) {
        let who = whose(app, request.headers()).await?;
        request.extensions_mut().insert(who);
    }
    Ok(request)
}

/// Refuses what another page sends. Browsers say where a request comes from, and no script can change that.
fn from_here(pages: &Pages, method: &Method, headers: &HeaderMap) -> Answer<()> {
    let text = |name: HeaderName| -> Answer<Option<String>> {
        let value = input::only(headers, &name)?;
        Ok(value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()))
    };
    let refused = || {
        Failure::new(code::PAGE_ORIGIN, "the request does not come from this server's own page")
            .hint(format!("open {}/approvals; `public_url` of stead.toml says where it is", pages.place.origin))
    };
    if text(HeaderName::from_static("sec-fetch-site"))?.is_some_and(|site| site != "same-origin") {
        return Err(refused());
    }
    match text(header::ORIGIN)? {
        Some(origin) if origin != pages.place.origin => Err(refused()),
        // What only reads carries no origin.
        None if *method != Method::GET => Err(refused()),
        _ => Ok(()),
    }
}

/// Whose session a request has: what its token is worth now.
async fn whose(app: &App, headers: &HeaderMap) -> Answer<Principal> {
    let none = || {
        Failure::new(code::PAGE_SESSION, "the browser is not signed in, or not any more")
            .hint("sign in again: `stead approvals open` writes a link")
    };
    let cookie = cookie(headers, &app.pages.cookie()).ok_or_else(none)?;
    let half = input::only(headers, &HALF)?.and_then(|half| half.to_str().ok()).ok_or_else(none)?;
    let credential =
        app.pages.sessions.find(&cookie, half, SystemClock.now(), headers.contains_key(WATCHING)).ok_or_else(none)?;
    match guard::of_credential(app, &credential).await {
        Ok(who) => Ok(narrowed(who)),
        // Its token has ended or is taken no more, and with it the session.
        Err(failure) if failure.is_refusal() => {
            app.pages.sessions.leave(&cookie);
            Err(none())
        }
        Err(failure) => Err(failure),
    }
}

/// The same person with what a page may do.
fn narrowed(who: Principal) -> Principal {
    let rights = RIGHTS.into_iter().filter(|right| who.may(*right)).collect();
    Principal { rights, mends: false, ..who }
}

/// The value of a cookie; none when it is there twice with different values.
pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = all.flat_map(|all| all.split(';')).filter_map(|one| {
        let (known, value) = one.trim().split_once('=')?;
        (known == name).then(|| value.to_owned())
    });
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::time::Duration;

    use super::*;
    use crate::config::{Approvals, Config, Place};

    #[test]
    fn what_another_page_or_no_browser_sends_is_refused() {
        let pages = Pages::new(Place::of(&Config::default(), 7_411).unwrap(), &Approvals::default());
        let try_ = |method: Method, sent: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in sent {
                headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
            }
            from_here(&pages, &method, &headers).is_ok()
        };
        let here = "http://localhost:7411";
        assert!(try_(Method::GET, &[]));
        assert!(try_(Method::GET, &[("sec-fetch-site", "same-origin")]));
        assert!(try_(Method::POST, &[("origin", here)]));
        assert!(!try_(Method::POST, &[]));
        assert!(!try_(Method::POST, &[("sec-fetch-site", "same-origin")]));
        assert!(!try_(Method::POST, &[("origin", here), ("origin", here)]));
        assert!(!try_(Method::POST, &[("origin", here), ("sec-fetch-site", "same-site")]));
        assert!(!try_(Method::GET, &[("sec-fetch-site", "none")]));
        for other in ["null", "http://localhost:7412", "https://localhost:7411", "http://localhost:7411.evil", ""] {
            assert!(!try_(Method::POST, &[("origin", other)]), "{other}");
        }
    }

    #[test]
    fn a_cookie_that_is_there_twice_is_none() {
        let of = |text: &str| {
            let headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(text).unwrap())]);
            cookie(&headers, "a")
        };
        assert_eq!(of("b=1; a=2").as_deref(), Some("2"));
        assert_eq!(of("a=2; a=2").as_deref(), Some("2"));
        assert_eq!(of("a=2; a=3"), None);
        assert_eq!(of("aa=2"), None);
        assert_eq!(Approvals::default().session.0, Duration::from_secs(28_800));
    }
}
