//! Operations that write: each makes another tree, and the one before stays as it was.

use bytes::Bytes;
use stead_workspace::{WorkspaceError, tree::Entry};

use super::{
    look::FILE,
    path,
    tool::{Arguments, At, Cannot, Done},
};

/// Bytes of a file that is moved.
const MOVED: u64 = 64 << 20;

/// A whole file.
pub(super) async fn write(at: At<'_>, arguments: Arguments) -> Result<Done, Cannot> {
    let path = path::parse(&arguments.path)?;
    let content = Bytes::from(arguments.content);
    Ok(Done::Made(at.work.write(at.tenant, at.tree, &path, content, None).await?))
}

/// A piece of a file.
pub(super) async fn edit(at: At<'_>, arguments: &Arguments) -> Result<Done, Cannot> {
    let path = path::parse(&arguments.path)?;
    let (old, new) = (arguments.old.as_bytes(), arguments.new.as_bytes());
    if old.is_empty() {
        return Err(Cannot::Do("`old` is empty: give the text to replace, or use write for a new file".into()));
    }
    let bytes = at.work.read(at.tenant, at.tree, &path, 0, FILE + 1).await?;
    if bytes.len() as u64 > FILE {
        return Err(Cannot::Do(format!("{path} has more than {FILE} bytes: change it with a command")));
    }
    let first = find(&bytes, old, 0);
    let Some(first) = first else {
        return Err(Cannot::Do(format!(
            "`old` is not in {path}: read the file, and give the text exactly as it stands there"
        )));
    };
    if find(&bytes, old, first + 1).is_some() {
        return Err(Cannot::Do(format!("`old` is in {path} more than once: give more of what stands around it")));
    }
    let content = [&bytes[..first], new, &bytes[first + old.len()..]].concat();
    Ok(Done::Made(at.work.write(at.tenant, at.tree, &path, content.into(), None).await?))
}

/// Where a piece begins, from a place on.
fn find(bytes: &[u8], piece: &[u8], from: usize) -> Option<usize> {
    let finder = regex::bytes::Regex::new(&regex::escape(std::str::from_utf8(piece).ok()?)).ok()?;
    finder.find_at(bytes, from).map(|found| found.start())
}

/// A file to another path.
pub(super) async fn move_(at: At<'_>, arguments: &Arguments) -> Result<Done, Cannot> {
    let (from, to) = (path::parse(&arguments.path)?, path::parse(&arguments.to)?);
    let file = match at.work.stat(at.tenant, at.tree, &from).await? {
        Entry::File(file) if file.size <= MOVED => file,
        Entry::File(_) => {
            return Err(Cannot::Do(format!("{from} has more than {MOVED} bytes: move it with a command")));
        }
        _ => return Err(Cannot::Do(format!("{from} is no file: move it with a command"))),
    };
    match at.work.stat(at.tenant, at.tree, &to).await {
        Ok(_) => return Err(Cannot::Do(format!("{to} is there already: remove it first"))),
        // Nothing is there, or nothing can be: then writing it says why.
        Err(WorkspaceError::Path { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let content = at.work.read(at.tenant, at.tree, &from, 0, file.size).await?;
    let made = at.work.write(at.tenant, at.tree, &to, content, Some(file.exec)).await?;
    Ok(Done::Made(at.work.remove(at.tenant, made.tree, &from).await?))
}

/// A file, or a directory with all that is in it.
pub(super) async fn remove(at: At<'_>, arguments: &Arguments) -> Result<Done, Cannot> {
    let path = path::parse(&arguments.path)?;
    Ok(Done::Made(at.work.remove(at.tenant, at.tree, &path).await?))
}
