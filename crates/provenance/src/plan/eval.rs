//! What an expression is worth. Every evaluation ends: there are no loops but over lists that are there, and each part of it
//! costs one of a bounded number of steps.
//!
//! A value carries the labels of everything that made it, of what it was chosen by as well: a largest rating is as little worth as
//! the least of all ratings.

mod more;

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use rust_decimal::{Decimal, RoundingStrategy, prelude::ToPrimitive as _};

pub(super) use self::more::order as compare;
use super::{
    ast::{Expr, Function, Node, Operator, Span},
    datum::{Datum, Kind},
};
use crate::trust::Label;

/// Steps of one evaluation.
pub const MAX_STEPS: u32 = 100_000;
/// Bytes of a text that an expression makes.
pub const MAX_TEXT: usize = 64 << 10;

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: Span,
    pub(crate) why: String,
}

pub(crate) type Names = BTreeMap<Arc<str>, Result<Datum, Fault>>;

/// Evaluates with these names.
pub(super) fn eval(expr: &Expr, names: &Names, steps: &mut u32) -> Result<Datum, Fault> {
    Eval { names, steps, rows: Vec::new() }.expr(expr)
}

struct Eval<'a> {
    names: &'a Names,
    steps: &'a mut u32,
    rows: Vec<Datum>,
}

fn fault<T>(expr: &Expr, why: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { at: expr.at.clone(), why: why.into() })
}

impl Eval<'_> {
    fn step(&mut self, expr: &Expr) -> Result<(), Fault> {
        match self.steps.checked_sub(1) {
            Some(left) => {
                *self.steps = left;
                Ok(())
            }
            None => fault(expr, format!("this takes more than {MAX_STEPS} steps")),
        }
    }

    fn expr(&mut self, expr: &Expr) -> Result<Datum, Fault> {
        self.step(expr)?;
        // The plan's own words: it was drawn from what is trusted.
        let own = |kind| Ok(Datum::new(kind, Label::nothing()));
        match &expr.node {
            Node::Null => own(Kind::Null),
            Node::Bool(b) => own(Kind::Bool(*b)),
            Node::Number(n) => own(Kind::Number(*n)),
            Node::Text(s) => own(Kind::Text(s.clone())),
            Node::List(items) => {
                let items: Arc<[Datum]> = items.iter().map(|i| self.expr(i)).collect::<Result<_, _>>()?;
                own(Kind::List(items))
            }
            Node::Record(fields) => {
                let mut map = BTreeMap::new();
                for (name, value) in fields {
                    map.insert(name.clone(), self.expr(value)?);
                }
                own(Kind::Record(Arc::new(map)))
            }
            Node::It => self.rows.last().cloned().map_or_else(|| fault(expr, "there is no element at hand"), Ok),
            Node::Name(name) => match (self.names.get(name), self.rows.last().cloned()) {
                (Some(value), _) => value.clone(),
                (None, Some(row)) => field(&row, name, expr),
                (None, None) => fault(expr, format!("nothing is named `{name}`")),
            },
            Node::Field(of, word) => field(&self.expr(of)?, &word.text, expr),
            Node::Index(of, at) => self.index(of, at, expr),
            Node::Not(inner) => {
                let (truth, label) = self.truth(inner)?;
                Ok(Datum::new(Kind::Bool(!truth), label))
            }
            Node::Negative(inner) => {
                let (n, label) = self.number(inner)?;
                Ok(Datum::new(Kind::Number(-n), label))
            }
            Node::Binary(operator, left, right) => self.binary(*operator, left, right, expr),
            Node::Call(function, arguments) if function.by_rows() => self.by_rows(*function, arguments, expr),
            Node::Call(function, arguments) => self.call(*function, arguments, expr),
        }
    }

    fn list(&mut self, expr: &Expr) -> Result<(Arc<[Datum]>, Label), Fault> {
        let value = self.expr(expr)?;
        match value.kind() {
            Kind::List(list) => Ok((list.clone(), value.own())),
            other => fault(expr, format!("here must be a list, and this is {}", other.name())),
        }
    }

    fn number(&mut self, expr: &Expr) -> Result<(Decimal, Label), Fault> {
        let value = self.expr(expr)?;
        match value.kind() {
            Kind::Number(n) => Ok((*n, value.own())),
            other => fault(expr, format!("here must be a number, and this is {}", other.name())),
        }
    }

    fn truth(&mut self, expr: &Expr) -> Result<(bool, Label), Fault> {
        let value = self.expr(expr)?;
        match value.kind() {
            Kind::Bool(b) => Ok((*b, value.own())),
            other => fault(expr, format!("here must be a truth value, and this is {}", other.name())),
        }
    }

    /// A text, or a number as one.
    fn text(&mut self, expr: &Expr) -> Result<(Arc<str>, Label), Fault> {
        let value = self.expr(expr)?;
        match value.kind() {
            Kind::Text(s) => Ok((s.clone(), value.own())),
            Kind::Number(n) => Ok((n.to_string().into(), value.own())),
            other => fault(expr, format!("here must be a text, and this is {}", other.name())),
        }
    }

    fn index(&mut self, of: &Expr, at: &Expr, whole: &Expr) -> Result<Datum, Fault> {
        let (of, at_value) = (self.expr(of)?, self.expr(at)?);
        match (of.kind(), at_value.kind()) {
            (Kind::List(list), Kind::Number(n)) => {
                let found = n.to_usize().filter(|_| n.is_integer()).and_then(|n| list.get(n));
                let found = found.map_or_else(|| fault(at, format!("the list has no place {n}")), |d| Ok(d.clone()))?;
                Ok(found.under(&of.own()).under(&at_value.own()))
            }
            (Kind::Record(_), Kind::Text(name)) => Ok(field(&of, name, whole)?.under(&at_value.own())),
            (of, at) => fault(whole, format!("{} has no place for {}", of.name(), at.name())),
        }
    }

    fn binary(&mut self, operator: Operator, left: &Expr, right: &Expr, whole: &Expr) -> Result<Datum, Fault> {
        match operator {
            Operator::And | Operator::Or => {
                let (a, first) = self.truth(left)?;
                if a == (operator == Operator::Or) {
                    return Ok(Datum::new(Kind::Bool(a), first));
                }
                let (b, second) = self.truth(right)?;
                Ok(Datum::new(Kind::Bool(b), first.join(&second)))
            }
            Operator::Plus | Operator::Minus | Operator::Times | Operator::Over => {
                let ((a, first), (b, second)) = (self.number(left)?, self.number(right)?);
                let out = match operator {
                    Operator::Plus => a.checked_add(b),
                    Operator::Minus => a.checked_sub(b),
                    Operator::Times => a.checked_mul(b),
                    _ if b.is_zero() => return fault(right, "nothing can be divided by 0"),
                    _ => a.checked_div(b),
                };
                let out = out.map_or_else(|| fault(whole, "the result has more than 28 digits"), Ok)?;
                Ok(Datum::new(Kind::Number(out.normalize()), first.join(&second)))
            }
            Operator::In => {
                let (value, (list, own)) = (self.expr(left)?, self.list(right)?);
                let mut label = value.label().join(&own);
                let mut found = false;
                for element in list.iter() {
                    self.step(whole)?;
                    label = label.join(&element.label());
                    found |= element.is(&value);
                }
                Ok(Datum::new(Kind::Bool(found), label))
            }
            Operator::Equal | Operator::Unequal => {
                let (a, b) = (self.expr(left)?, self.expr(right)?);
                let same = a.is(&b) == (operator == Operator::Equal);
                Ok(Datum::new(Kind::Bool(same), a.label().join(&b.label())))
            }
            Operator::Less | Operator::LessEqual | Operator::Greater | Operator::GreaterEqual => {
                let (a, b) = (self.expr(left)?, self.expr(right)?);
                let order = order(&a, &b, whole)?;
                let truth = match operator {
                    Operator::Less => order.is_lt(),
                    Operator::LessEqual => order.is_le(),
                    Operator::Greater => order.is_gt(),
                    _ => order.is_ge(),
                };
                Ok(Datum::new(Kind::Bool(truth), a.label().join(&b.label())))
            }
        }
    }

    fn by_rows(&mut self, function: Function, arguments: &[Expr], whole: &Expr) -> Result<Datum, Fault> {
        let [list, by] = arguments else { return fault(whole, "this takes a list and an expression") };
        let (rows, own) = self.list(list)?;
        // What is chosen, and what is left out, depends on the list and on each of these values.
        let mut chosen_by = own.clone();
        let mut keyed = Vec::with_capacity(rows.len());
        for row in rows.iter() {
            self.rows.push(row.clone());
            let key = self.expr(by);
            self.rows.pop();
            let key = key?;
            chosen_by = chosen_by.join(&key.label());
            keyed.push((key, row));
        }
        let make = |rows: Vec<Datum>, label: Label| Ok(Datum::new(Kind::List(rows.into()), label));
        match function {
            Function::Map => make(keyed.into_iter().map(|(key, _)| key).collect(), own),
            Function::Filter => {
                let mut out = Vec::new();
                for (key, row) in keyed {
                    match key.kind() {
                        Kind::Bool(true) => out.push(row.clone()),
                        Kind::Bool(false) => {}
                        other => return fault(by, format!("here must be a truth value, and this is {}", other.name())),
                    }
                }
                make(out, chosen_by)
            }
            Function::SortBy => {
                self.comparable(&keyed, by)?;
                keyed.sort_by(|(a, _), (b, _)| order(a, b, by).unwrap_or(Ordering::Equal));
                make(keyed.into_iter().map(|(_, row)| row.clone()).collect(), chosen_by)
            }
            _ => {
                self.comparable(&keyed, by)?;
                let better = if function == Function::MaxBy { Ordering::Greater } else { Ordering::Less };
                let best = keyed.into_iter().reduce(|best, next| {
                    let order = order(&next.0, &best.0, by).unwrap_or(Ordering::Equal);
                    if order == better { next } else { best }
                });
                match best {
                    Some((_, row)) => Ok(row.clone().under(&chosen_by)),
                    None => fault(list, "the list is empty"),
                }
            }
        }
    }

    /// All keys can be compared with the first.
    fn comparable(&mut self, keyed: &[(Datum, &Datum)], by: &Expr) -> Result<(), Fault> {
        if let Some((first, _)) = keyed.first() {
            for (key, _) in keyed {
                self.step(by)?;
                order(key, first, by)?;
            }
        }
        Ok(())
    }

    fn call(&mut self, function: Function, arguments: &[Expr], whole: &Expr) -> Result<Datum, Fault> {
        let first = &arguments[0];
        match function {
            Function::Text => {
                let (mut out, mut label) = (String::new(), Label::nothing());
                for argument in arguments {
                    let (text, own) = self.text(argument)?;
                    if out.len() + text.len() > MAX_TEXT {
                        return fault(whole, format!("the text is longer than {MAX_TEXT} bytes"));
                    }
                    out.push_str(&text);
                    label = label.join(&own);
                }
                Ok(Datum::new(Kind::Text(out.into()), label))
            }
            Function::StartsWith | Function::EndsWith | Function::Contains => {
                let ((text, a), (part, b)) = (self.text(first)?, self.text(&arguments[1])?);
                let truth = match function {
                    Function::StartsWith => text.starts_with(&*part),
                    Function::EndsWith => text.ends_with(&*part),
                    _ => text.contains(&*part),
                };
                Ok(Datum::new(Kind::Bool(truth), a.join(&b)))
            }
            Function::Round => {
                let ((n, a), (places, b)) = (self.number(first)?, self.number(&arguments[1])?);
                let places = places.to_u32().filter(|p| *p <= 28 && places.is_integer());
                let places =
                    places.map_or_else(|| fault(&arguments[1], "places are a whole number from 0 to 28"), Ok)?;
                let n = n.round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero);
                Ok(Datum::new(Kind::Number(n.normalize()), a.join(&b)))
            }
            Function::Day | Function::Clock | Function::Weekday | Function::Later | Function::Minutes => {
                self.of_times(function, arguments, whole)
            }
            Function::Numbers => self.numbers(first),
            Function::Join => self.joined(arguments, whole),
            Function::Flat => self.flat(first, whole),
            Function::Keys => self.keys(first),
            Function::Abs => {
                let (n, label) = self.number(first)?;
                Ok(Datum::new(Kind::Number(n.abs()), label))
            }
            _ => self.of_list(function, arguments, whole),
        }
    }

    fn of_list(&mut self, function: Function, arguments: &[Expr], whole: &Expr) -> Result<Datum, Fault> {
        let first = &arguments[0];
        let (list, own) = self.list(first)?;
        let make = |rows: Vec<Datum>, label: Label| Ok(Datum::new(Kind::List(rows.into()), label));
        let element = |d: Option<&Datum>, why: &str| match d {
            Some(d) => Ok(d.clone().under(&own)),
            None => fault(first, why),
        };
        match function {
            Function::First => element(list.first(), "the list is empty"),
            Function::Last => element(list.last(), "the list is empty"),
            Function::Only if list.len() == 1 => element(list.first(), ""),
            Function::Only => fault(first, format!("the list has {} elements, and not one", list.len())),
            Function::Take => {
                let (n, label) = self.number(&arguments[1])?;
                let n = n.to_usize().filter(|_| n.is_integer());
                let n = n.map_or_else(|| fault(&arguments[1], "here must be a whole number from 0"), Ok)?;
                make(list.iter().take(n).cloned().collect(), own.join(&label))
            }
            Function::Count => Ok(Datum::new(Kind::Number(list.len().into()), own)),
            Function::Sum => {
                let (mut sum, mut label) = (Decimal::ZERO, own);
                for d in list.iter() {
                    self.step(whole)?;
                    let Kind::Number(n) = d.kind() else {
                        return fault(first, format!("a sum is of numbers, and this has {}", d.kind().name()));
                    };
                    sum = sum.checked_add(*n).map_or_else(|| fault(whole, "the sum has more than 28 digits"), Ok)?;
                    label = label.join(&d.own());
                }
                Ok(Datum::new(Kind::Number(sum.normalize()), label))
            }
            Function::Unique | Function::Tally => {
                let mut groups: Vec<(Datum, u64)> = Vec::new();
                let mut all = own.clone();
                for d in list.iter() {
                    all = all.join(&d.label());
                    let mut at = None;
                    for (i, (g, _)) in groups.iter().enumerate() {
                        self.step(whole)?;
                        if g.is(d) {
                            at = Some(i);
                            break;
                        }
                    }
                    match at {
                        Some(i) => groups[i].1 += 1,
                        None => groups.push((d.clone(), 1)),
                    }
                }
                if function == Function::Unique {
                    return make(groups.into_iter().map(|(d, _)| d).collect(), all);
                }
                let row = |(value, count): (Datum, u64)| {
                    let count = Datum::new(Kind::Number(count.into()), all.clone());
                    let fields = [(Arc::from("value"), value), (Arc::from("count"), count)];
                    Datum::new(Kind::Record(Arc::new(fields.into())), all.clone())
                };
                make(groups.into_iter().map(row).collect(), all.clone())
            }
            Function::Concat => {
                let (mut out, mut label) = (list.to_vec(), own);
                for more in &arguments[1..] {
                    let (list, own) = self.list(more)?;
                    out.extend(list.iter().cloned());
                    label = label.join(&own);
                    // Each element is one step, so that lists cannot double for ever.
                    for _ in 0..list.len() {
                        self.step(whole)?;
                    }
                }
                make(out, label)
            }
            _ => fault(whole, format!("`{}` does not take a list", function.word())),
        }
    }
}

fn field(of: &Datum, name: &str, expr: &Expr) -> Result<Datum, Fault> {
    match (of.field(name), of.kind()) {
        (Some(value), _) => Ok(value),
        (None, Kind::Record(_)) => fault(expr, format!("the object has no field `{name}`")),
        (None, other) => fault(expr, format!("{} has no field `{name}`", other.name())),
    }
}

fn order(a: &Datum, b: &Datum, expr: &Expr) -> Result<Ordering, Fault> {
    more::order(a, b).or_else(|why| fault(expr, why))
}
