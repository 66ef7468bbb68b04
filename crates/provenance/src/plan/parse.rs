//! From text to statements. The grammar stands in `docs/provenance.md`.

use std::sync::Arc;

use rust_decimal::prelude::ToPrimitive as _;

use super::{
    ast::{
        Binding, Call, Expr, Function, Let, Node, Operator, Over, OverKind, Read, Slot, Source, Span, Statement, Word,
    },
    error::Wrong,
    lex::{Token, lex},
};

/// Brackets inside each other.
const MAX_DEPTH: usize = 32;
/// Parts of an expression inside each other.
const MAX_LEVELS: usize = 64;
/// Parts of all expressions of a plan.
const MAX_NODES: usize = 10_000;
/// Calls of which any uses one slot, or is one read.
const MAX_CALLS: usize = 16;
/// How often one slot may be used.
pub(crate) const MAX_TIMES: u32 = 1_000;

/// Words that name nothing.
const RESERVED: &[&str] =
    &["let", "do", "each", "in", "if", "times", "any", "it", "true", "false", "null", "and", "or", "not"];

/// Reads all statements, or says what is wrong first.
pub(super) fn parse(text: &str) -> Result<Vec<Statement>, Wrong> {
    let mut parser = Parser { tokens: lex(text)?, next: 0, nodes: 0 };
    let mut out = Vec::new();
    while parser.peek() != &Token::End {
        out.push(parser.statement()?);
    }
    Ok(out)
}

/// Two of them would have to mean something, and a plan's reader should not have to guess what.
fn once(is: bool, word: &str, at: &Span) -> Result<(), Wrong> {
    let wrong = || Wrong::new(at.clone(), format!("`{word}` stands twice behind this `do`"));
    if is { Ok(()) } else { Err(wrong()) }
}

struct Parser {
    tokens: Vec<(Token, Span)>,
    next: usize,
    nodes: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].0
    }

    fn at(&self) -> Span {
        self.tokens[self.next].1.clone()
    }

    /// The next token; the last is given again and again.
    fn take(&mut self) -> (Token, Span) {
        let token = self.tokens[self.next].clone();
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(s) if *s == sign)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(w) if &**w == word)
    }

    fn sign(&mut self, sign: &str) -> bool {
        let is = self.is_sign(sign);
        self.next += usize::from(is);
        is
    }

    fn word(&mut self, word: &str) -> bool {
        let is = self.is_word(word);
        self.next += usize::from(is);
        is
    }

    fn expect(&mut self, sign: &str) -> Result<(), Wrong> {
        if self.sign(sign) { Ok(()) } else { Err(Wrong::new(self.at(), format!("here must be `{sign}`"))) }
    }

    fn name(&mut self, what: &str) -> Result<Word, Wrong> {
        match self.take() {
            (Token::Word(text), at) if !RESERVED.contains(&&*text) => Ok(Word { text, at }),
            (_, at) => Err(Wrong::new(at, format!("here must be {what}"))),
        }
    }

    fn statement(&mut self) -> Result<Statement, Wrong> {
        if self.word("let") {
            let name = self.name("a name")?;
            self.expect("=")?;
            if self.word("do") {
                return Ok(Statement::Do(self.slot(Some(name))?));
            }
            return Ok(Statement::Let(Let { name, source: self.source()? }));
        }
        if !self.word("do") {
            return Err(Wrong::new(self.at(), "a statement begins with `let` or `do`"));
        }
        Ok(Statement::Do(self.slot(None)?))
    }

    fn slot(&mut self, name: Option<Word>) -> Result<Slot, Wrong> {
        let calls = self.calls()?;
        let mut slot = Slot { name, calls, overs: Vec::new(), condition: None, readers: None, times: 1 };
        let mut times = None;
        loop {
            let at = self.at();
            if self.word("each") {
                let (name, list) = self.over()?;
                slot.overs.push(Over { kind: OverKind::Each, name, list });
            } else if self.word("one") {
                let (name, list) = self.over()?;
                slot.overs.push(Over { kind: OverKind::One, name, list });
            } else if self.word("if") {
                once(slot.condition.replace(self.expression(0)?).is_none(), "if", &at)?;
            } else if self.word("readers") {
                once(slot.readers.replace(self.expression(0)?).is_none(), "readers", &at)?;
            } else if self.word("times") {
                let count = self.count()?;
                once(times.replace(count).is_none(), "times", &at)?;
                slot.times = count;
            } else {
                return Ok(slot);
            }
            let many = slot.times > 1 || slot.overs.iter().any(|over| over.kind == OverKind::Each);
            if many && slot.name.is_some() {
                let wrong = Wrong::new(at, "a name is for what one call returns");
                return Err(wrong.hint("leave the name out, or `each` and `times`"));
            }
        }
    }

    /// How often.
    fn count(&mut self) -> Result<u32, Wrong> {
        let (token, at) = self.take();
        let count = match token {
            Token::Number(n) if n.is_integer() => n.to_u32().filter(|n| (1..=MAX_TIMES).contains(n)),
            _ => None,
        };
        count.ok_or_else(|| Wrong::new(at, format!("a count is a whole number from 1 to {MAX_TIMES}")))
    }

    /// `NAME in LIST`.
    fn over(&mut self) -> Result<(Word, Expr), Wrong> {
        let name = self.name("a name for each element")?;
        if !self.word("in") {
            return Err(Wrong::new(self.at(), "here must be `in` and a list"));
        }
        Ok((name, self.expression(0)?))
    }

    /// `CALL or CALL`: any of them.
    fn calls(&mut self) -> Result<Vec<Call>, Wrong> {
        let mut calls = vec![self.call()?];
        while self.word("or") {
            if calls.len() == MAX_CALLS {
                return Err(Wrong::new(self.at(), format!("at most {MAX_CALLS} calls stand beside each other")));
            }
            calls.push(self.call()?);
        }
        Ok(calls)
    }

    /// A call of a tool names its arguments; functions do not.
    fn source(&mut self) -> Result<Source, Wrong> {
        let word = matches!(self.peek(), Token::Word(w) if !RESERVED.contains(&&**w));
        let sign = |n: usize, s: &str| matches!(self.tokens.get(self.next + n), Some((Token::Sign(t), _)) if *t == s);
        let named =
            sign(2, ")") || (matches!(self.tokens.get(self.next + 2), Some((Token::Word(_), _))) && sign(3, ":"));
        if word && sign(1, "(") && named {
            let calls = self.calls()?;
            let each = if self.word("each") { Some(self.over()?) } else { None };
            Ok(Source::Read(Read { calls, each }))
        } else {
            Ok(Source::Value(self.expression(0)?))
        }
    }

    fn call(&mut self) -> Result<Call, Wrong> {
        let tool = self.name("the name of a tool")?;
        self.expect("(")?;
        let mut arguments: Vec<(Word, Binding)> = Vec::new();
        while !self.sign(")") {
            let name = self.name("the name of an argument")?;
            if arguments.iter().any(|(n, _)| n.text == name.text) {
                return Err(Wrong::new(name.at, format!("`{}` is bound twice", name.text)));
            }
            self.expect(":")?;
            arguments.push((name, self.binding()?));
            if !self.is_sign(")") {
                self.expect(",")?;
            }
        }
        Ok(Call { tool, arguments })
    }

    fn binding(&mut self) -> Result<Binding, Wrong> {
        if self.word("any") {
            return Ok(Binding::Any);
        }
        let opens = matches!(self.tokens.get(self.next + 1), Some((Token::Sign("("), _)));
        if !(opens && self.word("between")) {
            return Ok(Binding::To(self.expression(0)?));
        }
        self.expect("(")?;
        let least = self.expression(1)?;
        self.expect(",")?;
        let most = self.expression(1)?;
        self.expect(")")?;
        Ok(Binding::Between(least, most))
    }

    fn node(&mut self, node: Node, at: Span) -> Result<Expr, Wrong> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Wrong::new(at, format!("a plan has at most {MAX_NODES} parts of expressions")));
        }
        let levels = node.levels() + 1;
        if levels > MAX_LEVELS {
            return Err(Wrong::new(at, format!("an expression has at most {MAX_LEVELS} parts inside each other")));
        }
        Ok(Expr { node, at, levels })
    }

    fn expression(&mut self, depth: usize) -> Result<Expr, Wrong> {
        self.binary(0, depth)
    }

    /// Operators by how loosely they bind.
    fn binary(&mut self, level: usize, depth: usize) -> Result<Expr, Wrong> {
        const LEVELS: &[&[(&str, Operator)]] = &[
            &[("or", Operator::Or)],
            &[("and", Operator::And)],
            &[
                ("==", Operator::Equal),
                ("!=", Operator::Unequal),
                ("<=", Operator::LessEqual),
                (">=", Operator::GreaterEqual),
                ("<", Operator::Less),
                (">", Operator::Greater),
                ("in", Operator::In),
            ],
            &[("+", Operator::Plus), ("-", Operator::Minus)],
            &[("*", Operator::Times), ("/", Operator::Over)],
        ];
        if depth > MAX_DEPTH {
            return Err(Wrong::new(self.at(), format!("at most {MAX_DEPTH} brackets stand inside each other")));
        }
        let Some(operators) = LEVELS.get(level) else { return self.unary(depth) };
        let mut left = self.binary(level + 1, depth)?;
        while let Some((_, operator)) = operators.iter().find(|(s, _)| self.is_sign(s) || self.is_word(s)) {
            self.take();
            let right = self.binary(level + 1, depth + 1)?;
            let at = left.at.start..right.at.end;
            left = self.node(Node::Binary(*operator, Box::new(left), Box::new(right)), at)?;
        }
        Ok(left)
    }

    fn unary(&mut self, depth: usize) -> Result<Expr, Wrong> {
        let start = self.at().start;
        if self.word("not") {
            // `not a == b` denies the comparison.
            let inner = self.binary(2, depth + 1)?;
            let at = start..inner.at.end;
            return self.node(Node::Not(Box::new(inner)), at);
        }
        if self.sign("-") {
            let inner = self.binary(5, depth + 1)?;
            let at = start..inner.at.end;
            return self.node(Node::Negative(Box::new(inner)), at);
        }
        self.postfix(depth)
    }

    fn postfix(&mut self, depth: usize) -> Result<Expr, Wrong> {
        let mut out = self.primary(depth)?;
        while self.is_sign(".") || self.is_sign("[") {
            let start = out.at.start;
            if self.sign(".") {
                let (token, at) = self.take();
                let Token::Word(text) = token else { return Err(Wrong::new(at, "here must be the name of a field")) };
                let span = start..at.end;
                out = self.node(Node::Field(Box::new(out), Word { text, at }), span)?;
            } else {
                self.expect("[")?;
                let index = self.expression(depth + 1)?;
                let end = self.at().end;
                self.expect("]")?;
                out = self.node(Node::Index(Box::new(out), Box::new(index)), start..end)?;
            }
        }
        Ok(out)
    }

    fn primary(&mut self, depth: usize) -> Result<Expr, Wrong> {
        let (token, at) = self.take();
        match token {
            Token::Text(text) => self.node(Node::Text(text), at),
            Token::Number(n) => self.node(Node::Number(n), at),
            Token::Sign("(") => {
                let inner = self.expression(depth + 1)?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Sign("[") => {
                let items = self.list("]", depth)?;
                let end = self.tokens[self.next - 1].1.end;
                self.node(Node::List(items), at.start..end)
            }
            Token::Sign("{") => {
                let fields = self.fields(depth)?;
                let end = self.tokens[self.next - 1].1.end;
                self.node(Node::Record(fields), at.start..end)
            }
            Token::Word(word) if self.is_sign("(") => self.function(&word, at, depth),
            Token::Word(word) => {
                let node = match &*word {
                    "true" => Node::Bool(true),
                    "false" => Node::Bool(false),
                    "null" => Node::Null,
                    "it" => Node::It,
                    "any" => return Err(Wrong::new(at, "`any` is a whole argument, not a part of one")),
                    w if RESERVED.contains(&w) => return Err(Wrong::new(at, format!("`{w}` is no value"))),
                    _ => Node::Name(word),
                };
                self.node(node, at)
            }
            Token::Sign(_) | Token::End => Err(Wrong::new(at, "here must be a value")),
        }
    }

    /// `"name": value, …}`
    fn fields(&mut self, depth: usize) -> Result<Vec<(Arc<str>, Expr)>, Wrong> {
        let mut out: Vec<(Arc<str>, Expr)> = Vec::new();
        while !self.sign("}") {
            let (token, at) = self.take();
            let (Token::Word(name) | Token::Text(name)) = token else {
                return Err(Wrong::new(at, "here must be the name of a field"));
            };
            if out.iter().any(|(n, _)| *n == name) {
                return Err(Wrong::new(at, format!("`{name}` stands twice in this object")));
            }
            self.expect(":")?;
            out.push((name, self.expression(depth + 1)?));
            if !self.is_sign("}") {
                self.expect(",")?;
            }
        }
        Ok(out)
    }

    fn function(&mut self, word: &Arc<str>, at: Span, depth: usize) -> Result<Expr, Wrong> {
        let Some(function) = Function::ALL.iter().find(|f| f.word() == &**word) else {
            let wrong = Wrong::new(at, format!("there is no function `{word}`"));
            return Err(wrong.nearest(word, Function::ALL.iter().map(|f| f.word())));
        };
        self.expect("(")?;
        let arguments = self.list(")", depth)?;
        let at = at.start..self.tokens[self.next - 1].1.end;
        let (least, most) = function.arity();
        if !(least..=most).contains(&arguments.len()) {
            return Err(
                Wrong::new(at, format!("`{word}` does not take {} values", arguments.len())).hint(function.about())
            );
        }
        self.node(Node::Call(*function, arguments), at)
    }

    fn list(&mut self, close: &str, depth: usize) -> Result<Vec<Expr>, Wrong> {
        let mut out = Vec::new();
        while !self.sign(close) {
            out.push(self.expression(depth + 1)?);
            if !self.is_sign(close) {
                self.expect(",")?;
            }
        }
        Ok(out)
    }
}
