//! `stead approvals keys`: the directory of approvers. Its entries are signed where the keys are, which may be a machine without a
//! network: an entry that lacks signatures is a file that goes from one holder to the next.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use stead_api::approver::Approvers;
use stead_client::Client;
use stead_core::code;
use stead_server::approvers::key_path;
use stead_trust::{
    directory::{Break, Delegation, Enrolment, Entry, Envelope, Signed, What},
    hex,
    key::{BadKey, KeyId, PublicKey},
    passkey::Request,
    receipt::Receipt,
    statement::Human,
};

use crate::{
    cli::Global,
    connect::Connection,
    error::{CliError, Outcome},
    exit::Exit,
    signing::{self, Key},
    ui::{self, table::table, text},
};

/// See the module
#[derive(Debug, Args)]
pub(super) struct Keys {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the keys that count, and those that counted
    Ls,
    /// Make a key in a file, and the public key beside it
    New {
        /// The file
        file: PathBuf,
    },
    /// Enrol a key of an approver
    ///
    /// With the root of one person, and no `--sign-with`, the key in the data folder signs.
    Enrol {
        /// The file of the public key, in the form of OpenSSH, or of a passkey's request; or the fingerprint (`SHA256:…`) of a passkey that
        /// waits on the server
        public_key: PathBuf,
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        by: By,
    },
    /// Revoke a key
    Revoke {
        /// Its fingerprint (`SHA256:…`)
        key: String,
        /// Why
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        by: By,
    },
    /// Enrol a new key of somebody who has lost theirs, which count no longer
    Recover {
        /// The new key, as `enrol` takes it
        public_key: PathBuf,
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        by: By,
    },
    /// Let another approver approve in your place for a while
    Delegate {
        /// You, as your key is enrolled
        from: String,
        /// Whom you let
        to: String,
        /// In which of your roles
        #[arg(long = "role", value_name = "ROLE", required = true)]
        roles: Vec<String>,
        /// For which tools; all when silent
        #[arg(long = "tool", value_name = "TOOL")]
        tools: Vec<String>,
        /// For how long: `8h`, `14d`; at most 90 days
        #[arg(long = "for", value_name = "TIME", default_value = "7d")]
        time: String,
        #[command(flatten)]
        by: By,
    },
    /// Break the glass: for a while one person approves what would take others; two keys of the root sign it
    BreakGlass {
        /// Who
        subject: String,
        /// In which roles
        #[arg(long = "role", value_name = "ROLE", required = true)]
        roles: Vec<String>,
        /// In this run alone
        #[arg(long)]
        run: Option<String>,
        /// Why
        #[arg(long)]
        reason: String,
        /// For how long; at most 24 hours
        #[arg(long = "for", value_name = "TIME", default_value = "1h")]
        time: String,
        #[command(flatten)]
        by: By,
    },
    /// Add a signature to an entry in a file
    Sign {
        /// The file
        file: PathBuf,
        /// The key, of a file or of OpenSSH
        #[arg(long = "sign-with", value_name = "KEY", required = true)]
        keys: Vec<PathBuf>,
    },
    /// Add an entry that is signed to the directory
    Submit {
        /// The file
        file: PathBuf,
    },
}

/// Whose a key is.
#[derive(Debug, Args)]
struct Whose {
    /// The person, as the server knows them; of a passkey its request says it
    #[arg(long)]
    subject: Option<String>,
    /// Who vouches for them; the server's own tokens when silent
    #[arg(long, default_value = "stead")]
    issuer: String,
    /// A role that they may approve in; who has some here has no others
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
}

/// Who signs, and where the entry goes.
#[derive(Debug, Args)]
struct By {
    /// Sign with this key, of a file or of OpenSSH; may be given several times
    #[arg(long = "sign-with", value_name = "KEY")]
    keys: Vec<PathBuf>,
    /// Write the entry to this file instead, for others to sign (`stead approvals keys sign`, `submit`)
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Keys {
    /// Whether it needs no server.
    pub(super) const fn is_offline(&self) -> bool {
        matches!(self.verb, Verb::New { .. } | Verb::Sign { .. })
    }
}

pub(super) fn offline(global: &Global, keys: &Keys) -> Outcome {
    match &keys.verb {
        Verb::New { file } => {
            let signer = signing::make(file)?;
            if !global.quiet {
                ui::say(&format!("wrote {} and {}.pub", file.display(), file.display()));
            }
            ui::text(&format!("{}\n", signer.public().id()))?;
        }
        Verb::Sign { file, keys } => {
            let mut envelope = read(file)?;
            say(global, &envelope.entry)?;
            sign(&mut envelope, keys)?;
            write(global, file, &envelope)?;
        }
        _ => {}
    }
    Ok(Exit::Ok)
}

pub(super) async fn run(global: &Global, connection: &Connection, keys: Keys) -> Outcome<()> {
    let client = &connection.client;
    match keys.verb {
        Verb::Ls => {
            let directory = client.approvers().await?;
            if global.json {
                ui::json(&directory)?
            } else {
                ui::text(&listed(&directory))?
            }
            Ok(())
        }
        Verb::Enrol { public_key, whose, by } => {
            let (enrolment, by) =
                (enrolment(global, client, &public_key, whose).await?, own(global, client, by).await?);
            make(global, client, What::Enrol(enrolment), by).await
        }
        Verb::Recover { public_key, whose, by } => {
            let (enrolment, by) =
                (enrolment(global, client, &public_key, whose).await?, own(global, client, by).await?);
            make(global, client, What::Recover(enrolment), by).await
        }
        Verb::Revoke { key, reason, by } => {
            let key = key.parse().map_err(|_| CliError::usage("a fingerprint looks like `SHA256:…`"))?;
            make(global, client, What::Revoke { key, reason }, by).await
        }
        Verb::Delegate { from, to, roles, tools, time, by } => {
            let human = |subject: &str| human(client, subject.to_owned());
            let (from, to, until) = (human(&from).await?, human(&to).await?, until(&time)?);
            make(global, client, What::Delegate(Delegation { from, to, roles, tools, until }), by).await
        }
        Verb::BreakGlass { subject, roles, run, reason, time, by } => {
            let (human, until) = (human(client, subject).await?, until(&time)?);
            make(global, client, What::BreakGlass(Break { human, roles, run, reason, until }), by).await
        }
        Verb::Submit { file } => submit(global, client, &read(&file)?).await,
        Verb::New { .. } | Verb::Sign { .. } => Ok(()),
    }
}

/// Makes the next entry, signs it with what is at hand, and adds it or writes it to a file.
async fn make(global: &Global, client: &Client, what: What, by: By) -> Outcome<()> {
    let directory = client.approvers().await?;
    let Some(head) = directory.head.as_deref().and_then(hex::decode) else {
        return Err(CliError::new(code::NOT_FOUND, "this tenant has no directory of approvers")
            .hint("`stead init` makes its root"));
    };
    let tenant = client.status().await?.tenant;
    let at = now().max(directory.last);
    let entry = Entry { tenant, seq: directory.next, previous: Some(head), at, what }.to_text();
    let mut envelope = Envelope { entry, signatures: Vec::new() };
    sign(&mut envelope, &by.keys)?;
    match by.output {
        Some(path) => write(global, &path, &envelope),
        None => submit(global, client, &envelope).await,
    }
}

async fn submit(global: &Global, client: &Client, envelope: &Envelope) -> Outcome<()> {
    let directory = client.add_approver_entry(envelope.to_text()).await?;
    if global.json {
        ui::json(&directory)?
    } else {
        ui::text(&listed(&directory))?
    }
    Ok(())
}

fn sign(envelope: &mut Envelope, keys: &[PathBuf]) -> Outcome<()> {
    for path in keys {
        let key = Key::open(path)?;
        let signature = key.sign(&envelope.entry)?;
        envelope.signatures.retain(|s| s.key != *key.public());
        envelope.signatures.push(Signed { key: key.public().clone(), signature });
    }
    Ok(())
}

/// The key of a file, or of a passkey that waits on the server, with whose it is.
async fn enrolment(global: &Global, client: &Client, key: &Path, whose: Whose) -> Outcome<Enrolment> {
    let place = key.display().to_string();
    let failed = |e: String| signing::bad(format!("{place}: {e}"));
    if key.exists() || place.parse::<KeyId>().is_err() {
        let text = fs::read_to_string(key).map_err(|e| failed(e.to_string()))?;
        if text.trim_start().starts_with('{') {
            return passkey(global, client, text.trim(), whose).await;
        }
        let key: PublicKey = text.parse().map_err(|e: BadKey| failed(e.to_string()))?;
        let subject = whose.subject.ok_or_else(|| CliError::usage("say whose key it is: --subject NAME"))?;
        let human = Human { issuer: whose.issuer, subject };
        return Ok(Enrolment { key, human, roles: whose.roles, passkey: None });
    }
    let waiting = client.passkey_requests().await?.items;
    let found = waiting.iter().find(|request| request.id == place).ok_or_else(|| {
        CliError::new(code::NOT_FOUND, format!("no passkey {place} waits on the server")).hint(
            "it waits for a day, until the server ends; its owner can save the request as a file on the approval page",
        )
    })?;
    passkey(global, client, &found.request, whose).await
}

/// The passkey of a request, when its owner signed it and it is the one that is meant.
async fn passkey(global: &Global, client: &Client, text: &str, whose: Whose) -> Outcome<Enrolment> {
    let bad = |why: String| CliError::new(code::PASSKEY_REQUEST, why);
    let receipt = Receipt::from_text(text).map_err(|e| bad(format!("the request cannot be read: {e}")))?;
    let request = Request::of(&receipt).map_err(|e| bad(e.to_string()))?;
    let tenant = client.status().await?.tenant;
    if request.tenant != tenant {
        return Err(bad(format!("the passkey is for the tenant {}, and this is {tenant}", request.tenant)));
    }
    let named = |subject: &String| *subject == request.human.subject && whose.issuer == request.human.issuer;
    if !whose.subject.as_ref().is_none_or(named) {
        return Err(bad(format!("{} of {} asks for it", request.human.subject, request.human.issuer)));
    }
    if !global.quiet {
        let Request { human, passkey, key, .. } = &request;
        ui::say(&format!(
            "a passkey of {} on {}: {}\ncompare the fingerprint with what their browser shows",
            stead_trust::shown::visible(&human.subject),
            stead_trust::shown::visible(&passkey.origin),
            key.id()
        ));
    }
    Ok(Enrolment { key: request.key, human: request.human, roles: whose.roles, passkey: Some(request.passkey) })
}

/// Who signs: where one person works alone, the key in the data folder.
async fn own(global: &Global, client: &Client, mut by: By) -> Outcome<By> {
    let own = key_path(&global.data);
    if by.keys.is_empty() && by.output.is_none() && own.exists() && client.approvers().await?.personal {
        by.keys.push(own);
    }
    Ok(by)
}

/// A person whose key is enrolled.
async fn human(client: &Client, subject: String) -> Outcome<Human> {
    let directory = client.approvers().await?;
    let known = directory.keys.iter().find(|k| k.subject == subject && k.revoked.is_none());
    let known = known.ok_or_else(|| signing::bad(format!("{subject} has no key in the directory of approvers")))?;
    Ok(Human { issuer: known.issuer.clone(), subject })
}

fn until(time: &str) -> Outcome<u64> {
    let parsed = stead_server::config::units::Time::parse(time);
    let wrong = || CliError::usage(format!("`{time}` is no time; write `90s`, `15m`, `8h` or `7d`"));
    Ok(now() + parsed.ok_or_else(wrong)?.0.as_secs())
}

fn now() -> u64 {
    u64::try_from(text::now().0 / 1_000_000).unwrap_or(0)
}

fn read(file: &Path) -> Outcome<Envelope> {
    let bad = |why: String| CliError::new(code::APPROVER_ENTRY, format!("{}: {why}", file.display()));
    let text = fs::read_to_string(file).map_err(|e| bad(e.to_string()))?;
    Envelope::from_text(text.trim_end()).map_err(|e| bad(e.to_string()))
}

fn write(global: &Global, file: &Path, envelope: &Envelope) -> Outcome<()> {
    let failed = |e| CliError::new(code::DATA_READONLY, format!("{}: {e}", file.display()));
    fs::write(file, envelope.to_text() + "\n").map_err(failed)?;
    if !global.quiet {
        ui::say(&format!("wrote {} with {} signatures", file.display(), envelope.signatures.len()));
    }
    Ok(())
}

/// Says what is signed.
fn say(global: &Global, entry: &str) -> Outcome<()> {
    let read = Entry::from_text(entry).map_err(|e| CliError::new(code::APPROVER_ENTRY, e.to_string()))?;
    if !global.quiet {
        ui::say(&format!(
            "you sign entry {} of tenant {}: {}",
            read.seq,
            read.tenant,
            stead_trust::shown::visible(entry)
        ));
    }
    Ok(())
}

fn listed(d: &Approvers) -> String {
    let Some(anchor) = &d.anchor else { return "there is no directory of approvers\n".to_owned() };
    let at = |seconds: u64| stead_trust::shown::instant(seconds);
    let holders: Vec<&str> = d.root.iter().map(|k| k.holder.as_str()).collect();
    let alone = if d.personal { ", one person's, who works alone" } else { "" };
    let mut out = format!("root {anchor}\n{} of {}{alone}\n\n", d.threshold, holders.join(", "));
    let row = |k: &stead_api::approver::ApproverKey| {
        let state = k.revoked.map_or_else(|| "counts".to_owned(), |when| format!("revoked {}", at(when)));
        let kind = if k.passkey { "passkey" } else { k.key.split(' ').next().unwrap_or_default() };
        [k.id.clone(), k.subject.clone(), k.issuer.clone(), k.roles.join(","), kind.to_owned(), state]
    };
    let rows: Vec<_> = d.keys.iter().map(row).collect();
    out += &table(["KEY", "PERSON", "ISSUER", "ROLES", "KIND", "STATE"], &rows);
    for x in &d.delegations {
        out += &format!("{} lets {} approve as {} until {}\n", x.from, x.to, x.roles.join(", "), at(x.until));
    }
    for b in &d.broken {
        out += &format!(
            "BREAK-GLASS: {} approves alone until {}: {} (signed by {})\n",
            b.subject,
            at(b.until),
            b.reason,
            b.by.join(", ")
        );
    }
    out
}
