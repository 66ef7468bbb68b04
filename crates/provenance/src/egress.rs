//! What a call that only reads tells to a host of its own choosing: reading a URL is an effect, for the address itself says something to
//! whoever serves it. A service whose address its operator has written down is that operator's choice, and no concern of this module.

use serde_json::Value;
use url::Url;

use crate::{
    declare::Tool,
    entitle::Entitlements,
    json, normal,
    trace::{Argument, Traced},
};

/// Words of a name that say that an argument is an address; so do names that end in the first two.
const NAMES: [&str; 18] = [
    "url", "uri", "urls", "uris", "iri", "href", "link", "links", "host", "hosts", "hostname", "domain", "domains",
    "website", "site", "webpage", "endpoint", "webhook",
];
/// Formats of JSON Schema that say it.
const FORMATS: [&str; 8] =
    ["uri", "uri-reference", "uri-template", "iri", "iri-reference", "url", "hostname", "idn-hostname"];
/// Addresses of one call that are looked at; one of more is told to nobody without a human.
const MAX_ADDRESSES: usize = 64;

/// Something that a call tells to a host which may not read it.
pub(crate) struct Telling {
    /// In words.
    pub(crate) why: String,
    /// Whether an argument that steers nothing has some of it: of such a plan says nothing.
    pub(crate) content: bool,
}

/// What a call would tell to somebody who may not read it; `None` when it names no address, or all that it says is trusted or attested, or
/// may be read by whom it names.
pub(crate) fn tells(tool: &Tool, call: &Traced, entitled: &Entitlements) -> Option<Telling> {
    if tool.local || !call.window.is_tainted() {
        return None;
    }
    let carried: Vec<&Argument> = call.arguments.iter().filter(|a| a.label.is_tainted()).collect();
    if carried.is_empty() {
        return None;
    }
    let addresses = addresses(tool, call);
    if addresses.len() > MAX_ADDRESSES {
        let why = format!("it names more than {MAX_ADDRESSES} addresses");
        return Some(Telling { why, content: true });
    }
    let hosts: Vec<String> = addresses.into_iter().map(host).collect();
    let told = |argument: &Argument| {
        let (host, what) = hosts.iter().find_map(|host| Some((host, entitled.keeps_out(&argument.label, host)?)))?;
        let host = json::short(host);
        Some(format!("reading an address tells it: {host} may not read {what}, which can be in `{}`", argument.name))
    };
    let kept: Vec<(&Argument, String)> = carried.into_iter().filter_map(|a| Some((a, told(a)?))).collect();
    let content = kept.iter().any(|(argument, _)| !argument.steers);
    kept.into_iter().next().map(|(_, why)| Telling { why, content })
}

/// The addresses that a call names, in whatever arguments.
fn addresses<'a>(tool: &Tool, call: &'a Traced) -> Vec<&'a str> {
    let mut out = Vec::new();
    for (name, value) in &call.values {
        let format = tool.input.pointer(&format!("/properties/{}/format", pointer(name))).and_then(Value::as_str);
        let named = is_name(name) || format.is_some_and(|format| FORMATS.contains(&format));
        find(value, named, &mut out);
    }
    out
}

fn find<'a>(value: &'a Value, named: bool, out: &mut Vec<&'a str>) {
    match value {
        Value::String(text) if named || text.contains("://") || text.trim_start().starts_with("//") => out.push(text),
        Value::Array(list) => list.iter().for_each(|v| find(v, named, out)),
        Value::Object(map) => {
            for (key, value) in map {
                // Whoever fills a field may choose its name.
                if key.contains("://") {
                    out.push(key);
                }
                find(value, named || is_name(key), out);
            }
        }
        _ => {}
    }
}

/// A name as a part of a JSON Pointer (RFC 6901).
fn pointer(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Whether a name says that it is of an address: `url`, `page_url`, `targetUri`, `BASEURL`.
fn is_name(name: &str) -> bool {
    let mut words = vec![String::new()];
    let mut small = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (small && c.is_uppercase()) {
            words.push(String::new());
        }
        small = c.is_lowercase();
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
    }
    words.iter().any(|word| NAMES.contains(&word.as_str()) || NAMES[..2].iter().any(|end| word.ends_with(end)))
}

/// The host of an address, as readers are written; what two readers could take apart differently is all of it, and no host.
fn host(address: &str) -> String {
    let address = address.trim();
    let with = if address.contains("://") {
        address.to_owned()
    } else {
        format!("https://{}", address.trim_start_matches('/'))
    };
    let url = normal::url(&with).and_then(|url| Url::parse(&url).ok());
    url.as_ref().and_then(Url::host_str).map_or_else(|| address.to_owned(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_addresses_are_known_however_they_are_written() {
        for name in
            ["url", "URL", "page_url", "targetUri", "baseurl", "imageURL", "link", "host-name-host", "siteDomain"]
        {
            assert!(is_name(name), "{name}");
        }
        for name in ["query", "page", "hours", "linked", "curlew", "order_id", "hosting"] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_host_is_what_every_reader_finds() {
        for (address, found) in [
            ("https://Docs.Example.com:443/a?b=c", "docs.example.com"),
            ("docs.example.com/a", "docs.example.com"),
            ("//docs.example.com/a", "docs.example.com"),
            ("https://docs.example.com\\@evil.net/", "https://docs.example.com\\@evil.net/"),
            ("https://docs.example.com@evil.net/", "https://docs.example.com@evil.net/"),
            ("", ""),
        ] {
            assert_eq!(host(address), found);
        }
    }
}
