//! The folder of a drill: the agent, which is the repository's example and stands in this binary, and its data.

use std::{
    fs,
    path::{Path, PathBuf},
};

use stead_core::id::Name;
use stead_server::{agents::data_folder, auth::DEFAULT_TENANT};
use tempfile::TempDir;

use super::world::World;
use crate::error::{CliError, Outcome};

/// Name of the folder that is kept.
pub(crate) const KEPT: &str = "stead-demo";
/// Name of the agent.
pub(crate) const AGENT: &str = "refund-desk";
const MANIFEST: &str = "agent.yaml";

/// The example, file by file.
const FILES: &[(&str, &str)] = &[
    (MANIFEST, include_str!("../../../../examples/refund-desk/agent.yaml")),
    ("INSTRUCTIONS.md", include_str!("../../../../examples/refund-desk/INSTRUCTIONS.md")),
    ("README.md", include_str!("../../../../examples/refund-desk/README.md")),
    (SCRIPT, include_str!("../../../../examples/refund-desk/script.yaml")),
    ("shop.sql", include_str!("../../../../examples/refund-desk/shop.sql")),
];

/// Where the example says which stand-ins `stead run` starts; the drill has its own.
const STAND_INS: &str = "\n# Stand-ins for the two services";
/// The script of the drill takes its time, so that there is a time to be killed in.
const SCRIPT: &str = "script.yaml";
const PACE: &str = "delay: 30ms\n";
/// An attempt at a model that was killed counts with all that it might have said; a script says little.
const MODEL: (&str, &str) = ("{ rehearsal: ./script.yaml }", "{ rehearsal: ./script.yaml, max_output_tokens: 400 }");

/// See the module. Unless it is kept, it vanishes with this.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    vanishing: Option<TempDir>,
}

impl Folder {
    /// Makes it: `./stead-demo` when it is to be kept, else one that vanishes.
    pub(crate) fn make(keep: bool) -> Outcome<Self> {
        let folder = if keep {
            let path = std::env::current_dir()?.join(KEPT);
            fs::create_dir(&path).map_err(|e| match e.kind() {
                std::io::ErrorKind::AlreadyExists => CliError::usage(format!("./{KEPT} exists already"))
                    .hint(format!("remove it (rm -r {KEPT}), or run the demo in another folder")),
                _ => e.into(),
            })?;
            Self { path, vanishing: None }
        } else {
            let vanishing = tempfile::Builder::new().prefix("stead-demo-").tempdir()?;
            Self { path: vanishing.path().to_owned(), vanishing: Some(vanishing) }
        };
        fs::create_dir(folder.agent())?;
        folder.write_example()?;
        Ok(folder)
    }

    fn write_example(&self) -> Outcome<()> {
        for (name, text) in FILES {
            fs::write(self.agent().join(name), text)?;
        }
        Ok(())
    }

    /// Whether it stays.
    pub(crate) fn kept(&self) -> bool {
        self.vanishing.is_none()
    }

    /// The journal.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join(".stead")
    }

    /// What the lives of the runtime said on stderr.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("runtime.log")
    }

    /// Where the stand-ins keep what they did: where the example's own would.
    pub(crate) fn services(&self) -> PathBuf {
        data_folder(&self.data(), &DEFAULT_TENANT.into(), &Name::from(AGENT))
    }

    /// The agent as it is in this world.
    pub(crate) fn bundle(&self, world: &World) -> Outcome<stead_manifest::Bundle> {
        let (_, manifest) = FILES[0];
        let (manifest, _) = manifest.split_once(STAND_INS).unwrap_or((manifest, ""));
        let manifest = manifest
            .replace("${services.payments.url}", &world.payments.url)
            .replace("${services.mail.url}", &world.mail.url)
            .replace(MODEL.0, MODEL.1);
        let path = self.agent().join(MANIFEST);
        fs::write(&path, manifest)?;
        let script = FILES.iter().find(|(name, _)| *name == SCRIPT).map_or("", |(_, text)| *text);
        fs::write(self.agent().join(SCRIPT), format!("{PACE}{script}"))?;
        let bundle = stead_manifest::load(&path);
        // What stays is the example as it is, with the stand-ins that `stead run` starts.
        self.write_example()?;
        Ok(bundle?)
    }

    fn agent(&self) -> PathBuf {
        self.path.join(AGENT)
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_drill_changes_in_the_example_is_there() {
        let (_, manifest) = FILES[0];
        for part in ["${services.payments.url}", "${services.mail.url}", MODEL.0, STAND_INS] {
            assert!(manifest.contains(part), "{part}");
        }
    }
}
