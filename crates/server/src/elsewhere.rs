//! What a host without sandboxes is told: the commands that start Stead where there are some, as docs/install.md has them.

/// The commands that start Stead on a Linux machine from the image of this release; `ARCH` in them is `amd64` or `arm64`.
pub fn linux() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "podman load --input stead-{version}-ARCH.oci.tar && podman run --rm --publish 127.0.0.1:7411:7411 \
         --volume stead:/var/lib/stead localhost/stead:{version}"
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn the_commands_that_start_a_linux_one_are_those_of_the_manual() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/install.md");
        let page = fs::read_to_string(page).unwrap();
        for command in linux().replace("-ARCH.", "-amd64.").split(" && ") {
            assert!(page.contains(&format!("$ {command}\n")), "docs/install.md does not have `{command}`");
        }
    }
}
