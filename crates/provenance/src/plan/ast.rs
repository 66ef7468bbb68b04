//! A plan as it is written.

use std::{ops::Range, sync::Arc};

use rust_decimal::Decimal;

/// Bytes of the text.
pub(crate) type Span = Range<usize>;

/// A word and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Word {
    pub(crate) text: Arc<str>,
    pub(crate) at: Span,
}

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Statement {
    /// `let NAME = …`
    Let(Let),
    /// `do TOOL(…) …`
    Do(Slot),
}

/// A name for what a call will return, or for an expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Let {
    pub(crate) name: Word,
    pub(crate) source: Source,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    /// What the first such call returns.
    Read(Read),
    /// The value of an expression.
    Value(Expr),
    /// What the call returned that used the slot of that number, from 0.
    Done(usize),
}

/// A call that reads, or one of several.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Read {
    /// Any of them.
    pub(crate) calls: Vec<Call>,
    /// `each NAME in …`: one call for each element.
    pub(crate) each: Option<(Word, Expr)>,
}

/// A tool with bound arguments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) tool: Word,
    pub(crate) arguments: Vec<(Word, Binding)>,
}

/// What an argument must be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Binding {
    /// Anything: content; of a read, anything that is not untrusted.
    Any,
    /// The value of an expression.
    To(Expr),
    /// `between(…, …)`: one from the first to the last, both included.
    Between(Expr, Expr),
}

/// Leave to make a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slot {
    /// The name of what it returns.
    pub(crate) name: Option<Word>,
    /// Any of them, one effect in all.
    pub(crate) calls: Vec<Call>,
    /// `each NAME in …` and `one NAME in …`, in order.
    pub(crate) overs: Vec<Over>,
    /// `if …`
    pub(crate) condition: Option<Expr>,
    /// `readers …`: who reads the content of a tool that does not say it.
    pub(crate) readers: Option<Expr>,
    /// `times N`
    pub(crate) times: u32,
}

/// A slot over the elements of a list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Over {
    pub(crate) kind: OverKind,
    pub(crate) name: Word,
    pub(crate) list: Expr,
}

/// How often such a slot may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverKind {
    /// Once for each element.
    Each,
    /// Once, for an element that the model chooses.
    One,
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expr {
    pub(crate) node: Node,
    pub(crate) at: Span,
    /// How many parts stand inside each other, this one counted.
    pub(crate) levels: usize,
}

impl Node {
    /// The levels of the deepest part.
    pub(crate) fn levels(&self) -> usize {
        let most = |parts: &[Expr]| parts.iter().map(|e| e.levels).max().unwrap_or(0);
        match self {
            Self::List(parts) | Self::Call(_, parts) => most(parts),
            Self::Field(of, _) | Self::Not(of) | Self::Negative(of) => of.levels,
            Self::Index(a, b) | Self::Binary(_, a, b) => a.levels.max(b.levels),
            Self::Record(fields) => fields.iter().map(|(_, e)| e.levels).max().unwrap_or(0),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::It | Self::Name(_) => 0,
        }
    }
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(Decimal),
    Text(Arc<str>),
    List(Vec<Expr>),
    Record(Vec<(Arc<str>, Expr)>),
    /// The element at hand.
    It,
    /// Something named by `let` or `each`, or else a field of the element at hand.
    Name(Arc<str>),
    Field(Box<Expr>, Word),
    Index(Box<Expr>, Box<Expr>),
    Call(Function, Vec<Expr>),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
}

/// An operator between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    Plus,
    Minus,
    Times,
    Over,
}

macro_rules! functions {
    ($($name:ident $word:literal $least:literal ..= $most:literal $rows:literal $what:literal;)*) => {
        /// The functions, all of them total: each ends, and says why it has no value.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Function { $($name),* }

        impl Function {
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            /// The word that calls it.
            pub(crate) const fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            /// How many arguments it takes.
            pub(crate) const fn arity(self) -> (usize, usize) {
                match self { $(Self::$name => ($least, $most)),* }
            }

            /// Whether its second argument is evaluated for each element of the first.
            pub(crate) const fn by_rows(self) -> bool {
                match self { $(Self::$name => $rows),* }
            }

            /// What it gives, for the documents.
            pub(crate) const fn about(self) -> &'static str {
                match self { $(Self::$name => $what),* }
            }
        }
    };
}

functions! {
    MaxBy "max_by" 2..=2 true "`max_by(list, e)`: the first element for which `e` is largest";
    MinBy "min_by" 2..=2 true "`min_by(list, e)`: the first element for which `e` is smallest";
    Filter "filter" 2..=2 true "`filter(list, e)`: the elements for which `e` is true";
    Map "map" 2..=2 true "`map(list, e)`: `e` of each element";
    SortBy "sort_by" 2..=2 true "`sort_by(list, e)`: the elements, those with a small `e` first";
    First "first" 1..=1 false "`first(list)`: the first element";
    Last "last" 1..=1 false "`last(list)`: the last element";
    Only "only" 1..=1 false "`only(list)`: the element of a list that has exactly one";
    Take "take" 2..=2 false "`take(list, n)`: the first `n` elements, or all";
    Count "count" 1..=1 false "`count(list)`: how many elements there are";
    Sum "sum" 1..=1 false "`sum(list)`: the sum of numbers";
    Unique "unique" 1..=1 false "`unique(list)`: the elements, each once";
    Tally "tally" 1..=1 false "`tally(list)`: for each different element an object with `value` and `count`";
    Concat "concat" 2..=8 false "`concat(a, b, …)`: the elements of all lists";
    Flat "flat" 1..=1 false "`flat(list)`: the elements of a list's lists";
    Keys "keys" 1..=1 false "`keys(object)`: the names of an object's fields";
    Join "join" 2..=2 false "`join(list, text)`: texts and numbers, with the text between them";
    Text "text" 1..=16 false "`text(a, b, …)`: texts and numbers, one behind the other";
    StartsWith "starts_with" 2..=2 false "`starts_with(text, part)`: whether the text begins so";
    EndsWith "ends_with" 2..=2 false "`ends_with(text, part)`: whether the text ends so";
    Contains "contains" 2..=2 false "`contains(text, part)`: whether the part stands in the text";
    Numbers "numbers" 1..=1 false "`numbers(text)`: the numbers that stand in a text, in order";
    Day "day" 1..=1 false "`day(time)`: the date of a moment";
    Clock "clock" 1..=1 false "`clock(time)`: the time of day of a moment";
    Weekday "weekday" 1..=1 false "`weekday(time)`: its day of the week, 1 for Monday";
    Later "later" 3..=3 false "`later(time, n, unit)`: `n` minutes, hours, days, weeks, months or years later; earlier, if `n` is negative";
    Minutes "minutes" 2..=2 false "`minutes(from, to)`: how many minutes lie between two moments";
    Round "round" 2..=2 false "`round(number, places)`: rounded to that many decimal places, halves away from zero";
    Abs "abs" 1..=1 false "`abs(number)`: without its sign";
}
