//! The suffix automaton of all forms: reads a stream byte by byte, and knows at each byte how long the longest run that ends
//! there and is a part of some form is. Constant time a byte on average (Blumer et al. 1985).

use zeroize::Zeroize;

use super::forms::Form;

/// Between two forms; no byte of a stream is it.
const SEPARATOR: u16 = 256;

/// Where reading stands: a node, and the length of the run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run {
    node: u32,
    /// Bytes of the longest run that ends here.
    pub(super) len: u32,
}

struct Node {
    len: u32,
    link: Option<u32>,
    next: Vec<(u16, u32)>,
    /// From which length on a run that ends here is an echo: the least that a form asks for in which it stands.
    want: u32,
}

impl Node {
    fn new(len: u32, link: Option<u32>, next: Vec<(u16, u32)>, want: u32) -> Self {
        Self { len, link, next, want }
    }

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
    pub(super) fn new(forms: &[Form]) -> Self {
        let mut nodes = vec![Node::new(0, None, Vec::new(), u32::MAX)];
        let mut last = 0;
        for form in forms {
            for symbol in form.text.iter().map(|b| u16::from(*b)).chain([SEPARATOR]) {
                last = extend(&mut nodes, last, symbol, form.want);
            }
        }
        // A shorter string ends wherever a longer one does that it is the end of.
        let mut order: Vec<u32> = (0..nodes.len() as u32).collect();
        order.sort_unstable_by_key(|n| std::cmp::Reverse(nodes[*n as usize].len));
        for n in order {
            let Node { link, want, .. } = nodes[n as usize];
            if let Some(link) = link {
                let link = &mut nodes[link as usize];
                link.want = link.want.min(want);
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

    /// Whether a run is long enough for an echo.
    pub(super) fn is_echo(&self, run: Run) -> bool {
        run.len >= self.nodes[run.node as usize].want
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

fn extend(nodes: &mut Vec<Node>, last: u32, symbol: u16, want: u32) -> u32 {
    let new = nodes.len() as u32;
    nodes.push(Node::new(nodes[last as usize].len + 1, None, Vec::new(), want));
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
    let copy = Node::new(len, old.link, old.next.clone(), u32::MAX);
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
            let made = |(n, f): (usize, &String)| Form { text: f.clone().into_bytes().into(), want: 2 + n as u32 };
            let automaton = Automaton::new(&forms.iter().enumerate().map(made).collect::<Vec<_>>());
            let mut run = Run::default();
            for end in 1..=stream.len() {
                run = automaton.read(run, stream.as_bytes()[end - 1]);
                let longest = (0..end).find(|from| forms.iter().any(|f| f.contains(&stream[*from..end])));
                prop_assert_eq!(run.len as usize, longest.map_or(0, |from| end - from));
                let least = |from: usize| forms.iter().position(|f| f.contains(&stream[from..end])).map_or(99, |n| n + 2);
                prop_assert_eq!(automaton.is_echo(run), longest.is_some_and(|from| end - from >= least(from)));
            }
        }
    }
}
