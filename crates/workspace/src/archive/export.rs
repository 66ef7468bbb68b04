//! Writing tar: the same bytes for the same tree. Files belong to nobody and have no time.

use std::io::{self, Write};

use stead_core::id::{Name, TreeId};
use tar::{Builder, EntryType, Header};

use crate::{
    WorkspaceError, Workspaces,
    chunk::CHUNK,
    limits::{MAX_DEPTH, Tally},
    name::TreePath,
    tree::{Entry, FileEntry},
};

/// Bytes of a file that are read at once.
const PIECE: u64 = 8 * CHUNK as u64;
const BLOCK: usize = 512;

impl Workspaces {
    /// Writes a tree as a tar archive: paths ascend, a directory comes before what is in it. Memory stays small whatever the size; the
    /// writer blocks, so it is one that does not block for long.
    ///
    /// # Errors
    /// ST0240 when there is more than the limits of this server allow, ST0242 when something is missing or damaged, ST0245 when the writer
    /// fails.
    pub async fn export_tar(&self, tenant: &Name, tree: TreeId, out: impl Write + Send) -> Result<(), WorkspaceError> {
        let mut tar = Builder::new(out);
        let fail = |e: io::Error| WorkspaceError::disk("the archive", e);
        let trees = self.trees(tenant);
        let top = trees.read(&[tree]).await?.pop().map(|(_, d)| d.into_entries());
        // Each is a directory whose rest is still to be written.
        let mut stack: Vec<_> = top.into_iter().collect();
        let mut path = TreePath::TOP;
        // A tree says how much is in it, and may lie: what is written is counted.
        let mut tally = Tally::default();
        while let Some(entries) = stack.last_mut() {
            let Some((name, entry)) = entries.next() else {
                stack.pop();
                path.pop();
                continue;
            };
            path.push(name);
            tally.entry(&self.limits, &path)?;
            match entry {
                Entry::File(file) => {
                    tally.file(file.size, &self.limits, &path)?;
                    self.file(tenant, &mut tar, &path, &file).await?;
                    path.pop();
                }
                Entry::Symlink(target) => {
                    let mut header = header(EntryType::Symlink, 0o777, 0);
                    let name = path.to_bytes();
                    tar.append_link(&mut header, bytes_path(&name), bytes_path(&target)).map_err(fail)?;
                    path.pop();
                }
                Entry::Directory(d) => {
                    let mut header = header(EntryType::Directory, 0o755, 0);
                    tar.append_data(&mut header, bytes_path(&[&path.to_bytes()[..], b"/"].concat()), io::empty())
                        .map_err(fail)?;
                    if stack.len() > MAX_DEPTH {
                        return Err(WorkspaceError::Damaged { tree, what: "it has more levels than any workspace" });
                    }
                    stack.extend(trees.read(&[d.tree]).await?.pop().map(|(_, d)| d.into_entries()));
                }
            }
        }
        tar.finish().map_err(fail)
    }

    async fn file<W: Write + Send>(
        &self,
        tenant: &Name,
        tar: &mut Builder<W>,
        path: &TreePath,
        file: &FileEntry,
    ) -> Result<(), WorkspaceError> {
        let fail = |e: io::Error| WorkspaceError::disk("the archive", e);
        let mut header = header(EntryType::Regular, if file.exec { 0o755 } else { 0o644 }, file.size);
        // The header with its name first, and then the bytes as they come.
        tar.append_data(&mut header, bytes_path(&path.to_bytes()), io::empty()).map_err(fail)?;
        let mut at = 0;
        while at < file.size {
            let piece = self.read_file(tenant, file, at, PIECE).await?;
            tar.get_mut().write_all(&piece).map_err(fail)?;
            at += piece.len() as u64;
        }
        let rest = (file.size % BLOCK as u64) as usize;
        if rest > 0 {
            tar.get_mut().write_all(&[0; BLOCK][rest..]).map_err(fail)?;
        }
        Ok(())
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn bytes_path(bytes: &[u8]) -> &std::path::Path {
    use std::os::unix::ffi::OsStrExt as _;
    std::path::Path::new(std::ffi::OsStr::from_bytes(bytes))
}
