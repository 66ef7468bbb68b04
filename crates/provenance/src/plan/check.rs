//! Whether a plan can be meant: its tools, arguments, names and types, before anything has run.

mod functions;

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use serde_json::Value;

use super::{
    NOW,
    ast::{Binding, Call, Expr, Let, Node, Operator, OverKind, Read, Slot, Source, Statement, Word},
    error::Wrong,
    types::Type,
};
use crate::declare::Tool;

/// Names that are known, with their types.
type Names = BTreeMap<Arc<str>, Type>;

/// Everything that is wrong with the statements.
pub(super) fn check(statements: &[Statement], tools: &[Tool]) -> Vec<Wrong> {
    let names = Names::from([(Arc::from(NOW), Type::Text)]);
    let mut checker = Checker { tools, names, rows: Vec::new(), wrong: Vec::new() };
    // A slot knows all names, wherever they are given; a name knows those before it.
    for statement in statements {
        let (name, type_) = match statement {
            Statement::Let(Let { name, source: Source::Read(read) }) => (name, checker.read(read)),
            Statement::Let(Let { name, source: Source::Value(expr) }) => (name, checker.expr(expr)),
            Statement::Do(Slot { name: Some(name), calls, .. }) => (name, checker.returns(calls)),
            Statement::Let(Let { source: Source::Done(_), .. }) | Statement::Do(_) => continue,
        };
        if checker.names.insert(name.text.clone(), type_).is_some() {
            checker.fail(&name.at, format!("`{}` is named twice", name.text));
        }
    }
    for statement in statements {
        if let Statement::Do(slot) = statement {
            checker.slot(slot);
        }
    }
    checker.wrong.sort_by_key(|wrong| wrong.at.start);
    checker.wrong
}

struct Checker<'a> {
    tools: &'a [Tool],
    names: Names,
    rows: Vec<Type>,
    wrong: Vec<Wrong>,
}

impl<'a> Checker<'a> {
    fn fail(&mut self, at: &Range<usize>, message: impl Into<String>) -> Type {
        self.wrong.push(Wrong::new(at.clone(), message));
        Type::Any
    }

    fn tool(&mut self, call: &Call) -> Option<&'a Tool> {
        let found = self.tools.iter().find(|t| *t.name == *call.tool.text);
        if found.is_none() {
            let wrong = Wrong::new(call.tool.at.clone(), format!("there is no tool `{}`", call.tool.text));
            self.wrong.push(wrong.nearest(&call.tool.text, self.tools.iter().map(|t| &*t.name)));
        }
        found
    }

    fn read(&mut self, read: &Read) -> Type {
        let mut shadowed = Vec::new();
        let key = read.each.as_ref().map(|(name, list)| {
            let element = self.element(list);
            self.shadow(name, element.clone(), &mut shadowed);
            element
        });
        let mut types = Vec::new();
        for call in &read.calls {
            let Some(tool) = self.tool(call) else { continue };
            self.arguments(call, tool);
            if tool.effect {
                let message =
                    format!("`{}` does something outside: a plan reads what it returns only after `do`", tool.name);
                let hint = format!("name what it returns: let NAME = do {}(…)", tool.name);
                self.wrong.push(Wrong::new(call.tool.at.clone(), message).hint(hint));
                continue;
            }
            types.push(tool.output.as_ref().map_or(Type::Any, Type::of_schema));
        }
        self.unshadow(shadowed);
        let one = types.into_iter().reduce(Type::or).unwrap_or(Type::Any);
        match key {
            None => one,
            Some(key) => {
                let fields = [("key".to_owned(), key), ("value".to_owned(), one)];
                Type::List(Box::new(Type::Record(fields.into(), None)))
            }
        }
    }

    /// What one of these calls returns; they are checked as a slot.
    fn returns(&self, calls: &[Call]) -> Type {
        let tool = |call: &Call| self.tools.iter().find(|t| *t.name == *call.tool.text);
        let types =
            calls.iter().map(|call| tool(call).and_then(|t| t.output.as_ref()).map_or(Type::Any, Type::of_schema));
        types.reduce(Type::or).unwrap_or(Type::Any)
    }

    fn shadow(&mut self, name: &Word, type_: Type, shadowed: &mut Vec<Arc<str>>) {
        if self.names.contains_key(&name.text) {
            self.fail(&name.at, format!("`{}` is named twice", name.text));
        } else {
            self.names.insert(name.text.clone(), type_);
            shadowed.push(name.text.clone());
        }
    }

    fn unshadow(&mut self, shadowed: Vec<Arc<str>>) {
        for name in shadowed {
            self.names.remove(&name);
        }
    }

    fn slot(&mut self, slot: &Slot) {
        let mut shadowed = Vec::new();
        for over in &slot.overs {
            let word = if over.kind == OverKind::Each { "each" } else { "one" };
            let element = match self.expr(&over.list) {
                Type::List(element) => *element,
                Type::Any => Type::Any,
                other => self.fail(&over.list.at, format!("`{word}` takes a list, and this is {}", other.name())),
            };
            self.shadow(&over.name, element, &mut shadowed);
        }
        if let Some(condition) = &slot.condition {
            self.expects(condition, &Type::Bool);
        }
        if let Some(readers) = &slot.readers {
            let type_ = self.expr(readers);
            if !type_.meets(&Type::List(Box::new(Type::Text))) && !type_.meets(&Type::Text) {
                self.fail(&readers.at, format!("readers are texts, and this is {}", type_.name()));
            }
        }
        for call in &slot.calls {
            let Some(tool) = self.tool(call) else { continue };
            self.arguments(call, tool);
            self.steered(call, tool);
            if let Some(readers) = slot.readers.as_ref().filter(|_| tool.recipients.is_some()) {
                let message = format!("`{}` says itself who reads what it sends", tool.name);
                self.wrong.push(Wrong::new(readers.at.clone(), message).hint("leave `readers` out"));
            }
        }
        self.unshadow(shadowed);
    }

    fn arguments(&mut self, call: &Call, tool: &Tool) {
        for (name, binding) in &call.arguments {
            let Some(wanted) = Type::of_argument(&tool.input, &name.text) else {
                let wrong = Wrong::new(name.at.clone(), format!("`{}` has no argument `{}`", tool.name, name.text));
                let known = tool.input.get("properties").and_then(Value::as_object);
                let wrong = wrong.nearest(&name.text, known.into_iter().flat_map(|m| m.keys().map(String::as_str)));
                self.wrong.push(wrong);
                continue;
            };
            match binding {
                // What a read is asked for may be left open: it then counts only if it is not untrusted.
                Binding::Any if tool.effect && tool.steers(&name.text) => {
                    let message = format!("`{}` steers `{}` and must be bound to a value", name.text, tool.name);
                    self.fail(&name.at, message);
                }
                Binding::Any => {}
                Binding::Between(least, most) => {
                    let ordered = |t: &Type| matches!(t, Type::Any | Type::Number | Type::Text);
                    for end in [least, most] {
                        let given = self.expr(end);
                        if !ordered(&given) || !given.meets(&wanted) {
                            let message =
                                format!("`{}` takes {}, and this is {}", name.text, wanted.name(), given.name());
                            self.fail(&end.at, message);
                        }
                    }
                }
                Binding::To(expr) => {
                    let given = self.expr(expr);
                    if !given.meets(&wanted) {
                        let message = format!("`{}` takes {}, and this is {}", name.text, wanted.name(), given.name());
                        self.fail(&expr.at, message);
                    }
                }
            }
        }
    }

    /// What a tool must be given, and what steers it, is bound.
    fn steered(&mut self, call: &Call, tool: &Tool) {
        let required = tool.input.get("required").and_then(Value::as_array).into_iter().flatten();
        for name in required.filter_map(Value::as_str) {
            if tool.steers(name) && !call.arguments.iter().any(|(n, _)| &*n.text == name) {
                self.fail(&call.tool.at, format!("`{}` needs `{name}`, which must be bound to a value", tool.name));
            }
        }
    }

    fn expects(&mut self, expr: &Expr, wanted: &Type) -> Type {
        let given = self.expr(expr);
        if !given.meets(wanted) || matches!((&given, wanted), (Type::Text, Type::Number)) {
            return self.fail(&expr.at, format!("here must be {}, and this is {}", wanted.name(), given.name()));
        }
        given
    }

    fn element(&mut self, list: &Expr) -> Type {
        match self.expr(list) {
            Type::List(element) => *element,
            Type::Any => Type::Any,
            other => self.fail(&list.at, format!("here must be a list, and this is {}", other.name())),
        }
    }

    fn expr(&mut self, expr: &Expr) -> Type {
        match &expr.node {
            Node::Null => Type::Null,
            Node::Bool(_) => Type::Bool,
            Node::Number(_) => Type::Number,
            Node::Text(_) => Type::Text,
            Node::List(items) => {
                let types: Vec<Type> = items.iter().map(|i| self.expr(i)).collect();
                Type::List(Box::new(types.into_iter().reduce(Type::or).unwrap_or(Type::Any)))
            }
            Node::Record(fields) => {
                let types = fields.iter().map(|(name, value)| (name.to_string(), self.expr(value)));
                Type::Record(types.collect(), None)
            }
            Node::It => match self.rows.last() {
                Some(row) => row.clone(),
                None => self.fail(&expr.at, "`it` is the element at hand, and there is none"),
            },
            Node::Name(name) => self.name(name, expr),
            Node::Field(of, field) => {
                let of = self.expr(of);
                self.field(&of, &field.text, &field.at)
            }
            Node::Index(of, index) => match (self.expr(of), self.expr(index)) {
                (Type::List(element), index) if index.meets(&Type::Number) => *element,
                (Type::Record(fields, rest), Type::Text | Type::Any) => {
                    let types = fields.into_values().chain(rest.map(|r| *r));
                    types.reduce(Type::or).unwrap_or(Type::Any)
                }
                (Type::Any, _) => Type::Any,
                (of, index) => self.fail(&expr.at, format!("{} has no place for {}", of.name(), index.name())),
            },
            Node::Not(inner) => {
                self.expects(inner, &Type::Bool);
                Type::Bool
            }
            Node::Negative(inner) => {
                self.expects(inner, &Type::Number);
                Type::Number
            }
            Node::Binary(operator, left, right) => self.binary(*operator, left, right, expr),
            Node::Call(function, arguments) => self.call(*function, arguments),
        }
    }

    fn name(&mut self, name: &Arc<str>, expr: &Expr) -> Type {
        if let Some(type_) = self.names.get(name) {
            return type_.clone();
        }
        if let Some(row) = self.rows.last().cloned() {
            return self.field(&row, name, &expr.at);
        }
        let wrong = Wrong::new(expr.at.clone(), format!("nothing is named `{name}`"));
        let wrong = wrong.nearest(name, self.names.keys().map(|k| &**k));
        self.wrong.push(wrong);
        Type::Any
    }

    fn field(&mut self, of: &Type, field: &str, at: &Range<usize>) -> Type {
        match of {
            Type::Any => Type::Any,
            Type::Record(fields, rest) => match fields.get(field).or(rest.as_deref()) {
                Some(type_) => type_.clone(),
                None => {
                    let wrong = Wrong::new(at.clone(), format!("there is no field `{field}`"));
                    self.wrong.push(wrong.nearest(field, fields.keys().map(String::as_str)));
                    Type::Any
                }
            },
            other => self.fail(at, format!("{} has no field `{field}`", other.name())),
        }
    }

    fn binary(&mut self, operator: Operator, left: &Expr, right: &Expr, whole: &Expr) -> Type {
        use Operator::{And, Equal, Greater, GreaterEqual, In, Less, LessEqual, Minus, Or, Over, Plus, Times, Unequal};
        match operator {
            And | Or => {
                self.expects(left, &Type::Bool);
                self.expects(right, &Type::Bool);
                Type::Bool
            }
            Plus | Minus | Times | Over => {
                self.expects(left, &Type::Number);
                self.expects(right, &Type::Number);
                Type::Number
            }
            In => {
                let element = self.element(right);
                let left_type = self.expr(left);
                if !left_type.meets(&element) {
                    self.fail(&whole.at, format!("{} is in no list of {}", left_type.name(), element.name()));
                }
                Type::Bool
            }
            Equal | Unequal | Less | LessEqual | Greater | GreaterEqual => {
                let (a, b) = (self.expr(left), self.expr(right));
                let ordered = !matches!(operator, Equal | Unequal);
                let fits = a.meets(&b) && !(ordered && (a != b && a != Type::Any && b != Type::Any));
                if !fits || (ordered && matches!(a, Type::List(_) | Type::Record(..) | Type::Bool)) {
                    self.fail(&whole.at, format!("{} cannot be compared with {} so", a.name(), b.name()));
                }
                Type::Bool
            }
        }
    }
}
