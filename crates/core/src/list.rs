//! Lists in the journal that are absent when they are empty, so that fields behind them can be added.

use minicbor::{Decode, Decoder, Encode, Encoder, data::Type, encode::Write};

pub(crate) fn encode<C, T: Encode<C>, W: Write>(
    list: &Vec<T>,
    e: &mut Encoder<W>,
    ctx: &mut C,
) -> Result<(), minicbor::encode::Error<W::Error>> {
    list.encode(e, ctx)
}

pub(crate) fn decode<'b, C, T: Decode<'b, C>>(
    d: &mut Decoder<'b>,
    ctx: &mut C,
) -> Result<Vec<T>, minicbor::decode::Error> {
    if d.datatype()? == Type::Null {
        d.skip()?;
        return Ok(Vec::new());
    }
    Vec::decode(d, ctx)
}

pub(crate) const fn is_nil<T>(list: &[T]) -> bool {
    list.is_empty()
}

pub(crate) fn nil<T>() -> Option<Vec<T>> {
    Some(Vec::new())
}
