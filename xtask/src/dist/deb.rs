//! The Debian package (deb(5), Debian Policy 4.7). Written here and not by a tool: it is three small archives in one, and so
//! its bytes depend on nothing but what goes in.

use std::{
    fmt::Write as _,
    time::{Duration, UNIX_EPOCH},
};

use md5::{Digest as _, Md5};

use super::{
    files::{Tree, gzip},
    hex,
    release::{Release, SHELLS},
    tree,
};
use crate::Fail;

/// The file that belongs to the administrator: dpkg never overwrites what was changed there.
const CONFFILE: &str = "etc/stead/stead.toml";

/// There is no list to write to yet; the domain is one that never will be (RFC 2606).
const MAINTAINER: &str = "The Stead developers <stead@stead.invalid>";

/// What lintian is told: each is meant.
const OVERRIDES: &str = "\
# One binary for every C library.
stead: statically-linked-binary
";

/// `stead_VERSION_ARCHITECTURE.deb`.
pub(super) fn make(release: &Release) -> Result<Vec<u8>, Fail> {
    let data = data(release)?;
    let control = control(release, &data)?;
    let mut builder = ar::Builder::new(Vec::new());
    for (name, content) in [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.gz", gzip(&control.tar("./", release.epoch)?)?),
        ("data.tar.gz", gzip(&data.tar("./", release.epoch)?)?),
    ] {
        let mut header = ar::Header::new(name.into(), u64::try_from(content.len()).map_err(|e| e.to_string())?);
        header.set_mode(0o100_644);
        header.set_mtime(release.epoch);
        builder.append(&header, content.as_slice()).map_err(|e| format!("{name}: {e}"))?;
    }
    builder.into_inner().map_err(|e| e.to_string())
}

fn data(release: &Release) -> Result<Tree, Fail> {
    let texts = &release.texts;
    let mut tree = tree::common(release);
    tree.file(CONFFILE, texts.config.as_str());
    tree.file("usr/lib/systemd/system/stead.service", texts.unit.as_str());
    tree.file("usr/share/lintian/overrides/stead", OVERRIDES);
    tree.file("usr/share/doc/stead/CHANGELOG.md.gz", gzip(texts.changelog.as_bytes())?);
    tree.file("usr/share/doc/stead/changelog.gz", gzip(changelog(release).as_bytes())?);
    for (name, page) in &release.pages {
        tree.file(&format!("usr/share/man/man1/{name}.gz"), gzip(page)?);
    }
    for ((_, path), script) in SHELLS.iter().zip(&release.completions) {
        tree.file(path, script.as_slice());
    }
    Ok(tree)
}

fn control(release: &Release, data: &Tree) -> Result<Tree, Fail> {
    let mut sums = String::new();
    for (path, content) in data.contents().filter(|(path, _)| *path != CONFFILE) {
        writeln!(sums, "{}  {path}", hex(&Md5::digest(content))).map_err(|e| e.to_string())?;
    }
    let mut tree = Tree::default();
    tree.file("control", fields(release, data));
    tree.file("conffiles", format!("/{CONFFILE}\n"));
    tree.file("md5sums", sums);
    tree.program("postinst", release.texts.postinst.as_str());
    tree.program("prerm", release.texts.prerm.as_str());
    tree.program("postrm", release.texts.postrm.as_str());
    Ok(tree)
}

/// The changelog in Debian's own form (deb-changelog(5)), which leads to ours.
fn changelog(release: &Release) -> String {
    let at = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(release.epoch)).replace("GMT", "+0000");
    format!(
        "stead ({}) unstable; urgency=medium\n\n  * The changes are in CHANGELOG.md.gz.\n\n -- {MAINTAINER}  {at}\n",
        release.version
    )
}

/// The binary is static, so what it needs is what the maintainer scripts call, and the certificates that it trusts.
fn fields(release: &Release, data: &Tree) -> String {
    format!(
        "Package: stead\n\
         Version: {}\n\
         Architecture: {}\n\
         Maintainer: {MAINTAINER}\n\
         Installed-Size: {}\n\
         Depends: adduser, ca-certificates\n\
         Section: admin\n\
         Priority: optional\n\
         Description: runtime for AI agents that survives crashes\n \
         Stead runs AI agents durably: it starts the agent, runs its actions, remembers\n \
         what it did, asks a human when it must, and never does twice what must happen\n \
         once. One binary, one folder of data, no other service.\n \
         .\n \
         The package has the command line and a hardened systemd unit, which is neither\n \
         enabled nor started until the administrator says so.\n",
        release.version,
        release.target.debian,
        data.size().div_ceil(1024),
    )
}
