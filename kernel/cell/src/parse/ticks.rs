//! Where user code looks whether it was interrupted: at loop heads, at the start of functions and closures, and after
//! a sleep, which an interrupt ends early.

use std::collections::HashSet;
use std::ops::Range;

use quote::ToTokens;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{
    AttrStyle, Attribute, Block, Expr, ExprCall, ExprClosure, ExprForLoop, ExprLoop,
    ExprMethodCall, ExprWhile, ImplItemFn, Item, ItemFn, ItemMacro, Macro, Signature, Stmt,
    TraitItemFn,
};

use super::{Edits, collect_words, macros, rounds};

/// The call, which is also put between the statements of a cell.
pub const TICK: &str = "::carrel_runtime::tick();";
const HOOK_AFTER: &str = " ::carrel_runtime::install_hook();";
const TICK_AFTER: &str = " ::carrel_runtime::tick();";
const TICK_IN_BLOCK: &str = "{ ::carrel_runtime::tick(); ";

/// Ticks in an item. Those of optimized code cost quick loops nothing.
pub fn in_item(item: &Item, code: &str, optimized: bool) -> Edits {
    let mut ticks = Ticks::new(code, optimized);
    ticks.visit_item(item);
    ticks.edits
}

/// Ticks in a statement.
pub fn in_statement(statement: &Stmt, code: &str, optimized: bool) -> Edits {
    let mut ticks = Ticks::new(code, optimized);
    ticks.after_hook(statement);
    ticks.visit_stmt(statement);
    ticks.edits
}

struct Ticks<'a> {
    code: &'a str,
    optimized: bool,
    edits: Edits,
    /// Where chains of methods begin that look for interrupts themselves.
    quick_chains: HashSet<usize>,
}

impl<'a> Ticks<'a> {
    fn new(code: &'a str, optimized: bool) -> Self {
        Self {
            code,
            optimized,
            edits: Edits::new(),
            quick_chains: HashSet::new(),
        }
    }

    fn insert(&mut self, byte: usize, text: &'static str) {
        self.edits.push((byte..byte, text.into()));
    }

    /// Panics are told with their places also when the person has set or taken a hook.
    fn after_hook(&mut self, statement: &Stmt) {
        if mentions(statement, &["set_hook", "take_hook"]) {
            self.insert(statement.span().byte_range().end, HOOK_AFTER);
        }
    }

    /// What is spawned prints for the cell that spawns it, and stops with it.
    fn spawn(&mut self, future: &Expr) {
        let range = future.span().byte_range();
        self.insert(range.start, "::carrel_runtime::in_cell(");
        self.insert(range.end, ")");
    }

    /// After `{` and the inner attributes of a body.
    fn enter(&mut self, body: &Block, attributes: &[Attribute]) {
        let inner = attributes
            .iter()
            .filter(|attribute| matches!(attribute.style, AttrStyle::Inner(_)))
            .map(|attribute| attribute.span().byte_range().end);
        let open = body.brace_token.span.open().byte_range().end;
        self.insert(inner.max().map_or(open, |end| end.max(open)), TICK);
    }
}

/// Constants are evaluated by the compiler, functions of another ABI must not unwind.
fn can_tick(signature: &Signature, attributes: &[Attribute]) -> bool {
    let naked = |attribute: &Attribute| attribute.to_token_stream().to_string().contains("naked");
    signature.constness.is_none() && signature.abi.is_none() && !attributes.iter().any(naked)
}

impl<'ast> Visit<'ast> for Ticks<'_> {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if can_tick(&item.sig, &item.attrs) {
            self.enter(&item.block, &item.attrs);
            visit::visit_block(self, &item.block);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if can_tick(&item.sig, &item.attrs) {
            self.enter(&item.block, &item.attrs);
            visit::visit_block(self, &item.block);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let (true, Some(body)) = (can_tick(&item.sig, &item.attrs), &item.default) {
            self.enter(body, &item.attrs);
            visit::visit_block(self, body);
        }
    }

    fn visit_expr_closure(&mut self, closure: &'ast ExprClosure) {
        if closure.constness.is_some() {
            return;
        }
        if let Expr::Block(body) = &*closure.body
            && body.label.is_none()
        {
            self.enter(&body.block, &body.attrs);
        } else {
            let range = closure.body.span().byte_range();
            self.insert(range.start, TICK_IN_BLOCK);
            self.insert(range.end, " }");
        }
        visit::visit_expr(self, &closure.body);
    }

    fn visit_expr_loop(&mut self, expression: &'ast ExprLoop) {
        self.enter(&expression.body, &expression.attrs);
        visit::visit_expr_loop(self, expression);
    }

    fn visit_expr_while(&mut self, expression: &'ast ExprWhile) {
        self.enter(&expression.body, &expression.attrs);
        visit::visit_expr_while(self, expression);
    }

    fn visit_expr_for_loop(&mut self, expression: &'ast ExprForLoop) {
        let text = |range: Range<usize>| self.code[range].to_owned();
        let rounds = self.optimized.then(|| rounds::edits(expression, text));
        match rounds.flatten() {
            Some(edits) => self.edits.extend(edits),
            None => {
                self.enter(&expression.body, &expression.attrs);
                visit::visit_expr_for_loop(self, expression);
            }
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        let range = match self.optimized {
            true => rounds::summed_range(call),
            false => None,
        };
        if let Some(range) = range {
            self.insert(range.start, "::carrel_runtime::rounds");
            self.quick_chains.insert(range.start);
        }
        if let (true, Some(future @ Expr::Async(_))) = (call.method == "spawn", call.args.first()) {
            self.spawn(future);
        }
        // A chain begins where its first receiver does.
        let start = call.receiver.span().byte_range().start;
        let quick = self.optimized
            && (self.quick_chains.contains(&start) || rounds::in_memory(&call.receiver));
        self.visit_expr(&call.receiver);
        let plain = |argument: &Expr| matches!(argument, Expr::Closure(closure) if rounds::is_plain(&closure.body));
        for argument in &call.args {
            if !(quick && plain(argument)) {
                self.visit_expr(argument);
            }
        }
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        if let Some(future) = spawned(call) {
            self.spawn(future);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.edits.extend(macros::in_arguments(call));
    }

    fn visit_item_macro(&mut self, item: &'ast ItemMacro) {
        self.edits.extend(macros::in_rules(item));
    }

    fn visit_block(&mut self, block: &'ast Block) {
        for statement in &block.stmts {
            if mentions(statement, &["sleep", "park"]) {
                self.insert(statement.span().byte_range().end, TICK_AFTER);
            }
            self.after_hook(statement);
        }
        visit::visit_block(self, block);
    }

    // What the compiler evaluates.
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_item_enum(&mut self, _: &'ast syn::ItemEnum) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_trait_item_const(&mut self, _: &'ast syn::TraitItemConst) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}
    fn visit_expr_repeat(&mut self, expression: &'ast syn::ExprRepeat) {
        self.visit_expr(&expression.expr);
    }
    fn visit_generics(&mut self, _: &'ast syn::Generics) {}
    fn visit_type(&mut self, _: &'ast syn::Type) {}
    fn visit_path_arguments(&mut self, _: &'ast syn::PathArguments) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
}

/// A call such as `tokio::spawn(future)`; of a function `spawn` that is named otherwise, with an `async` block.
fn spawned(call: &ExprCall) -> Option<&Expr> {
    let Expr::Path(function) = &*call.func else {
        return None;
    };
    let names: Vec<String> = function
        .path
        .segments
        .iter()
        .map(|name| name.ident.to_string())
        .collect();
    let (last, before) = names.split_last()?;
    let of_tasks = before.iter().any(|name| name == "tokio" || name == "task");
    let future = call.args.first().filter(|_| call.args.len() == 1)?;
    let spawns = last == "spawn" && (of_tasks || matches!(future, Expr::Async(_)));
    spawns.then_some(future)
}

/// A statement that ends with `;` and calls a function of one of these names.
fn mentions(statement: &Stmt, names: &[&str]) -> bool {
    if !matches!(
        statement,
        Stmt::Local(_) | Stmt::Expr(_, Some(_)) | Stmt::Macro(_)
    ) {
        return false;
    }
    if let Stmt::Macro(call) = statement
        && call.semi_token.is_none()
    {
        return false;
    }
    let mut words = HashSet::new();
    collect_words(statement.to_token_stream(), &mut words);
    names.iter().any(|name| words.contains(*name))
}
