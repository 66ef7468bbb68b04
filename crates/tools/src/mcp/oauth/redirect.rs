//! What a browser was sent back with (RFC 6749, section 4.1.2; RFC 9207).

use reqwest::Url;

use crate::text;

/// An authorization server's answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Redirected {
    pub(super) code: String,
    pub(super) state: String,
    pub(super) issuer: Option<String>,
}

/// The `state` of a URL.
pub(super) fn state_of(url: &Url) -> Option<String> {
    url.query_pairs().find(|(name, _)| name == "state").map(|(_, state)| state.into_owned())
}

/// Reads it. `uri` is where it must have been sent to, `state` what was sent along.
pub(super) fn read(back: &str, uri: &str, state: &str) -> Result<Redirected, String> {
    let parse =
        |url: &str| Url::parse(url).map_err(|e| format!("the URL that the browser was sent back to is none: {e}"));
    let (back, uri) = (parse(back)?, parse(uri)?);
    if (back.origin(), back.path()) != (uri.origin(), uri.path()) {
        return Err("the browser was sent back to another URL than the one that was asked for".into());
    }
    let once = |name: &str| {
        let mut values = back.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            // RFC 6749, section 3.1: parameters stand once.
            _ => Err(format!("the authorization server answered with `{name}` twice")),
        }
    };
    // Nothing of an answer counts that is not to this request: another page may have sent it.
    if once("state")?.as_deref() != Some(state) {
        return Err("the answer has another `state` than the request, so it is not an answer to it".into());
    }
    let issuer = once("iss")?;
    if let Some(error) = once("error")? {
        let plain = error.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        return Err(format!(
            "it was refused: {}",
            if plain { text::ellipsis(&error, 60) } else { "with an error".into() }
        ));
    }
    let code = once("code")?.ok_or("the authorization server answered with no code")?;
    Ok(Redirected { code, state: state.to_owned(), issuer })
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "http://127.0.0.1:9/callback";

    fn back(query: &str) -> Result<Redirected, String> {
        read(&format!("{URI}?{query}"), URI, "s1")
    }

    #[test]
    fn only_the_answer_to_this_request_counts() {
        let good = back("code=c&state=s1&iss=https%3A%2F%2Fas");
        let wanted = Redirected { code: "c".into(), state: "s1".into(), issuer: Some("https://as".into()) };
        assert_eq!(good, Ok(wanted));
        for bad in ["code=c", "code=c&state=s2", "code=c&state=s1&state=s1", "state=s1", "code=c&code=d&state=s1"] {
            assert!(back(bad).is_err(), "{bad}");
        }
        assert!(read("http://127.0.0.1:9/other?code=c&state=s1", URI, "s1").is_err());
        assert!(read("http://evil.example/callback?code=c&state=s1", URI, "s1").is_err());
        assert!(back("error=access_denied&state=s1").is_err_and(|why| why.contains("access_denied")));
        assert!(back("error=%1b%5b31m&state=s1").is_err_and(|why| !why.contains('\u{1b}')));
    }
}
