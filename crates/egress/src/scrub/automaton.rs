//! The suffix automaton of all forms: reads a stream byte by byte, and knows at each byte how long the longest run that ends
//! there and is a part of some form is. Constant time a byte on average (Blumer et al. 1985).

use zeroize::{Zeroize, Zeroizing};

/// Between two forms; no byte of a stream is it.
const SEPARATOR: u16 = 256;

/// Where reading stands: a node, and the length of the run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run {
    node: u32,
    /// Bytes of the longest run that ends here.
    pub(super) len: u32,
}

#[derive(Default)]
struct Node {
    len: u32,
    link: Option<u32>,
    next: Vec<(u16, u32)>,
}

impl Node {
    fn get(&self, symbol: u16) -> Option<u32> {
        self.next.iter().find(|(s, _)| *s == symbol).map(|(_, to)| *to)
    }

    fn set(&mut self, symbol: u16, to: u32) {
        match self.next.iter_mut().find(|(s, _)| *s == symbol) {
            Some(entry) => entry.1 = to,
            None => self.next.push((symbol, to)),
        }
    }
}

/// The automaton. It holds the secrets in another shape, and is overwritten when it is dropped.
pub(super) struct Automaton {
    nodes: Vec<Node>,
    /// The root's edges, for the usual byte that begins nothing.
    root: Box<[u32; 256]>,
}

impl Automaton {
    /// Makes it of forms. Linear in their length, some 100 bytes of memory for each.
    pub(super) fn new(forms: &[Zeroizing<Vec<u8>>]) -> Self {
        let mut nodes = vec![Node::default()];
        let mut last = 0;
        for form in forms {
            for symbol in form.iter().map(|b| u16::from(*b)).chain([SEPARATOR]) {
                last = extend(&mut nodes, last, symbol);
            }
        }
        let mut root = Box::new([0; 256]);
        for (symbol, to) in &nodes[0].next {
            if let Some(slot) = root.get_mut(usize::from(*symbol)) {
                *slot = *to;
            }
        }
        Self { nodes, root }
    }

    /// Reads one byte.
    pub(super) fn read(&self, mut run: Run, byte: u8) -> Run {
        loop {
            if run.node == 0 {
                let node = self.root[usize::from(byte)];
                return Run { node, len: u32::from(node != 0) };
            }
            let node = &self.nodes[run.node as usize];
            if let Some(to) = node.get(u16::from(byte)) {
                return Run { node: to, len: run.len + 1 };
            }
            let link = node.link.unwrap_or(0);
            run = Run { node: link, len: self.nodes[link as usize].len };
        }
    }
}

fn extend(nodes: &mut Vec<Node>, last: u32, symbol: u16) -> u32 {
    let new = nodes.len() as u32;
    nodes.push(Node { len: nodes[last as usize].len + 1, link: None, next: Vec::new() });
    let mut at = Some(last);
    while let Some(p) = at.filter(|p| nodes[*p as usize].get(symbol).is_none()) {
        nodes[p as usize].set(symbol, new);
        at = nodes[p as usize].link;
    }
    let link = match at {
        None => 0,
        Some(p) => {
            let q = nodes[p as usize].get(symbol).unwrap_or(0);
            let len = nodes[p as usize].len + 1;
            if nodes[q as usize].len == len { q } else { split(nodes, p, q, symbol, len) }
        }
    };
    nodes[new as usize].link = Some(link);
    new
}

/// Puts a node between `q` and its link, for the shorter strings that now have an end of their own.
fn split(nodes: &mut Vec<Node>, p: u32, q: u32, symbol: u16, len: u32) -> u32 {
    let clone = nodes.len() as u32;
    let old = &nodes[q as usize];
    let copy = Node { len, link: old.link, next: old.next.clone() };
    nodes.push(copy);
    nodes[q as usize].link = Some(clone);
    let mut at = Some(p);
    while let Some(p) = at.filter(|p| nodes[*p as usize].get(symbol) == Some(q)) {
        nodes[p as usize].set(symbol, clone);
        at = nodes[p as usize].link;
    }
    clone
}

impl Drop for Automaton {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.next.iter_mut().for_each(|(symbol, to)| {
                symbol.zeroize();
                to.zeroize();
            });
        }
        self.root.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The run at each byte is the longest one, found by trying all.
        #[test]
        fn the_run_is_the_longest_part_of_a_form(
            forms in proptest::collection::vec("[abc]{1,12}", 1..4), stream in "[abcd]{0,40}",
        ) {
            let bytes: Vec<_> = forms.iter().map(|f| Zeroizing::new(f.clone().into_bytes())).collect();
            let automaton = Automaton::new(&bytes);
            let mut run = Run::default();
            for end in 1..=stream.len() {
                run = automaton.read(run, stream.as_bytes()[end - 1]);
                let longest = (0..end).find(|from| forms.iter().any(|f| f.contains(&stream[*from..end])));
                prop_assert_eq!(run.len as usize, longest.map_or(0, |from| end - from));
            }
        }
    }
}
