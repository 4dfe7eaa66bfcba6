//! Reading a template and rewriting its parse tree, so that whatever it does goes through our guards.
//!
//! The template engine bounds steps, not memory: `x ~ x` in a loop doubles a text at each turn. Here every
//! operation that can make a value larger becomes a call of a filter of [`crate::guards`] that counts and
//! refuses, and every printed name is wrapped so that an undefined one is an error with its name. Names of
//! guards start with `@`, which no template can write.

use crate::template::TemplateFault;
use crate::template_check::{check_loops, check_tokens, fault};
use minijinja::Value;
use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, Spanned, Stmt, UnaryOpKind};
use minijinja::machinery::{Span, ast, parse as parse_tree};
use minijinja::syntax::SyntaxConfig;

/// Characters of an expression that an error shows.
const SHOWN_CHARS_MAX: usize = 80;

/// The rewritten tree of a template called `name`.
pub(crate) fn parse<'s>(source: &'s str, name: &'s str) -> Result<Stmt<'s>, TemplateFault> {
    check_tokens(source)?;
    let tree = parse_tree(source, name, SyntaxConfig::default()).map_err(fault)?;
    check_loops(&tree)?;
    Rewriter { source }.stmt(&tree)
}

/// Whether the value of an expression is printed, so that it must be defined.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Printed,
    Tested,
}

struct Rewriter<'s> {
    source: &'s str,
}

impl<'s> Rewriter<'s> {
    fn stmts(&self, stmts: &[Stmt<'s>]) -> Result<Vec<Stmt<'s>>, TemplateFault> {
        stmts.iter().map(|stmt| self.stmt(stmt)).collect()
    }

    fn stmt(&self, stmt: &Stmt<'s>) -> Result<Stmt<'s>, TemplateFault> {
        Ok(match stmt {
            Stmt::Template(s) => {
                Stmt::Template(Spanned::new(ast::Template { children: self.stmts(&s.children)? }, s.span()))
            }
            Stmt::EmitExpr(s) => Stmt::EmitExpr(Spanned::new(
                ast::EmitExpr { expr: self.expr(&s.expr, Use::Printed) },
                s.span(),
            )),
            // Plain text goes through the formatter as well, which counts what is written.
            Stmt::EmitRaw(s) => {
                Stmt::EmitExpr(Spanned::new(ast::EmitExpr { expr: text(s.raw, s.span()) }, s.span()))
            }
            Stmt::ForLoop(s) => {
                let node = ast::ForLoop {
                    target: self.target(&s.target),
                    iter: self.tested(&s.iter),
                    filter_expr: s.filter_expr.as_ref().map(|e| self.tested(e)),
                    recursive: s.recursive,
                    body: self.stmts(&s.body)?,
                    else_body: self.stmts(&s.else_body)?,
                };
                Stmt::ForLoop(Spanned::new(node, s.span()))
            }
            Stmt::IfCond(s) => {
                let node = ast::IfCond {
                    expr: self.tested(&s.expr),
                    true_body: self.stmts(&s.true_body)?,
                    false_body: self.stmts(&s.false_body)?,
                };
                Stmt::IfCond(Spanned::new(node, s.span()))
            }
            Stmt::Set(s) => {
                let node = ast::Set { target: self.target(&s.target), expr: self.stored(&s.target, &s.expr) };
                Stmt::Set(Spanned::new(node, s.span()))
            }
            Stmt::Macro(s) => Stmt::Macro(self.macro_decl(s)?),
            Stmt::CallBlock(s) => {
                let call = ast::Call { expr: self.tested(&s.call.expr), args: self.args(&s.call.args) };
                let node = ast::CallBlock {
                    call: Spanned::new(call, s.call.span()),
                    macro_decl: self.macro_decl(&s.macro_decl)?,
                };
                Stmt::CallBlock(Spanned::new(node, s.span()))
            }
            other => self.block(other)?,
        })
    }

    /// Statements that only hold others, and those that are refused.
    fn block(&self, stmt: &Stmt<'s>) -> Result<Stmt<'s>, TemplateFault> {
        Ok(match stmt {
            Stmt::WithBlock(s) => {
                let pairs = s.assignments.iter().map(|(to, expr)| (self.target(to), self.tested(expr)));
                let node = ast::WithBlock { assignments: pairs.collect(), body: self.stmts(&s.body)? };
                Stmt::WithBlock(Spanned::new(node, s.span()))
            }
            Stmt::SetBlock(s) => {
                let node = ast::SetBlock {
                    target: self.target(&s.target),
                    filter: s.filter.as_ref().map(|e| self.tested(e)),
                    body: self.stmts(&s.body)?,
                };
                Stmt::SetBlock(Spanned::new(node, s.span()))
            }
            Stmt::AutoEscape(s) => {
                let node = ast::AutoEscape { enabled: self.tested(&s.enabled), body: self.stmts(&s.body)? };
                Stmt::AutoEscape(Spanned::new(node, s.span()))
            }
            Stmt::FilterBlock(s) => {
                let node = ast::FilterBlock { filter: self.tested(&s.filter), body: self.stmts(&s.body)? };
                Stmt::FilterBlock(Spanned::new(node, s.span()))
            }
            Stmt::Block(s) => {
                let node = ast::Block { name: s.name, required: s.required, body: self.stmts(&s.body)? };
                Stmt::Block(Spanned::new(node, s.span()))
            }
            // There are no other templates to take from; the genuine server finds out when it renders.
            Stmt::Import(s) => refused("import", s.span()),
            Stmt::FromImport(s) => refused("from", s.span()),
            Stmt::Extends(s) => refused("extends", s.span()),
            Stmt::Include(s) => refused("include", s.span()),
            Stmt::Do(s) => {
                let line = usize::from(s.span().start_line);
                return Err(TemplateFault { line, message: "Encountered unknown tag 'do'.".into() });
            }
            _ => unreachable!("the other statements are handled before"),
        })
    }

    fn macro_decl(&self, s: &Spanned<ast::Macro<'s>>) -> Result<Spanned<ast::Macro<'s>>, TemplateFault> {
        let node = ast::Macro {
            name: s.name,
            args: s.args.iter().map(|e| self.target(e)).collect(),
            defaults: s.defaults.iter().map(|e| self.tested(e)).collect(),
            body: self.stmts(&s.body)?,
        };
        Ok(Spanned::new(node, s.span()))
    }

    /// What is assigned to; no value is read there except a namespace.
    fn target(&self, expr: &Expr<'s>) -> Expr<'s> {
        match expr {
            Expr::List(e) => {
                let items = e.items.iter().map(|item| self.target(item)).collect();
                Expr::List(Spanned::new(ast::List { items }, e.span()))
            }
            Expr::GetAttr(e) => {
                let node = ast::GetAttr { expr: self.target(&e.expr), name: e.name };
                Expr::GetAttr(Spanned::new(node, e.span()))
            }
            other => self.plain(other, Use::Tested),
        }
    }

    /// What an attribute of a namespace gets may not hold a namespace: printing a cycle never ends.
    fn stored(&self, target: &Expr<'s>, expr: &Expr<'s>) -> Expr<'s> {
        let value = self.tested(expr);
        match target {
            Expr::GetAttr(_) => guard("@store", value, Vec::new()),
            _ => value,
        }
    }

    /// A value that is walked over, which is counted.
    fn used(&self, expr: &Expr<'s>) -> Expr<'s> {
        match expr {
            Expr::Const(_) => self.tested(expr),
            _ => guard("@use", self.tested(expr), Vec::new()),
        }
    }

    fn tested(&self, expr: &Expr<'s>) -> Expr<'s> {
        self.expr(expr, Use::Tested)
    }

    /// An expression with all its guards.
    fn expr(&self, expr: &Expr<'s>, used: Use) -> Expr<'s> {
        let plain = self.plain(expr, used);
        match expr {
            Expr::Var(_) | Expr::GetAttr(_) | Expr::GetItem(_) if used == Use::Printed => {
                self.defined(expr, plain)
            }
            Expr::Filter(filter) if !matches!(filter.name, "default" | "d") => {
                guard("@value", plain, Vec::new())
            }
            Expr::Call(_) => guard("@value", plain, Vec::new()),
            Expr::List(e) if e.as_const().is_none() => guard("@value", plain, Vec::new()),
            Expr::Tuple(e) if e.as_const().is_none() => guard("@value", plain, Vec::new()),
            Expr::Map(e) if e.as_const().is_none() => guard("@value", plain, Vec::new()),
            _ => plain,
        }
    }

    /// An expression whose parts have their guards.
    fn plain(&self, expr: &Expr<'s>, used: Use) -> Expr<'s> {
        match expr {
            Expr::Var(e) => Expr::Var(Spanned::new(ast::Var { id: e.id }, e.span())),
            Expr::Const(e) => Expr::Const(Spanned::new(ast::Const { value: e.value.clone() }, e.span())),
            Expr::Slice(e) => self.slice(e, used),
            Expr::UnaryOp(e) => {
                let (op, used) = match e.op {
                    UnaryOpKind::Not => (UnaryOpKind::Not, Use::Tested),
                    UnaryOpKind::Neg => (UnaryOpKind::Neg, used),
                };
                Expr::UnaryOp(Spanned::new(ast::UnaryOp { op, expr: self.expr(&e.expr, used) }, e.span()))
            }
            Expr::BinOp(e) => self.binary(e, used),
            Expr::Compare(e) => {
                let ops = e.ops.iter().map(|op| ast::CompareOp { op: op.op, expr: self.used(&op.expr) });
                let node = ast::Compare { expr: self.used(&e.expr), ops: ops.collect() };
                Expr::Compare(Spanned::new(node, e.span()))
            }
            Expr::IfExpr(e) => {
                // A printed condition without an `else` prints nothing.
                let nothing = || (used == Use::Printed).then(|| text("", e.span()));
                let node = ast::IfExpr {
                    test_expr: self.tested(&e.test_expr),
                    true_expr: self.expr(&e.true_expr, used),
                    false_expr: e.false_expr.as_ref().map(|e| self.expr(e, used)).or_else(nothing),
                };
                Expr::IfExpr(Spanned::new(node, e.span()))
            }
            Expr::Filter(e) => {
                let lenient = matches!(e.name, "default" | "d");
                let base = e.expr.as_ref().map(|e| self.expr(e, if lenient { Use::Tested } else { used }));
                // These do something with their arguments for each element.
                let by_element = matches!(e.name, "map" | "select" | "reject" | "selectattr" | "rejectattr");
                let args = if by_element { self.args(&e.args) } else { Vec::new() };
                let base = base.map(|base| if lenient { base } else { guard_with("@use", base, args) });
                let node = ast::Filter { name: e.name, expr: base, args: self.args(&e.args) };
                Expr::Filter(Spanned::new(node, e.span()))
            }
            Expr::Test(e) => {
                let expr = match e.name {
                    "defined" | "undefined" => self.tested(&e.expr),
                    _ => guard_with("@use", self.tested(&e.expr), self.args(&e.args)),
                };
                let node = ast::Test { name: e.name, expr, args: self.args(&e.args) };
                Expr::Test(Spanned::new(node, e.span()))
            }
            Expr::GetAttr(e) => {
                let node = ast::GetAttr { expr: self.tested(&e.expr), name: e.name };
                Expr::GetAttr(Spanned::new(node, e.span()))
            }
            Expr::GetItem(e) => {
                let node = ast::GetItem {
                    expr: self.tested(&e.expr),
                    subscript_expr: self.tested(&e.subscript_expr),
                };
                Expr::GetItem(Spanned::new(node, e.span()))
            }
            Expr::Call(e) => Expr::Call(Spanned::new(self.call(e), e.span())),
            Expr::List(e) => Expr::List(Spanned::new(ast::List { items: self.all(&e.items) }, e.span())),
            Expr::Tuple(e) => Expr::Tuple(Spanned::new(ast::Tuple { items: self.all(&e.items) }, e.span())),
            Expr::Map(e) => {
                let node = ast::Map { keys: self.all(&e.keys), values: self.all(&e.values) };
                Expr::Map(Spanned::new(node, e.span()))
            }
        }
    }

    fn slice(&self, e: &Spanned<ast::Slice<'s>>, used: Use) -> Expr<'s> {
        let part = |part: &Option<Expr<'s>>| part.as_ref().map(|e| self.tested(e));
        let node = ast::Slice {
            expr: self.expr(&e.expr, used),
            start: part(&e.start),
            stop: part(&e.stop),
            step: part(&e.step),
        };
        Expr::Slice(Spanned::new(node, e.span()))
    }

    fn all(&self, items: &[Expr<'s>]) -> Vec<Expr<'s>> {
        items.iter().map(|item| self.tested(item)).collect()
    }

    fn args(&self, args: &[CallArg<'s>]) -> Vec<CallArg<'s>> {
        let arg = |arg: &CallArg<'s>| match arg {
            CallArg::Pos(e) => CallArg::Pos(self.tested(e)),
            CallArg::Kwarg(name, e) => CallArg::Kwarg(name, self.tested(e)),
            CallArg::PosSplat(e) => CallArg::PosSplat(self.tested(e)),
            CallArg::KwargSplat(e) => CallArg::KwargSplat(self.tested(e)),
        };
        args.iter().map(arg).collect()
    }

    /// A call; what a method is called on must be defined.
    fn call(&self, call: &ast::Call<'s>) -> ast::Call<'s> {
        let expr = match &call.expr {
            Expr::GetAttr(e) if !is_name(&e.expr, "self") => {
                let receiver = guard("@use", self.expr(&e.expr, Use::Printed), Vec::new());
                Expr::GetAttr(Spanned::new(ast::GetAttr { expr: receiver, name: e.name }, e.span()))
            }
            other => self.plain(other, Use::Tested),
        };
        ast::Call { expr, args: self.args(&call.args) }
    }

    fn binary(&self, e: &Spanned<ast::BinOp<'s>>, used: Use) -> Expr<'s> {
        let guarded = match e.op {
            BinOpKind::Add => Some("@add"),
            BinOpKind::Sub => Some("@sub"),
            BinOpKind::Mul => Some("@mul"),
            BinOpKind::Rem => Some("@rem"),
            BinOpKind::Concat => Some("@concat"),
            _ => None,
        };
        if let Some(name) = guarded {
            let right = self.expr(&e.right, used);
            return guard(name, self.expr(&e.left, used), vec![right]);
        }
        let (left, right) = match e.op {
            BinOpKind::ScAnd | BinOpKind::ScOr => (self.tested(&e.left), self.expr(&e.right, used)),
            BinOpKind::Div | BinOpKind::FloorDiv | BinOpKind::Pow => {
                (self.expr(&e.left, used), self.expr(&e.right, used))
            }
            _ => (self.used(&e.left), self.used(&e.right)),
        };
        let node = ast::BinOp { op: e.op, left, right };
        Expr::BinOp(Spanned::new(node, e.span()))
    }

    /// `value`, or an error with the text of `expr` when it is undefined.
    fn defined(&self, expr: &Expr<'s>, value: Expr<'s>) -> Expr<'s> {
        let shown: String = self.shown(expr).chars().take(SHOWN_CHARS_MAX).collect();
        guard("@defined", value, vec![text(&shown, expr.span())])
    }

    /// A name with its attributes as it is written; the engine's spans hold only the last step.
    fn shown(&self, expr: &Expr<'s>) -> String {
        let written = |expr: &Expr<'s>| {
            let span = expr.span();
            self.source.get(span.start_offset as usize..span.end_offset as usize).unwrap_or("…").to_owned()
        };
        match expr {
            Expr::Var(e) => e.id.to_owned(),
            Expr::GetAttr(e) => format!("{}.{}", self.shown(&e.expr), e.name),
            Expr::GetItem(e) => format!("{}[{}]", self.shown(&e.expr), written(&e.subscript_expr)),
            other => written(other),
        }
    }
}

/// A call of a guard with the value and further arguments.
fn guard<'s>(name: &'static str, value: Expr<'s>, args: Vec<Expr<'s>>) -> Expr<'s> {
    guard_with(name, value, args.into_iter().map(CallArg::Pos).collect())
}

fn guard_with<'s>(name: &'static str, value: Expr<'s>, args: Vec<CallArg<'s>>) -> Expr<'s> {
    let span = value.span();
    Expr::Filter(Spanned::new(ast::Filter { name, expr: Some(value), args }, span))
}

fn text<'s>(text: &str, span: Span) -> Expr<'s> {
    Expr::Const(Spanned::new(ast::Const { value: Value::from(text) }, span))
}

/// A statement that fails when it is reached.
fn refused<'s>(tag: &str, span: Span) -> Stmt<'s> {
    let message = text(&format!("there are no other templates to {tag}"), span);
    Stmt::EmitExpr(Spanned::new(ast::EmitExpr { expr: guard("@fail", message, Vec::new()) }, span))
}

fn is_name(expr: &Expr<'_>, name: &str) -> bool {
    matches!(expr, Expr::Var(var) if var.id == name)
}
