//! Who may read what came from where. Untrusted content may be sent to a recipient only if that recipient may read every source that
//! it can have come from.

use std::collections::BTreeMap;

use stead_core::id::Name;

use crate::{
    normal,
    trust::{Label, Origin, Origins},
};

/// Whom a rule lets read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reader {
    /// Anybody.
    Anybody,
    /// One, by address or name; compared as values are (`crate::normal`).
    One(Name),
    /// Every e-mail address at a host, and at no host below it.
    Host(Name),
}

impl Reader {
    /// Reads `*`, `@example.com` or an address.
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix('@') {
            _ if text == "*" => Self::Anybody,
            Some(host) if !host.is_empty() => Self::Host(normal::fold(host).into()),
            _ => Self::One(text.into()),
        }
    }

    fn is(&self, recipient: &str) -> bool {
        let keys = normal::of_text(recipient);
        match self {
            Self::Anybody => true,
            Self::One(one) => normal::of_text(one).iter().any(|k| keys.contains(k)),
            Self::Host(host) => {
                let email = keys.iter().find(|k| k.is_address()).map(normal::Key::text);
                email.and_then(|e| e.split_once('@')).is_some_and(|(_, at)| *at == **host)
            }
        }
    }
}

/// Readers by source. A source without a rule is read by nobody; the operator's and the user's words, the runtime's and the model's own
/// have no readers of their own to keep out unless a rule gives them some.
#[derive(Clone, Debug, Default)]
pub struct Entitlements(BTreeMap<Origin, Vec<Reader>>);

impl Entitlements {
    /// Lets a reader read what comes from a source.
    pub fn allow(&mut self, source: Origin, reader: Reader) {
        let readers = self.0.entry(source).or_default();
        if !readers.contains(&reader) {
            readers.push(reader);
        }
    }

    /// The first source of a label that a recipient may not read: `None` when it may read all.
    pub fn keeps_out(&self, label: &Label, recipient: &str) -> Option<Unreadable> {
        let Origins::Of(origins) = &label.origins else { return Some(Unreadable::Unknown) };
        origins.iter().find(|o| !self.may_read(o, recipient)).cloned().map(Unreadable::Source)
    }

    fn may_read(&self, source: &Origin, recipient: &str) -> bool {
        let Some(readers) = self.0.get(source) else {
            return matches!(source, Origin::Operator | Origin::User | Origin::Runtime | Origin::Model);
        };
        readers.iter().any(|r| r.is(recipient))
    }
}

/// What a recipient may not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// This source.
    Source(Origin),
    /// The content can have come from anywhere.
    Unknown,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source(origin) => write!(f, "what came from {origin}"),
            Self::Unknown => f.write_str("content of unknown sources"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::Trust;

    #[test]
    fn a_recipient_must_be_entitled_to_every_source() {
        let (mail, hr) = (Origin::Tool("mail_read".into()), Origin::Tool("hr_read".into()));
        let mut entitled = Entitlements::default();
        entitled.allow(mail.clone(), Reader::parse("@example.com"));
        entitled.allow(hr.clone(), Reader::parse("boss@example.com"));
        let mails = Label::new(Trust::Untrusted, mail);
        let both = mails.join(&Label::new(Trust::Untrusted, hr.clone()));
        assert_eq!(entitled.keeps_out(&mails, "Ada@Example.com"), None);
        assert_eq!(entitled.keeps_out(&both, "ada@example.com"), Some(Unreadable::Source(hr)));
        assert_eq!(entitled.keeps_out(&both, "boss@example.com"), None);
        for other in ["ada@example.com.evil.net", "ada@sub.example.com", "@example.com", "https://example.com"] {
            assert!(entitled.keeps_out(&mails, other).is_some(), "{other}");
        }
        assert_eq!(entitled.keeps_out(&Label::default(), "boss@example.com"), Some(Unreadable::Unknown));
    }
}
