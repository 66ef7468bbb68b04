//! `stead init`: the root of a tenant's directory of approvers, made where no server is.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use stead_core::code;
use stead_trust::{
    directory::{Directory, Entry, Envelope, Root, RootKey, Signed, What},
    hex,
    signer::Signer,
};

use crate::{
    cli::Global,
    error::{CliError, Outcome},
    exit::Exit,
    signing,
    ui::{self, text},
};

/// Make the offline root of a directory of approvers: a key for each holder, some of whom sign together
///
/// Give each key file to its holder, and keep none where the server is. The root is added to a server with `stead approvals keys submit`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The folder to write to, made when it does not exist
    dir: PathBuf,
    /// Who holds a key of the root
    #[arg(long = "holder", value_name = "NAME", required = true)]
    holders: Vec<String>,
    /// How many of them sign together
    #[arg(long, short, value_name = "K")]
    threshold: u32,
    /// The tenant
    #[arg(long, default_value = "default")]
    tenant: String,
}

/// The file of the first entry.
const ROOT: &str = "root.entry";

pub(crate) fn run(global: &Global, args: &Init) -> Outcome {
    let failed = |e: std::io::Error| CliError::new(code::DATA_READONLY, format!("{}: {e}", args.dir.display()));
    let plain = |h: &String| {
        !h.is_empty() && h.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@".contains(c)) && !h.starts_with('.')
    };
    if let Some(wrong) = args.holders.iter().find(|h| !plain(h)) {
        return Err(CliError::usage(format!("`{wrong}` names no file: letters, digits, `-`, `_`, `.` and `@`")));
    }
    let fits = (1..=args.holders.len()).contains(&(args.threshold as usize));
    if !fits || args.holders.iter().enumerate().any(|(i, h)| args.holders[..i].contains(h)) {
        return Err(CliError::usage("the threshold is from 1 to the number of holders, who have different names"));
    }
    fs::create_dir_all(&args.dir).map_err(failed)?;
    let mut signers = Vec::new();
    for holder in &args.holders {
        signers.push(signing::make(&key_file(&args.dir, holder))?);
    }
    let root = root(args, &signers)?;
    let path = args.dir.join(ROOT);
    fs::write(&path, root.to_text() + "\n").map_err(failed)?;
    let directory = Directory::begin(&root).map_err(|e| CliError::new(code::APPROVER_ENTRY, e.to_string()))?;
    if !global.quiet {
        ui::say(&format!(
            "wrote {} and a key for each of {}\ngive the keys to their holders, keep the root's hash, then: stead approvals keys submit {}",
            path.display(),
            args.holders.join(", "),
            path.display()
        ));
    }
    ui::text(&format!("{}\n", hex::encode(&directory.anchor())))?;
    Ok(Exit::Ok)
}

fn key_file(dir: &Path, holder: &str) -> PathBuf {
    dir.join(format!("{holder}.key"))
}

fn root(args: &Init, signers: &[Signer]) -> Outcome<Envelope> {
    let key = |(holder, signer): (&String, &Signer)| RootKey { holder: holder.clone(), key: signer.public().clone() };
    let keys = args.holders.iter().zip(signers).map(key).collect();
    let root = Root { threshold: args.threshold, keys, personal: false };
    let at = u64::try_from(text::now().0 / 1_000_000).unwrap_or(0);
    let entry = Entry { tenant: args.tenant.clone(), seq: 0, previous: None, at, what: What::Root(root) }.to_text();
    let signed = |s: &Signer| Signed { key: s.public().clone(), signature: s.sign_text(&entry) };
    Ok(Envelope { signatures: signers.iter().map(signed).collect(), entry })
}
