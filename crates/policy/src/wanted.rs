//! Which attributes policies read. A request is built from these alone: what nobody reads costs nothing.

use std::collections::BTreeMap;

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, Var};

/// A path from one of `principal`, `action`, `resource`, `context`: `["context", "args", "amount"]`.
pub type Path = Vec<String>;

/// Paths as a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Nothing at or below this place.
    #[default]
    Nothing,
    /// These attributes, and of each what its own tree says.
    Some(BTreeMap<String, Wanted>),
    /// All that is here.
    All,
}

impl Wanted {
    /// Adds a path.
    pub(crate) fn add(&mut self, path: &[String]) {
        let Some((name, rest)) = path.split_first() else {
            *self = Self::All;
            return;
        };
        match self {
            Self::All => {}
            Self::Nothing => {
                *self = Self::Some(BTreeMap::new());
                self.add(path);
            }
            Self::Some(below) => below.entry(name.clone()).or_default().add(rest),
        }
    }

    /// What is wanted of an attribute; `None` when it is not.
    pub(crate) fn of(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Nothing => None,
            Self::All => Some(&Self::All),
            Self::Some(below) => below.get(name),
        }
    }
}

/// What the conditions of a policy mention.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mentions {
    /// Attributes that it reads, sorted.
    pub(crate) paths: Vec<Path>,
    /// Entities that it names: type and id, sorted.
    pub(crate) entities: Vec<(String, String)>,
    /// Whether what stands in the store of entities may matter: an attribute of an entity, or what one is in.
    pub(crate) store: bool,
}

impl Mentions {
    /// Reads the conditions of a policy.
    pub(crate) fn of(clauses: &[Clause]) -> Self {
        let mut mentions = Self::default();
        for clause in clauses {
            match clause {
                Clause::When(expr) | Clause::Unless(expr) => mentions.walk(expr),
            }
        }
        mentions.paths.sort();
        mentions.paths.dedup();
        mentions.entities.sort();
        mentions.entities.dedup();
        mentions
    }

    /// Whether a path, or something above or below it, is read.
    pub(crate) fn reads(&self, path: &[&str]) -> bool {
        self.paths.iter().any(|read| read.iter().zip(path).all(|(a, b)| a == b))
    }

    fn walk(&mut self, expr: &Expr) {
        if let Some(path) = chain(expr) {
            self.read(path);
            return;
        }
        match expr {
            Expr::Literal(Literal::EntityUID(uid)) => {
                self.entities.push((uid.ty.to_string(), uid.eid.to_string()));
            }
            Expr::Literal(_) | Expr::Slot(_) => {}
            Expr::UnaryOp { expr, .. } | Expr::Like { expr, .. } => self.walk(expr),
            Expr::GetAttr { expr, .. } => {
                self.store = true;
                self.walk(expr);
            }
            Expr::BinaryOp { op, left, right } => {
                self.store |= !of_values(*op);
                self.walk(left);
                self.walk(right);
            }
            Expr::HasAttr { expr, attrs } => match chain(expr) {
                Some(mut path) => {
                    path.extend(attrs.iter().map(ToString::to_string));
                    self.read(path);
                }
                None => {
                    self.store = true;
                    self.walk(expr);
                }
            },
            Expr::Is { expr, in_expr, .. } => {
                self.store |= in_expr.is_some();
                self.walk(expr);
                in_expr.iter().for_each(|e| self.walk(e));
            }
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                [cond, then_expr, else_expr].into_iter().for_each(|e| self.walk(e));
            }
            Expr::Set(items) => items.iter().for_each(|e| self.walk(e)),
            Expr::Record(fields) => fields.values().for_each(|e| self.walk(e)),
            // An expression of a later Cedar may read anything.
            _ => {
                self.store = true;
                self.paths.extend(["principal", "resource", "context"].map(|root| vec![root.to_owned()]));
            }
        }
    }

    fn read(&mut self, path: Path) {
        // What is below the context is no entity, but what is below another root is an attribute of one.
        self.store |= path.len() > 1 && path[0] != "context";
        self.paths.push(path);
    }
}

/// Whether an operator looks at nothing but its operands; of those that are not listed it is not assumed.
const fn of_values(op: BinaryOp) -> bool {
    use BinaryOp::{
        Add, And, Contains, ContainsAll, ContainsAny, Eq, Greater, GreaterEq, Less, LessEq, Mul, NotEq, Or, Sub,
    };
    matches!(
        op,
        Add | And
            | Contains
            | ContainsAll
            | ContainsAny
            | Eq
            | Greater
            | GreaterEq
            | Less
            | LessEq
            | Mul
            | NotEq
            | Or
            | Sub
    )
}

/// `context.args.amount` as a path.
fn chain(expr: &Expr) -> Option<Path> {
    match expr {
        Expr::Var(var) => {
            let root = match var {
                Var::Principal => "principal",
                Var::Action => "action",
                Var::Resource => "resource",
                Var::Context => "context",
            };
            Some(vec![root.to_owned()])
        }
        Expr::GetAttr { expr, attr } => {
            let mut path = chain(expr)?;
            path.push(attr.to_string());
            Some(path)
        }
        _ => None,
    }
}
