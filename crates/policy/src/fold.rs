//! Conditions made ready once for many evaluations: what is constant in them is evaluated, and the place of each expression in the
//! text is left out, which an evaluation would carry from value to value.
//!
//! Cedar's expressions have no place for a set or a decimal that is a value already. So a constant stands in the context,
//! under a name that no policy can write, and its expression reads it there.

use std::sync::Arc;

use cedar_policy_core::{
    ast::{BorrowedRestrictedExpr, Expr, ExprKind, Value, Var},
    evaluator::RestrictedEvaluator,
    extensions::Extensions,
};

/// A constant, under its name in the context.
pub(crate) type Constant = (Arc<str>, Value);

/// The constants of a policy, shared by all slices that it is in.
struct Constants {
    policy: usize,
    made: Vec<Constant>,
}

/// The condition of the policy of this number, with its constants in their places.
pub(crate) fn fold(policy: usize, condition: &Expr) -> (Expr, Vec<Constant>) {
    let mut constants = Constants { policy, made: Vec::new() };
    let condition = constants.fold(condition);
    (condition, constants.made)
}

impl Constants {
    /// The condition with its constants in their places.
    fn fold(&mut self, expr: &Expr) -> Expr {
        let mut fold = |expr: &Arc<Expr>| self.fold(expr);
        match expr.expr_kind() {
            ExprKind::Set(_) | ExprKind::Record(_) | ExprKind::ExtensionFunctionApp { .. } => self.constant(expr),
            ExprKind::Lit(literal) => Expr::val(literal.clone()),
            ExprKind::Var(var) => Expr::var(*var),
            ExprKind::If { test_expr, then_expr, else_expr } => {
                Expr::ite(fold(test_expr), fold(then_expr), fold(else_expr))
            }
            ExprKind::And { left, right } => Expr::and(fold(left), fold(right)),
            ExprKind::Or { left, right } => Expr::or(fold(left), fold(right)),
            ExprKind::UnaryApp { op, arg } => Expr::unary_app(*op, fold(arg)),
            ExprKind::BinaryApp { op, arg1, arg2 } => Expr::binary_app(*op, fold(arg1), fold(arg2)),
            ExprKind::GetAttr { expr, attr } => Expr::get_attr(fold(expr), attr.clone()),
            ExprKind::HasAttr { expr, attr } => Expr::has_attr(fold(expr), attr.clone()),
            ExprKind::ExtHasAttr { expr, attrs } => Expr::extended_has_attr(fold(expr), attrs.clone()),
            ExprKind::Like { expr, pattern } => Expr::like(fold(expr), pattern.clone()),
            ExprKind::Is { expr, entity_type } => Expr::is_entity_type(fold(expr), entity_type.clone()),
            // Of templates and of evaluation in parts, which have no place here.
            ExprKind::Slot(_) | ExprKind::Unknown(_) => expr.clone(),
        }
    }

    /// A set, a record or a call: a constant if all in it is. What cannot be evaluated stays, and fails when its turn comes.
    fn constant(&mut self, expr: &Expr) -> Expr {
        let evaluator = RestrictedEvaluator::new(Extensions::all_available());
        let value = BorrowedRestrictedExpr::new(expr).ok().and_then(|expr| evaluator.interpret(expr).ok());
        if let Some(value) = value {
            let name = format!("\0{}.{}", self.policy, self.made.len());
            let read = Expr::get_attr(Expr::var(Var::Context), name.as_str().into());
            self.made.push((name.into(), value.with_maybe_source_loc(None)));
            return read;
        }
        match expr.expr_kind() {
            ExprKind::Set(elements) => Expr::set(elements.iter().map(|element| self.fold(element)).collect::<Vec<_>>()),
            ExprKind::ExtensionFunctionApp { fn_name, args } => {
                Expr::call_extension_fn(fn_name.clone(), args.iter().map(|arg| self.fold(arg)).collect())
            }
            _ => expr.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn folded(text: &str) -> (usize, String) {
        let (expr, constants) = fold(0, &text.parse().unwrap());
        (constants.len(), expr.to_string())
    }

    #[test]
    fn what_is_constant_is_evaluated_and_what_is_not_stays() {
        let (constants, expr) =
            folded(r#"["a", "b"].containsAll(context.to) && context.rate.lessThan(decimal("1.5"))"#);
        assert_eq!(constants, 2, "{expr}");
        assert!(!expr.contains("decimal") && expr.contains("context.to"), "{expr}");
        assert_eq!(folded("[context.a, context.b].contains(1)").0, 0);
        assert_eq!(folded("[context.a, 1 + 1].contains([2])").0, 1);
        // An error is one of the evaluation, if it comes to that.
        let (constants, expr) = folded(r#"context.never && context.rate.lessThan(decimal("x"))"#);
        assert_eq!(constants, 0);
        assert!(expr.contains("decimal"), "{expr}");
    }
}
