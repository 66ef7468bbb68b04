//! The machines that releases are made for, and what each kind of package calls them.

use crate::Fail;

/// A machine.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The compiler's name.
    pub(super) triple: &'static str,
    /// Debian's name of the architecture.
    pub(super) debian: &'static str,
    /// The name of the architecture in an OCI image (that of `GOARCH`).
    pub(super) oci: &'static str,
    /// The platform tags of a wheel. A static binary needs no C library, so it fits the oldest of either kind that pip
    /// knows for this architecture (PEP 600 and PEP 656).
    pub(super) wheel: &'static [&'static str],
}

/// All of them; the first is made when none is named.
pub(super) const ALL: &[Target] = &[
    Target {
        triple: "x86_64-unknown-linux-musl",
        debian: "amd64",
        oci: "amd64",
        wheel: &["manylinux_2_17_x86_64", "manylinux2014_x86_64", "musllinux_1_1_x86_64"],
    },
    Target {
        triple: "aarch64-unknown-linux-musl",
        debian: "arm64",
        oci: "arm64",
        wheel: &["manylinux_2_17_aarch64", "manylinux2014_aarch64", "musllinux_1_1_aarch64"],
    },
];

impl Target {
    /// The target of this name.
    pub(super) fn named(triple: &str) -> Result<&'static Self, Fail> {
        ALL.iter().find(|t| t.triple == triple).ok_or_else(|| {
            let known: Vec<&str> = ALL.iter().map(|t| t.triple).collect();
            format!("{triple} is not a target of releases; there are {}", known.join(" and "))
        })
    }
}
