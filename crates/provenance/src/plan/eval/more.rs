//! Functions of texts and of times.

use std::{cmp::Ordering, sync::Arc};

use rust_decimal::{Decimal, prelude::ToPrimitive as _};

use super::{
    super::{
        ast::{Expr, Function},
        datum::{Datum, Kind},
        moment::{Moment, clock},
    },
    Eval, Fault, MAX_TEXT, fault,
};
use crate::trust::Label;

impl Eval<'_> {
    /// A text that is a date or a time, as one.
    fn moment(&mut self, expr: &Expr) -> Result<(Moment, Label), Fault> {
        let (text, label) = self.text(expr)?;
        match Moment::read(&text) {
            Some(moment) => Ok((moment, label)),
            None => fault(expr, "here must be a date or a time"),
        }
    }

    pub(super) fn of_times(&mut self, function: Function, arguments: &[Expr], whole: &Expr) -> Result<Datum, Fault> {
        let first = &arguments[0];
        let (moment, label) = self.moment(first)?;
        let text = |text: String, label: Label| Ok(Datum::new(Kind::Text(text.into()), label));
        match function {
            Function::Day => match moment.day() {
                Some(day) => text(day.to_string(), label),
                None => fault(first, "a time of day has no date"),
            },
            Function::Clock => match moment.clock() {
                Some(time) => text(clock(time), label),
                None => fault(first, "a date has no time of day"),
            },
            Function::Weekday => match moment.day() {
                Some(day) => Ok(Datum::new(Kind::Number(Decimal::from(day.weekday().number_from_monday())), label)),
                None => fault(first, "a time of day has no day of the week"),
            },
            Function::Later => {
                let ((n, a), (unit, b)) = (self.number(&arguments[1])?, self.text(&arguments[2])?);
                let n = n.to_i64().filter(|_| n.is_integer());
                let n = n.filter(|n| n.unsigned_abs() <= 1_000_000_000);
                let n = n.map_or_else(|| fault(&arguments[1], "here must be a whole number"), Ok)?;
                match moment.later(n, &unit) {
                    Some(then) => text(then.text(), label.join(&a).join(&b)),
                    None => fault(whole, format!("nothing is {n} {unit} later than {}", moment.text())),
                }
            }
            Function::Minutes => {
                let (then, other) = self.moment(&arguments[1])?;
                match then.since(moment) {
                    Some(span) => {
                        let minutes = Decimal::from(span.whole_seconds()) / Decimal::from(60);
                        Ok(Datum::new(Kind::Number(minutes.normalize()), label.join(&other)))
                    }
                    None => fault(whole, "the time between these two cannot be told"),
                }
            }
            _ => fault(whole, format!("`{}` does not take a time", function.word())),
        }
    }

    pub(super) fn numbers(&mut self, of: &Expr) -> Result<Datum, Fault> {
        let (text, label) = self.text(of)?;
        let mut out = Vec::new();
        for part in text.split(|c: char| !c.is_ascii_digit() && c != '.' && c != ',') {
            let part = part.trim_matches(['.', ',']);
            if part.is_empty() {
                continue;
            }
            self.step(of)?;
            let Ok(value) = Decimal::from_str_exact(part) else {
                return fault(of, format!("`{part}` can be read in more than one way"));
            };
            out.push(Datum::new(Kind::Number(value.normalize()), label.clone()));
        }
        Ok(Datum::new(Kind::List(out.into()), label))
    }

    pub(super) fn joined(&mut self, arguments: &[Expr], whole: &Expr) -> Result<Datum, Fault> {
        let ((list, own), (between, label)) = (self.list(&arguments[0])?, self.text(&arguments[1])?);
        let (mut out, mut label) = (String::new(), own.join(&label));
        for (n, part) in list.iter().enumerate() {
            self.step(whole)?;
            let text: Arc<str> = match part.kind() {
                Kind::Text(text) => text.clone(),
                Kind::Number(n) => n.to_string().into(),
                other => return fault(&arguments[0], format!("here must be texts, and this has {}", other.name())),
            };
            if out.len() + text.len() + between.len() > MAX_TEXT {
                return fault(whole, format!("the text is longer than {MAX_TEXT} bytes"));
            }
            if n > 0 {
                out.push_str(&between);
            }
            out.push_str(&text);
            label = label.join(&part.label());
        }
        Ok(Datum::new(Kind::Text(out.into()), label))
    }

    pub(super) fn flat(&mut self, of: &Expr, whole: &Expr) -> Result<Datum, Fault> {
        let (lists, mut label) = self.list(of)?;
        let mut out = Vec::new();
        for list in lists.iter() {
            let Kind::List(elements) = list.kind() else {
                return fault(of, format!("here must be a list of lists, and this has {}", list.kind().name()));
            };
            label = label.join(&list.own());
            for element in elements.iter() {
                self.step(whole)?;
                out.push(element.clone());
            }
        }
        Ok(Datum::new(Kind::List(out.into()), label))
    }

    pub(super) fn keys(&mut self, of: &Expr) -> Result<Datum, Fault> {
        let value = self.expr(of)?;
        let Kind::Record(map) = value.kind() else {
            return fault(of, format!("here must be an object, and this is {}", value.kind().name()));
        };
        let own = value.own();
        let names = map.keys().map(|name| Datum::new(Kind::Text(name.clone()), own.clone())).collect();
        Ok(Datum::new(Kind::List(names), own))
    }
}

/// Which of two numbers or two texts is larger. Texts that are both dates or times are compared as such, others by their characters'
/// code points.
pub(in crate::plan) fn order(a: &Datum, b: &Datum) -> Result<Ordering, String> {
    match (a.kind(), b.kind()) {
        (Kind::Number(a), Kind::Number(b)) => Ok(a.cmp(b)),
        (Kind::Text(a), Kind::Text(b)) => match (Moment::read(a), Moment::read(b)) {
            (Some(a), Some(b)) => {
                a.order(b).ok_or_else(|| format!("{} cannot be compared with {}", a.text(), b.text()))
            }
            _ => Ok(a.cmp(b)),
        },
        (a, b) => Err(format!("{} cannot be compared with {}", a.name(), b.name())),
    }
}
