//! Names known to stand with many tenants at one front, where the name in a tunnel's hello does not bind the request inside
//! ("domain fronting"). A rule for such a host is intercepted unless it says `shared: false`.
//!
//! The list cannot be complete: a name of one's own may lead to such a front as well, and then the rule says `shared: true`.

use super::name::HostPattern;

/// Suffixes of content networks and of hosts of other people's sites and buckets.
const SHARED: &[&str] = &[
    "akamaihd.net",
    "akamaized.net",
    "amazonaws.com",
    "appspot.com",
    "azureedge.net",
    "azurefd.net",
    "azurewebsites.net",
    "b-cdn.net",
    "cdn77.org",
    "cloudfront.net",
    "cloudfunctions.net",
    "core.windows.net",
    "deno.dev",
    "digitaloceanspaces.com",
    "edgekey.net",
    "edgesuite.net",
    "fastly.net",
    "fastlylb.net",
    "firebaseapp.com",
    "fly.dev",
    "github.io",
    "githubusercontent.com",
    "gitlab.io",
    "googleapis.com",
    "googleusercontent.com",
    "herokuapp.com",
    "jsdelivr.net",
    "myshopify.com",
    "netlify.app",
    "onrender.com",
    "pages.dev",
    "r2.cloudflarestorage.com",
    "r2.dev",
    "run.app",
    "trafficmanager.net",
    "unpkg.com",
    "vercel.app",
    "web.app",
    "workers.dev",
];

/// Whether a pattern names hosts of such a front.
pub(super) fn is_shared(host: &HostPattern) -> bool {
    let (HostPattern::Exact(name) | HostPattern::Below(name)) = host;
    SHARED.iter().any(|s| name.as_str().strip_suffix(s).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn tenants_of_a_front_are_known_by_whole_labels() {
        let shared = |text| is_shared(&HostPattern::parse(text).unwrap());
        assert!(shared("d111.cloudfront.net") && shared("*.s3.eu-west-1.amazonaws.com") && shared("github.io"));
        assert!(!shared("api.example.com") && !shared("notgithub.io"));
    }
}
