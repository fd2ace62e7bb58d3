//! Loops of plain arithmetic that need no look at interrupts in each round, which would keep the optimizer from using
//! vector instructions: a collection ends by itself, and a range is handed out in portions with a look between them.

use std::ops::Range;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Expr, ExprBreak, ExprContinue, ExprForLoop, ExprMethodCall, Pat, RangeLimits};

use super::Edits;
use super::ticks::TICK;

/// Methods of collections that iterate over them.
const ITERATIONS: [&str; 7] = [
    "iter",
    "iter_mut",
    "par_iter",
    "chunks",
    "chunks_exact",
    "chunks_mut",
    "windows",
];

/// Methods of iterators that end with them.
const ADAPTERS: [&str; 12] = [
    "zip",
    "enumerate",
    "rev",
    "copied",
    "cloned",
    "step_by",
    "map",
    "filter",
    "take",
    "skip",
    "take_while",
    "skip_while",
];

/// Methods that use an iterator up, or whose result is used up by these, wherever its items come from.
const SUMS: [&str; 8] = [
    "sum", "product", "fold", "for_each", "count", "min", "max", "collect",
];
const STEPS: [&str; 6] = ["map", "filter", "enumerate", "zip", "copied", "cloned"];

/// Methods that a processor or a few instructions do.
const ARITHMETIC: [&str; 24] = [
    "abs",
    "sqrt",
    "mul_add",
    "min",
    "max",
    "clamp",
    "floor",
    "ceil",
    "round",
    "recip",
    "to_bits",
    "len",
    "pow",
    "powi",
    "signum",
    "wrapping_add",
    "wrapping_sub",
    "wrapping_mul",
    "saturating_add",
    "saturating_sub",
    "rotate_left",
    "rotate_right",
    "count_ones",
    "abs_diff",
];

/// Changes for a loop that can do without a look in each round; none if it cannot.
pub fn edits(expression: &ExprForLoop, code: impl Fn(Range<usize>) -> String) -> Option<Edits> {
    let mut body = Body::default();
    body.visit_block(&expression.body);
    if body.impure {
        return None;
    }
    if in_memory(&expression.expr) {
        return Some(Edits::new());
    }
    let mut range = &*expression.expr;
    while let Expr::Paren(paren) = range {
        range = &paren.expr;
    }
    if !is_finite_range(range) || !matches!(&*expression.pat, Pat::Ident(_) | Pat::Wild(_)) {
        return None;
    }
    let (pattern, range) = (expression.pat.span(), expression.expr.span());
    let (pattern, range) = (pattern.byte_range(), range.byte_range());
    let label = expression.label.as_ref();
    let label = label.map_or_else(|| "'__rounds".to_owned(), |label| label.name.to_string());
    let mut edits = Edits::new();
    if expression.label.is_none() {
        let start = expression.for_token.span.byte_range().start;
        edits.push((start..start, format!("{label}: ").into()));
    }
    let name = code(pattern.clone());
    edits.push((pattern, "__portion".into()));
    let portions = "::carrel_runtime::portions(";
    edits.push((range.start..range.start, portions.into()));
    edits.push((range.end..range.end, ")".into()));
    let brace = expression.body.brace_token.span;
    let (open, close) = (
        brace.open().byte_range().start,
        brace.close().byte_range().end,
    );
    edits.push((
        open..open,
        format!("{{ {TICK} for {name} in __portion ").into(),
    ));
    edits.push((close..close, " }".into()));
    // What ends or goes on with the loop of the person does so with ours.
    for end in body.breaks {
        edits.push((end..end, format!(" {label}").into()));
    }
    let own = body
        .continues
        .into_iter()
        .filter(|(name, _)| *name == label);
    edits.extend(own.map(|(_, place)| (place, "".into())));
    Some(edits)
}

/// Whether an expression does no more than arithmetic.
pub fn is_plain(expression: &Expr) -> bool {
    let mut body = Body::default();
    body.visit_expr(expression);
    !body.impure
}

/// The range, with its parentheses, that `(a..b).map(..).sum()` uses up.
pub fn summed_range(call: &ExprMethodCall) -> Option<Range<usize>> {
    let is_one_of =
        |call: &ExprMethodCall, names: &[&str]| names.iter().any(|name| call.method == name);
    if !is_one_of(call, &SUMS) {
        return None;
    }
    let mut receiver = &*call.receiver;
    while let Expr::MethodCall(step) = receiver {
        if !is_one_of(step, &STEPS) {
            return None;
        }
        receiver = &step.receiver;
    }
    let Expr::Paren(paren) = receiver else {
        return None;
    };
    is_finite_range(&paren.expr).then(|| paren.span().byte_range())
}

/// `a..b`
fn is_finite_range(expression: &Expr) -> bool {
    let Expr::Range(range) = expression else {
        return false;
    };
    range.start.is_some() && range.end.is_some() && matches!(range.limits, RangeLimits::HalfOpen(_))
}

/// `&list`, `list.iter().zip(&other)`.
pub fn in_memory(expression: &Expr) -> bool {
    let is_place =
        |expression: &Expr| matches!(expression, Expr::Path(_) | Expr::Field(_) | Expr::Index(_));
    match expression {
        Expr::Reference(reference) => is_place(&reference.expr),
        Expr::MethodCall(call) => {
            let is_one_of = |names: &[&str]| names.iter().any(|name| call.method == name);
            (is_one_of(&ITERATIONS) && is_place(&call.receiver))
                || (is_one_of(&ADAPTERS) && in_memory(&call.receiver))
        }
        _ => false,
    }
}

#[derive(Default)]
struct Body {
    /// It calls, waits or loops.
    impure: bool,
    /// The ends of `break` that have no label.
    breaks: Vec<usize>,
    /// Labels of `continue` and where they stand.
    continues: Vec<(String, Range<usize>)>,
}

impl<'ast> Visit<'ast> for Body {
    fn visit_expr(&mut self, expression: &'ast Expr) {
        self.impure |= match expression {
            Expr::MethodCall(call) => !ARITHMETIC.iter().any(|name| call.method == name),
            // A variant or a tuple struct is no function.
            Expr::Call(call) => !is_constructor(&call.func),
            Expr::Await(_)
            | Expr::Async(_)
            | Expr::Closure(_)
            | Expr::ForLoop(_)
            | Expr::Loop(_)
            | Expr::Macro(_)
            | Expr::While(_)
            | Expr::Verbatim(_) => true,
            _ => false,
        };
        visit::visit_expr(self, expression);
    }

    fn visit_macro(&mut self, _: &'ast syn::Macro) {
        self.impure = true;
    }

    fn visit_item(&mut self, _: &'ast syn::Item) {
        self.impure = true;
    }

    fn visit_expr_break(&mut self, expression: &'ast ExprBreak) {
        if expression.label.is_none() {
            self.breaks
                .push(expression.break_token.span.byte_range().end);
        }
        visit::visit_expr_break(self, expression);
    }

    fn visit_expr_continue(&mut self, expression: &'ast ExprContinue) {
        if let Some(label) = &expression.label {
            let place = label.span().byte_range();
            self.continues.push((label.to_string(), place));
        }
    }
}

fn is_constructor(function: &Expr) -> bool {
    let Expr::Path(path) = function else {
        return false;
    };
    let last = path.path.segments.last();
    last.is_some_and(|last| last.ident.to_string().starts_with(char::is_uppercase))
}
