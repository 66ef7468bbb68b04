//! Layers on their way out, when all that could write to them is dead.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    sync::Arc,
};

use std::os::fd::AsFd as _;

use super::{link::Link, root::Layer};
use crate::{
    fault::{At, Fault},
    tree::send::send_upper,
    wire::{MAX_DATA, stream},
};

/// Sends one.
pub(super) fn send(link: &Arc<Link>, number: usize, layer: &Layer) -> Result<(), Fault> {
    let step = format!("handing layer {number} over");
    let stream = stream::LAYERS + u32::try_from(number).unwrap_or(u32::MAX - stream::LAYERS);
    let mut writer = BufWriter::with_capacity(MAX_DATA, link.writer(stream));
    let (upper, lower) = (File::open(&layer.upper).at(&step)?, File::open(&layer.lower).at(&step)?);
    send_upper(upper.as_fd(), lower.as_fd(), &mut writer).at(&step)?;
    writer.flush().at(&step)?;
    writer.get_ref().end();
    Ok(())
}
