//! A CBOR tree, just enough to put things into a record that this release would never write.

use minicbor::{Decoder, Encoder, data::Type};

/// A data item of the kinds that records are made of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    Uint(u64),
    Int(i64),
    Bytes(Vec<u8>),
    Text(String),
    Array(Vec<Self>),
    Bool(bool),
    Null,
}

impl Item {
    /// Reads one item.
    pub(crate) fn read(d: &mut Decoder<'_>) -> Self {
        match d.datatype().unwrap() {
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => Self::Uint(d.u64().unwrap()),
            Type::I8 | Type::I16 | Type::I32 | Type::I64 => Self::Int(d.i64().unwrap()),
            Type::Bytes => Self::Bytes(d.bytes().unwrap().to_vec()),
            Type::String => Self::Text(d.str().unwrap().to_owned()),
            Type::Bool => Self::Bool(d.bool().unwrap()),
            Type::Null => {
                d.null().unwrap();
                Self::Null
            }
            Type::Array => {
                let n = d.array().unwrap().expect("of definite length");
                Self::Array((0..n).map(|_| Self::read(d)).collect())
            }
            other => panic!("a record holds no {other}"),
        }
    }

    /// Writes it in the shortest form.
    pub(crate) fn write(&self, e: &mut Encoder<&mut Vec<u8>>) {
        match self {
            Self::Uint(v) => drop(e.u64(*v).unwrap()),
            Self::Int(v) => drop(e.i64(*v).unwrap()),
            Self::Bytes(v) => drop(e.bytes(v).unwrap()),
            Self::Text(v) => drop(e.str(v).unwrap()),
            Self::Bool(v) => drop(e.bool(*v).unwrap()),
            Self::Null => drop(e.null().unwrap()),
            Self::Array(items) => {
                e.array(items.len() as u64).unwrap();
                items.iter().for_each(|i| i.write(e));
            }
        }
    }

    /// The tree of a whole record.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self::read(&mut Decoder::new(bytes))
    }

    /// The record of a tree.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut Encoder::new(&mut out));
        out
    }

    /// The elements of an array.
    pub(crate) fn items(&mut self) -> &mut Vec<Self> {
        match self {
            Self::Array(items) => items,
            other => panic!("not an array: {other:?}"),
        }
    }

    /// Gives an array of numbered fields one that no release has written yet, far behind those it has.
    pub(crate) fn grow(&mut self) {
        let fields = self.items();
        fields.resize(fields.len().max(20), Self::Null);
        fields.push(Self::Array(vec![Self::Text("from a later release".into()), Self::Array(vec![Self::Null])]));
    }
}
