//! Limits of a box: those of its manifest, and an operator's in their place.

use stead_core::{
    sandbox::{BoxLimits, Tier},
    time::Span,
};
use stead_ports::sandbox::{Change, Limits};

/// The manifest's, with an operator's in their place.
pub(crate) fn overridden(own: Limits, by: &BoxLimits) -> Limits {
    let disk = by.disk.unwrap_or(own.disk);
    Limits {
        memory: by.memory.or(own.memory),
        pids: by.pids.or(own.pids),
        cpu_milli: by.cpu_milli.or(own.cpu_milli),
        disk,
        // A file cannot be larger than all that there is room for, and an operator who gives room means files too.
        file: if by.disk.is_some() { disk } else { own.file },
        wall: by.wall.map_or(own.wall, |wall| wall.to_std()),
        inodes: by.inodes.unwrap_or(own.inodes),
        open_files: by.open_files.unwrap_or(own.open_files),
    }
}

/// How long a call may wait for a box, that be made and its end take, beyond the time that it may run: with what each tier gives itself for
/// that, so that the model is told how it went and not that nobody knows.
pub fn around(tier: Tier) -> Span {
    match tier {
        Tier::Namespace | Tier::Wasm => Span::from_secs(60),
        // Its runtime is called four times.
        Tier::Oci => Span::from_secs(90),
        // A machine says hello, takes folders in, and hands layers over.
        Tier::Microvm => Span::from_secs(300),
    }
}

/// What must change in a box that runs to get from one to the other. Time, room on the disk, files and open files are fixed when it starts.
pub(crate) fn change(from: &Limits, to: &Limits) -> Option<Change> {
    fn other<T: PartialEq>(from: Option<T>, to: Option<T>) -> Option<T> {
        if from == to { None } else { to }
    }
    let change = Change {
        memory: other(from.memory, to.memory),
        pids: other(from.pids, to.pids),
        cpu_milli: other(from.cpu_milli, to.cpu_milli),
    };
    (change != Change::default()).then_some(change)
}

/// Limits after a change.
pub(crate) fn changed(limits: Limits, change: Change) -> Limits {
    Limits {
        memory: change.memory.or(limits.memory),
        pids: change.pids.or(limits.pids),
        cpu_milli: change.cpu_milli.or(limits.cpu_milli),
        ..limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operators_limits_take_the_place_of_the_manifests_one_by_one() {
        let own = Limits::default();
        let by = BoxLimits { memory: Some(1 << 30), wall: Some(Span::from_secs(5)), ..BoxLimits::default() };
        let now = overridden(own, &by);
        assert_eq!((now.memory, now.wall.as_secs(), now.pids), (Some(1 << 30), 5, own.pids));
        assert_eq!(change(&own, &now), Some(Change { memory: Some(1 << 30), ..Change::default() }));
        assert_eq!(change(&now, &own), Some(Change { memory: own.memory, ..Change::default() }), "taken back");
        assert_eq!(change(&own, &own), None);
        let by = BoxLimits { inodes: Some(100), open_files: Some(20), ..BoxLimits::default() };
        let now = overridden(own, &by);
        assert_eq!((now.inodes, now.open_files), (100, 20));
        assert_eq!(change(&own, &now), None, "those of a box that runs stay");
    }
}
