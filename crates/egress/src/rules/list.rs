//! The list of rules, and its two questions: may a connection begin, and may a request be made. Nothing is allowed that no
//! rule allows.

use std::sync::Arc;

use stead_core::code;

use super::{Name, Rule, RuleSpec, Scheme};
use crate::{error::Refusal, limits::RULES};

/// The rules of a session. Cheap to clone; the empty list allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Arc<[Arc<Rule>]>);

/// What happens to a connection that may begin.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// It is passed through under that rule.
    Pass(Arc<Rule>),
    /// Its requests are looked at, each by itself.
    Inspect,
}

impl Rules {
    /// Checks a list.
    ///
    /// # Errors
    /// `ST0261` for the first rule that cannot be used.
    pub fn new<'a>(specs: impl IntoIterator<Item = &'a RuleSpec>) -> Result<Self, Refusal> {
        let specs: Vec<_> = specs.into_iter().collect();
        if specs.len() > RULES {
            return Err(Refusal::rule(format!("egress has more than {RULES} rules"), "use patterns, or fewer hosts"));
        }
        let made = specs.iter().enumerate().map(|(i, spec)| Rule::new(i + 1, spec).map(Arc::new));
        Ok(Self(made.collect::<Result<Vec<_>, _>>()?.into()))
    }

    /// Names of the secrets that any rule puts in.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|rule| &rule.secrets).flat_map(|binding| binding.names())
    }

    /// Whether any rule has TLS intercepted, so that the box must trust the session's authority.
    pub fn intercepts(&self) -> bool {
        self.0.iter().any(|rule| rule.inspect && rule.scheme == Scheme::Https)
    }

    /// Whether a connection to that host may begin, and how.
    pub(crate) fn connection(&self, scheme: Scheme, host: &Name, port: u16) -> Result<Way, Refusal> {
        let mut first = None;
        for rule in self.0.iter().filter(|rule| rule.covers(scheme, host, port)) {
            // One rule that must see the requests is enough: the others could be used to go around it.
            if rule.inspect {
                return Ok(Way::Inspect);
            }
            first.get_or_insert(rule);
        }
        first.map(|rule| Way::Pass(Arc::clone(rule))).ok_or_else(|| self.missing(scheme, host, port))
    }

    /// The rule that allows a request: the first in the list that does.
    pub(crate) fn request(
        &self,
        scheme: Scheme,
        host: &Name,
        port: u16,
        method: &str,
        path: &str,
    ) -> Result<Arc<Rule>, Refusal> {
        let mut covering = self.0.iter().filter(|rule| rule.covers(scheme, host, port)).peekable();
        if covering.peek().is_none() {
            return Err(self.missing(scheme, host, port));
        }
        covering.find(|rule| rule.allows(method, path)).cloned().ok_or_else(|| {
            let shown: String = path.chars().take(200).collect();
            let method: String = method.chars().take(32).collect();
            Refusal::new(
                code::EGRESS_DENIED,
                format!("the rules for {host} do not allow {method} {shown}"),
                "add the method and the path to a rule for this host: `methods: [GET]`, `paths: [/v1/**]`",
            )
        })
    }

    fn missing(&self, scheme: Scheme, host: &Name, port: u16) -> Refusal {
        let near = self.0.iter().find(|rule| rule.host.matches(host));
        let detail = match near {
            Some(rule) => format!(
                "{host} is allowed as {} on {:?}, and not as {} on {port}",
                rule.scheme.as_str(),
                rule.ports,
                scheme.as_str()
            ),
            None => format!("no egress rule names {host}"),
        };
        let hint = format!("add `{}://{host}:{port}` to `egress`, if the agent should reach it", scheme.as_str());
        Refusal::new(code::EGRESS_DENIED, detail, hint)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn rules(json: &str) -> Result<Rules, Refusal> {
        let specs: Vec<RuleSpec> = serde_json::from_str(json).unwrap();
        Rules::new(&specs)
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn nothing_is_allowed_that_no_rule_names() {
        let rules = rules(r#"["api.example.com:443", "http://plain.example.com:8080", "web.example.com:80"]"#).unwrap();
        let way = |scheme, host, port| rules.connection(scheme, &name(host), port).is_ok();
        assert!(way(Scheme::Https, "api.example.com", 443));
        assert!(way(Scheme::Http, "plain.example.com", 8080) && way(Scheme::Http, "web.example.com", 80));
        for (scheme, host, port) in [
            (Scheme::Http, "api.example.com", 443),
            (Scheme::Https, "api.example.com", 8443),
            (Scheme::Https, "plain.example.com", 8080),
            (Scheme::Https, "example.com", 443),
            (Scheme::Https, "api.example.com.evil.net", 443),
            (Scheme::Https, "xapi.example.com", 443),
        ] {
            let error = rules.connection(scheme, &name(host), port).expect_err(host);
            assert_eq!(error.code, code::EGRESS_DENIED);
            assert!(error.hint.contains(host), "{error}");
        }
        assert!(Rules::default().connection(Scheme::Https, &name("api.example.com"), 443).is_err());
    }

    #[test]
    fn one_rule_that_must_see_requests_has_the_host_intercepted() {
        let text = r#"["api.example.com", {"host": "*.example.com", "methods": ["GET"], "paths": ["/v1/**"]}]"#;
        let rules = rules(text).unwrap();
        assert!(matches!(rules.connection(Scheme::Https, &name("api.example.com"), 443), Ok(Way::Inspect)));
        let ask = |host: &str, method: &str, path: &str| rules.request(Scheme::Https, &name(host), 443, method, path);
        assert_eq!(ask("api.example.com", "POST", "/x").unwrap().label, "1: api.example.com");
        assert_eq!(ask("b.example.com", "GET", "/v1/x").unwrap().label, "2: *.example.com");
        for (method, path) in [("POST", "/v1/x"), ("GET", "/v2/x"), ("get", "/v1/x")] {
            let error = ask("b.example.com", method, path).unwrap_err();
            assert!(error.hint.contains("methods"), "{error}");
        }
    }

    #[test]
    fn a_rule_that_could_leak_is_refused_with_what_to_write() {
        for (rule, what) in [
            (r#"{"host": "a.example", "tls": "pass", "methods": ["GET"]}"#, "tls: intercept"),
            (r#"{"host": "x.cloudfront.net", "tls": "pass"}"#, "shared: false"),
            (r#"{"host": "a.example", "shared": true, "tls": "pass"}"#, "shared: false"),
            (r#"{"host": "a.example", "opaque": true, "tls": "intercept"}"#, "passed through"),
            (r#"{"host": "a.example", "methods": ["get"]}"#, "capitals"),
            (r#"{"host": "a.example", "ports": [0]}"#, "listens"),
            (r#"{"host": "a.example", "addresses": ["10.0.0.1/8"]}"#, "range"),
            (r#"{"host": "*.b.example", "secrets": [{"secret": "k", "inject": "bearer"}]}"#, "one host"),
            (r#"{"host": "b.example", "scheme": "http", "secrets": [{"secret": "k", "inject": "bearer"}]}"#, "https"),
            (
                r#"{"host": "b.example", "secrets": [{"secret": "k", "inject": "bearer"},
                    {"secret": "l", "inject": {"basic": {"user": "u"}}}]}"#,
                "leave one",
            ),
            (r#"{"host": "b.example", "secrets": [{"secret": "k", "inject": {"header": {"name": "Host"}}}]}"#, "field"),
            (r#""10.0.0.1:443""#, "DNS name"),
            (r#""a.example:0x50""#, "DNS name"),
            (r#""a.example:99999""#, "DNS name"),
            (r#""ftp://a.example""#, "DNS name"),
        ] {
            let error = rules(&format!("[{rule}]")).expect_err(rule);
            assert_eq!(error.code, code::EGRESS_RULE, "{rule}");
            assert!(error.to_string().contains(what), "{rule}: {error}");
        }
        assert!(rules(r#"[{"host": "x.cloudfront.net", "tls": "pass", "shared": false}]"#).is_ok());
        assert!(matches!(
            rules(r#"["x.cloudfront.net"]"#).unwrap().connection(Scheme::Https, &name("x.cloudfront.net"), 443),
            Ok(Way::Inspect)
        ));
        for unknown in [r#"{"host": "a.example", "method": ["GET"]}"#, r#"{"ports": [1]}"#, "[]", "7"] {
            assert!(serde_json::from_str::<RuleSpec>(unknown).is_err(), "{unknown}");
        }
        let other = r#"{"host": "a.example", "secrets": [{"secret": "k", "inject": {"query": {"name": "key"}}}]}"#;
        assert!(serde_json::from_str::<RuleSpec>(other).is_err(), "there is no such injector");
    }

    proptest! {
        /// A name is allowed exactly when it is the rule's, or ends with a dot and the rule's suffix.
        #[test]
        fn a_host_is_allowed_by_whole_labels_only(
            host in "[a-c]{1,2}(\\.[a-c]{1,2}){0,3}\\.example", own in "[a-c]{1,2}(\\.[a-c]{1,2}){0,2}\\.example", star: bool,
        ) {
            let text = if star { format!("*.{own}") } else { own.clone() };
            let rules = Rules::new([&RuleSpec::short(&text)]).unwrap();
            let want = if star { host.ends_with(&format!(".{own}")) } else { host == own };
            prop_assert_eq!(rules.connection(Scheme::Https, &name(&host), 443).is_ok(), want);
        }

        #[test]
        fn any_short_rule_is_taken_or_refused(text in ".{0,40}") {
            let _ = Rules::new([&RuleSpec::short(&text)]);
        }
    }
}
