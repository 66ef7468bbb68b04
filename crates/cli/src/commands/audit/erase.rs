//! `stead audit erase`, `erasures` and `hold`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use stead_api::erasure::{Erase, Erasure, ErasureState, HeldWhat, LegalHold, PlaceHold, ReleaseHold};
use stead_client::Client;
use stead_core::{code, id::Name};

use super::{told, write};
use crate::{
    cli::Global,
    error::{CliError, Outcome},
    ui::{
        self,
        table::{fields, table},
        term::clean,
        text,
    },
};

/// Erases the texts of a person.
#[derive(Debug, Args)]
pub(super) struct EraseArgs {
    /// The person on whose behalf runs work, as `stead usage --by user` lists them
    subject: String,
    /// Only tell what would be erased, and what stands against it
    #[arg(long)]
    dry_run: bool,
    /// Stop runs of the person that have not ended, first
    #[arg(long)]
    pub(super) stop: bool,
    /// Begin an erasure that another person has proposed
    #[arg(long, value_name = "ID", conflicts_with = "dry_run")]
    confirm: Option<String>,
    /// Why; it stays in the log of operators, so name nobody in it
    #[arg(long, default_value = "")]
    reason: String,
    /// The file for the signed certificate
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The tenant, when it is not that of the token
    #[arg(long)]
    tenant: Option<String>,
}

/// Lists erasures.
#[derive(Debug, Args)]
pub(super) struct ErasuresArgs {
    /// Write the certificate of this one
    #[arg(long, value_name = "ID", conflicts_with = "certificates")]
    certificate: Option<String>,
    /// Write all certificates: what `stead restore --erasures` takes
    #[arg(long)]
    certificates: bool,
    /// A file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Legal holds.
#[derive(Debug, Subcommand)]
pub(super) enum HoldVerb {
    /// Place a hold: until it is released nothing that it is about is erased or removed
    Place {
        /// What it is about
        what: Kind,
        /// A person's name, a session's or run's id, the tenant's name
        name: String,
        /// Why
        #[arg(long)]
        reason: String,
        /// The tenant, when it is not that of the token
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Release a hold
    Release {
        /// Its id
        hold: String,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        /// The tenant, when it is not that of the token
        #[arg(long)]
        tenant: Option<String>,
    },
    /// List the holds that are in force
    Ls {
        /// Those that were released too
        #[arg(long)]
        all: bool,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Kind {
    Tenant,
    Subject,
    Session,
    Run,
}

pub(super) async fn erase(global: &Global, client: &Client, args: EraseArgs) -> Outcome<()> {
    let EraseArgs { subject, dry_run, stop, confirm, reason, output, tenant } = args;
    let tenant = tenant.map(Name::from);
    let erase = Erase { subject: subject.into(), dry_run, stop, confirm, reason, tenant };
    let erasure = client.erase(&erase).await?;
    if let (Some(path), Some(certificate)) = (&output, &erasure.certificate) {
        write(path, certificate.as_bytes())?;
    }
    told(global, &erasure, said)?;
    if erasure.state == ErasureState::Proposed {
        ui::say(&format!("hint: another person begins it: stead audit erase SUBJECT --confirm {}", erasure.id));
    }
    if erasure.state == ErasureState::Done {
        ui::say("hint: put the keys of now in the place of each kept file of subject keys: stead backup keys -o KEYS");
        ui::say("hint: then sealed backups of before show no text of the person; names and facts stay");
        ui::say(
            "hint: backups that are not sealed (of before format 10, of `stead migrate`) have the texts: remove them",
        );
    }
    Ok(())
}

fn said(erasure: &Erasure) -> String {
    let (runs, tenant) = (text::counted(erasure.runs, "run"), clean(&erasure.tenant));
    match erasure.state {
        ErasureState::Planned => {
            let texts = text::counted(erasure.texts.unwrap_or(0), "text");
            let against = erasure.waits.as_ref().map(|why| format!("\nnot now: {}", clean(why))).unwrap_or_default();
            format!("would erase {texts} of {runs} in {tenant}{against}\n")
        }
        ErasureState::Proposed => format!("proposed {}: it waits for a second person\n", erasure.id),
        ErasureState::Begun => format!("begun {}: {runs} in {tenant}; it goes on by itself\n", erasure.id),
        ErasureState::Done => format!("erased the texts of {runs} in {tenant}: {}\n", erasure.id),
    }
}

pub(super) async fn list(global: &Global, client: &Client, args: ErasuresArgs) -> Outcome<()> {
    let all = client.erasures().await?;
    let ErasuresArgs { certificate, certificates, output } = args;
    if certificate.is_none() && !certificates {
        return told(global, &all, |all| {
            let row = |e: &Erasure| {
                let state = match e.state {
                    ErasureState::Planned | ErasureState::Proposed => "proposed",
                    ErasureState::Begun => "begun",
                    ErasureState::Done => "done",
                };
                let waits = e.waits.as_ref().map(|why| clean(why)).unwrap_or_default();
                [e.id.clone(), text::instant(e.at), clean(&e.by), e.runs.to_string(), state.to_owned(), waits]
            };
            table(["ERASURE", "AT", "BY", "RUNS", "STATE", "WAITS"], &all.erasures.iter().map(row).collect::<Vec<_>>())
        });
    }
    let wanted = all.erasures.iter().filter(|e| certificate.as_ref().is_none_or(|id| *id == e.id));
    let notes: String = wanted.filter_map(|e| e.certificate.as_deref()).collect();
    if notes.is_empty() {
        return Err(CliError::new(
            code::NOT_FOUND,
            "there is no certificate of that: it is not done, or there is no such erasure",
        ));
    }
    match output {
        Some(path) => write(&path, notes.as_bytes()),
        None => Ok(ui::text(&notes)?),
    }
}

pub(super) async fn hold(global: &Global, client: &Client, verb: HoldVerb) -> Outcome<()> {
    match verb {
        HoldVerb::Place { what, name, reason, tenant } => {
            let what = match what {
                Kind::Tenant => HeldWhat::Tenant,
                Kind::Subject => HeldWhat::Subject,
                Kind::Session => HeldWhat::Session,
                Kind::Run => HeldWhat::Run,
            };
            let place = PlaceHold { what, name: name.into(), reason, tenant: tenant.map(Name::from) };
            let placed = client.place_hold(&place).await?;
            told(global, &placed, |hold| format!("placed {}: the {} is held\n", hold.id, word(hold.what)))
        }
        HoldVerb::Release { hold, reason, tenant } => {
            let release = ReleaseHold { reason, tenant: tenant.map(Name::from) };
            let released = client.release_hold(&hold, &release).await?;
            told(global, &released, |hold| format!("released {}\n", hold.id))
        }
        HoldVerb::Ls { all } => {
            let holds = client.holds(all).await?;
            told(global, &holds, |holds| {
                let row = |hold: &LegalHold| {
                    let released = hold.released_at.map(text::instant).unwrap_or_default();
                    let cell = |text: &str| clean(text);
                    let what = format!("{} {}", word(hold.what), clean(&hold.name));
                    [hold.id.clone(), what, cell(&hold.by), text::instant(hold.at), released, cell(&hold.reason)]
                };
                let rows: Vec<_> = holds.holds.iter().map(row).collect();
                table(["HOLD", "WHAT", "BY", "AT", "RELEASED", "REASON"], &rows)
            })
        }
    }
}

const fn word(what: HeldWhat) -> &'static str {
    match what {
        HeldWhat::Tenant => "tenant",
        HeldWhat::Subject => "subject",
        HeldWhat::Session => "session",
        HeldWhat::Run => "run",
    }
}

/// What a certificate says that was verified.
pub(super) fn certificate(global: &Global, said: &stead_audit::certificate::Certificate) -> Outcome<()> {
    use stead_audit::certificate::Certificate;
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |out, b| out + &format!("{b:02x}"));
    let Certificate { origin, id, tenant, subject, by, asked, done, runs, records, texts, keys, before, after, .. } =
        said;
    let (id, subject) = (format!("{id:032x}"), hex(subject));
    if global.json {
        return Ok(ui::json(&serde_json::json!({
            "origin": origin, "id": id, "tenant": tenant, "subject": subject, "by": by, "asked": asked, "done": done,
            "runs": runs, "records": records, "texts": texts, "keys": keys, "before": before, "after": after,
        }))?);
    }
    Ok(ui::text(&fields(&[
        ("holds", format!("{} says that texts were erased", clean(origin))),
        ("erasure", id),
        ("tenant", clean(tenant)),
        ("subject", subject),
        ("by", clean(by)),
        ("asked", text::instant(*asked)),
        ("done", text::instant(*done)),
        ("erased", format!("{texts} texts in {records} records of {runs} runs")),
        ("keys", keys.map_or_else(|| "-".to_owned(), |keys| format!("{keys} destroyed"))),
        ("before", clean(before)),
        ("after", clean(after)),
    ]))?)
}
