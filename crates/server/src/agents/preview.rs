//! What looks at an operation before people are asked about it: joined when all tools are there, since it is another of them.

use std::{collections::BTreeMap, sync::Arc};

use stead_core::{code, effect::EffectClass, sandbox::Access, time::Span};
use stead_manifest::{
    Manifest,
    manifest::{self, Binds},
};
use stead_ports::agent::{self, AgentError, BoundTool, Preview};

/// How long a look may take, when the manifest does not say.
const USUAL: Span = Span::from_secs(10);

/// The full name of each operation of a tool.
pub(super) type Operations = BTreeMap<(String, String), String>;

/// Gives each tool what looks at it. What a stand-in stands for is not looked at: it does nothing.
///
/// # Errors
/// What should look is not there, or does more than to look.
pub(super) fn link(
    manifest: &Manifest,
    operations: &Operations,
    bound: &mut [BoundTool],
    stands_in: impl Fn(&str) -> bool,
) -> Result<(), AgentError> {
    for (name, tool) in &manifest.tools {
        for (operation, effect) in &tool.effects {
            let Some(preview) = &effect.preview else { continue };
            let full = operations.get(&(name.clone(), operation.clone())).map(String::as_str);
            let Some(full) = full.filter(|full| !stands_in(full)) else { continue };
            let wrong = |why: String| AgentError {
                code: code::MANIFEST_VALUE,
                detail: format!("`{name}.{operation}`: preview: {why}"),
            };
            let none = || wrong(format!("there is no operation `{}`", preview.call));
            let (of, target) = preview.target(&manifest.tools, name).ok_or_else(none)?;
            let looks = operations.get(&(of.to_owned(), target.to_owned())).map(String::as_str).ok_or_else(none)?;
            let at = |full: &str| bound.binary_search_by(|tool| tool.def.name.as_str().cmp(full)).ok();
            let (Some(i), Some(by)) = (at(full), at(looks)) else { return Err(none()) };
            if bound[by].class != EffectClass::Pure {
                return Err(wrong(format!("`{}` is not `pure`: it does more than to look", preview.call)));
            }
            if bound[by].rules.place.is_some_and(|place| place.workspace == Access::Write) {
                return Err(wrong(format!("`{}` writes the workspace", preview.call)));
            }
            if bound[by].rules.ask {
                return Err(wrong(format!("`{}` is asked about itself", preview.call)));
            }
            if bound[i].class == EffectClass::Pure {
                return Err(wrong("what only reads needs no preview".to_owned()));
            }
            bound[i].rules.preview = Some(looks.into());
            bound[i].preview = Some(Arc::new(made(looks, preview)));
        }
    }
    Ok(())
}

fn made(looks: &str, preview: &manifest::Preview) -> Preview {
    Preview {
        tool: looks.into(),
        with: preview.with.clone().map(|with| with.into_iter().collect()),
        show: preview.show.as_deref().map(|path| path.trim_start_matches('$').replace('.', "/")),
        binds: preview.binds.map(|binds| match binds {
            Binds::Etag => agent::Binds::Etag,
            Binds::Rows => agent::Binds::Rows,
        }),
        timeout: preview.timeout.unwrap_or(USUAL),
    }
}
