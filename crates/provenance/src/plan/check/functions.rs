//! What functions take and give.

use std::collections::BTreeMap;

use super::{
    super::{
        ast::{Expr, Function, Node},
        error::Wrong,
        moment,
        types::Type,
    },
    Checker,
};

impl Checker<'_> {
    pub(super) fn call(&mut self, function: Function, arguments: &[Expr]) -> Type {
        let list = |t: Type| Type::List(Box::new(t));
        match function {
            Function::First | Function::Last | Function::Only => self.element(&arguments[0]),
            Function::Unique => list(self.element(&arguments[0])),
            Function::Take => {
                self.expects(&arguments[1], &Type::Number);
                list(self.element(&arguments[0]))
            }
            Function::Count => {
                self.element(&arguments[0]);
                Type::Number
            }
            Function::Sum => {
                let element = self.element(&arguments[0]);
                if !element.meets(&Type::Number) || element == Type::Text {
                    self.fail(
                        &arguments[0].at,
                        format!("a sum is of numbers, and this is a list of {}", element.name()),
                    );
                }
                Type::Number
            }
            Function::Tally => {
                let value = self.element(&arguments[0]);
                let fields = [("value".to_owned(), value), ("count".to_owned(), Type::Number)];
                list(Type::Record(fields.into(), None))
            }
            Function::Concat => {
                let types: Vec<Type> = arguments.iter().map(|a| self.element(a)).collect();
                list(types.into_iter().reduce(Type::or).unwrap_or(Type::Any))
            }
            Function::Text => {
                for argument in arguments {
                    self.expects(argument, &Type::Text);
                }
                Type::Text
            }
            Function::StartsWith | Function::EndsWith | Function::Contains => {
                self.expects(&arguments[0], &Type::Text);
                self.expects(&arguments[1], &Type::Text);
                Type::Bool
            }
            Function::Flat => match self.element(&arguments[0]) {
                Type::List(inner) => list(*inner),
                Type::Any => list(Type::Any),
                other => {
                    let message = format!("`flat` takes a list of lists, and this is a list of {}", other.name());
                    self.fail(&arguments[0].at, message)
                }
            },
            Function::Keys => {
                self.expects(&arguments[0], &Type::Record(BTreeMap::new(), None));
                list(Type::Text)
            }
            Function::Join => {
                self.element(&arguments[0]);
                self.expects(&arguments[1], &Type::Text);
                Type::Text
            }
            Function::Numbers => {
                self.expects(&arguments[0], &Type::Text);
                list(Type::Number)
            }
            Function::Day | Function::Clock | Function::Weekday | Function::Minutes | Function::Later => {
                self.expects(&arguments[0], &Type::Text);
                match function {
                    Function::Later => {
                        self.expects(&arguments[1], &Type::Number);
                        self.unit(&arguments[2]);
                        Type::Text
                    }
                    Function::Minutes => {
                        self.expects(&arguments[1], &Type::Text);
                        Type::Number
                    }
                    Function::Weekday => Type::Number,
                    _ => Type::Text,
                }
            }
            Function::Round | Function::Abs => {
                for argument in arguments {
                    self.expects(argument, &Type::Number);
                }
                Type::Number
            }
            Function::MaxBy | Function::MinBy | Function::Filter | Function::Map | Function::SortBy => {
                let element = self.element(&arguments[0]);
                self.rows.push(element.clone());
                let by = match function {
                    Function::Filter => self.expects(&arguments[1], &Type::Bool),
                    _ => self.expr(&arguments[1]),
                };
                self.rows.pop();
                match function {
                    Function::Map => list(by),
                    Function::MaxBy | Function::MinBy => element,
                    _ => list(element),
                }
            }
        }
    }

    /// A unit that is written out is one; what an expression gives is seen when it is evaluated.
    fn unit(&mut self, unit: &Expr) {
        self.expects(unit, &Type::Text);
        if let Node::Text(word) = &unit.node
            && !moment::is_unit(word)
        {
            let wrong = Wrong::new(unit.at.clone(), format!("`{word}` is no unit of time"));
            self.wrong.push(wrong.nearest(word, moment::UNITS.iter().copied()));
        }
    }
}
